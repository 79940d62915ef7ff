//! The bounds of the rules: every queue, name, batch and table has one.

/// Bytes of the last events, kept for watchers that come back or are slow.
pub const EVENTS_RING_BYTES: usize = 8 << 20;
/// How long the last events are kept when nobody watches any more.
pub const EVENTS_LINGER_MS: u64 = 600_000;
/// Events told in one turn as they happen, to all watchers together; the rest follow in the next turns.
pub const EVENTS_PER_TURN: usize = 20_000;
/// Past events told to one watcher in one turn.
pub const EVENTS_PER_WATCH: usize = 1_000;
/// Watches of the broker that select jobs by anything but their ids.
pub const WIDE_WATCHES_MAX: usize = 1_000;
/// Jobs that are watched, or waited for, by their ids.
pub const WATCHED_IDS_MAX: usize = 1_000_000;
/// How often the queues are looked at for what nobody does anything about, while somebody listens.
pub const LOOK_EVERY_MS: u64 = 5_000;
/// How often at least, where nothing moves.
pub const LOOK_EVERY_MS_MAX: u64 = 3_600_000;
/// Queues, or streams, that are looked at in one turn; the rest follow in the next turns.
pub const LOOKS_PER_TURN: usize = 1_024;
/// Kinds of one queue that are looked at, and ready jobs, oldest first.
pub const LOOKED_AT_IN_QUEUE: usize = 32;
/// Queues that are told of after one look; the others are after the next one.
pub const TOLD_PER_LOOK: usize = 256;
/// How long a job waits whose kind nobody takes before that is told.
pub const NO_WORKER_MS: u64 = 30_000;
/// Sinks of all namespaces together, those included that were removed.
pub const SINKS_MAX: usize = 100;
/// Bytes of a sink; it is one small record of the store.
pub const SINK_BYTES_MAX: usize = 3_400;
/// How long the former secret of a sink still signs.
pub const FORMER_SECRET_MS: u64 = 86_400_000;
/// Deliveries to sinks that one turn adds; what is beyond is left out, counted and told with the next one.
pub const DELIVERIES_PER_TURN: usize = 4_096;
/// Deliveries to one sink that have not ended; likewise.
pub const DELIVERIES_WAITING_MAX: usize = 10_000;
/// Deliveries stored while the disk is low; likewise.
pub const DELIVERIES_LOW_DISK_MAX: usize = 256;
/// Deliveries stored beyond the number of jobs that the broker holds; likewise.
pub const DELIVERIES_OVER_JOBS_MAX: usize = 10_000;
/// Bytes kept of the note of an event.
pub const EVENT_NOTE_BYTES_MAX: usize = 1_024;

