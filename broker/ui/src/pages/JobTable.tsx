// Rows of jobs, with a box to choose each, and the choice of columns.
import { columns } from '../core/prefs';
import { redact } from '../core/redact';
import { url } from '../core/router';
import type { Job } from '../core/answers';
import { t } from '../en';
import { Table } from '../parts/Head';
import { Link } from '../parts/Link';
import { State } from '../parts/State';
import { Time } from '../parts/Time';
import { bytes } from '../core/format';

const COLUMNS = ['kind', 'queue', 'key', 'priority', 'attempt', 'when', 'worker', 'created', 'size', 'tags'] as const;
type Column = (typeof COLUMNS)[number];

export function Columns() {
  const toggle = (column: Column) => {
    const has = columns.value.includes(column);
    columns.value = COLUMNS.filter((one) => (one === column ? !has : columns.value.includes(one)));
  };
  return (
    <details class="menu">
      <summary class="button">{t.jobs.columns}</summary>
      <div class="menu-list">
        {COLUMNS.map((column) => (
          <label key={column} class="check">
            <input type="checkbox" checked={columns.value.includes(column)} onChange={() => toggle(column)} />
            <span>{t.jobs.column[column]}</span>
          </label>
        ))}
      </div>
    </details>
  );
}

interface Props {
  jobs: Job[];
  gone?: Set<string>;
  chosen?: Set<string>;
  setChosen?: (chosen: Set<string>) => void;
}

export function JobTable({ jobs, gone, chosen, setChosen }: Props) {
  const shown = COLUMNS.filter((column) => columns.value.includes(column));
  const isAll = jobs.length > 0 && jobs.every((job) => chosen?.has(job.id));
  const toggle = (id: string) => {
    const next = new Set(chosen);
    if (!next.delete(id)) next.add(id);
    setChosen!(next);
  };
  return (
    <Table label={t.pages.jobs} rows>
      <thead>
        <tr>
          {setChosen && (
            <th scope="col" class="pick">
              <label>
                <input type="checkbox" checked={isAll} onChange={() => setChosen(isAll ? new Set() : new Set(jobs.map((job) => job.id)))} />
                <span class="visually-hidden">{t.jobs.chooseAll}</span>
              </label>
            </th>
          )}
          <th scope="col">{t.jobs.column.job}</th>
          <th scope="col">{t.jobs.column.state}</th>
          {shown.map((column) => (
            <th key={column} scope="col" class={column === 'priority' || column === 'attempt' || column === 'size' ? 'num' : ''}>
              {t.jobs.column[column]}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {jobs.map((job) => (
          <tr key={job.id} data-row="" class={`${gone?.has(job.id) ? 'is-gone' : ''} ${chosen?.has(job.id) ? 'is-chosen' : ''}`}>
            {setChosen && (
              <td class="pick">
                <label>
                  <input type="checkbox" checked={chosen?.has(job.id)} onChange={() => toggle(job.id)} />
                  <span class="visually-hidden">{t.jobs.choose(job.kind, job.id)}</span>
                </label>
              </td>
            )}
            <th scope="row">
              <Link to={url(['jobs', job.id])} class="row-link id" opens title={job.id}>
                {shortId(job.id)}
              </Link>
            </th>
            <td>
              <State state={job.state} isRetry={job.state === 'scheduled' && job.attempt > 0} />
              {job.cancel_requested && <span class="tag is-warn">{t.jobs.stopping}</span>}
            </td>
            {shown.map((column) => (
              <Cell key={column} job={job} column={column} />
            ))}
          </tr>
        ))}
      </tbody>
    </Table>
  );
}

/** The end of an id tells jobs of one moment apart; its beginning is the time. */
export function shortId(id: string): string {
  return id.length > 20 ? `${id.slice(0, 8)}…${id.slice(-6)}` : id;
}

function Cell({ job, column }: { job: Job; column: Column }) {
  switch (column) {
    case 'kind':
      return <td class="name">{job.kind || <span class="faint">{t.jobs.group}</span>}</td>;
    case 'queue':
      return (
        <td class="name">
          <Link to={url(['queues', job.queue])} class="quiet">
            {job.queue}
          </Link>
        </td>
      );
    case 'key':
      return <td class="name">{job.key ? String(redact(job.key)) : <span class="faint">–</span>}</td>;
    case 'priority':
      return <td class="num">{job.priority}</td>;
    case 'attempt':
      return (
        <td class="num">
          {job.attempt}
          <span class="faint">/{job.max_attempts}</span>
        </td>
      );
    case 'when':
      return (
        <td>
          <When job={job} />
        </td>
      );
    case 'worker':
      return <td class="name">{job.worker ?? <span class="faint">–</span>}</td>;
    case 'created':
      return (
        <td>
          <Time at={job.created_at} />
        </td>
      );
    case 'size':
      return <td class="num">{job.payload_bytes === undefined ? <span class="faint">–</span> : bytes(job.payload_bytes)}</td>;
    case 'tags':
      return (
        <td>
          {(job.tags ?? []).map((tag) => (
            <span key={tag} class="tag">
              {tag}
            </span>
          ))}
        </td>
      );
  }
}

/** The instant that matters in this state. */
function When({ job }: { job: Job }) {
  const [word, at] =
    job.state === 'leased'
      ? [t.jobs.when.started, job.leased_at]
      : job.finished_at
        ? [t.jobs.when.ended, job.finished_at]
        : job.run_at && job.state === 'scheduled'
          ? [t.jobs.when.runs, job.run_at]
          : [t.jobs.when.enqueued, job.created_at];
  return (
    <>
      <span class="muted">{word}</span> <Time at={at} />
    </>
  );
}
