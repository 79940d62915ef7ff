//! The command line: what scripts rely on. Forms of output, exit codes, questions, settings.

#[path = "cli/contexts.rs"]
mod contexts;
#[path = "cli/table.rs"]
mod table;
#[path = "cli/terminal.rs"]
mod terminal;

use crate::harness::{
    Answer, Broker, Peer, WINDLASS, fresh_id, hex, hold_port, start_windlass, windlass, windlass_reading,
};
use serde_json::{Value, json};
use std::fs;
use std::process::Command;
use windlass_proto::v1::{JobView, State};

/// `windlass` against this broker.
fn at(broker: &Broker, arguments: &[&str]) -> Answer {
    windlass(&[arguments, &["--addr", broker.addr()]].concat())
}

fn json_at(broker: &Broker, arguments: &[&str]) -> Value {
    at(broker, &[arguments, &["--output", "json"]].concat()).ok().json()
}

fn keys(object: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

/// The job of an id as the command line prints it.
fn shown(peer: &mut Peer, id: &str) -> JobView {
    let digits: Vec<u8> = id.bytes().filter(|byte| *byte != b'-').collect();
    let bytes =
        digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap());
    peer.job(&bytes.collect::<Vec<u8>>().into())
}

fn enqueue(broker: &Broker, arguments: &[&str]) -> String {
    let answer = at(broker, &[&["enqueue"], arguments].concat()).ok();
    let [id] = answer.lines()[..] else { panic!("{answer:?}") };
    id.to_owned()
}

