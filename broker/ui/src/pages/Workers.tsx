// Who is there: sessions of workers, what they can and do run, and a word to each.
import { bytes, compact, span } from '../core/format';
import { useResource } from '../core/resource';
import { place, url } from '../core/router';
import { items, worker as shape } from '../core/shape';
import type { Worker } from '../core/answers';
import { t } from '../en';
import { ask } from '../parts/Action';
import { Command } from '../parts/Copy';
import { Gauge } from '../parts/Gauge';
import { Facts, Head, Panel, Table, Tile } from '../parts/Head';
import { Icon } from '../parts/Icon';
import { Link } from '../parts/Link';
import { Empty, Loading, Trouble } from '../parts/Notice';
import { Time } from '../parts/Time';
import { job as shapeJob, pageOf } from '../core/shape';
import { JobTable } from './JobTable';

type Word = 'quiet' | 'resume' | 'stop' | 'dump';

const SILENT_MS = 10_000;
const LATE_MS = 200;

export function Workers() {
  const id = place.value.path[1];
  const told = useResource('/v1/workers', (answer) => items(answer, shape), 3000);
  // A session without streams is a producer or a tool: it is here, but it takes no jobs.
  const all = (told.value ?? []).filter((one) => one.streams > 0 || one.slots > 0 || one.leases > 0);
  if (id !== undefined) return <One id={id} worker={told.value?.find((one) => one.id === id)} isKnown={told.value !== null} />;
  const slots = all.reduce((sum, one) => sum + one.slots, 0);
  const leases = all.reduce((sum, one) => sum + one.leases, 0);
  return (
    <>
      <Head title={t.pages.workers} line={told.value ? t.workers.line(all.length, leases, slots) : undefined} />
      {told.error !== null && <Trouble error={told.error} retry={told.reload} />}
      {!told.value ? (
        told.error === null && <Loading />
      ) : !all.length ? (
        <Empty title={t.workers.none}>
          <p>{t.workers.noneText}</p>
          <Command text={t.first.steps[1]!.command} />
        </Empty>
      ) : (
        <section class="panel">
          <WorkerTable workers={all} hasActions />
        </section>
      )}
    </>
  );
}

export function WorkerTable({ workers, hasActions }: { workers: Worker[]; hasActions?: boolean }) {
  return (
    <Table label={t.pages.workers} rows>
      <thead>
        <tr>
          <th scope="col">{t.workers.columns.worker}</th>
          <th scope="col">{t.workers.columns.phase}</th>
          <th scope="col">{t.workers.columns.slots}</th>
          <th scope="col">{t.workers.columns.queues}</th>
          <th scope="col" class="num">
            {t.workers.columns.beat}
          </th>
          <th scope="col" class="num">
            {t.workers.columns.lag}
          </th>
          <th scope="col" class="num">
            {t.workers.columns.memory}
          </th>
          {hasActions && (
            <th scope="col">
              <span class="visually-hidden">{t.actions}</span>
            </th>
          )}
        </tr>
      </thead>
      <tbody>
        {workers.map((worker) => (
          <tr key={worker.id} data-row="">
            <th scope="row">
              <Link to={url(['workers', worker.id])} class="row-link" opens>
                {name(worker)}
              </Link>
              <span class="sub">
                {worker.client}
                {worker.labels.map((label) => (
                  <span key={label} class="tag">
                    {label}
                  </span>
                ))}
              </span>
            </th>
            <td>
              <Phase worker={worker} />
            </td>
            <td>
              <Gauge used={worker.leases} total={worker.slots} />
            </td>
            <td class="name">{some(worker.queues)}</td>
            <td class={`num ${worker.silent_ms > SILENT_MS ? 'is-bad' : ''}`}>{span(worker.silent_ms)}</td>
            <td class={`num ${worker.loop_lag_ms > LATE_MS ? 'is-bad' : ''}`}>{worker.loop_lag_ms ? span(worker.loop_lag_ms) : <span class="faint">–</span>}</td>
            <td class="num">{worker.rss_bytes ? bytes(worker.rss_bytes) : <span class="faint">–</span>}</td>
            {hasActions && (
              <td class="row-actions">
                <button type="button" class="button is-small" aria-label={t.queues.actOn(t.workers.words[isQuiet(worker) ? 'resume' : 'quiet'], name(worker))} onClick={() => tell(worker, isQuiet(worker) ? 'resume' : 'quiet')}>
                  {t.workers.words[isQuiet(worker) ? 'resume' : 'quiet']}
                </button>
              </td>
            )}
          </tr>
        ))}
      </tbody>
    </Table>
  );
}

