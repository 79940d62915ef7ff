//! Every word of the command line: what it says when it works, when there is nothing, when what it names
//! is not there, and when nobody answers, in every form. A word without a row fails the test.

use crate::harness::{Answer, Broker, Peer, WINDLASS, complete, fail, fresh_id, hex, job, stream};
use crate::webhooks::Receiver;
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use windlass_proto::v1::JobSpec;

/// The forms of an answer.
const FORMS: [&str; 5] = ["table", "json", "jsonl", "csv", "name"];
/// Commands at a time.
const TOGETHER: usize = 4;

/// What an answer in JSON is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    /// An array, `[]` if there is nothing.
    List,
    /// An object.
    One,
    /// An object a line, also under `json`.
    Lines,
    /// A text that is nobody's data.
    Text,
    /// Nothing is said.
    Silence,
    /// A program that goes on, or takes long; it has a test of its own.
    Elsewhere,
}
use Shape::{Elsewhere, Lines, List, One, Silence, Text};

/// A word, with arguments for which it works.
struct Row {
    words: &'static str,
    good: &'static str,
    shape: Shape,
    /// Arguments that name something that is not there; empty: it names nothing.
    missing: &'static str,
    /// It asks a broker.
    is_remote: bool,
    /// How it ends when it works.
    code: i32,
}

/// An end with 0 or 1.
const EITHER: i32 = -1;

const fn row(words: &'static str, good: &'static str, shape: Shape) -> Row {
    Row { words, good, shape, missing: "", is_remote: true, code: 0 }
}

impl Row {
    const fn missing(mut self, missing: &'static str) -> Self {
        self.missing = missing;
        self
    }

    const fn local(mut self) -> Self {
        self.is_remote = false;
        self
    }

    const fn ends(mut self, code: i32) -> Self {
        self.code = code;
        self
    }
}