#[test]
fn enqueue_prints_an_id_and_takes_what_the_job_needs() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    let plain = shown(&mut peer, &enqueue(&broker, &["mail", r#"{"to":"a@b.c"}"#]));
    assert_eq!((plain.queue.as_str(), plain.kind.as_str(), plain.state()), ("default", "mail", State::Ready));
    assert_eq!(
        (&plain.payload[..], plain.content_type.as_str()),
        (&br#"{"to":"a@b.c"}"#[..], "application/json")
    );
    assert_eq!((plain.priority, plain.max_attempts), (4, 20));

    let id = hex(&fresh_id());
    let options =
        ["--queue", "q", "--delay", "5m", "--priority", "7", "--attempts", "3", "--key", "t", "--id", &id];
    assert_eq!(enqueue(&broker, &[&["mail"][..], &options].concat()), id);
    let job = shown(&mut peer, &id);
    assert_eq!((job.queue.as_str(), job.key.as_str(), job.state()), ("q", "t", State::Scheduled));
    assert_eq!((job.priority, job.max_attempts, job.payload.len()), (7, 3, 0));
    let delay = job.run_at_ms - job.created_at_ms;
    assert!((299_000..=300_000).contains(&delay), "{delay}");

    let answer = json_at(&broker, &["enqueue", "mail", "--id", &id]);
    assert_eq!(answer, json!([{"id": id, "state": "scheduled", "duplicate": true, "outcome": "duplicate"}]));
    let answer = json_at(&broker, &["enqueue", "mail"]);
    assert_eq!(keys(&answer[0]), ["duplicate", "id", "outcome", "state"]);
    assert_eq!((&answer[0]["state"], &answer[0]["duplicate"]), (&json!("ready"), &json!(false)));
}

#[test]
fn enqueue_reads_payloads_from_files_and_pipes() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    let file = broker.home().join("payload");
    fs::write(&file, b"\xff not json").unwrap();
    let id = enqueue(&broker, &["k", &format!("@{}", file.display())]);
    assert_eq!(&shown(&mut peer, &id).payload[..], b"\xff not json");
    let piped = windlass_reading(b"from a pipe", &["enqueue", "k", "-", "--addr", broker.addr()]).ok();
    assert_eq!(&shown(&mut peer, piped.lines()[0]).payload[..], b"from a pipe");

    let many: String = (0..700).map(|number| format!("{{\"n\":{number}}}\n\n")).collect();
    let piped = ["enqueue", "k", "--jsonl", "-", "--addr", broker.addr()];
    let answer = windlass_reading(many.as_bytes(), &piped).ok();
    let ids = answer.lines();
    assert_eq!(ids.len(), 700, "an id a line, none for empty lines");
    assert_eq!(&shown(&mut peer, ids[699]).payload[..], br#"{"n":699}"#);
    fs::write(&file, "1\n2\n").unwrap();
    let answer = json_at(&broker, &["enqueue", "k", "--jsonl", file.to_str().unwrap()]);
    assert_eq!(answer.as_array().unwrap().len(), 2);
    assert_eq!(peer.server().jobs, 704);
}

#[test]
fn what_is_wrong_on_the_command_line_is_2_what_the_broker_refuses_is_1_and_what_is_not_there_is_6() {
    let broker = Broker::start();
    let missing = hex(&fresh_id());
    let cases: [(&[&str], i32); 26] = [
        (&["enqueue"], 2),
        (&["enqueue", "k", "{not json"], 2),
        (&["enqueue", "k", "@/does/not/exist"], 2),
        (&["enqueue", "k", "--jsonl", "/does/not/exist"], 2),
        (&["enqueue", "k", "1", "--jsonl", "-"], 2),
        (&["enqueue", "k", "--delay", "soon"], 2),
        (&["enqueue", "k", "--delay", "-5m"], 2),
        (&["enqueue", "k", "--priority", "10"], 2),
        (&["enqueue", "k", "--attempts", "0"], 2),
        (&["enqueue", "k", "--id", "not-a-uuid"], 2),
        (&["enqueue", "k", "--output", "xml"], 2),
        (&["enqueue", "not a name"], 1),
        (&["enqueue", "k", "--queue", "not a name"], 1),
        (&["admin"], 2),
        (&["admin", "jobs"], 2),
        (&["admin", "jobs", "list", "--state", "lost"], 2),
        (&["admin", "jobs", "list", "--limit", "0"], 2),
        (&["admin", "jobs", "show"], 2),
        (&["admin", "jobs", "show", "42"], 2),
        (&["admin", "jobs", "show", &missing], 6),
        (&["admin", "jobs", "retry", &missing], 6),
        (&["admin", "jobs", "run-now", &missing], 6),
        (&["admin", "jobs", "cancel", &missing, "--yes"], 6),
        (&["admin", "jobs", "delete", &missing, "--yes"], 6),
        (&["admin", "queue", "pause"], 2),
        (&["admin", "queue", "pause", "not a name"], 1),
    ];
    for (arguments, code) in cases {
        let answer = at(&broker, arguments);
        assert_eq!(answer.code, code, "{arguments:?}: {answer:?}");
        assert!(!answer.err.is_empty(), "{arguments:?}: what is wrong is said on stderr");
    }
    assert_eq!(broker.peer().server().jobs, 0);
    assert_eq!((windlass(&[]).code, windlass(&["brew"]).code), (2, 2));
    assert!(windlass(&["--help"]).ok().out.contains("windlass demo"));
    assert!(windlass(&["--version"]).ok().out.starts_with("windlass "));
    assert!(windlass(&["completions", "bash"]).ok().out.contains("complete"));
}

#[test]
fn an_empty_broker_answers_with_empty_lists() {
    let broker = Broker::start();
    let nouns = [&["queues"][..], &["queues", "list"], &["jobs", "list"], &["workers"]];
    for noun in nouns.map(|noun| [&["admin"], noun].concat()) {
        let noun = &noun[..];
        assert_eq!(json_at(&broker, noun), json!([]), "{noun:?}");
        assert_eq!(at(&broker, noun).ok().lines().len(), 1, "a table without rows has its head");
    }
    assert_eq!(json_at(&broker, &["admin", "stats"])["jobs"], 0);
}

#[test]
fn queues_are_told_with_these_keys_paused_and_resumed() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    for _ in 0..2 {
        enqueue(&broker, &["k", "--queue", "mail"]);
    }
    enqueue(&broker, &["k", "--queue", "mail", "--delay", "1h"]);
    let work = peer.fetch("mail");
    peer.settle(&work, crate::harness::complete(""));
    let queues = json_at(&broker, &["admin", "queues"]);
    let expected = json!({
        "name": "mail", "ready": 1, "scheduled": 1, "leased": 0, "completed": 1, "dead": 0,
        "completed_total": 1, "dead_total": 0, "paused": false,
    });
    assert_eq!(queues.as_array().unwrap().len(), 1);
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&queues[0][key], value, "{key}");
    }

    let paused = json_at(&broker, &["admin", "queue", "pause", "mail", "--why", "incident"]);
    assert_eq!(paused, json!({"queue": "mail", "paused": true}));
    assert_eq!(json_at(&broker, &["admin", "queues"])[0]["paused"], true);
    assert_eq!(peer.queue("mail").paused_why, "incident");
    let table = at(&broker, &["admin", "queues"]).ok();
    let [head, row] = table.lines()[..] else { panic!("{table:?}") };
    assert!(head.starts_with("NAME") && row.starts_with("mail") && row.ends_with("yes"), "{table:?}");
    assert_eq!(at(&broker, &["admin", "queue", "resume", "mail"]).ok().out, "mail runs\n");
    assert!(!peer.queue("mail").paused);
}

