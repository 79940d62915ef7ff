// One stream from the broker for the whole tab: a snapshot every two seconds, events on a job's page. It stops
// while nobody looks, and falls back to asking when a proxy does not let streams through.
import { computed, effect, signal } from '@preact/signals';
import { get, sentence } from './api';
import { setServerTime } from './format';
import { namespace } from './prefs';
import { place } from './router';
import { overview } from './shape';
import type { BrokerEvent, Overview, Queue } from './answers';

export type Link = 'connecting' | 'live' | 'polling' | 'paused' | 'offline';

const SNAPSHOT_S = 2;
const POLL_MS = 5000;
const BROKER_EVENTS = 'session.opened,session.closed,session.lost,schedule.missed,schedule.paused';

export const snapshot = signal<Overview | null>(null);
export const link = signal<Link>('connecting');
export const trouble = signal('');
export const paused = signal(false);
/** The last event of the job that is looked at, or of the broker. */
export const lastEvent = signal<BrokerEvent | null>(null);

/** What a queue, or all of them, did from one snapshot to the next, per second. */
export interface Moment {
  at: number;
  ready: number;
  leased: number;
  enqueued: number;
  completed: number;
  failed: number;
  /** The broker remembered it; the others this tab has seen. */
  isKept?: boolean;
}

interface Totals {
  at: number;
  epoch: string;
  enqueued: number;
  completed: number;
  failed: number;
}

const courses = new Map<string, Moment[]>();
const before = new Map<string, Totals>();

/** The last five minutes of a queue; `''` is the whole broker. */
export function course(queue: string): Moment[] {
  void snapshot.value;
  return courses.get(queue) ?? [];
}

/** The last five minutes in steps of ten seconds, for a sparkline. */
export function steps(queue: string, what: Exclude<keyof Moment, 'at' | 'isKept'>): number[] {
  const moments = course(queue);
  const end = moments.at(-1)?.at ?? 0;
  const sums = new Array<[number, number]>();
  for (const moment of moments) {
    const step = SEEN_MS / SEED_STEP_MS - 1 - Math.floor((end - moment.at) / SEED_STEP_MS);
    if (step < 0 || Number.isNaN(moment[what])) continue;
    const [sum, count] = sums[step] ?? [0, 0];
    sums[step] = [sum + moment[what], count + 1];
  }
  return sums.filter(Boolean).map(([sum, count]) => sum / count);
}

/** A rate per second over the last so many seconds. */
export function recent(queue: string, what: 'enqueued' | 'completed' | 'failed', seconds: number): number {
  const from = Date.now() - seconds * 1000;
  const moments = course(queue);
  let sum = 0;
  let length = 0;
  for (let at = moments.length - 1; at >= 0 && moments[at]!.at >= from; at -= 1) {
    if (Number.isNaN(moments[at]![what])) continue;
    // Moments are two seconds apart, those that the broker remembered ten.
    const apart = at ? Math.min(moments[at]!.at - moments[at - 1]!.at, SEED_STEP_MS) : SNAPSHOT_S * 1000;
    sum += moments[at]![what] * apart;
    length += apart;
  }
  return length ? sum / length : 0;
}

function note(name: string, at: number, epoch: string, row: Queue | Overview['totals']): void {
  const total = { at, epoch, enqueued: row.enqueued_total, completed: row.completed_total, failed: row.failed_total };
  const last = before.get(name);
  before.set(name, total);
  const seconds = last ? (at - last.at) / 1000 : 0;
  if (!last || last.epoch !== epoch || seconds <= 0.2) return;
  const per = (what: 'enqueued' | 'completed' | 'failed') => Math.max(0, (total[what] - last[what]) / seconds);
  const list = courses.get(name) ?? [];
  list.push({ at, ready: row.ready, leased: row.leased, enqueued: per('enqueued'), completed: per('completed'), failed: per('failed') });
  while (list.length && list[0]!.at < at - SEEN_MS) list.shift();
  courses.set(name, list);
}

interface Kept {
  metric: string;
  queue: string;
  start_at: string;
  step_ms: number;
  values: number[];
}

const SEEN_MS = 300_000;
const SEED_STEP_MS = 10_000;

/** Begins the courses with the last five minutes that the broker remembers: of all that it does, and what each queue completed. */
async function remember(): Promise<void> {
  await Promise.all([seed(''), seed('*', 'completed')]);
}

/** The same of one queue in full, which its page shows. */
export function rememberQueue(queue: string): void {
  seed(queue).catch(() => {});
}

