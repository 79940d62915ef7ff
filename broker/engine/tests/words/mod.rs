//! What people say in a scenario: one line of words becomes one command.

mod operate;
mod put;
mod spec;

use crate::world::{Asked, World, bytes_of};
use std::collections::BTreeMap;
use windlass_engine::Blob;
use windlass_engine::command::{
    Batch, Beat, Command, ErrorNote, Fetch, Fields, Hello, How, JobTouch, JobsQuery, Query, SeriesQuery,
    Settlement, Tell, Telling, Throttle, Touch, Watch,
};
use windlass_engine::event::EventName;
use windlass_engine::filter::States;
use windlass_engine::frame::Cursor;
use windlass_engine::ids::{ConnId, JobId, Ms, OperationId, Request, SessionId};
use windlass_engine::ledger::job::State;
use windlass_engine::measure::Metric;
use windlass_engine::order::Order;

use operate::{change_words, select_words};
use put::put_words;
use spec::enqueue_words;

/// The words after a verb: names, and `key=value`.
#[derive(Default)]
pub(crate) struct Words<'a> {
    names: Vec<&'a str>,
    values: BTreeMap<&'a str, &'a str>,
}

impl<'a> Words<'a> {
    fn of(text: &'a str) -> Self {
        let mut words = Self::default();
        for word in text.split_whitespace() {
            match word.split_once('=') {
                Some((key, value)) => drop(words.values.insert(key, value)),
                None => words.names.push(word),
            }
        }
        words
    }

    fn flag(&mut self, name: &str) -> bool {
        let before = self.names.len();
        self.names.retain(|word| *word != name);
        self.names.len() < before
    }

    fn text(&mut self, key: &str, default: &str) -> String {
        self.values.remove(key).unwrap_or(default).into()
    }

    fn list(&mut self, key: &str, default: &str) -> Vec<String> {
        let text = self.text(key, default);
        text.split(',').filter(|word| !word.is_empty()).map(Into::into).collect()
    }

    fn ms(&mut self, key: &str) -> Option<Ms> {
        self.values.remove(key).map(duration)
    }

    fn number(&mut self, key: &str) -> Option<u32> {
        self.values.remove(key).map(|text| text.parse().unwrap_or_else(|_| panic!("{text} is no number")))
    }

    /// Nothing may be left over: a misspelt word would test nothing.
    fn finish(self, line: &str) {
        assert!(self.values.is_empty(), "words without meaning in '{line}': {:?}", self.values);
    }

    fn ids(&self) -> Vec<JobId> {
        self.names.iter().map(|name| JobId(bytes_of(name))).collect()
    }
}

/// `31s`, `1500ms`, `2min`, `1h`, `3d`, `1h30min`; `max` is the largest number there is.
pub(crate) fn duration(text: &str) -> Ms {
    if text == "max" {
        return u64::MAX;
    }
    let mut rest = text;
    let mut sum = 0;
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
        let (digits, tail) = rest.split_at(end);
        let unit_end = tail.find(|letter: char| letter.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let factor = match unit {
            "ms" => 1,
            "s" => 1_000,
            "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => panic!("{text} is no time"),
        };
        sum += digits.parse::<u64>().unwrap_or_else(|_| panic!("{text} is no time")) * factor;
        rest = tail;
    }
    sum
}

impl World {
    /// One command of an actor, with what its answer will be about.
    pub(crate) fn command(&mut self, conn: ConnId, line: &str) -> (Command, Asked) {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let mut words = Words::of(rest);
        let mut asked = Asked { jobs: words.ids(), ..Asked::default() };
        let command = match verb {
            "hello" => Command::Hello(Box::new(self.hello_words(conn, &mut words))),
            "enqueue" => {
                let enqueue = enqueue_words(self.now, rest, &mut words);
                asked.jobs = enqueue
                    .jobs
                    .iter()
                    .map(|job| job.as_ref().map_or(JobId([0; 16]), |spec| spec.id))
                    .collect();
                Command::Enqueue(enqueue)
            }
            "fetch" => Command::Fetch(Box::new(self.fetch_words(&mut words, &mut asked))),
            "settle" => {
                let results: Vec<Settlement> =
                    rest.split(" / ").map(|part| self.settle_words(conn, part)).collect();
                asked.jobs = results.iter().map(|result| result.id).collect();
                words = Words::default();
                Command::Settle(results)
            }
            "touch" | "beat" => {
                let touch = self.touch_words(conn, verb, rest);
                asked.jobs = touch.jobs.iter().map(|job| job.id).collect();
                words = Words::default();
                Command::Touch(touch)
            }
            "cancel" | "retry" | "delete" | "run" | "move" | "patch" | "bury" | "confirm" => {
                Command::Change(Box::new(change_words(verb, &mut words)))
            }
            "tell" => Command::Tell(Box::new(self.tell_words(&mut words))),
            "stop" => {
                let (id, reason) = (OperationId(bytes_of(words.names[0])), words.text("reason", ""));
                Command::Stop { id, reason }
            }
            "watch" => Command::Watch(Box::new(self.watch_words(&mut words, &mut asked))),
            "query" => Command::Query(self.query_words(&mut words)),
            "put" => {
                let put = put_words(rest);
                words = Words::default();
                Command::Put(put)
            }
            "bye" => Command::Bye { keep_leases: words.flag("keep") },
            "sign" => Command::Sign,
            "unchoke" => Command::Unchoke,
            "hangup" => Command::Hangup,
            _ => panic!("nobody understands '{line}'"),
        };
        words.finish(line);
        (command, asked)
    }