/// Longest name of a queue, kind, key, namespace or resource, in bytes.
pub const NAME_BYTES_MAX: usize = 200;
/// Jobs in one Enqueue.
pub const ENQUEUE_JOBS_MAX: usize = 10_000;
/// Ids one Change may name.
pub const CHANGE_IDS_MAX: usize = 10_000;
/// Jobs a Change changes in one turn; beyond it goes on in the background.
pub const CHANGE_NOW_MAX: u64 = 10_000;
/// Bytes of payloads that a Change writes in one turn.
pub const CHANGE_BYTES_MAX: u64 = 4 << 20;
/// Changes whose jobs are still being counted; further ones are refused.
pub const SURVEYS_MAX: usize = 64;
/// Changes in the background at a time, of all namespaces together.
pub const OPERATIONS_RUNNING_MAX: usize = 64;
/// Changes that are remembered by their id; the one that ended first is forgotten first.
pub const OPERATIONS_MAX: usize = 1_000;
/// Bytes of a change in the background; it is one small record of the store.
pub const OPERATION_BYTES_MAX: usize = 3_600;
/// How long a change in the background waits after a start of the broker, so that clients are back.
pub const OPERATION_REST_MS: u64 = 1_000;
/// Entries of the audit; the oldest go first.
pub const AUDITS_MAX: usize = 10_000;
/// How long an entry of the audit is kept.
pub const AUDIT_KEEP_MS: u64 = 30 * 86_400_000;
/// Old entries that go with a new one.
pub const AUDITS_DROPPED: usize = 8;
/// Bytes kept of what an entry of the audit was done to.
pub const AUDIT_TARGET_BYTES_MAX: usize = 512;
/// Bytes kept of the reason of an entry of the audit, and of its client.
pub const AUDIT_TEXT_BYTES_MAX: usize = 1_024;
/// Jobs a change in the background changes before others get their turn.
pub const CHANGES_PER_SLICE: u64 = 256;
/// Outcomes before a change is judged by the share that failed.
pub const STOP_SAMPLES_MIN: u64 = 20;
/// Changed jobs without an outcome at most, of a change that is judged by them.
pub const STOP_OPEN_MAX: u64 = 1_000;
/// Ways of failing that are told apart, in all namespaces together; the others are one.
pub const ERRORS_MAX: usize = 10_000;
/// Bytes of a message with its masks.
pub const ERROR_SHAPE_BYTES_MAX: usize = 200;
/// How far a Query of failures looks back when it does not say.
pub const ERRORS_WINDOW_MS_DEFAULT: u64 = 3_600_000;
/// Rows of one page of a Query; also the default when the client asks for none is 100.
pub const PAGE_ROWS_MAX: usize = 1_000;
/// Rows of a page when the Query names no limit.
pub const PAGE_ROWS_DEFAULT: usize = 100;
/// Jobs a Query looks at before it answers with what it has and a cursor.
pub const PAGE_SCAN_MAX: usize = 20_000;
/// Bytes of payloads, results and the like at which a page of jobs takes no further row.
pub const PAGE_BYTES_MAX: usize = 1 << 20;
/// Queues of all namespaces together.
pub const QUEUES_MAX: usize = 10_000;
/// Kinds of all namespaces together.
pub const KINDS_MAX: usize = 10_000;
/// How often what ever happened to the jobs of a kind is written down.
pub const KIND_TOTALS_EVERY_MS: u64 = 10_000;
/// Kinds for which this is done in one tick; the rest follow in the next turns.
pub const KIND_TOTALS_PER_TICK: usize = 1_024;
/// Limits of all namespaces together.
pub const LIMITS_MAX: usize = 10_000;
/// Schedules of all namespaces together.
pub const SCHEDULES_MAX: usize = 10_000;
/// Bytes of a schedule with its template; it is one small record of the store.
pub const SCHEDULE_BYTES_MAX: usize = 3_400;
/// How late a tick may be seen to and is still on time, its jitter apart.
pub const LATE_MS: u64 = 10_000;
/// Ticks of a schedule that wait for the end of its last job.
pub const TICKS_WAITING_MAX: usize = 256;
/// Most ticks that are made up for at once; of a long absence no more are counted.
pub const TICKS_MADE_UP_MAX: usize = 1_000;
/// Ticks told to the engine in one turn; the rest follow in the next turns.
pub const TICKS_PER_TURN: usize = 1_024;
/// Lanes and rings that a tick may find closed before it goes on in the next turn.
pub const TURNED_AWAY_PER_TICK: usize = 2_048;
/// Namespaces.
pub const NAMESPACES_MAX: usize = 1_000;
/// Distinct keys and job policies in use at a time.
pub const NAMES_MAX: usize = 4_000_000;
/// Sessions, connected or within their window.
pub const SESSIONS_MAX: usize = 20_000;
/// Open Fetch streams of one session.
pub const STREAMS_MAX: usize = 64;
/// Sources (queues) of one Fetch.
pub const SOURCES_MAX: usize = 64;
/// Kinds one Fetch may name.
pub const FETCH_KINDS_MAX: usize = 256;
/// Slots of one stream, and jobs of one long poll.
pub const SLOTS_MAX: u32 = 10_000;
/// Leases of one session, so that its loss is decided in one turn of bounded size.
pub const SESSION_LEASES_MAX: usize = 20_000;
/// Slots one job takes; with the leases of a session bounded, their sum cannot overflow.
pub const COST_MAX: u32 = 1_000;
/// Tags of a job.
pub const TAGS_MAX: usize = 16;
/// Dedup keys that are taken at a time.
pub const CLAIMS_MAX: usize = 1_000_000;
/// Jobs that one job waits for.
pub const AFTER_MAX: usize = 1_000;
/// Of these, those in one small record of the store.
pub const AFTER_PER_PIECE: u16 = 100;
/// Jobs that all jobs of one Enqueue wait for, together.
pub const AFTER_PER_ENQUEUE_MAX: usize = 100_000;
/// Jobs that others wait for, or waited for while those are kept, counted once for each of them.
pub const EDGES_MAX: usize = 10_000_000;
/// Jobs told in one turn that one they wait for has ended; the rest follow in the next turns.
pub const DEPENDENTS_PER_TURN: usize = 4_096;
/// Jobs of one spawn.
pub const SPAWN_MAX: usize = 1_000;
/// Items of a payload that jobs append to.
pub const ITEMS_MAX: u32 = 1_000;
/// How long a held job waits for its confirmation when its producer names no time.
pub const HOLD_TTL_MS_DEFAULT: u64 = 3_600_000;
/// Labels of a session.
pub const LABELS_MAX: usize = 32;

/// Bytes of all labels of a session; its row is one small record of the store.
pub const LABEL_BYTES_MAX: usize = 2_048;

