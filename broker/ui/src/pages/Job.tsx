// One job: where it stands and why, what became of its attempts, what it carries, what can be done.
import { useEffect, useLayoutEffect, useState } from 'preact/hooks';
import { Problem } from '../core/api';
import { term } from '../core/filter';
import { bytes, span } from '../core/format';
import { pageKeys } from '../core/keys';
import { lastEvent } from '../core/live';
import { useResource } from '../core/resource';
import { url } from '../core/router';
import { items, job as shapeJob } from '../core/shape';
import type { Attempt, Explained, Job as FullJob, LogRow } from '../core/answers';
import { redactText } from '../core/redact';
import { t } from '../en';
import { Copy } from '../parts/Copy';
import { Facts, Head, Panel } from '../parts/Head';
import { Icon } from '../parts/Icon';
import { Link } from '../parts/Link';
import { Empty, Loading, Trouble } from '../parts/Notice';
import { State } from '../parts/State';
import { Time } from '../parts/Time';
import { ValueBox } from '../parts/Tree';
import { shortId } from './JobTable';
import { changeJob, editJob, isOpen, verbsFor } from './jobActions';
import { enqueueHere } from './queueActions';
import { Timeline } from './Timeline';

const DEAD_ATTEMPTS_OPEN = 1;

export function Job({ id }: { id: string }) {
  // The stream tells what happens to a job that has ended; one that has not is asked for as well.
  const [isSettled, setSettled] = useState(false);
  const told = useResource(url(['v1', 'jobs', id]), (answer) => shapeJob(answer as Record<string, unknown>), isSettled ? 10_000 : 2000);
  const job = told.value;
  useEffect(() => setSettled(!!job && !isOpen(job.state)), [job?.state]);
  const isWaiting = !!job && isOpen(job.state) && job.state !== 'leased';
  const explained = useResource(isWaiting ? url(['v1', 'jobs', id, 'explain']) : null, (answer) => answer as Explained, 4000);
  const logs = useResource(url(['v1', 'jobs', id, 'logs']), (answer) => items(answer, (row) => row as unknown as LogRow), job?.state === 'leased' ? 2000 : 0);
  // The stream says at once that something has happened to this job.
  useEffect(
    () =>
      lastEvent.subscribe((event) => {
        if (event?.job !== id) return;
        told.reload();
        logs.reload();
      }),
    [id],
  );
  const verbs = job ? verbsFor(job.state, job.attempt > 0) : [];
  useLayoutEffect(() => {
    const on = (verb: 'retry' | 'cancel' | 'delete') => () => (job && verbs.includes(verb) ? changeJob(verb, job) : undefined);
    pageKeys.value = { R: on('retry'), C: on('cancel'), D: on('delete') };
    return () => {
      pageKeys.value = {};
    };
  }, [job]);

  const above = (
    <>
      <Link to="/jobs">{t.pages.jobs}</Link>
      {job && (
        <>
          {' / '}
          <Link to={url(['queues', job.queue])}>{job.queue}</Link>
        </>
      )}
    </>
  );
  if (!job) {
    const isGone = told.error instanceof Problem && told.error.status === 404;
    return (
      <>
        <Head title={shortId(id)} above={above} />
        {isGone ? <Empty title={t.job.gone}>{t.job.goneText}</Empty> : told.error ? <Trouble error={told.error} retry={told.reload} /> : <Loading />}
      </>
    );
  }
  return (
    <>
      <Head
        title={job.kind || t.jobs.group}
        above={above}
        line={
          <>
            <State state={job.state} isRetry={job.state === 'scheduled' && job.attempt > 0} />
            {job.dead_reason && <span class="muted">{t.job.deadReasons[job.dead_reason as keyof typeof t.job.deadReasons] ?? job.dead_reason}</span>}
            {job.cancel_requested && <span class="tag is-warn">{t.jobs.stopping}</span>}
            <span class="id">{job.id}</span>
            <Copy text={job.id} />
          </>
        }
      >
        {verbs.map((verb, at) => (
          <button key={verb} type="button" class={`button ${at === 0 && verb !== 'cancel' ? 'is-primary' : verb === 'delete' ? 'is-quiet-danger' : ''}`} onClick={() => changeJob(verb, job)}>
            {t.verbs[verb].name}…
          </button>
        ))}
        {isWaiting && (
          <button type="button" class="button" onClick={() => editJob(job)}>
            {t.edit}…
          </button>
        )}
        <button type="button" class="button" onClick={() => enqueueHere(job.queue, { kind: job.kind, payload: job.payload, priority: job.priority, tags: job.tags })}>
          {t.job.clone}…
        </button>
      </Head>
      {told.error !== null && <Trouble error={told.error} retry={told.reload} />}
      <Timeline job={job} />
      {job.state === 'leased' && <Running job={job} />}
      {isWaiting && <Why explained={explained.value} />}
      <div class="columns is-job">
        <div>
          <Attempts job={job} />
          <Logs rows={logs.value} job={job} />
          {job.bodies_hidden && <p class="banner">{t.job.hidden}</p>}
          {!job.bodies_hidden && <ValueBox key={`payload-${job.id}`} title={t.job.payload} value={job.payload} note={job.content_type} size={job.payload_bytes} />}
          {job.result !== null && job.result !== undefined && <ValueBox title={t.job.result} value={job.result} />}
          {job.result_dropped && <p class="banner">{t.job.dropped}</p>}
        </div>
        <div>
          <Details job={job} />
          <Related job={job} />
        </div>
      </div>
    </>
  );
}

