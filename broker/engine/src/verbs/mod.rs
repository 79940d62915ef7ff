//! The verbs: one file each, and the two things that happen without one: time and delivery.

mod audit;
mod change;
mod dedup;
mod dispatch;
mod enqueue;
mod expire;
mod explain;
mod failures;
mod fetch;
mod hold;
mod limit;
mod logs;
mod mutate;
mod operate;
mod outcome;
mod overrun;
mod put;
mod query;
mod report;
mod select;
mod session;
mod settle;
mod tell;
mod touch;
mod wait;
mod watch;
