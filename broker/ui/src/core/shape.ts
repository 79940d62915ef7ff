// Turns rows of the API into what the pages draw: lists that may come as text, fields that may be absent.
import { t } from '../en';
import { parseExact } from './api';
import type { AuditEntry, Counts, ErrorGroup, Job, Limit, Operation, Overview, Page, Queue, Schedule, State, Webhook, Worker } from './answers';
import { STATES } from './answers';

export type Row = Record<string, unknown>;

const text = (value: unknown): string => (value === null || value === undefined ? '' : String(value));
const number = (value: unknown): number => (typeof value === 'number' ? value : Number(value ?? 0) || 0);
const instant = (value: unknown): string | null => (typeof value === 'string' && value ? value : null);

function list(value: unknown): string[] {
  if (Array.isArray(value)) return value.map(text);
  return typeof value === 'string' && value ? value.split(',') : [];
}

function labels(value: unknown): string[] {
  if (value && typeof value === 'object' && !Array.isArray(value)) return Object.entries(value).map(([name, label]) => `${name}=${text(label)}`);
  return list(value);
}

/** The rows of a list, whatever it was wrapped in. */
export function items<T>(answer: unknown, shape: (row: Row) => T): T[] {
  const rows = Array.isArray(answer) ? answer : ((answer as Row | null)?.items ?? []);
  return (rows as Row[]).map(shape);
}

export function pageOf<T>(answer: unknown, shape: (row: Row) => T): Page<T> {
  const row = (answer ?? {}) as Row;
  return {
    items: items(answer, shape),
    next_cursor: instant(row.next_cursor),
    total: typeof row.total === 'number' ? row.total : null,
    total_exact: row.total_exact !== false,
  };
}

export function counts(row: Row): Counts {
  const of = (state: State) => number(row[state]);
  return Object.fromEntries(STATES.map((state) => [state, of(state)])) as Counts;
}

export function queue(row: Row): Queue {
  return {
    ...(row as unknown as Queue),
    ...counts(row),
    name: text(row.name),
    enqueued_total: number(row.enqueued_total),
    completed_total: number(row.completed_total),
    failed_total: number(row.failed_total),
    crashed_total: number(row.crashed_total),
    dead_total: number(row.dead_total),
    paused: row.paused === true,
    paused_why: text(row.paused_why),
    oldest_ready_ms: number(row.oldest_ready_ms),
    policy: (row.policy ?? null) as Queue['policy'],
    version: number(row.version),
  };
}

export function overview(value: unknown): Overview {
  const row = value as Row;
  const totals = (row.totals ?? {}) as Row;
  return {
    server: row.server as Overview['server'],
    totals: { ...(totals as unknown as Overview['totals']), ...counts(totals) },
    queues: items(row.queues, queue),
    workers: number(row.workers),
    problems: (row.problems ?? []) as Overview['problems'],
  };
}

export function job(row: Row): Job {
  const lease = (row.lease ?? null) as Row | null;
  return {
    ...(row as unknown as Job),
    worker: (row.worker ?? lease?.worker ?? null) as string | null,
    session: (row.session ?? lease?.session ?? null) as string | null,
    lease_ends_at: instant(row.lease_ends_at ?? lease?.ends_at),
    waits_for: list(row.waits_for ?? row.after),
    schedule: text(row.schedule) || null,
    tags: list(row.tags),
  };
}

export function worker(row: Row): Worker {
  return {
    id: text(row.id),
    client: text(row.client),
    host: text(row.host),
    pid: number(row.pid),
    labels: labels(row.labels),
    phase: text(row.phase) || 'running',
    queues: list(row.queues),
    kinds: list(row.kinds),
    streams: number(row.streams),
    slots: number(row.slots),
    busy: number(row.busy),
    leases: number(row.leases),
    connections: number(row.connections),
    silent_ms: number(row.silent_ms ?? row.last_sign_ms_ago),
    rss_bytes: number(row.rss_bytes),
    loop_lag_ms: number(row.loop_lag_ms),
    since: instant(row.since ?? row.since_at),
  };
}