    fn hello_words(&self, conn: ConnId, words: &mut Words<'_>) -> Hello {
        let actor = &self.actors[&conn];
        let opened = (1..).map(|n| if n == 1 { actor.clone() } else { format!("{actor}.{n}") });
        let fresh = opened.map(|name| SessionId(bytes_of(&name)));
        let known: Vec<SessionId> = self.sessions.values().copied().collect();
        let resume = words.values.remove("resume").map(|name| match self.sessions.get(name) {
            Some(id) => *id,
            None => SessionId(bytes_of(name)),
        });
        let running = words.values.remove("running").map(|list| {
            let named = list.split(',').filter(|name| *name != "none");
            let session = resume.expect("who runs something resumes");
            let fence = |id| self.fences.get(&(session, id)).copied().unwrap_or(1);
            named.map(|name| JobId(bytes_of(name))).map(|id| (id, fence(id))).collect()
        });
        Hello {
            namespace: words.text("namespace", "default"),
            client: "test/1".into(),
            host: "host".into(),
            pid: 1,
            labels: labels_of(words),
            session_ttl_ms: words.ms("ttl").unwrap_or(0),
            resume,
            running,
            fresh: fresh.into_iter().find(|id| !known.contains(id)).expect("numbers do not end"),
            token: words.text("token", ""),
            reach: windlass_engine::Reach::of(
                words.text("reach", "*").split(',').map(str::to_owned).collect(),
            ),
        }
    }

    fn fetch_words(&self, words: &mut Words<'_>, asked: &mut Asked) -> Fetch {
        asked.jobs.clear();
        asked.label = words.text("as", "");
        let change = words.text("change", "");
        let close = words.text("close", "");
        let label = if close.is_empty() { &change } else { &close };
        let mut labels = self.asked.iter().filter(|(_, asked)| !label.is_empty() && asked.label == *label);
        let named = words.list("queue", if label.is_empty() { "mail" } else { "" });
        let weighted = named.iter().filter_map(|name| name.split_once(':'));
        Fetch {
            weights: weighted.map(|(_, weight)| weight.parse().expect("a weight")).collect(),
            stream: labels
                .next_back()
                .map_or(if label.is_empty() { 0 } else { 999_999 }, |(request, _)| request.id),
            queues: named.iter().map(|name| name.split(':').next().unwrap_or_default().into()).collect(),
            kinds: words.list("kind", ""),
            slots: words.number("slots").unwrap_or(0),
            once: words.number("once").unwrap_or(0),
            wait_ms: words.ms("wait").unwrap_or(0),
            lease_ms: words.ms("lease"),
            batch: batch_words(words),
            close: !close.is_empty(),
        }
    }

    /// `tell quiet w1`, `tell terminate has=version:1 within=1h`.
    fn tell_words(&self, words: &mut Words<'_>) -> Tell {
        let order = match words.names.remove(0) {
            "quiet" => Order::Quiet,
            "resume" => Order::Resume,
            "terminate" => Order::Terminate,
            "dump" => Order::Dump,
            other => panic!("nobody is told '{other}'"),
        };
        let (dry_run, max) = (words.flag("dry"), words.number("max").unwrap_or(0).into());
        let named = words.names.first().filter(|name| **name != "all");
        let session = named.map(|name| self.sessions.get(*name).copied());
        Tell {
            session: session.map(|known| known.unwrap_or(SessionId([9; 16]))),
            labels: pairs(&words.list("has", "")),
            order,
            within_ms: words.ms("within").unwrap_or(0),
            dry_run,
            max,
            reason: String::new(),
        }
    }

