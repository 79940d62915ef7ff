// The table of queues, on the first page and on that of the queues.
import { compact, rate, span } from '../core/format';
import { recent, steps } from '../core/live';
import { url } from '../core/router';
import type { Queue, Worker } from '../core/answers';
import { t } from '../en';
import { Gauge } from '../parts/Gauge';
import { Table } from '../parts/Head';
import { Icon } from '../parts/Icon';
import { Link } from '../parts/Link';
import { Spark } from '../parts/Spark';
import { pauseOrResume } from './queueActions';

/** Slots of the workers that draw from each queue; a worker of several queues counts in each. */
export function slotsByQueue(workers: Worker[]): Map<string, number> {
  const slots = new Map<string, number>();
  for (const worker of workers) for (const queue of worker.queues) slots.set(queue, (slots.get(queue) ?? 0) + worker.slots);
  return slots;
}

interface Props {
  queues: Queue[];
  slots: Map<string, number>;
  isShort?: boolean;
  sort?: string;
  setSort?: (name: string) => void;
}

const SORTABLE = ['name', 'ready', 'leased', 'scheduled', 'dead', 'oldest'] as const;

export function QueueTable({ queues, slots, isShort, sort, setSort }: Props) {
  const head = (name: (typeof SORTABLE)[number], isNumber = true) => (
    <th scope="col" class={isNumber ? 'num' : ''} aria-sort={setSort ? (sort !== name ? 'none' : name === 'name' ? 'ascending' : 'descending') : undefined}>
      {setSort ? (
        <button type="button" class="sort" aria-pressed={sort === name} onClick={() => setSort(name)}>
          {t.queues.columns[name]}
        </button>
      ) : (
        t.queues.columns[name]
      )}
    </th>
  );
  return (
    <Table label={t.pages.queues} rows>
      <thead>
        <tr>
          {head('name', false)}
          {head('ready')}
          {head('leased', false)}
          {head('scheduled')}
          {head('dead')}
          {head('oldest')}
          <th scope="col">{t.queues.columns.done}</th>
          {!isShort && (
            <th scope="col">
              <span class="visually-hidden">{t.actions}</span>
            </th>
          )}
        </tr>
      </thead>
      <tbody>
        {queues.map((queue) => (
          <tr key={queue.name} data-row="">
            <th scope="row">
              <Link to={url(['queues', queue.name])} class="row-link" opens>
                {queue.name}
              </Link>
              {queue.paused && (
                <span class="tag is-warn" title={queue.paused_why}>
                  <Icon name="pause" size={12} /> {t.queues.paused}
                </span>
              )}
            </th>
            <td class="num">{compact(queue.ready)}</td>
            <td>
              <Gauge used={queue.leased} total={slots.get(queue.name) ?? 0} />
            </td>
            <td class="num">{zero(queue.scheduled + queue.held + queue.blocked)}</td>
            <td class={`num ${queue.dead ? 'is-bad' : ''}`}>
              {queue.dead ? <Link to={url(['jobs'], { q: `queue:${queue.name}`, state: 'dead' })}>{compact(queue.dead)}</Link> : zero(0)}
            </td>
            <td class="num">{queue.oldest_ready_ms ? span(queue.oldest_ready_ms) : zero(0)}</td>
            <td>
              <span class="with-spark">
                <Spark values={steps(queue.name, 'completed')} />
                <span class="num">{t.perSecond(rate(recent(queue.name, 'completed', 10)))}</span>
              </span>
            </td>
            {!isShort && (
              <td class="row-actions">
                <button type="button" class="button is-small" aria-label={t.queues.actOn(queue.paused ? t.queues.resume : t.queues.pause, queue.name)} onClick={() => pauseOrResume(queue)}>
                  {queue.paused ? t.queues.resume : t.queues.pause}
                </button>
              </td>
            )}
          </tr>
        ))}
      </tbody>
    </Table>
  );
}

function zero(value: number) {
  return value ? compact(value) : <span class="faint">–</span>;
}
