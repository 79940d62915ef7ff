// All queues, and one of them.
import { useEffect, useState } from 'preact/hooks';
import { compact, count, rate, span } from '../core/format';
import { link, recent, rememberQueue, snapshot, steps, trouble } from '../core/live';
import { useResource } from '../core/resource';
import { place, refine, url } from '../core/router';
import { audit, errorGroup, items, limit, queue as shapeQueue, worker } from '../core/shape';
import type { Queue } from '../core/answers';
import { STATES } from '../core/answers';
import { t } from '../en';
import { Courses } from '../parts/Courses';
import { Gauge } from '../parts/Gauge';
import { Head, Panel, Spans, spanOf, Table, Tile } from '../parts/Head';
import { Icon } from '../parts/Icon';
import { Link } from '../parts/Link';
import { Empty, Loading, Trouble } from '../parts/Notice';
import { Spark } from '../parts/Spark';
import { State } from '../parts/State';
import { AuditTable } from './AuditTable';
import { FirstSteps } from './FirstSteps';
import { Policies } from './Policies';
import { drain, enqueueHere, ofQueue, pause, pauseOrResume, purge } from './queueActions';
import { QueueTable, slotsByQueue } from './QueueTable';
import { WorkerTable } from './Workers';

export function Queues() {
  const name = place.value.path[1];
  return name === undefined ? <AllQueues /> : <OneQueue key={name} name={name} />;
}

const value = (queue: Queue, by: string): number =>
  by === 'oldest' ? queue.oldest_ready_ms : by === 'scheduled' ? queue.scheduled + queue.held + queue.blocked : Number((queue as unknown as Record<string, unknown>)[by] ?? 0);

function AllQueues() {
  const query = place.value.query;
  const [text, setText] = useState(query.get('find') ?? '');
  const listed = useResource('/v1/queues', (answer) => items(answer, shapeQueue), 4000);
  const workers = useResource('/v1/workers', (answer) => items(answer, worker), 6000);
  const sort = query.get('sort') ?? 'name';
  const all = listed.value ?? snapshot.value?.queues ?? null;
  if (!all) return listed.error ? <Trouble error={listed.error} retry={listed.reload} /> : <Loading />;
  const shown = all
    .filter((queue) => queue.name.toLowerCase().includes(text.toLowerCase()))
    .sort((a, b) => (sort === 'name' ? a.name.localeCompare(b.name) : value(b, sort) - value(a, sort)));
  const busy = (workers.value ?? []).length > 0;
  return (
    <>
      <Head title={t.pages.queues} line={t.queues.line(all.length, all.filter((queue) => queue.paused).length)}>
        {all.length > 0 && (
          <label class="find">
            <Icon name="search" />
            <span class="visually-hidden">{t.queues.find}</span>
            <input
              type="text"
              data-search=""
              placeholder={t.queues.find}
              value={text}
              onInput={(event: Event) => {
                const typed = (event.currentTarget as HTMLInputElement).value;
                setText(typed);
                refine({ find: typed }, true);
              }}
            />
          </label>
        )}
      </Head>
      {listed.error !== null && <Trouble error={listed.error} retry={listed.reload} />}
      {!all.length ? (
        <FirstSteps hasWorker={busy} />
      ) : !shown.length ? (
        <Empty title={t.queues.noneFound}>{t.queues.noneFoundText}</Empty>
      ) : (
        <section class="panel">
          <QueueTable queues={shown.slice(0, 1000)} slots={slotsByQueue(workers.value ?? [])} sort={sort} setSort={(by) => refine({ sort: by === 'name' ? null : by })} />
        </section>
      )}
    </>
  );
}