    fn watch_words(&self, words: &mut Words<'_>, asked: &mut Asked) -> Watch {
        asked.label = words.text("as", "");
        let close = words.text("close", "");
        let of_label = |(_, asked): &(&Request, &Asked)| !close.is_empty() && asked.label == close;
        let opened = self.asked.iter().rfind(of_label);
        let names = words.list("events", "");
        let named = |name: &String| EventName::find(name).unwrap_or_else(|| panic!("{name} is no event"));
        // Events are counted from 1 in each run of the broker.
        let from = words
            .number("from")
            .map_or(0, |number| u64::from(number) + (u64::from(self.engine.ledger().epoch) << 40));
        Watch {
            stream: opened.map_or(if close.is_empty() { 0 } else { 999_999 }, |(request, _)| request.id),
            names: names.iter().map(named).collect(),
            until_finished: words.flag("until_finished"),
            with_result: words.flag("with_result"),
            with_stream: words.flag("with_stream"),
            ids: words.ids(),
            queue: words.text("queue", ""),
            kind: words.text("kind", ""),
            key: words.text("key", ""),
            states: states_of(&words.list("state", "")),
            from_seq: from,
        }
    }

    /// The fence that this connection's session, or another actor's, was given for the job.
    fn fence(&self, conn: ConnId, id: JobId, whose: &str) -> u64 {
        let session = if whose.is_empty() { self.attached.get(&conn) } else { self.sessions.get(whose) };
        session.and_then(|session| self.fences.get(&(*session, id)).copied()).unwrap_or(1)
    }

    /// `a complete`, `a fail fatal`; `a complete then b c + d after=b` for jobs that follow.
    fn settle_words(&self, conn: ConnId, part: &str) -> Settlement {
        let (part, spawn) = match part.split_once(" then ") {
            Some((part, specs)) => {
                let specs = specs.replace(" + ", " / ");
                let jobs = enqueue_words(self.now, &specs, &mut Words::default()).jobs;
                (part, Some(Box::new(jobs.into_iter().collect())))
            }
            None => (part, None),
        };
        let mut words = Words::of(part);
        let id = words.ids()[0];
        let fence = self.fence(conn, id, &words.text("fence", ""));
        let how = match words.names[1] {
            "complete" => How::Complete(vec![b'r'; words.number("result").unwrap_or(0) as usize].into()),
            "fail" => How::Fail {
                error: Box::new(ErrorNote {
                    kind: words.text("class", ""),
                    message: words.text("error", "boom").replace('_', " "),
                    ..ErrorNote::default()
                }),
                fatal: words.flag("fatal"),
                retry_after_ms: words.ms("retry_after"),
            },
            "release" => {
                let (limit, key) = (words.text("limit", ""), words.text("key", ""));
                let throttle = words.ms("closed").map(|ms| Box::new(Throttle { limit, key, ms }));
                let reason = words.text("reason", "");
                How::Release { delay_ms: words.ms("delay").unwrap_or(0), reason, throttle }
            }
            "cancelled" => How::Cancelled { note: words.text("note", "") },
            other => panic!("a lease does not end by '{other}'"),
        };
        let checkpoint = words.number("checkpoint").map(|bytes| Box::new(bytes_like(b'c', bytes)));
        words.finish(part);
        Settlement { id, fence, how, checkpoint, spawn }
    }

    fn touch_words(&self, conn: ConnId, verb: &str, rest: &str) -> Touch {
        let mut words = Words::of(if verb == "beat" { rest } else { "" });
        let labels = labels_of(&mut words);
        let beat = (verb == "beat").then(|| Beat { labels, ..Beat::default() });
        let rest = if words.names.is_empty() && verb == "beat" { "" } else { rest };
        let parts = rest.split(" / ").filter(|part| !part.is_empty());
        let jobs = parts.map(|part| {
            let mut words = Words::of(part);
            let id = words.ids()[0];
            let fence = self.fence(conn, id, &words.text("fence", ""));
            let extend_ms = words.ms("extend");
            let touch = JobTouch { id, fence, extend_ms, telling: telling_words(&mut words) };
            words.finish(part);
            touch
        });
        Touch { beat, jobs: jobs.collect() }
    }

