//! Scenarios: tables of who says what, when, and what is heard; one file a theme.
//!
//! ```text
//! ## A title begins a new world
//! t=0s   p1 enqueue a attempts=2     → a ready
//! t=1s   w1 fetch queue=mail slots=1 → deliver a attempt=1
//! t=3s   (look a)                    → a leased by w1 attempt=1
//! t=31s  (time)                      → @16s w1: cut
//! ```
//! A line is a turn; `&` instead of a time joins the turn above. Frames stand in the order they
//! leave, apart by `;`, with the name of who hears them unless it is the speaker. Time passes
//! between lines: what is heard meanwhile must stand at a `(time)` line, with its moment. Actors
//! who never said hello do so silently. `(crash 20s)` is a broker that is away for so long. `→` lines of their own go on with what is heard.

use crate::speech::say_at;
use crate::words::duration;
use crate::world::{DAWN, World, bytes_of};
use std::fmt::Write as _;
use windlass_engine::Frame;
use windlass_engine::command::Command;
use windlass_engine::engine::Pressure;
use windlass_engine::ids::{JobId, Request};

struct Line {
    number: usize,
    at: u64,
    /// Who speaks and what; several when they share the turn.
    said: Vec<(String, String)>,
    heard: String,
}

/// Runs every scenario of a file; all that differs is told at once.
pub(crate) fn run(file: &str, text: &str) {
    let mut wrong = String::new();
    for chapter in chapters(text) {
        let mut world = World::new();
        for line in chapter {
            let heard = play(&mut world, &line);
            if heard != line.heard {
                let said: Vec<String> = line.said.iter().map(|(who, what)| format!("{who} {what}")).collect();
                let _ = write!(
                    wrong,
                    "\n{file}:{}: {}\n  expected → {}\n  heard    → {heard}\n",
                    line.number,
                    said.join(" & "),
                    line.heard
                );
            }
        }
        world.compare_with_replay();
    }
    assert!(wrong.is_empty(), "{wrong}");
}

fn chapters(text: &str) -> Vec<Vec<Line>> {
    let mut chapters: Vec<Vec<Line>> = vec![Vec::new()];
    for (index, raw) in text.lines().enumerate() {
        let line = raw.trim();
        let chapter = chapters.last_mut().expect("there is always one");
        if line.starts_with("##") {
            chapters.push(Vec::new());
        } else if line.is_empty() || line.starts_with('#') {
        } else if let Some(more) = line.strip_prefix('→') {
            let last = chapter.last_mut().expect("an answer follows a question");
            last.heard = format!("{} {}", last.heard, more.trim()).trim().into();
        } else {
            let (said, heard) = line.split_once('→').unwrap_or((line, ""));
            let (time, said) = said.trim().split_once(' ').expect("a time, then words");
            let said = said.trim();
            let words =
                if said.starts_with('(') { ("", said) } else { said.split_once(' ').unwrap_or((said, "")) };
            let words = (words.0.to_string(), words.1.trim().to_string());
            if time == "&" {
                let last = chapter.last_mut().expect("a turn to join");
                last.said.push(words);
                last.heard = heard.trim().into();
            } else {
                let at = time.strip_prefix("t=").unwrap_or_else(|| panic!("line {}: no time", index + 1));
                let at = DAWN + duration(at);
                chapter.push(Line { number: index + 1, at, said: vec![words], heard: heard.trim().into() });
            }
        }
    }
    chapters
}

fn play(world: &mut World, line: &Line) -> String {
    let mut heard: Vec<String> = Vec::new();
    let speaker = line.said[0].0.clone();
    for (at, frame) in world.pass(line.at) {
        let when = if at == line.at { String::new() } else { format!("@{} ", say_at(at)) };
        heard.push(when + &told(world, "", &frame));
    }
    if line.said[0].1.starts_with('(') {
        let words = line.said[0].1.trim_matches(['(', ')']).to_string();
        let (verb, rest) = words.split_once(' ').unwrap_or((&words, ""));
        heard.extend(event(world, verb, rest));
    } else {
        let commands: Vec<(Request, Command)> =
            line.said.iter().map(|(actor, words)| commanded(world, actor, words)).collect();
        heard.extend(world.turn(commands).iter().map(|frame| told(world, &speaker, frame)));
    }
    heard.join(" ; ")
}