const isQuiet = (worker: Worker) => worker.phase === 'quiet' || worker.phase === 'stopping';

const name = (worker: Worker) => (worker.host ? `${worker.host}${worker.pid ? `:${worker.pid}` : ''}` : worker.client || worker.id.slice(0, 8));

function some(list: string[]) {
  if (!list.length) return <span class="faint">–</span>;
  return list.length > 3 ? `${list.slice(0, 3).join(', ')} +${list.length - 3}` : list.join(', ');
}

function Phase({ worker }: { worker: Worker }) {
  const phase = worker.connections === 0 ? 'away' : isQuiet(worker) ? (worker.phase as 'quiet' | 'stopping') : 'running';
  const icon = phase === 'running' ? 'leased' : phase === 'away' ? 'warn' : 'pause';
  return (
    <span class={`state is-${phase === 'running' ? 'leased' : phase === 'away' ? 'dead' : 'held'}`}>
      <Icon name={icon} size={14} /> {t.workers.phases[phase]}
    </span>
  );
}

function tell(worker: Worker, word: Word): void {
  ask({
    title: t.workers.tellTitle[word](name(worker)),
    text: t.workers.tellText[word],
    button: t.workers.words[word],
    isDangerous: word === 'stop',
    fields: [{ name: 'reason', label: t.reason, kind: 'text', hint: t.reasonHint }],
    calls: (values) => [{ method: 'POST', path: url(['v1', 'workers', worker.id, word]), body: values.reason ? { reason: values.reason } : {} }],
    done: () => t.workers.told(name(worker)),
  });
}

function One({ id, worker, isKnown }: { id: string; worker: Worker | undefined; isKnown: boolean }) {
  const jobs = useResource(url(['v1', 'jobs'], { q: `session:${id}`, limit: 50 }), (answer) => pageOf(answer, shapeJob), 3000);
  const above = <Link to="/workers">{t.pages.workers}</Link>;
  if (!worker) {
    return (
      <>
        <Head title={id.slice(0, 8)} above={above} />
        {isKnown ? <Empty title={t.workers.gone}>{t.workers.goneText}</Empty> : <Loading />}
      </>
    );
  }
  return (
    <>
      <Head title={name(worker)} above={above} line={<><Phase worker={worker} /> <span class="muted">{worker.client}</span></>}>
        <button type="button" class="button" onClick={() => tell(worker, isQuiet(worker) ? 'resume' : 'quiet')}>
          {t.workers.words[isQuiet(worker) ? 'resume' : 'quiet']}…
        </button>
        <button type="button" class="button" onClick={() => tell(worker, 'dump')}>
          {t.workers.words.dump}…
        </button>
        <button type="button" class="button is-quiet-danger" onClick={() => tell(worker, 'stop')}>
          {t.workers.words.stop}…
        </button>
      </Head>
      <dl class="tiles">
        <Tile label={t.overview.running} value={compact(worker.leases)} scope={t.ofSlotsShort(worker.slots)}>
          <Gauge used={worker.leases} total={worker.slots} isLarge />
        </Tile>
        <Tile label={t.workers.columns.beat} value={span(worker.silent_ms)} scope={t.workers.ago} isBad={worker.silent_ms > SILENT_MS} />
        <Tile label={t.workers.columns.lag} value={worker.loop_lag_ms ? span(worker.loop_lag_ms) : '–'} scope={t.workers.lagScope} isBad={worker.loop_lag_ms > LATE_MS} />
        <Tile label={t.workers.columns.memory} value={worker.rss_bytes ? bytes(worker.rss_bytes) : '–'} scope={t.now} />
      </dl>
      <Panel title={t.job.details}>
        <Facts
          rows={[
            [t.workers.since, <Time at={worker.since} />],
            [t.pages.queues, <>{worker.queues.map((queue) => <Link key={queue} to={url(['queues', queue])} class="spaced">{queue}</Link>)}</>],
            [t.errors.kinds, worker.kinds.length ? worker.kinds.join(', ') : t.workers.anyKind],
            [t.workers.labels, worker.labels.join(', ') || null],
            [t.workers.streams, worker.streams],
            [t.overview.connections, worker.connections],
            [t.workers.session, <span class="id">{worker.id}</span>],
          ]}
        />
      </Panel>
      {jobs.value && (
        <Panel title={t.workers.holds} scope={t.now}>
          {jobs.value.items.length ? <JobTable jobs={jobs.value.items} /> : <Empty title={t.workers.holdsNothing} />}
        </Panel>
      )}
    </>
  );
}