/// In braces stands what the fixture has; `{form}` makes a name for each form, where a word works once.
const TABLE: &[Row] = &[
    row("serve", "", Elsewhere),
    row("demo", "", Elsewhere),
    row("demo-worker", "", Elsewhere),
    row("bench enqueue", "", Elsewhere),
    row("bench http", "", Elsewhere),
    row("bench life", "", Elsewhere),
    row("bench latency", "", Elsewhere),
    row("bench backlog", "", Elsewhere),
    row("healthcheck", "--timeout 30s --url http://{http}/readyz", One).local(),
    row("completions", "zsh", Text).local(),
    row("man", "{dir}/man", Silence).local(),
    row("version", "", One).local(),
    // How it ends depends on the disk of the machine.
    row("doctor", "--data {dir}/data --listen 127.0.0.1:0", List).local().ends(EITHER),
    row("tls init", "{dir}/tls-{form}", One).local(),
    row("token new", "t-{form} --role viewer --file {dir}/tokens.toml", One).local(),
    row("token rotate", "r-{form} --file {dir}/tokens.toml", One)
        .missing("nobody --file {dir}/tokens.toml")
        .local(),
    row("token revoke", "o-{form} --yes --file {dir}/tokens.toml", One)
        .missing("nobody --yes --file {dir}/tokens.toml")
        .local(),
    row("token list", "--file {dir}/tokens.toml", List).local(),
    row("store info", "", Elsewhere),
    row("store verify", "", Elsewhere),
    row("store export", "", Elsewhere),
    row("store import", "", Elsewhere),
    row("store repair", "", Elsewhere),
    row("admin snapshot", "", Elsewhere),
    row("config show", "--origin", List).local(),
    row("config check", "{dir}/broker.toml", One).local(),
    row("config example", "", Text).local(),
    row("enqueue", "k --queue made", List),
    row("admin status", "--sample 0s", One),
    row("admin top", "--once", One),
    row("admin doctor", "", List).ends(1),
    row("admin check", "depth --warn 1000 --crit 2000", One),
    row("admin stats", "", One),
    row("admin tail", "--from 1 -n 2 --quiet", Lines),
    row("admin advance-clock", "1s", One),
    row("admin audit", "", List),
    // Of a broker that asks for tokens: see tests/tokens.rs.
    row("admin tokens", "", Elsewhere),
    row("admin login", "", Elsewhere),
    row("admin errors", "", List),
    row("admin explain", "{ready}", List).missing("{nobody}"),
    row("admin logs", "{ready}", Lines).missing("{nobody}"),
    row("admin apply", "{dir}/conf.toml", One),
    row("admin config", "", One),
    row("admin redrive", "--all --dry-run", One),
    row("admin queues", "", List),
    row("admin queues list", "", List),
    row("admin queues show", "mail", One).missing("nowhere"),
    row("admin queues scale", "mail", One).missing("nowhere"),
    row("admin queues pause", "other --why test", One),
    row("admin queues resume", "other", One),
    row("admin queues drain", "other", One).missing("nowhere"),
    row("admin queues purge", "other --dry-run", One).missing("nowhere --yes"),
    row("admin queues set", "other policy.max_attempts=5", One),
    row("admin queues delete", "other --dry-run", One).missing("nowhere --yes"),
    row("admin jobs list", "", List),
    row("admin jobs show", "{dead}", One).missing("{nobody}"),
    row("admin jobs wait", "{done}", List),
    row("admin jobs explain", "{ready}", List).missing("{nobody}"),
    row("admin jobs clone", "{ready}", One).missing("{nobody}"),
    row("admin jobs retry", "{dead} --dry-run", One).missing("{nobody}"),
    row("admin jobs cancel", "{dead} --yes", One).missing("{nobody} --yes"),
    row("admin jobs delete", "{dead} --dry-run", One).missing("{nobody} --yes"),
    row("admin jobs confirm", "{dead}", One).missing("{nobody}"),
    row("admin jobs run-now", "{later}", One).missing("{nobody}"),
    row("admin jobs move", "{dead} --to x --yes", One).missing("{nobody} --to x --yes"),
    row("admin jobs patch", "{dead} --priority 3 --yes", One).missing("{nobody} --priority 3 --yes"),
    row("admin jobs bury", "{dead} --yes", One).missing("{nobody} --yes"),
    row("admin kinds", "", List),
    row("admin kinds list", "", List),
    row("admin kinds show", "k", One).missing("nothing"),
    row("admin kinds set", "k max_attempts=5", One),
    row("admin dead list", "", List),
    row("admin dead groups", "", List),
    row("admin dead retry", "--queue mail --dry-run", One).missing("{nobody} --yes"),
    row("admin dead delete", "--queue mail --dry-run", One).missing("{nobody} --yes"),
    row("admin operations", "", List),
    row("admin operations list", "", List),
    row("admin operations show", "{operation}", One).missing("{nobody}"),
    row("admin operations stop", "{operation}", One).missing("{nobody}"),
    row("admin limits", "", List),
    row("admin limits list", "", List),
    row("admin limits set", "slow rate=3", One),
    row("admin limits delete", "l-{form} --yes", One).missing("nowhere --yes"),
    row("admin schedules", "", List),
    row("admin schedules list", "", List),
    row("admin schedules show", "nightly", One).missing("nowhere"),
    row("admin schedules add", "another --every 1h --kind k", One),
    row("admin schedules pause", "paused", One).missing("nowhere"),
    row("admin schedules resume", "resumed", One).missing("nowhere"),
    row("admin schedules run", "nightly", One).missing("nowhere"),
    row(
        "admin schedules backfill",
        "nightly --from 2029-01-01T00:00:00Z --to 2029-01-03T00:00:00Z --dry-run",
        One,
    )
    .missing("nowhere --from 2029-01-01T00:00:00Z --to 2029-01-03T00:00:00Z"),
    row("admin schedules next", "{cron} -n 3", List),
    row("admin schedules remove", "s-{form} --yes", One).missing("nowhere --yes"),
    row("admin webhooks", "", List),
    row("admin webhooks list", "", List),
    row("admin webhooks add", "another {url}", One),
    row("admin webhooks test", "ops", One).missing("nowhere"),
    row("admin webhooks deliveries", "", List),
    row("admin webhooks rotate", "another", One).missing("nowhere"),
    row("admin webhooks resume", "ops", One).missing("nowhere"),
    row("admin webhooks remove", "h-{form} --yes", One).missing("nowhere --yes"),
    row("admin workers", "", List),
    row("admin workers list", "", List),
    row("admin workers show", "{worker}", One).missing("{nobody}"),
    row("admin workers quiet", "{worker}", One).missing("{nobody}"),
    row("admin workers resume", "{worker}", One).missing("{nobody}"),
    row("admin workers dump", "{worker}", One).missing("{nobody}"),
    row("admin workers stop", "{worker} --dry-run", One).missing("{nobody} --yes"),
    row("admin context", "", List).local(),
    row("admin context list", "", List).local(),
    row("admin context add", "c-{form} 127.0.0.1:7520 --protected", One).local(),
    row("admin context use", "here", One).missing("nowhere").local(),
    row("admin context show", "here", One).missing("nowhere").local(),
    row("admin context remove", "r-{form} --yes", One).missing("nowhere --yes").local(),
];

