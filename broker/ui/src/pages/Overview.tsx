// The first page: is all well, how much is there, how fast does it go, and what is wrong.
import { bytes, compact, count, micros, percent, rate, span } from '../core/format';
import { link, recent, snapshot, steps, trouble } from '../core/live';
import { useResource } from '../core/resource';
import { place, refine, url } from '../core/router';
import { items, worker } from '../core/shape';
import type { Overview as View, Trouble as Wrong } from '../core/answers';
import { t } from '../en';
import { Courses } from '../parts/Courses';
import { Gauge } from '../parts/Gauge';
import { Facts, Head, Panel, Spans, spanOf, Tile } from '../parts/Head';
import { Icon } from '../parts/Icon';
import { Link } from '../parts/Link';
import { Loading, Trouble } from '../parts/Notice';
import { Spark } from '../parts/Spark';
import { FirstSteps } from './FirstSteps';
import { QueueTable, slotsByQueue } from './QueueTable';

export function Overview() {
  const view = snapshot.value;
  const workers = useResource('/v1/workers', (answer) => items(answer, worker), 6000);
  if (!view) return link.value === 'offline' && trouble.value ? <Trouble error={new Error(trouble.value)} /> : <Loading />;
  const { totals } = view;
  const all = workers.value ?? [];
  const slots = all.reduce((sum, one) => sum + one.slots, 0);
  const done = recent('', 'completed', 60);
  const failed = recent('', 'failed', 300);
  const ended = recent('', 'completed', 300) + failed;
  const isEmpty = totals.enqueued_total === 0 && view.server.jobs === 0;
  const range = place.value.query.get('range');
  return (
    <>
      <Head title={t.pages.overview} line={<Health view={view} />}>
        {!isEmpty && <Spans value={spanOf(range).name} choose={(name) => refine({ range: name === '1h' ? null : name })} />}
      </Head>
      <Problems problems={view.problems} />
      {isEmpty ? (
        <FirstSteps hasWorker={all.length > 0} />
      ) : (
        <>
          <dl class="tiles">
            <Tile label={t.overview.ready} value={compact(totals.ready)} scope={totals.scheduled ? t.overview.andScheduled(totals.scheduled) : t.now}>
              <Spark values={steps('', 'ready')} />
            </Tile>
            <Tile label={t.overview.running} value={compact(totals.leased)} scope={t.ofSlotsShort(slots)}>
              <Gauge used={totals.leased} total={slots} isLarge />
            </Tile>
            <Tile label={t.overview.done} value={rate(done * 60)} scope={t.perMinuteLast('1 min')}>
              <Spark values={steps('', 'completed')} />
            </Tile>
            <Tile label={t.overview.failing} value={percent(ended ? failed / ended : 0)} scope={t.overview.ofAttempts} isBad={ended > 0 && failed / ended > 0.1}>
              <Spark values={steps('', 'failed')} kind="bad" />
            </Tile>
          </dl>
          <Courses range={range} isShort />
          <Panel
            title={t.pages.queues}
            scope={t.overview.queuesScope(Math.min(10, view.queues.length), view.queues.length)}
            actions={<Link to="/queues" class="link-button">{t.overview.allQueues}</Link>}
          >
            <QueueTable queues={busiest(view)} slots={slotsByQueue(all)} isShort />
          </Panel>
        </>
      )}
      <Broker view={view} />
    </>
  );
}

/** The queues in which most waits and runs come first. */
function busiest(view: View) {
  const weight = (queue: View['queues'][number]) => queue.ready + queue.leased * 2 + recent(queue.name, 'completed', 60);
  return [...view.queues].sort((a, b) => weight(b) - weight(a) || a.name.localeCompare(b.name)).slice(0, 10);
}

function Health({ view }: { view: View }) {
  const word = view.server.draining ? 'draining' : view.problems.length ? 'attention' : 'well';
  return (
    <span class="health">
      <span class={`dot is-${word}`} aria-hidden="true" />
      {t.overview.health[word]}
      <span class="sep" aria-hidden="true" />
      {t.overview.up(span(view.server.uptime_ms))}
      <span class="sep" aria-hidden="true" />
      {t.nav.workers(view.workers)}
    </span>
  );
}

function Problems({ problems }: { problems: Wrong[] }) {
  if (!problems.length) return null;
  return (
    <section class="wrong" aria-label={t.overview.wrong}>
      <ul>
        {problems.map((problem) => (
          <li key={problem.code + (problem.queue ?? '') + problem.text}>
            <Icon name="warn" />
            <span>{problem.text}</span>
            {problem.queue ? (
              <Link to={url(['queues', problem.queue])} class="link-button">
                {t.overview.seeQueue}
              </Link>
            ) : (
              <span />
            )}
          </li>
        ))}
      </ul>
    </section>
  );
}

function Broker({ view: { server } }: { view: View }) {
  return (
    <Panel title={t.overview.broker} scope={t.now}>
      <Facts
        rows={[
          [t.overview.sync, <>{micros(server.fsync_p99_us)} <small>{t.overview.median(micros(server.fsync_p50_us))}</small></>],
          [t.overview.disk, <>{bytes(server.disk_free_bytes)} <small>{server.filesystem}</small></>],
          [t.overview.stored, bytes(server.store_bytes + server.journal_bytes)],
          [t.overview.memory, bytes(server.rss_bytes)],
          [t.overview.jobs, count(server.jobs)],
          [t.overview.connections, count(server.connections)],
        ]}
      />
    </Panel>
  );
}