function Running({ job }: { job: FullJob }) {
  const share = (job.progress_permille ?? 0) / 10;
  return (
    <Panel title={t.job.running} scope={job.worker ?? ''}>
      <div class="running">
        <span class="bar" role="progressbar" aria-label={t.job.progress} aria-valuemin={0} aria-valuemax={100} aria-valuenow={share}>
          <span class="bar-fill" style={{ width: `${share}%` }} />
        </span>
        <span class="num">{share ? `${share.toFixed(share % 1 ? 1 : 0)} %` : t.job.noProgress}</span>
      </div>
      {job.note && <p class="running-note">{redactText(job.note)}</p>}
    </Panel>
  );
}

function Why({ explained }: { explained: Explained | null }) {
  if (!explained) return null;
  return (
    <section class="panel why">
      <header class="panel-head">
        <h2>{t.job.why}</h2>
        <span class="scope">{t.now}</span>
      </header>
      {explained.reasons.length ? (
        <ol>
          {explained.reasons.map((reason) => (
            <li key={reason.code + reason.name}>
              <p>{reason.text}</p>
              <p class="muted">
                <code>{reason.code}</code>
                {reason.for_ms > 0 && ` · ${t.job.still(span(reason.for_ms))}`}
                {reason.ahead > 0 && ` · ${t.job.ahead(reason.ahead)}`}
              </p>
            </li>
          ))}
        </ol>
      ) : (
        <p class="panel-text">{t.job.nothingKeeps}</p>
      )}
    </section>
  );
}

function Attempts({ job }: { job: FullJob }) {
  const history = [...(job.history ?? [])].reverse();
  if (!history.length) return null;
  return (
    <Panel
      title={t.job.attempts}
      scope={t.job.attemptsScope(history.length)}
      actions={
        job.error_fingerprint && (
          <Link to={url(['errors', job.error_fingerprint])} class="link-button">
            {t.job.likeThis}
          </Link>
        )
      }
    >
      <ol class="attempts">
        {history.map((attempt, at) => (
          <li key={`${attempt.attempt} ${attempt.ended_at} ${at}`}>
            <AttemptRow attempt={attempt} isOpen={at < DEAD_ATTEMPTS_OPEN} />
          </li>
        ))}
      </ol>
    </Panel>
  );
}

function AttemptRow({ attempt, isOpen: open }: { attempt: Attempt; isOpen: boolean }) {
  const started = Date.parse(attempt.started_at ?? '');
  const ended = Date.parse(attempt.ended_at ?? '');
  const text = redactText(attempt.message);
  return (
    <details open={open}>
      <summary>
        <span class="attempt-number">{t.job.attempt(attempt.attempt)}</span>
        <span class={`tag ${attempt.outcome === 'released' || attempt.outcome === 'cancelled' ? '' : 'is-bad'}`}>
          {t.job.outcomes[attempt.outcome as keyof typeof t.job.outcomes] ?? attempt.outcome}
        </span>
        <strong class="attempt-class">{attempt.kind}</strong>
        <span class="attempt-line">{text.split('\n')[0]}</span>
        <span class="muted num">
          <Time at={attempt.ended_at} />
        </span>
      </summary>
      <div class="attempt-body">
        {text && <p class="attempt-message">{text}</p>}
        {attempt.trace && (
          <pre class="trace" tabIndex={0} aria-label={t.job.trace}>
            {redactText(attempt.trace)}
          </pre>
        )}
        <p class="muted">
          {attempt.worker && t.job.by(attempt.worker)}
          {Number.isFinite(ended - started) && ` · ${t.job.ran(span(Math.max(0, ended - started)))}`}
        </p>
      </div>
    </details>
  );
}

const LEVELS: Record<string, 'error' | 'warning' | 'debug' | 'info'> = { '3': 'error', '4': 'warning', '7': 'debug', error: 'error', warning: 'warning', warn: 'warning', debug: 'debug' };