/// Words that clap knows: those without words below them, and those that also do without.
fn known() -> Vec<String> {
    fn walk(command: &clap::Command, path: &str, found: &mut Vec<String>) {
        for word in command.get_subcommands().filter(|word| word.get_name() != "help") {
            let path = format!("{path} {}", word.get_name());
            let has_words = word.get_subcommands().any(|below| below.get_name() != "help");
            if !has_words || !word.is_subcommand_required_set() {
                found.push(path.trim().to_owned());
            }
            walk(word, &path, found);
        }
    }
    let mut found = Vec::new();
    walk(&windlass_broker::cli::command(), "", &mut found);
    found
}

#[test]
fn every_word_has_its_row() {
    let rows: Vec<&str> = TABLE.iter().map(|row| row.words).collect();
    let known = known();
    assert!(known.len() > 50, "{known:?}");
    let without: Vec<&String> = known.iter().filter(|words| !rows.contains(&words.as_str())).collect();
    assert!(without.is_empty(), "no row in the table: {without:?}");
    let unknown: Vec<&&str> =
        rows.iter().filter(|words| !known.iter().any(|known| known == *words)).collect();
    assert!(unknown.is_empty(), "no such word: {unknown:?}");
}

/// A broker with something of everything in it.
struct Fixture {
    broker: Broker,
    names: BTreeMap<&'static str, String>,
    _worker: Peer,
}

impl Fixture {
    fn new() -> Self {
        let broker = Broker::with_test_clock();
        let mut peer = broker.peer();
        let at = |queue: &str| JobSpec { queue: queue.into(), ..job("k") };
        let one_attempt = |queue: &str| JobSpec {
            policy: Some(windlass_proto::v1::Policy { max_attempts: Some(1), ..Default::default() }),
            ..at(queue)
        };
        let dead = peer.enqueue(one_attempt("mail"));
        let work = peer.fetch("mail");
        peer.settle(&work, fail("550 no such user"));
        let done = peer.enqueue(at("done"));
        let work = peer.fetch("done");
        peer.settle(&work, complete("42"));
        let ready = peer.enqueue(at("mail"));
        let later = peer.enqueue(JobSpec { delay_ms: 3_600_000, ..at("mail") });
        peer.enqueue_all((0..3).map(|_| at("paced")).collect());
        peer.enqueue(at("other"));
        let mut worker = broker.peer();
        worker.open_stream(stream("idle", 2));
        let mut names = BTreeMap::from([
            ("dead", hex(&dead)),
            ("done", hex(&done)),
            ("ready", hex(&ready)),
            ("later", hex(&later)),
            ("nobody", hex(&fresh_id())),
            ("dir", broker.home().display().to_string()),
            ("cron", "0 3 * * *".to_owned()),
            ("http", broker.http_addr()),
            ("url", Receiver::answering(&["204 Fine"]).url().to_owned()),
        ]);
        std::fs::write(broker.home().join("conf.toml"), "[queue.other]\ndispatch = \"random\"\n").unwrap();
        std::fs::write(broker.home().join("broker.toml"), "max_payload = \"2MiB\"\n").unwrap();
        let fixture = Self { broker, names: names.clone(), _worker: worker };
        let said = |line: &str| fixture.run(line, "json", &[]).ok();
        for form in FORMS {
            said(&format!("admin limits set l-{form} rate=1"));
            said(&format!("admin schedules add s-{form} --every 1h --kind k"));
            said(&format!("admin webhooks add h-{form} {{url}}"));
            said(&format!("admin context add r-{form} 127.0.0.1:7520"));
            for name in ["r", "o"] {
                said(&format!("token new {name}-{form} --role viewer --file {{dir}}/tokens.toml"));
            }
        }
        for name in ["nightly", "paused", "resumed"] {
            said(&format!("admin schedules add {name} --cron {{cron}} --kind k"));
        }
        for name in ["ops", "another"] {
            said(&format!("admin webhooks add {name} {{url}}"));
        }
        said("admin context add here 127.0.0.1:7520");
        // Under a clock that stands still the change never ends.
        let paced = said("admin jobs cancel --queue paced --per-second 1 --yes").json();
        names.insert("operation", paced["operation"].as_str().unwrap().to_owned());
        let workers = said("admin workers").json();
        let idle = workers.as_array().unwrap().iter().find(|row| row["queues"] == "idle").unwrap();
        names.insert("worker", idle["id"].as_str().unwrap().to_owned());
        Self { names, ..fixture }
    }

