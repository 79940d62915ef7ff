//! A crowd: however many sessions send more than the broker can decide, one that sends little is decided
//! within two turns.

use super::world::World;
use windlass_broker::door::Line;
use windlass_engine::Command;
use windlass_engine::command::Query;

/// Turns within which a quiet session's command is decided.
const TURNS: u32 = 2;

#[test]
fn a_quiet_session_is_decided_within_two_turns_whoever_floods() {
    for crowd in [1, 2, 16, 40, 200] {
        for command_bytes in [50, 20_000, 1_000_000] {
            let mut world = World::quiet(crowd);
            let flood: Vec<Line> = (0..crowd).map(|_| world.door().open()).collect();
            for _ in 0..10 {
                flood.iter().for_each(|line| line.send(requests(command_bytes)));
                let mut quiet = world.newcomer("default");
                quiet.carry(usize::MAX);
                let turns = (1..).find(|_| {
                    world.commit_all();
                    world.hear_of(&mut quiet) > 0
                });
                let turns = turns.expect("it is decided at last");
                assert!(turns <= TURNS, "{crowd} flood with {command_bytes} bytes each: turn {turns}");
            }
        }
    }
}

/// More than anybody's share of several turns.
fn requests(bytes: usize) -> impl Iterator<Item = (u64, Command, usize)> {
    (1..100).map(move |id| (id, Command::Query(Query::Server), bytes))
}