function OneQueue({ name }: { name: string }) {
  useEffect(() => rememberQueue(name), [name]);
  const range = place.value.query.get('range');
  const told = useResource(url(['v1', 'queues', name]), (answer) => shapeQueue(answer as Record<string, unknown>), 2000);
  const workers = useResource('/v1/workers', (answer) => items(answer, worker), 6000);
  const errors = useResource(url(['v1', 'errors'], { window: '24h', q: ofQueue(name) }), (answer) => items(answer, errorGroup), 15_000);
  const limits = useResource('/v1/limits', (answer) => items(answer, (row) => ({ ...limit(row), isHere: concerns(row, name) })), 15_000);
  const audited = useResource('/v1/audit?limit=200', (answer) => items(answer, audit), 15_000);
  const changes = (audited.value ?? []).filter((one) => isOf(one.target, name));
  const above = <Link to="/queues">{t.pages.queues}</Link>;
  const queue = told.value;
  if (!queue) {
    return (
      <>
        <Head title={name} above={above} />
        {told.error ? <Trouble error={told.error} retry={told.reload} /> : link.value === 'offline' && trouble.value ? null : <Loading />}
      </>
    );
  }
  const here = (workers.value ?? []).filter((one) => one.queues.includes(name));
  const slots = here.reduce((sum, one) => sum + one.slots, 0);
  const mine = (limits.value ?? []).filter((one) => one.isHere);
  return (
    <>
      <Head title={name} above={above} line={queue.paused ? undefined : slots ? t.queues.drawnBy(here.length, slots) : t.queues.nobody}>
        <button type="button" class="button is-primary" onClick={() => enqueueHere(name)}>
          {t.queues.enqueue}…
        </button>
        {queue.paused ? (
          <button type="button" class="button" onClick={() => pauseOrResume(queue)}>
            {t.queues.resume}
          </button>
        ) : (
          <>
            <button type="button" class="button" onClick={() => pause(name)}>
              {t.queues.pause}…
            </button>
            <button type="button" class="button" onClick={() => drain(name)}>
              {t.queues.drain}…
            </button>
          </>
        )}
        <button type="button" class="button is-quiet-danger" onClick={() => purge(name)}>
          {t.queues.purge}…
        </button>
      </Head>
      {queue.paused && (
        <p class="banner">
          <Icon name="pause" /> <span>{queue.paused_why ? t.queues.pausedBecause(queue.paused_why) : t.queues.pausedNow}</span>
        </p>
      )}
      <dl class="tiles">
        <Tile label={t.overview.ready} value={compact(queue.ready)} scope={queue.oldest_ready_ms ? t.queues.oldest(span(queue.oldest_ready_ms)) : t.now}>
          <Spark values={steps(name, 'ready')} />
        </Tile>
        <Tile label={t.overview.running} value={compact(queue.leased)} scope={t.ofSlotsShort(slots)}>
          <Gauge used={queue.leased} total={slots} isLarge />
        </Tile>
        <Tile label={t.overview.done} value={rate(recent(name, 'completed', 60) * 60)} scope={t.perMinuteLast('1 min')}>
          <Spark values={steps(name, 'completed')} />
        </Tile>
        <Tile label={t.states.dead} value={compact(queue.dead)} scope={t.queues.kept} isBad={queue.dead > 0}>
          <Spark values={steps(name, 'failed')} kind="bad" />
        </Tile>
      </dl>
      <div class="line-actions">
        <Spans value={spanOf(range).name} choose={(chosen) => refine({ range: chosen === '1h' ? null : chosen })} />
      </div>
      <Courses queue={name} range={range} />
      <div class="columns">
        <Panel title={t.queues.byState} scope={t.now}>
          <ul class="state-list">
            {STATES.map((state) => (
              <li key={state}>
                <Link to={url(['jobs'], { q: ofQueue(name), state })}>
                  <State state={state} />
                  <span class="num">{count(queue[state])}</span>
                </Link>
              </li>
            ))}
          </ul>
        </Panel>
        <Panel title={t.pages.errors} scope={t.queues.errorsScope}>
          {errors.value?.length ? (
            <ul class="error-list">
              {errors.value.slice(0, 6).map((group) => (
                <li key={group.fingerprint}>
                  <Link to={url(['errors', group.fingerprint], { window: '24h' })}>
                    <strong>{group.class}</strong> <span class="muted">{group.message}</span>
                  </Link>
                  <span class="num">{compact(group.count)}</span>
                </li>
              ))}
            </ul>
          ) : (
            <Empty title={t.errors.none} />
          )}
        </Panel>
      </div>
      {mine.length > 0 && (
        <Panel title={t.settings.limits} scope={t.now}>
          <Table label={t.settings.limits}>
            <tbody>
              {mine.map((one) => (
                <tr key={one.name}>
                  <th scope="row">{one.name}</th>
                  <td>{one.lets}</td>
                  <td class="num">{t.settings.inUse(one.in_use)}</td>
                  <td class="muted">{one.why}</td>
                </tr>
              ))}
            </tbody>
          </Table>
        </Panel>
      )}
      <Policies name={name} />
      {changes.length > 0 && (
        <Panel title={t.queues.changes} scope={t.queues.changesScope}>
          <AuditTable entries={changes} />
        </Panel>
      )}
      <Panel title={t.pages.workers} scope={t.now}>
        {here.length ? <WorkerTable workers={here} /> : <Empty title={t.queues.nobody}>{t.queues.nobodyText(name)}</Empty>}
      </Panel>
    </>
  );
}

/** Whether a change was made to this queue, its pause or its jobs. */
function isOf(target: string, queue: string): boolean {
  const marks = [`queue/${queue}`, `limit/pause:queue/${queue}`, `queue:${queue}`];
  return target.split(/[ ,]+/).some((word) => marks.includes(word));
}

function concerns(row: Record<string, unknown>, queue: string): boolean {
  const inner = (row.limit ?? row) as Record<string, unknown>;
  return inner.queue === queue || String(row.bounds ?? '').split(', ').includes(`queue ${queue}`) || row.name === `pause:queue/${queue}`;
}