async function seed(asked: string, metric = ''): Promise<void> {
  const query = new URLSearchParams({ window_ms: String(SEEN_MS), step_ms: String(SEED_STEP_MS) });
  if (asked) query.set('queue', asked);
  if (metric) query.set('metric', metric);
  const { items } = await get<{ items: Kept[] }>(`/v1/stats/series?${query}`);
  for (const queue of new Set(items.map((one) => one.queue))) {
    const mine = items.filter((one) => one.queue === queue);
    // What was not asked for is not known, which is not 0.
    const of = (name: string, at: number) => mine.find((one) => one.metric === name)?.values[at] ?? NaN;
    const seen = (courses.get(queue) ?? []).filter((moment) => !moment.isKept);
    const end = seen[0]?.at ?? Date.now();
    const start = Date.parse(mine[0]!.start_at);
    const seconds = SEED_STEP_MS / 1000;
    const moments = mine[0]!.values.map((_, at) => ({
      at: start + (at + 1) * SEED_STEP_MS,
      ready: of('ready', at),
      leased: of('leased', at),
      enqueued: of('enqueued', at) / seconds,
      completed: of('completed', at) / seconds,
      failed: of('failed', at) / seconds,
      isKept: true,
    }));
    courses.set(queue, [...moments.filter((moment) => moment.at < end), ...seen]);
  }
}

function take(value: unknown): void {
  const view = overview(value);
  const at = Date.now();
  setServerTime(view.server.server_at);
  note('', at, view.server.epoch, view.totals);
  for (const queue of view.queues) note(queue.name, at, view.server.epoch, queue);
  snapshot.value = view;
  trouble.value = '';
}

/** Asks once, now: after an action, and where there is no stream. */
export async function refresh(): Promise<void> {
  try {
    take(await get('/v1/overview'));
  } catch (error) {
    trouble.value = sentence(error);
    if (link.value !== 'paused') link.value = 'offline';
  }
}

const watchedJob = computed(() => (place.value.path[0] === 'jobs' && place.value.path[1] ? place.value.path[1] : ''));
const isHidden = signal(document.hidden);
document.addEventListener('visibilitychange', () => (isHidden.value = document.hidden));

let source: EventSource | null = null;
let failures = 0;
let timer = 0;
let poll = 0;

function close(): void {
  source?.close();
  source = null;
  clearTimeout(timer);
  clearInterval(poll);
  poll = 0;
}

function open(job: string, space: string): void {
  close();
  const query = new URLSearchParams({ snapshot: String(SNAPSHOT_S) });
  if (job) query.set('q', `id:${job}`);
  else query.set('names', BROKER_EVENTS);
  if (space !== 'default') query.set('namespace', space);
  const stream = new EventSource(`/v1/events?${query}`);
  source = stream;
  stream.addEventListener('open', () => {
    failures = 0;
    clearInterval(poll);
    poll = 0;
    link.value = 'live';
  });
  stream.addEventListener('snapshot', (event) => {
    link.value = 'live';
    take(JSON.parse((event as MessageEvent<string>).data));
  });
  const hear = (event: Event) => (lastEvent.value = JSON.parse((event as MessageEvent<string>).data) as BrokerEvent);
  for (const name of job ? JOB_EVENTS : BROKER_EVENTS.split(',')) stream.addEventListener(name, hear);
  stream.addEventListener('error', () => {
    failures += 1;
    link.value = failures > 1 ? 'offline' : 'connecting';
    stream.close();
    if (source !== stream) return;
    timer = window.setTimeout(() => open(job, space), Math.min(1000 * 2 ** (failures - 1), 15_000));
    // Three failures may mean a proxy that holds streams back: ask, and go on trying.
    if (failures >= 3 && !poll) {
      poll = window.setInterval(() => {
        void refresh().then(() => {
          if (!trouble.value && link.value !== 'live') link.value = 'polling';
        });
      }, POLL_MS);
    }
  });
}

const JOB_EVENTS = [
  'enqueued', 'ready', 'started', 'progress', 'failed', 'lost', 'snoozed', 'released', 'cancelling', 'completed',
  'dead', 'cancelled', 'expired', 'retried', 'rescheduled', 'removed',
].map((name) => `job.${name}`);

/** Starts the stream, and ends and begins it again as the tab is hidden and seen, and as jobs are looked at. */
export function startLive(): void {
  void refresh();
  // A broker without a history is told by what this tab sees.
  remember().catch(() => {});
  effect(() => {
    const job = watchedJob.value;
    const space = namespace.value;
    if (isHidden.value || paused.value) {
      close();
      link.value = 'paused';
      return;
    }
    link.value = 'connecting';
    open(job, space);
  });
}