fn commanded(world: &mut World, actor: &str, words: &str) -> (Request, Command) {
    let conn = match world.conns.get(actor) {
        Some(conn) => *conn,
        None => {
            let conn = world.connect(actor);
            if !words.starts_with("hello") && words != "(nobody)" {
                let (hello, asked) = world.command(conn, "hello");
                let request = world.request(conn, asked);
                world.turn(vec![(request, hello)]);
            }
            conn
        }
    };
    let (command, asked) = world.command(conn, words);
    (world.request(conn, asked), command)
}

fn told(world: &World, speaker: &str, frame: &Frame) -> String {
    let actor = &world.actors[&frame.to.conn];
    let to = if actor == speaker { String::new() } else { format!("{actor}: ") };
    to + &world.say(frame)
}

/// What happens without anybody's words.
fn event(world: &mut World, verb: &str, rest: &str) -> Vec<String> {
    let words: Vec<&str> = rest.split_whitespace().collect();
    let mut turn = world.begin_turn();
    match verb {
        "time" => {}
        "look" => {
            let looks = words.iter().map(|name| world.look(JobId(bytes_of(name)))).collect::<Vec<_>>();
            return vec![looks.join(", ")];
        }
        "deadline" => {
            return vec![world.engine.next_deadline().map_or("none".into(), say_at)];
        }
        "names" => return vec![world.engine.ledger().names.iter().count().to_string()],
        "folded" => world.engine.folded(world.batch + 1, &mut turn),
        "drain" => world.engine.drain(&mut turn),
        "stall" | "clock" => {
            let back = rest.strip_prefix("back ").map(|rest| -i64::try_from(duration(rest)).expect("a time"));
            let by = back.unwrap_or_else(|| i64::try_from(duration(rest)).expect("a time"));
            world.now = world.now.saturating_add_signed(by);
            world.engine.shift(by);
        }
        "pressure" => world.engine.set_pressure(Pressure {
            no_enqueue: words.contains(&"no_enqueue"),
            small_results: words.contains(&"small_results"),
            no_leases: words.contains(&"no_leases"),
            disk_low: words.contains(&"disk_low"),
        }),
        "jobs_max" => world.engine.set_jobs_max(rest.parse().expect("a number")),
        "choke" => world.engine.choke(world.conns[rest]),
        "restart" => world.restart(true),
        "crash" => {
            world.now += if rest.is_empty() { 0 } else { duration(rest) };
            world.restart(false);
        }
        other => panic!("nothing happens by '{other}'"),
    }
    let heard = world.end_turn(turn);
    heard.iter().map(|frame| told(world, "", frame)).collect()
}

macro_rules! scenarios {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            run(concat!(stringify!($name), ".txt"), include_str!(concat!("scenarios/", stringify!($name), ".txt")));
        })*

        #[test]
        fn every_file_of_scenarios_is_run() {
            let listed = [$(concat!(stringify!($name), ".txt")),*];
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios");
            for entry in std::fs::read_dir(folder).expect("the folder is there") {
                let name = entry.expect("readable").file_name().into_string().expect("plain");
                assert!(listed.contains(&name.as_str()), "{name} is not in the list");
            }
        }
    };
}

scenarios! {
    alert, audit, batch, cancel, change, checkpoint, config, crash, cron, dedup, enqueue, errors, expiry, explain, fetch, flow, group, hello, hold, label, lease, limit, logs, measure, names, operation, order, pause, policy, pressure, query, release, restart, retention, retry, schedule, serial, settle, silence, sink, spawn, stall, tell, timeout, token, wait, watch, watchdog,
}
