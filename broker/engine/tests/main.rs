//! The tests of the rules, from the outside: a table of contents.
//!
//! Histories come from seeds, the same ones every time; `SIM_SEEDS=2000` asks for more of them,
//! best with `--release`.
#![allow(
    clippy::wildcard_enum_match_arm,
    clippy::cast_possible_truncation,
    clippy::fn_params_excessive_bools,
    reason = "a test names what it is about, its dice have few sides, and it may ask for either"
)]

// One engine with its clock, its journal and people who talk to it; used by all below.
mod world;

// What people say in a scenario: text to commands.
mod words;

// The dice of histories.
mod dice;

// Who tells the engine which ticks a schedule has.
mod almanac;

// What they hear: frames to text.
mod speech;

// Why a job does not run: causes to text.
mod why;

// The rules of each verb, as tables that read without knowing Rust: scenarios/*.txt.
mod scenario;

// The rules a second time, as naive as can be.
mod reference;

// What operators do to it.
mod operator;
// What the naive broker knows of limits and serial keys.
mod allowance;

// The same for jobs that are unique, and for jobs that are held.
mod unique;

// The same for what sessions are told.
mod orders;
// The same for runs that are held to something.
mod overrun;
// The same for jobs that wait for jobs, and for groups.
mod flows;
// The same for schedules.
mod rota;

// The same for what handlers say.
mod said;
// The same for what keeps a job.
mod causes;

// Whether the engine and the naive rules agree.
mod verdict;

// What watchers of such a history must hear.
mod ears;

// Thousands of random histories, told to both.
mod model;

// Priorities, shares and serial keys under any pattern of arrival.
mod fairness;

// Copies of some records and the rest of the journal make the same ledger again.
mod fold;

// What one turn may cost, however much somebody holds.
mod bounds;

// What moves through every life is small.
mod sizes;

// Hostile numbers, late ticks, jumping clocks: nothing panics, nothing drifts.
mod storm;
