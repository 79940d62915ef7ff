//! Known bugs, planted one at a time: the simulation must find each.
#![allow(clippy::wildcard_enum_match_arm, reason = "a test names what it expects and takes the rest as one")]
#![allow(clippy::print_stdout, reason = "a failing history says how to see it again")]
#![allow(dead_code, unreachable_pub, reason = "the simulation serves other tests too")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails here, whoever of its helpers notices")]

mod simulation;

use simulation::world::World;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Mutex;
use windlass_engine::planted::{Bug, plant};

/// Histories within which each bug must be found.
const SEEDS: u64 = 300;

/// What the last panic said, and where.
static SAID: Mutex<String> = Mutex::new(String::new());

/// A table: the bug, the first seed that finds it, and the check that did.
#[test]
fn the_simulation_finds_every_planted_bug() {
    std::panic::set_hook(Box::new(remember));
    let mut missed = Vec::new();
    println!("| bug | found by seed | by |\n|---|---|---|");
    for bug in Bug::ALL {
        plant(Some(bug));
        match (0..SEEDS).find(|&seed| is_broken(seed)) {
            Some(seed) => println!("| {bug:?} | {seed} | {} |", SAID.lock().unwrap()),
            None => missed.push(bug),
        }
    }
    plant(None);
    let unplanted = (0..10).find(|&seed| is_broken(seed));
    drop(std::panic::take_hook());
    assert!(missed.is_empty(), "nobody finds {missed:?} in {SEEDS} histories");
    assert_eq!(unplanted, None, "without a bug a history fails: {}", SAID.lock().unwrap());
}

fn is_broken(seed: u64) -> bool {
    catch_unwind(AssertUnwindSafe(|| World::new(seed).live())).is_err()
}

fn remember(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map_or("", |place| place.file().rsplit('/').next().unwrap_or_default());
    let said = panic.payload_as_str().unwrap_or_default();
    let short: String = said.lines().next().unwrap_or_default().chars().take(110).collect();
    *SAID.lock().unwrap() = format!("`{place}`: {short}");
}