#[test]
fn jobs_are_listed_by_what_is_asked_and_shown_in_full() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    let first = enqueue(&broker, &["pdf", r#"{"title":"Hello"}"#, "--attempts", "2"]);
    let second = enqueue(&broker, &["mail", "--queue", "mail", "--delay", "1h", "--key", "tenant"]);
    let ids = |arguments: &[&str]| -> Vec<String> {
        let rows = json_at(&broker, &[&["admin", "jobs", "list"], arguments].concat());
        rows.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&[]), [second.as_str(), &first], "newest first");
    assert_eq!(ids(&["--oldest-first"]), [first.as_str(), &second]);
    assert_eq!(ids(&["--limit", "1"]), [second.as_str()]);
    assert_eq!(ids(&["--queue", "mail"]), [second.as_str()]);
    assert_eq!(ids(&["--kind", "pdf"]), [first.as_str()]);
    assert_eq!(ids(&["--key", "tenant"]), [second.as_str()]);
    assert_eq!(ids(&["--state", "scheduled"]), [second.as_str()]);
    assert_eq!(ids(&["--state", "scheduled", "--state", "ready"]).len(), 2);
    assert_eq!(ids(&["--state", "dead"]), [""; 0]);
    assert!(at(&broker, &["admin", "jobs", "list"]).ok().lines()[0].starts_with("ID\tQUEUE\t"));

    let failed = peer.fetch("default");
    peer.settle(&failed, crate::harness::fail("busy"));
    let work = peer.fetch("default");
    peer.settle(&work, crate::harness::complete(r#"{"pages":1}"#));
    let job = json_at(&broker, &["admin", "jobs", "show", &first]);
    assert_eq!((&job["id"], &job["state"], &job["attempt"]), (&json!(first), &json!("completed"), &json!(2)));
    assert_eq!((&job["payload"], &job["result"]), (&json!({"title": "Hello"}), &json!({"pages": 1})));
    assert!(job["seq"].is_string(), "numbers over 2^53 are strings");
    let attempt = &job["history"][0];
    assert_eq!((&attempt["outcome"], &attempt["message"]), (&json!("failed"), &json!("busy")));
    for instant in [&job["created_at"], &job["finished_at"], &attempt["started_at"], &attempt["ended_at"]] {
        let text = instant.as_str().unwrap();
        assert!(text.len() == 24 && text.ends_with('Z'), "RFC 3339 with milliseconds: {text}");
    }
    let table = at(&broker, &["admin", "jobs", "show", &first]).ok();
    assert!(table.lines().contains(&"state\tcompleted"));
}

#[test]
fn jobs_are_steered_and_what_loses_something_is_asked_about() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    let id = enqueue(&broker, &["k", "--queue", "q", "--delay", "1h"]);
    let steer = |verb: &str, flags: &[&str]| at(&broker, &[&["admin", "jobs", verb, &id], flags].concat());
    let changed = json!({"matched": 1, "changed": 1});
    assert_eq!(json_at(&broker, &["admin", "jobs", "run-now", &id]), changed);
    assert_eq!(shown(&mut peer, &id).state(), State::Ready);
    for verb in ["cancel", "delete"] {
        let answer = steer(verb, &[]);
        assert_eq!((answer.code, answer.out.as_str()), (9, ""), "{answer:?}");
        assert!(answer.err.contains("--yes"), "{answer:?}");
    }
    assert_eq!(shown(&mut peer, &id).state(), State::Ready, "nobody said yes");
    assert_eq!(steer("cancel", &["--yes", "--why", "not needed"]).ok().out, "1 of 1 found changed\n");
    assert_eq!(shown(&mut peer, &id).state(), State::Cancelled);
    assert_eq!(steer("cancel", &["--yes"]).ok().out, "0 of 1 found changed\n");
    assert_eq!(json_at(&broker, &["admin", "jobs", "retry", &id]), changed);
    assert_eq!(shown(&mut peer, &id).state(), State::Ready);
    assert_eq!(json_at(&broker, &["admin", "jobs", "delete", &id, "--yes"]), changed);
    assert_eq!(steer("show", &[]).code, 6);
    let other = enqueue(&broker, &["k"]);
    let both = json_at(&broker, &["admin", "jobs", "delete", &id, &other, "--yes"]);
    assert_eq!(both, changed, "those that are there are changed");
}

#[test]
fn workers_and_the_broker_itself_are_told() {
    let broker = Broker::start();
    let mut worker = broker.peer();
    worker.enqueue_all(vec![crate::harness::job("k")]);
    let name = worker.open_stream(crate::harness::stream("q", 7));
    worker.delivery(name);
    let workers = json_at(&broker, &["admin", "workers"]);
    let raw = workers.as_array().unwrap().iter().find(|row| row["client"] == "raw/1").unwrap();
    assert_eq!((&raw["host"], &raw["pid"], &raw["queues"]), (&json!("test"), &json!(7), &json!("q")));
    assert_eq!((&raw["slots"], &raw["leases"], &raw["connections"]), (&json!(7), &json!(1), &json!(1)));
    assert_eq!(raw["streams"], 1);
    assert!(at(&broker, &["admin", "workers"]).ok().lines()[0].contains("CLIENT"));
    let stats = json_at(&broker, &["admin", "stats"]);
    assert_eq!((&stats["jobs"], &stats["draining"]), (&json!(1), &json!(false)));
    assert!(stats["rss_bytes"].as_u64().unwrap() > 0 && stats["epoch"].is_string(), "{stats}");
    for counted in ["batches_total", "store_bytes", "disk_free_bytes"] {
        assert!(stats[counted].as_u64().unwrap() > 0, "{counted}: {stats}");
    }
}

#[test]
fn who_finds_no_broker_says_so_and_ends_with_3() {
    let id = hex(&fresh_id());
    let commands: [&[&str]; 11] = [
        &["enqueue", "k"],
        &["enqueue", "k", "--jsonl", "/dev/null"],
        &["admin", "queues"],
        &["admin", "queue", "pause", "q"],
        &["admin", "queue", "resume", "q"],
        &["admin", "jobs", "list"],
        &["admin", "jobs", "show", &id],
        &["admin", "jobs", "retry", &id],
        &["admin", "jobs", "delete", &id, "--yes"],
        &["admin", "workers"],
        &["admin", "stats"],
    ];
    // Each of them tries for a while, so they try side by side. Nobody listens on port 1.
    let running = commands.map(|command| start_windlass(&[command, &["--addr", "127.0.0.1:1"]].concat()));
    for (answer, command) in running.into_iter().zip(commands) {
        let answer = answer.end();
        assert_eq!((answer.code, answer.out.as_str()), (3, ""), "{command:?}: {answer:?}");
        assert!(answer.err.contains("127.0.0.1:1"), "{command:?}: {answer:?}");
    }
}

#[test]
fn a_setting_comes_from_the_flag_else_the_environment_else_the_file() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("windlass.toml");
    fs::write(&file, "max-payload = \"2KiB\"\nmax_connections = 9\n").unwrap();
    let from_file = ["--config", file.to_str().unwrap()];
    let env = [("WINDLASS_MAX_PAYLOAD", "3KiB")];
    let flag = ["--config", file.to_str().unwrap(), "--max-payload", "4KiB"];
    let cases = [
        (Broker::with_env(&flag, &env), 4 << 10),
        (Broker::with_env(&from_file, &env), 3 << 10),
        (Broker::with(&from_file), 2 << 10),
        (Broker::start(), 1 << 20),
    ];
    for (broker, max_payload) in cases {
        assert_eq!(broker.peer().welcome.max_payload, max_payload);
    }
}