export function errorGroup(row: Row): ErrorGroup {
  return {
    fingerprint: text(row.fingerprint),
    class: text(row.class ?? row.kind),
    message: text(row.message),
    count: number(row.count),
    dead: number(row.dead),
    first_at: instant(row.first_at),
    last_at: instant(row.last_at),
    sample: text(row.sample),
    queues: list(row.queues),
    kinds: list(row.kinds),
  };
}

export function schedule(row: Row): Schedule {
  const inner = (row.schedule ?? {}) as Row;
  const template = (inner.job ?? row.job ?? {}) as Row;
  const of = (name: string) => row[name] ?? inner[name];
  const when = text(row.when);
  const every = /^every (.*)$/.exec(when);
  return {
    name: text(row.name),
    version: number(row.version),
    cron: text(of('cron')) || (when && !every ? when : ''),
    every_ms: number(of('every_ms')) || (every ? spanOf(every[1]!) : 0),
    tz: text(of('tz')) || 'UTC',
    next: instant(row.next ?? row.next_at),
    last: instant(row.last ?? row.last_at),
    last_job: text(row.last_job),
    runs: number(row.runs ?? row.runs_total),
    skipped: number(row.skipped ?? row.skipped_total),
    failures: number(row.failures),
    paused: of('paused') === true,
    overlap: text(of('overlap')),
    catch_up: text(of('catch_up')),
    kind: text(row.kind ?? template.kind),
    queue: text(row.queue ?? template.queue) || 'default',
    payload: content(row.payload ?? template.payload ?? null),
    set: given(inner),
  };
}

/** A template's payload is told as text; most are JSON. */
function content(payload: unknown): unknown {
  if (typeof payload !== 'string') return payload;
  try {
    return parseExact(payload);
  } catch {
    return payload;
  }
}

/** A resource as it can be sent back: without what is not set. */
export function given(row: Row): Row {
  const entries = Object.entries(row).filter(([, value]) => value !== null && value !== '' && value !== 0 && value !== false);
  return Object.fromEntries(entries);
}

function spanOf(words: string): number {
  const units: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
  let total = 0;
  for (const [, value, unit] of words.matchAll(/(\d+)\s*(ms|s|m|h|d)/g)) total += Number(value) * units[unit!]!;
  return total;
}

export function limit(row: Row): Limit {
  const inner = (row.limit ?? row) as Row;
  return {
    name: text(row.name),
    version: number(row.version),
    bounds: text(row.bounds) || bounds(inner),
    lets: text(row.lets) || lets(inner),
    in_use: number(row.in_use),
    waiting: number(row.waiting ?? row.waiting_lanes),
    next_free_ms: number(row.next_free_ms),
    until: instant(row.until ?? inner.until_at),
    open_until: instant(row.open_until ?? row.open_until_at),
    why: text(row.why ?? inner.why),
  };
}

function bounds(row: Row): string {
  const words = ['queue', 'kind', 'key'].filter((name) => row[name]).map((name) => `${name} ${text(row[name])}`);
  return (words.join(', ') || t.limit.named) + (row.per_key ? t.limit.perKey : '');
}

function lets(row: Row): string {
  const words: string[] = [];
  if (row.concurrency === 0) words.push(t.limit.nothing);
  else if (row.concurrency) words.push(t.limit.atOnce(number(row.concurrency)));
  if (row.rate) words.push(t.limit.rate(number(row.rate), (number(row.per_ms) || 1000) / 1000));
  if (row.retry_permille) words.push(t.limit.retries(number(row.retry_permille) / 10));
  if (row.breaker_failure_permille) words.push(t.limit.breaker(number(row.breaker_failure_permille) / 10));
  return words.join(', ');
}

export const operation = (row: Row): Operation => ({
  ...(row as unknown as Operation),
  matched: number(row.matched),
  changed: number(row.changed),
  reason: text(row.reason),
  stopped_why: text(row.stopped_why),
  started_at: instant(row.started_at),
  finished_at: instant(row.finished_at),
});

export const audit = (row: Row): AuditEntry => ({ ...(row as unknown as AuditEntry), at: instant(row.at), client: text(row.client) });

export function webhook(row: Row): Webhook {
  const inner = (row.sink ?? row) as Row;
  return { name: text(row.name), url: text(row.url ?? inner.url), names: list(row.names ?? inner.names), version: number(row.version) };
}

export const asIs = <T>(row: Row): T => row as T;