    /// Runs a line in a form, against this broker unless `further` names another.
    fn run(&self, line: &str, form: &str, further: &[&str]) -> Answer {
        let filled = |word: &str| {
            let word = word.replace("{form}", form);
            let names = self.names.iter();
            let word = names.fold(word, |word, (name, value)| word.replace(&format!("{{{name}}}"), value));
            assert!(!word.contains('{'), "{line}");
            word
        };
        let words: Vec<String> = line.split_whitespace().map(filled).collect();
        let takes_form = !["completions", "man"].contains(&words[0].as_str());
        let mut command = Command::new(WINDLASS);
        command.args(&words).args(further).stdin(Stdio::null());
        if takes_form {
            command.args(["--output", form]);
        }
        command.env("XDG_CONFIG_HOME", self.broker.home()).env_remove("WINDLASS_CONTEXT");
        command.env("WINDLASS_ADDR", self.broker.addr());
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Answer { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// Runs a check over all rows, some at a time, and tells all that failed.
fn each(check: impl Fn(&Row) -> Result<(), String> + Sync) {
    let next = AtomicUsize::new(0);
    let faults = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..TOGETHER {
            scope.spawn(|| {
                while let Some(row) = TABLE.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if row.shape != Elsewhere
                        && let Err(fault) = check(row)
                    {
                        faults.lock().unwrap().push(format!("{}: {fault}", row.words));
                    }
                }
            });
        }
    });
    let faults = faults.into_inner().unwrap();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn check(holds: bool, what: &str, answer: &Answer) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("{what}: {answer:?}")) }
}

fn documents(text: &str) -> Option<Vec<Value>> {
    text.lines().map(|line| serde_json::from_str(line).ok()).collect()
}

/// Values of a line of CSV, as far as they are counted.
fn values(line: &str) -> usize {
    let mut is_quoted = false;
    1 + line
        .chars()
        .filter(|symbol| {
            is_quoted ^= *symbol == '"';
            *symbol == ',' && !is_quoted
        })
        .count()
}

/// What an answer has to be in a form.
fn fits(shape: Shape, form: &str, answer: &Answer) -> Result<(), String> {
    let out = answer.out.as_str();
    check(!out.contains('\x1b') && !out.contains('…'), "a pipe gets no colours and nothing is cut", answer)?;
    match (shape, form) {
        (Silence, _) => check(out.is_empty(), "nothing is said", answer),
        (Text, _) => check(!out.is_empty(), "something is said", answer),
        (Lines, "json" | "jsonl") | (_, "jsonl") => {
            let documents = documents(out);
            check(documents.is_some_and(|all| all.iter().all(Value::is_object)), "an object a line", answer)
        }
        (List | One, "json") => {
            let value: Option<Value> = serde_json::from_str(out).ok();
            let is_right =
                value.is_some_and(|value| if shape == List { value.is_array() } else { value.is_object() });
            check(is_right, "one document of its shape", answer)
        }
        (List | One, "csv") => {
            let counts: Vec<usize> = out.lines().map(values).collect();
            check(counts.windows(2).all(|pair| pair[0] == pair[1]), "as many values in each line", answer)
        }
        (List | One | Lines, "name") => {
            check(out.lines().all(|line| !line.contains('\t')), "a name a line", answer)
        }
        (List | One | Lines, _) => Ok(()),
        (Elsewhere, _) => Err("it has no answer".into()),
    }
}

