// What the broker's HTTP API answers, as far as the dashboard reads it.

export const STATES = ['held', 'scheduled', 'blocked', 'ready', 'leased', 'completed', 'dead', 'cancelled', 'expired'] as const;
export type State = (typeof STATES)[number];
export type Counts = Record<State, number>;
export type Instant = string | null;

export interface Page<T> {
  items: T[];
  next_cursor: string | null;
  total: number | null;
  total_exact: boolean;
}

export interface Attempt {
  attempt: number;
  outcome: string;
  kind: string;
  message: string;
  trace?: string;
  worker: string;
  started_at: Instant;
  ended_at: Instant;
}

export interface Job {
  id: string;
  seq: string;
  queue: string;
  kind: string;
  key: string;
  state: State;
  priority: number;
  attempt: number;
  max_attempts: number;
  deliveries: number;
  crashes: number;
  snoozes?: number;
  created_at: Instant;
  run_at: Instant;
  worker: string | null;
  session?: string | null;
  leased_at: Instant;
  lease_ends_at?: Instant;
  finished_at: Instant;
  expires_at?: Instant;
  remove_at?: Instant;
  dead_reason: string | null;
  error_fingerprint: string | null;
  cancel_requested: boolean;
  content_type?: string;
  payload?: unknown;
  payload_bytes?: number;
  bodies_hidden?: boolean;
  headers?: Record<string, string>;
  tags?: string[];
  dedup_key?: string | null;
  waits_for?: string[];
  group?: string | null;
  schedule?: string | null;
  result?: unknown;
  result_dropped?: boolean;
  progress_permille?: number;
  note?: string;
  history?: Attempt[];
  policy?: Policy | null;
}

export interface Policy {
  priority?: number | null;
  max_attempts?: number | null;
  max_crashes?: number | null;
  lease_ms?: number | null;
  timeout_ms?: number | null;
  stall_ms?: number | null;
  ttl_ms?: number | null;
  keep_done_ms?: number | null;
  keep_dead_ms?: number | null;
  keep_done_max?: number | null;
  cost?: number | null;
  ordering?: string | null;
  [field: string]: unknown;
}

export interface Queue extends Counts {
  name: string;
  enqueued_total: number;
  completed_total: number;
  dead_total: number;
  cancelled_total: number;
  expired_total: number;
  failed_total: number;
  crashed_total: number;
  paused: boolean;
  paused_why: string;
  oldest_ready_ms: number;
  waiting_streams: number;
  policy: Policy | null;
  version: number;
  max_jobs?: number;
  slo_ms?: number;
}

export interface Server {
  version: string;
  epoch: string;
  started_at: Instant;
  server_at?: Instant;
  uptime_ms: number;
  jobs: number;
  sessions: number;
  connections: number;
  batches_total: number;
  facts_total: number;
  fsync_p50_us: number;
  fsync_p99_us: number;
  journal_bytes: number;
  store_bytes: number;
  rss_bytes: number;
  cpu_us: number;
  filesystem: string;
  disk_free_bytes: number;
  draining: boolean;
  [field: string]: unknown;
}

export interface Totals extends Counts {
  enqueued_total: number;
  completed_total: number;
  dead_total: number;
  failed_total: number;
  crashed_total: number;
}

export interface Trouble {
  code: string;
  text: string;
  queue?: string | null;
}

export interface Overview {
  server: Server;
  totals: Totals;
  queues: Queue[];
  workers: number;
  problems: Trouble[];
}

export interface Worker {
  id: string;
  client: string;
  host: string;
  pid: number;
  labels: string[];
  phase: string;
  queues: string[];
  kinds: string[];
  streams: number;
  slots: number;
  busy: number;
  leases: number;
  connections: number;
  silent_ms: number;
  rss_bytes: number;
  loop_lag_ms: number;
  since: Instant;
}

export interface ErrorGroup {
  fingerprint: string;
  class: string;
  message: string;
  count: number;
  dead: number;
  first_at: Instant;
  last_at: Instant;
  sample: string;
  queues: string[];
  kinds: string[];
}

export interface Schedule {
  name: string;
  version: number;
  cron: string;
  every_ms: number;
  tz: string;
  next: Instant;
  last: Instant;
  last_job: string;
  runs: number;
  skipped: number;
  failures: number;
  paused: boolean;
  overlap: string;
  catch_up: string;
  kind: string;
  queue: string;
  payload: unknown;
  /** As it is set, with what the form does not show. */
  set: Record<string, unknown>;
}

export interface Limit {
  name: string;
  version: number;
  bounds: string;
  lets: string;
  in_use: number;
  waiting: number;
  next_free_ms: number;
  until: Instant;
  open_until: Instant;
  why: string;
}

export interface Operation {
  id: string;
  to: string;
  matched: number;
  changed: number;
  started_at: Instant;
  finished_at: Instant;
  reason: string;
  stopped_why: string;
  by?: string;
}

export interface Changed {
  matched: number;
  changed: number;
  sample: string[];
  operation: string | null;
}

export interface AuditEntry {
  seq: string;
  at: Instant;
  by?: string;
  verb: string;
  changed: number;
  target: string;
  client: string;
  reason: string;
}

export interface Reason {
  code: string;
  text: string;
  name: string;
  for_ms: number;
  ahead: number;
}

export interface Explained {
  job: string;
  state: State;
  reasons: Reason[];
  since_at: Instant;
}

export interface LogRow {
  attempt: number;
  at: Instant;
  level: number | string;
  text: string;
}

export interface Series {
  metric: string;
  queue: string;
  start_at: Instant;
  step_ms: number;
  values: (number | null)[];
}

export interface Kind {
  name: string;
  ready: number;
  leased: number;
  scheduled: number;
  dead: number;
  completed_total: number;
  failed_total: number;
  streams: number;
}

export interface Webhook {
  name: string;
  url: string;
  names: string[];
  version?: number;
  paused?: boolean;
}

export interface BrokerEvent {
  seq: string;
  at: Instant;
  name: string;
  job: string | null;
  queue: string | null;
  kind: string | null;
  key: string | null;
  state: string | null;
  note: string;
}