#[test]
fn settings_that_cannot_be_are_refused_with_what_would_be_right() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("windlass.toml");
    fs::write(&file, "lissten = \"127.0.0.1:0\"\n").unwrap();
    let data = home.path().join("data");
    let serve = |flags: &[&str]| {
        windlass(&[&["serve", "--data", data.to_str().unwrap(), "--listen", "127.0.0.1:0"], flags].concat())
    };
    let open = windlass(&["serve", "--data", data.to_str().unwrap(), "--listen", "0.0.0.0:0"]);
    let cases = [
        (serve(&["--config", file.to_str().unwrap()]), "did you mean \"listen\""),
        (serve(&["--config", "/does/not/exist"]), "/does/not/exist"),
        (serve(&["--max-payload", "1GiB"]), "max_payload"),
        (serve(&["--max-payload", "1XiB"]), "KiB"),
        (serve(&["--segment-bytes", "1"]), "segment_bytes"),
        (open, "--insecure"),
    ];
    for (answer, expected) in cases {
        assert_eq!((answer.code, answer.out.as_str()), (2, ""), "{answer:?}");
        assert!(answer.err.contains(expected), "{expected} is not in {answer:?}");
    }
    assert!(!data.exists(), "nothing was made");
}

#[test]
fn a_backlog_of_one_job_is_measured_too() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let asked =
        ["bench", "backlog", "--jobs", "1", "--drain", "--data", data.to_str().unwrap(), "--output", "json"];
    let report = windlass(&asked).ok().json();
    assert_eq!((&report["jobs"], &report["folds"]), (&json!(1), &json!(0)), "{report}");
}