    fn query_words(&self, words: &mut Words<'_>) -> Query {
        let what = words.names.remove(0);
        let limit = words.number("limit").unwrap_or(0) as usize;
        let cursor = if words.flag("more") { self.cursor.clone() } else { None };
        match what {
            "job" => Query::Job(words.ids()[0]),
            "logs" => {
                let after = match cursor {
                    Some(Cursor::Log(chunk, lines)) => (chunk, lines),
                    _ => (0, 0),
                };
                Query::Logs { id: words.ids()[0], after, limit }
            }
            "jobs" => {
                let newest_first = words.flag("newest");
                let (history, payload) = (words.flag("history"), words.flag("payload"));
                Query::Jobs(JobsQuery {
                    select: select_words(words),
                    fields: Fields { history, payload, ..Fields::NONE },
                    after: cursor
                        .and_then(|cursor| if let Cursor::Seq(seq) = cursor { Some(seq) } else { None }),
                    limit,
                    newest_first,
                })
            }
            "queues" => Query::Queues { name: words.text("name", ""), after: name_of(cursor), limit },
            "kinds" => Query::Kinds { name: words.text("name", ""), after: name_of(cursor), limit },
            "scale" => Query::Scale {
                name: words.text("name", ""),
                window_ms: words.ms("window").unwrap_or(3_600_000),
                after: name_of(cursor),
                limit,
            },
            "series" => Query::Series(series_words(words, name_of(cursor), limit)),
            "sessions" => Query::Sessions {
                after: cursor
                    .and_then(|cursor| if let Cursor::Session(id) = cursor { Some(id) } else { None }),
                limit,
            },
            "explain" => Query::Explain(words.ids()[0]),
            "server" => Query::Server,
            "errors" => Query::Errors {
                queue: words.text("queue", ""),
                kind: words.text("kind", ""),
                window_ms: words.ms("window").unwrap_or(3_600_000),
                limit,
            },
            "config" => Query::Config { name: words.text("name", ""), after: name_of(cursor), limit },
            "audit" => Query::Audit {
                after: match cursor {
                    Some(Cursor::Seq(number)) => Some(number),
                    _ => None,
                },
                limit,
                newest_first: words.flag("newest"),
            },
            "schedules" => Query::Schedules { name: words.text("name", ""), after: name_of(cursor), limit },
            "operations" => Query::Operations {
                after: match cursor {
                    Some(Cursor::Operation(id)) => Some(id),
                    _ => None,
                },
                limit,
            },
            other => panic!("nobody can ask for '{other}'"),
        }
    }
}

fn series_words(words: &mut Words<'_>, after: String, limit: usize) -> SeriesQuery {
    SeriesQuery {
        metrics: words.list("of", "").iter().filter_map(|name| Metric::of(name)).collect(),
        each: words.flag("each"),
        queue: words.text("queue", ""),
        window_ms: words.ms("window").unwrap_or(3_600_000),
        step_ms: words.ms("step").unwrap_or(60_000),
        after,
        limit,
    }
}

/// The name after which a page goes on.
fn name_of(cursor: Option<Cursor>) -> String {
    if let Some(Cursor::Name(name)) = cursor { name } else { String::new() }
}

/// `has=gpu:a100,zone:eu`, or `labels=33` of them.
fn labels_of(words: &mut Words<'_>) -> Vec<(String, String)> {
    let many = (0..words.number("labels").unwrap_or(0)).map(|n| (n.to_string(), String::new()));
    many.chain(pairs(&words.list("has", ""))).collect()
}

fn bytes_like(byte: u8, count: u32) -> Blob {
    vec![byte; count as usize].into()
}

/// `progress=500 note=half lines=3 checkpoint=10 output=100`, bytes as numbers.
fn telling_words(words: &mut Words<'_>) -> Option<Box<Telling>> {
    let telling = Telling {
        progress: words.number("progress").map(|done| u16::try_from(done).expect("thousandths")),
        note: words.values.remove("note").map(|note| note.replace('_', " ")),
        lines: words.number("lines").map_or(0, |lines| u16::try_from(lines).expect("few lines")),
        logs: Vec::new(),
        checkpoint: words.number("checkpoint").map(|bytes| bytes_like(b'c', bytes)),
        output: words.number("output").map_or(Blob::default(), |bytes| bytes_like(b'o', bytes)),
    };
    let logs = vec![b'l'; 20 * usize::from(telling.lines)];
    let is_plain = telling.progress.is_none()
        && telling.note.is_none()
        && telling.lines == 0
        && telling.checkpoint.is_none()
        && telling.output.is_empty();
    (!is_plain).then(|| Box::new(Telling { logs, ..telling }))
}

/// `a:b` as a pair.
fn pairs(words: &[String]) -> Vec<(String, String)> {
    let pair = |word: &String| word.split_once(':').map(|(key, value)| (key.into(), value.into()));
    words.iter().filter_map(pair).collect()
}
/// A set of states by their words; none = all.
fn states_of(names: &[String]) -> States {
    if names.is_empty() { States::ALL } else { names.iter().map(|name| state(name)).collect() }
}
/// A state by its word.
pub(crate) fn state(name: &str) -> State {
    State::ALL.into_iter().find(|state| state.name() == name).unwrap_or_else(|| panic!("{name} is no state"))
}

/// `batch=2..10`, with `linger=3s` and `one_key`.
fn batch_words(words: &mut Words<'_>) -> Option<Batch> {
    let (min, max) = words.values.remove("batch")?.split_once("..").expect("at least..at most");
    let number = |text: &str| text.parse().expect("a number");
    let linger_ms = words.ms("linger").unwrap_or(0);
    Some(Batch { min: number(min), max: number(max), linger_ms, same_key: words.flag("one_key") })
}
