//! The proof: a table of contents.
#![allow(clippy::wildcard_enum_match_arm, reason = "a test names what it expects and takes the rest as one")]
#![allow(clippy::print_stdout, reason = "a failing history says how to see it again")]
#![allow(unreachable_pub, reason = "modules of a test binary speak to each other, nobody else reads them")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails here, whoever of its helpers notices")]

// Histories of a whole broker in virtual time, with everything that can go wrong; one seed each.
mod simulation;
// What fuzzers have found, again.
mod fuzzed;
// Fold, drop the journal behind it, reopen: the same engine, bit by bit.
mod fold;
// The store on a real disk against a map, over many reopenings.
mod store_model;
// Power cuts at any write of the real broker.
mod power_cut;
// Damage of every kind to every file of a data directory.
mod corruption;
// A disk without room.
mod full_disk;
// A data directory is looked at, exported, imported; snapshots.
mod store;
// What the tests share: processes, a raw peer, a misbehaving proxy, patience.
mod harness;
// Subcommands, forms of output, exit codes, settings.
mod cli;
// Selectors and the filter language.
mod choose;
// Declared configuration.
mod apply;
// What was changed, by whom and why.
mod audit;
// Changes of all jobs that a selector means.
mod bulk;
// What fails, what is kept of it, who survives it, and how it is run again.
mod failure;
// The client library against the real broker, with a misbehaving network between them.
mod client;
// kill -9, stops, signals, damaged directories.
mod crash;
// Who gets which job and keeps it: order, streams, leases, cuts, silence.
mod delivery;
// How work is shared out: among the queues of a worker, among the workers of a queue.
mod sharing;
// Jobs that are enqueued again and again.
mod schedules;
// The gateway: curl, browsers, health.
mod http;
// Jobs over HTTP.
mod http_jobs;
// A worker in curl.
mod http_leases;
// Queues, limits, schedules, workers and events over HTTP.
mod http_steer;
// The dashboard's files: pages for browsers, problems for programs.
mod dashboard;
// Who may do what: tokens, namespaces, and that none of it is in a log.
mod tokens;
// Kinds, courses over time, figures for scaling.
mod measures;
// What Prometheus gets of the broker and of workers, and what is written about it.
mod metrics;
// Limits, serial keys, labels, and why a job is not running.
mod limits;
// What happens to a job from enqueueing to removal.
mod lifecycle;
// Too much of everything, and memory that stays where it was.
mod overload;
// The wire, byte by byte, as docs/PROTOCOL.md says it.
mod protocol;
// The commands of the README, run as written.
mod readme;
// What is kept of what has ended.
mod retention;
// Lines that are slow, torn, half-open, or crowded.
mod network;
// What is logged, and what is not.
mod logs;
// Who has not said yet who he is.
mod strangers;
// Certificates, and who is trusted.
mod tls;
// The repository's own rules.
mod tidy;
// Alerts that reach an address outside.
mod webhooks;
// Who hears what, who waits for an end, and what a job says while it runs.
mod watch;
// A job while it runs: what it is held to.
mod running;
// What the clock does to jobs.
mod time;
// Sessions: labels, quiet, resume, terminate, dump.
mod workers;
// A clock that a test advances.
mod clock;
// The outbox relay of the client's examples, against a real PostgreSQL.
mod outbox;
// What the client offers to tests of applications.
mod testing;
// Jobs that are unique by a key, and jobs that are held.
mod unique;
// Jobs that wait for jobs, groups, and what follows from a run.
mod flows;