#[test]
fn a_broker_goes_on_though_nobody_reads_what_it_says() {
    let home = tempfile::tempdir().unwrap();
    let (_port, addr) = hold_port();
    let mut command = Command::new(WINDLASS);
    command.args(["serve", "--listen", &addr, "--http", "127.0.0.1:0", "--log-level", "error", "--data"]);
    command.arg(home.path().join("data")).stdout(std::process::Stdio::piped());
    let mut broker = command.spawn().unwrap();
    drop(broker.stdout.take());
    let asked = windlass(&["admin", "stats", "--timeout", "30s", "--addr", &addr]);
    let ended = broker.try_wait().unwrap();
    broker.kill().unwrap();
    broker.wait().unwrap();
    assert!(asked.code == 0 && ended.is_none(), "{asked:?} {ended:?}");
}

#[test]
fn every_figure_is_checked_against_its_thresholds() {
    let broker = Broker::start();
    enqueue(&broker, &["k", "--queue", "mail"]);
    let check = |words: &str| {
        let words: Vec<&str> = words.split(' ').collect();
        at(&broker, &[&["admin", "check"], &words[..]].concat())
    };
    for (words, code, line) in [
        ("depth --queue mail --warn 2 --crit 3", 0, "WINDLASS OK - depth is 1 (queue mail) | depth=1;2;3;0"),
        ("depth --warn 1 --crit 3", 1, "WINDLASS WARNING - depth is 1 | depth=1;1;3;0"),
        ("dead --warn 0 --crit 0", 2, "WINDLASS CRITICAL - dead is 0 | dead=0;0;0;0"),
        ("oldest --warn 1h --crit 2h", 0, "WINDLASS OK - oldest is "),
        ("failure-rate --warn 10 --crit 50", 0, "WINDLASS OK - failure_rate is 0% | failure_rate=0%;10;50;0"),
        ("failure-rate --warn 10 --crit 50 --over 2d", 0, "WINDLASS OK - failure_rate is 0%"),
        ("workers --queue mail --warn 2 --crit 1", 2, "WINDLASS CRITICAL - workers is 0"),
        ("disk --warn 2KiB --crit 1KiB", 0, "WINDLASS OK - disk_free is "),
        ("latency --warn 1h --crit 2h", 0, "WINDLASS OK - fsync_p99 is "),
        ("depth --queue nowhere --warn 1 --crit 3", 3, "WINDLASS UNKNOWN - there is no queue nowhere"),
        ("depth --warn 3 --crit 1", 3, "WINDLASS UNKNOWN - --crit is reached before --warn"),
    ] {
        let answer = check(words);
        assert!(answer.code == code && answer.out.starts_with(line), "{words}: {answer:?}");
    }
}

#[test]
fn whether_a_broker_is_ready_is_asked_over_http() {
    let mut broker = Broker::start();
    let url = format!("http://{}/readyz", broker.http_addr());
    let ask = || windlass(&["healthcheck", "--timeout", "30s", "--url", &url]);
    assert!(ask().ok().out.starts_with("ready (200, "));
    assert_eq!(
        windlass(&["healthcheck", "--timeout", "30s", "--url", &url.replace("readyz", "nothing")]).code,
        1
    );
    assert_eq!(windlass(&["healthcheck", "--url", "ftp://x"]).code, 2);
    broker.kill();
    assert_eq!(ask().code, 3);
}

#[test]
fn a_completion_script_may_be_cut_short() {
    let cut =
        Command::new("sh").args(["-c", "\"$0\" completions bash | head -1", WINDLASS]).output().unwrap();
    assert!(cut.status.success() && cut.stderr.is_empty(), "{cut:?}");
}