/// Session time to live when Hello asks for none.
pub const SESSION_TTL_MS_DEFAULT: u64 = 15_000;
/// Least session time to live a client may ask for.
pub const SESSION_TTL_MS_MIN: u64 = 1_000;
/// Longest session time to live a client may ask for.
pub const SESSION_TTL_MS_MAX: u64 = 3_600_000;
/// How long a session outlives its last closed connection.
pub const RESUME_WINDOW_MS: u64 = 3_000;
/// Silence after which a session without leases or streams is closed.
pub const IDLE_SESSION_MS: u64 = 600_000;
/// Longest wait of a long poll.
pub const WAIT_MS_MAX: u64 = 600_000;
/// Least time from a delivery to the next one of the same job when its visibility timeout runs out, so
/// that a job with a tiny one does not keep the broker busy.
pub const REDELIVERY_MS_MIN: u64 = 1_000;
/// Longest visibility timeout.
pub const LEASE_MS_MAX: u64 = 7 * 86_400_000;
/// Longest delay of a retry or release: one year.
pub const DELAY_MS_MAX: u64 = 366 * 86_400_000;
/// Time a running job has to stop after a cancel, when the Change names none.
pub const CANCEL_GRACE_MS_DEFAULT: u64 = 30_000;

/// Least time between two writes of a run's checkpoints; what comes meanwhile is written together.
pub const CHECKPOINT_EVERY_MS: u64 = 200;
/// Lines of one half of a job's log: a chunk more than the thousand that are always kept.
pub const LOG_LINES_MAX: u16 = 1_100;
/// Bytes of one half of a job's log, likewise.
pub const LOG_BYTES_MAX: usize = (256 + 16) << 10;
/// Lines of a log at which they are written at once.
pub const LOG_CHUNK_LINES: u16 = 100;
/// Bytes of a log at which they are written at once.
pub const LOG_CHUNK_BYTES: usize = 16 << 10;
/// How long lines of a log wait for others to be written with them.
pub const LOG_WAIT_MS: u64 = 1_000;
/// Chunks of a log on one page.
pub const PAGE_CHUNKS_MAX: usize = 64;
/// Bytes kept of the output of one run.
pub const OUTPUT_RING_BYTES: usize = 64 << 10;
/// Jobs whose output one watch may ask for.
pub const OUTPUT_IDS_MAX: usize = 64;
/// Bytes of notes, log lines, checkpoints and output in memory, of all runs together. Beyond it notes and
/// output are not remembered, and lines are written at once.
pub const RUNS_BYTES_MAX: usize = 64 << 20;
/// Time a run has to stop after it broke what it is held to.
pub const OVERRUN_GRACE_MS: u64 = 30_000;
/// Longest `timeout_ms` and `stall_ms` of a policy: 30 days.
pub const RUN_MS_MAX: u64 = 30 * 86_400_000;

/// How long the id of a removed job is still known.
pub const IDEMPOTENCY_WINDOW_MS: u64 = 600_000;
/// How many ids of removed jobs are known at most; where more than half as many end within the
/// window, the last half at least.
pub const ENDED_IDS_MAX: usize = 1_000_000;
/// Attempts kept in a job's history.
pub const HISTORY_MAX: u32 = 10;
/// Bytes kept of the kind of an error.
pub const ERROR_KIND_BYTES_MAX: usize = 128;
/// Bytes kept of an error's message.
pub const ERROR_MESSAGE_BYTES_MAX: usize = 4_096;
/// Bytes kept of an error's trace.
pub const ERROR_TRACE_BYTES_MAX: usize = 16_384;
/// Results up to this size are kept even when the disk is low.
pub const SMALL_RESULT_BYTES: usize = 4_096;

/// Every how many picks of a queue the oldest head of any level is served (bounded starvation).
pub const FAIR_EVERY: u64 = 16;
/// Timers that fire in one tick; the rest follow in the next turn.
pub const TIMERS_PER_TICK: usize = 1_024;
/// Leases granted in one tick; the rest follow in the next turn.
pub const LEASES_PER_TICK: usize = 4_096;
/// Payload bytes handed out in one tick; the job that reaches it is the last.
pub const LEASE_BYTES_PER_TICK: usize = 4 << 20;
/// Payload bytes of one Deliver frame; more start another frame.
pub const DELIVER_BYTES_MAX: usize = 1 << 20;
/// Works of one Deliver frame; more start another frame.
pub const DELIVER_WORKS_MAX: usize = 1_000;
/// Ended jobs that lose their payload in one tick; the rest follow in the next turns.
pub const KEPT_PER_TICK: usize = 256;
/// Jobs of one batch: they leave in one frame.
pub const BATCH_JOBS_MAX: u32 = 1_000;
/// Names dropped in one tick.
pub const NAME_DROPS_PER_TICK: usize = 256;

/// The latest epoch that a clock may ask for. A fence has 24 bits for the epoch; a clock that is
/// wrong for one start must not use them up.
pub const EPOCH_MINUTES_MAX: u32 = (1 << 24) - (1 << 20);

/// Jobs in the broker at a time, of all states, unless configured otherwise.
pub const JOBS_MAX_DEFAULT: usize = 20_000_000;