#[test]
fn every_word_answers_in_every_form() {
    let fixture = Fixture::new();
    each(|row| {
        for form in FORMS {
            let answer = fixture.run(&format!("{} {}", row.words, row.good), form, &[]);
            let is_right = answer.code == row.code || row.code == EITHER && answer.code < 2;
            check(is_right, &format!("{form}: it ends with {}", row.code), &answer)?;
            check(answer.err.is_empty(), &format!("{form}: nothing on stderr"), &answer)?;
            fits(row.shape, form, &answer).map_err(|fault| format!("{form}: {fault}"))?;
        }
        Ok(())
    });
}

#[test]
fn a_list_of_nothing_is_an_empty_list_in_every_form() {
    let broker = Broker::start();
    let home = broker.home().display().to_string();
    let fixture = Fixture { names: BTreeMap::from([("dir", home)]), _worker: broker.peer(), broker };
    let lists =
        |row: &Row| row.shape == List && row.good.is_empty() && row.code == 0 && row.words != "doctor";
    each(|row| {
        if !lists(row) {
            return Ok(());
        }
        let said = |form| fixture.run(row.words, form, &[]);
        // The sessions of this test are workers of theirs.
        if row.words.starts_with("admin workers") {
            let answer = said("json");
            return check(answer.code == 0 && answer.json().is_array(), "sessions", &answer);
        }
        let answers = FORMS.map(said);
        for answer in &answers {
            check(answer.code == 0 && answer.err.is_empty(), "nothing is no failure", answer)?;
        }
        let [table, json, jsonl, csv, name] = &answers;
        check(table.lines().len() == 1, "a table has its head", table)?;
        check(json.out == "[]\n", "an empty array", json)?;
        check(jsonl.out.is_empty() && name.out.is_empty(), "no line", jsonl)?;
        check(csv.lines().len() == 1, "the head", csv)
    });
}

#[test]
fn what_is_not_there_is_6_and_a_problem_document_under_json() {
    let fixture = Fixture::new();
    each(|row| {
        if row.missing.is_empty() {
            return Ok(());
        }
        let line = format!("{} {}", row.words, row.missing);
        for form in ["table", "json"] {
            let answer = fixture.run(&line, form, &[]);
            check(answer.code == 6 && answer.out.is_empty(), &format!("{form}: it ends with 6"), &answer)?;
            if form == "json" {
                let problem: Value = serde_json::from_str(&answer.err).unwrap_or_default();
                let is_told = problem["code"] == "NOT_FOUND" && problem["exit_code"] == 6;
                check(is_told && problem["detail"].is_string(), "a problem document", &answer)?;
            } else {
                check(
                    answer.err.starts_with("windlass: ") && answer.lines().len() <= 1,
                    "a sentence",
                    &answer,
                )?;
            }
        }
        Ok(())
    });
}

#[test]
fn a_broker_that_does_not_answer_is_3_everywhere() {
    let fixture = Fixture::new();
    each(|row| {
        if !row.is_remote {
            return Ok(());
        }
        // Nobody listens on port 1.
        let away = ["--addr", "127.0.0.1:1", "--timeout", "0s"];
        for form in ["table", "json"] {
            let answer = fixture.run(&format!("{} {}", row.words, row.good), form, &away);
            check(answer.code == 3, &format!("{form}: it ends with 3"), &answer)?;
            if row.words == "admin check" {
                let is_told = answer.out.contains("UNKNOWN") || answer.json()["verdict"] == "unknown";
                check(is_told, "Nagios reads stdout", &answer)?;
            } else if form == "json" {
                let problem: Value = serde_json::from_str(&answer.err).unwrap_or_default();
                check(
                    answer.out.is_empty() && problem["code"] == "UNREACHABLE",
                    "a problem document",
                    &answer,
                )?;
            } else {
                check(answer.out.is_empty() && answer.err.contains("127.0.0.1:1"), "a sentence", &answer)?;
            }
        }
        Ok(())
    });
}