function Logs({ rows, job }: { rows: LogRow[] | null; job: FullJob }) {
  if (!rows?.length) return null;
  const shown = rows.slice(-500);
  return (
    <Panel title={t.job.logs} scope={t.job.logsScope(shown.length, job.state === 'leased')} actions={<Copy text={rows.map((row) => `${row.at} ${row.text}`).join('\n')} />}>
      <ol class="logs" tabIndex={0} aria-label={t.job.logs}>
        {shown.map((row, at) => {
          const level = LEVELS[String(row.level)] ?? 'info';
          return (
            <li key={at} class={`is-${level}`}>
              <span class="log-time">{row.at?.slice(11, 23)}</span>
              <span class="log-level">{t.levels[level]}</span>
              <span>{redactText(row.text)}</span>
            </li>
          );
        })}
      </ol>
    </Panel>
  );
}

function Details({ job }: { job: FullJob }) {
  const headers = Object.entries(job.headers ?? {});
  const rows: [string, preact.ComponentChildren][] = [
    [t.fields.queue, <Link to={url(['queues', job.queue])}>{job.queue}</Link>],
    [t.fields.key, job.key || null],
    [t.fields.priority, job.priority],
    [t.fields.attempts, t.job.of(job.attempt, job.max_attempts)],
    [t.fields.deliveries, job.deliveries],
    [t.fields.crashes, job.crashes || null],
    [t.fields.snoozes, job.snoozes || null],
    [t.fields.enqueued, <Time at={job.created_at} />],
    [t.fields.runAt, job.run_at ? <Time at={job.run_at} /> : null],
    [t.fields.started, job.leased_at ? <Time at={job.leased_at} /> : null],
    [t.fields.finished, job.finished_at ? <Time at={job.finished_at} /> : null],
    [t.fields.expires, job.expires_at ? <Time at={job.expires_at} /> : null],
    [t.fields.removed, job.remove_at ? <Time at={job.remove_at} /> : null],
    [t.fields.worker, job.worker],
    [t.fields.size, job.payload_bytes === undefined ? null : bytes(job.payload_bytes)],
    [t.fields.seq, job.seq],
  ];
  return (
    <Panel title={t.job.details}>
      <Facts rows={rows.filter(([, value]) => value !== null && value !== undefined)} />
      {(job.tags ?? []).length > 0 && (
        <p class="tags">
          {job.tags!.map((tag) => (
            <Link key={tag} to={url(['jobs'], { q: term('tag', tag) })} class="tag">
              {tag}
            </Link>
          ))}
        </p>
      )}
      {headers.length > 0 && (
        <details class="more">
          <summary>{t.job.headers(headers.length)}</summary>
          <Facts rows={headers.map(([name, value]) => [name, redactText(`${name}=${value}`).slice(name.length + 1)])} />
        </details>
      )}
    </Panel>
  );
}

function Related({ job }: { job: FullJob }) {
  const dependents = useResource(job.group ? url(['v1', 'jobs', 'counts'], { q: `group:${job.group}` }) : null, (answer) => answer as Record<string, number>);
  const rows: [string, preact.ComponentChildren][] = [];
  for (const parent of job.waits_for ?? []) rows.push([t.job.waitsFor, <JobName key={parent} id={parent} />]);
  if (job.group) {
    const size = Object.values(dependents.value ?? {}).reduce((sum, one) => sum + (typeof one === 'number' ? one : 0), 0);
    rows.push([t.job.group, <Link to={url(['jobs'], { q: `group:${job.group}` })}>{size ? t.jobs.chosenPlain(size) : shortId(job.group)}</Link>]);
  }
  if (job.schedule) rows.push([t.job.schedule, <Link to={url(['schedules', job.schedule])}>{job.schedule}</Link>]);
  if (job.dedup_key) rows.push([t.job.dedup, <Link to={url(['jobs'], { q: term('dedup', job.dedup_key) })}>{job.dedup_key}</Link>]);
  if (job.key) rows.push([t.fields.key, <Link to={url(['jobs'], { q: `${term('queue', job.queue)} ${term('key', job.key)}` })}>{t.job.sameKey(job.key)}</Link>]);
  if (!job.kind) rows.push([t.job.members, <Link to={url(['jobs'], { q: `group:${job.id}` })}>{t.job.seeMembers}</Link>]);
  else rows.push([t.fields.kind, <Link to={url(['jobs'], { q: term('kind', job.kind) })}>{t.job.sameKind}</Link>]);
  return (
    <Panel title={t.job.related}>
      <Facts rows={rows} />
    </Panel>
  );
}

function JobName({ id }: { id: string }) {
  const told = useResource(url(['v1', 'jobs', id]), (answer) => shapeJob(answer as Record<string, unknown>));
  return (
    <Link to={url(['jobs', id])} title={id}>
      {told.value ? (
        <>
          {told.value.kind} <State state={told.value.state} />
        </>
      ) : (
        <>
          <Icon name="jobs" size={14} /> {shortId(id)}
        </>
      )}
    </Link>
  );
}

