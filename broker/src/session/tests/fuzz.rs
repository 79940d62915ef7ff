//! Random requests, made from the schema itself so that no field is forgotten, and random words of the
//! filter language. Nothing panics; what is refused points at a field that exists; what is accepted is
//! something that the engine can carry out.

use super::desk::{Desk, Outcome};
use super::*;
use crate::session::filter::filter;
use protox::prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};
use std::collections::{BTreeMap, BTreeSet};
use windlass_engine::filter::{Clause, Filter, Pattern, States, Test, TextColumn};

/// Requests of one run; FUZZ_REQUESTS asks for more.
const REQUESTS: u32 = 40_000;

/// Numbers that look random and are the same every time (xorshift64*, Vigna 2016).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % sides
    }

    fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }

    fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[usize::try_from(self.roll(list.len() as u64)).expect("an index")]
    }
}

/// Words that names, texts and filters are made of; the last ones are out of form.
const TEXTS: [&str; 24] = [
    "mail",
    "mail",
    "send",
    "send",
    "anna",
    "default",
    "queue/mail",
    "kind/send",
    "namespace",
    "limit/gpu",
    "gpu",
    "limit/pause:queue/mail",
    "pause:queue/mail",
    "job.dead",
    "payload",
    "a100",
    "state:dead",
    "attempt:>3 -kind:s*",
    "0190f5c27b1e7c33",
    "",
    "",
    "a b",
    "a\n",
    "limit/",
];

const NUMBERS: [u64; 18] = [
    0,
    0,
    1,
    1,
    2,
    3,
    5,
    20,
    999,
    1_000,
    1_001,
    10_000,
    10_001,
    60_000,
    NOW,
    NOW + 5_000,
    u32::MAX as u64,
    u64::MAX,
];

/// Fields without which little is taken, and which are therefore mostly there.
const USUAL: [&str; 17] = [
    "kind",
    "sources",
    "queue",
    "slots",
    "select",
    "what",
    "id",
    "jobs",
    "results",
    "set",
    "name",
    "beat",
    "concurrency",
    "rate",
    "all",
    "type",
    "fence",
];

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number > 127 {
        out.push(u8::try_from(number & 127).expect("seven bits") | 128);
        number >>= 7;
    }
    out.push(u8::try_from(number).expect("seven bits"));
}

fn bytes_field(number: u32, content: &[u8], out: &mut Vec<u8>) {
    varint(u64::from(number) << 3 | 2, out);
    varint(content.len() as u64, out);
    out.extend(content);
}

/// A message of this sort in its wire form. Of a choice one is taken, else fields come as they like.
fn message(dice: &mut Dice, of: &MessageDescriptor, depth: u32, out: &mut Vec<u8>) {
    let mut chosen = Vec::new();
    for choice in of.oneofs().filter(|choice| !choice.is_synthetic()) {
        let fields: Vec<u32> = choice.fields().map(|field| field.number()).collect();
        if !dice.one_in(20) {
            chosen.push(dice.of(&fields));
        }
    }
    for of in of.fields() {
        let is_choice = of.containing_oneof().is_some_and(|choice| !choice.is_synthetic());
        let is_there = if is_choice {
            chosen.contains(&of.number())
        } else if USUAL.contains(&of.name()) && of.parent_message().name() != "Query" {
            !dice.one_in(8)
        } else if of.name() == "what" {
            true
        } else {
            dice.one_in(if depth == 0 { 9 } else { 14 })
        };
        if is_there {
            field(dice, &of, depth, out);
        }
    }
}

fn field(dice: &mut Dice, of: &FieldDescriptor, depth: u32, out: &mut Vec<u8>) {
    let times = if of.is_list() || of.is_map() { 1 + dice.roll(2) * dice.roll(3) } else { 1 };
    for _ in 0..times {
        match of.kind() {
            Kind::String => bytes_field(of.number(), text(dice, of.name()).as_bytes(), out),
            Kind::Bytes => bytes_field(of.number(), &bytes(dice), out),
            Kind::Message(inner) if depth < 5 => {
                let mut content = Vec::new();
                message(dice, &inner, depth + 1, &mut content);
                bytes_field(of.number(), &content, out);
            }
            Kind::Message(_) => {}
            Kind::Enum(values) => {
                varint(u64::from(of.number()) << 3, out);
                let known = values.values().count() as u64 + u64::from(dice.one_in(9));
                varint(dice.roll(known), out);
            }
            Kind::Bool => {
                varint(u64::from(of.number()) << 3, out);
                varint(1, out);
            }
            Kind::Uint32 | Kind::Uint64 | Kind::Int32 | Kind::Int64 | Kind::Sint32 | Kind::Sint64 => {
                varint(u64::from(of.number()) << 3, out);
                varint(number(dice), out);
            }
            Kind::Double | Kind::Float | Kind::Fixed32 | Kind::Fixed64 | Kind::Sfixed32 | Kind::Sfixed64 => {
                panic!("the schema has no {}", of.full_name())
            }
        }
    }
}

fn number(dice: &mut Dice) -> u64 {
    if dice.one_in(3) { dice.of(&NUMBERS) } else { dice.roll(6) }
}

/// Mostly what such a field is made for.
fn text(dice: &mut Dice, field: &str) -> String {
    match field {
        "kind" if !dice.one_in(9) => "send".into(),
        "queue" if !dice.one_in(9) => "mail".into(),
        "name" | "remove" if dice.one_in(2) => dice.of(&TEXTS[6..12]).into(),
        _ if dice.one_in(30) => "x".repeat(usize::try_from(dice.roll(300)).expect("short")),
        _ => dice.of(&TEXTS).into(),
    }
}

fn bytes(dice: &mut Dice) -> Vec<u8> {
    let byte = u8::try_from(1 + dice.roll(40)).expect("small");
    match dice.roll(12) {
        0 => Vec::new(),
        1 => vec![0; 16],
        2 => vec![byte; 7],
        3 => vec![b'p'; 3_000],
        _ => vec![byte; 16],
    }
}

/// The schema, as it is published.
fn schema() -> MessageDescriptor {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../proto");
    let files = protox::compile(["v1/windlass.proto"], [root]).expect("the schema compiles");
    let pool = DescriptorPool::from_file_descriptor_set(files).expect("it is whole");
    pool.get_message_by_name("windlass.v1.ClientFrame").expect("it is there")
}

/// The path of a fault leads through fields that the message has; the last step may be a choice of them.
fn leads_somewhere(verb: &MessageDescriptor, path: &str) -> bool {
    let mut at = Some(verb.clone());
    let mut steps = path.split('.').filter(|step| !step.is_empty()).peekable();
    while let Some(step) = steps.next() {
        let (name, index) = step.split_once('[').map_or((step, None), |(name, rest)| (name, Some(rest)));
        let Some(message) = at else { return false };
        let is_choice = message.oneofs().any(|choice| choice.name() == name);
        let Some(field) = message.get_field_by_name(name) else {
            return is_choice && index.is_none() && steps.peek().is_none();
        };
        let is_index =
            |index: &str| index.strip_suffix(']').is_some_and(|index| index.parse::<u32>().is_ok());
        if index.is_some_and(|index| !field.is_list() || !is_index(index)) {
            return false;
        }
        at = field.kind().as_message().cloned();
    }
    true
}

/// What an answer says of single jobs and results is a fault like any other.
fn inner_faults(frames: &[ServerFrame]) -> Vec<Error> {
    let faults = frames.iter().flat_map(|frame| match &frame.body {
        Some(Words::Settled(settled)) => {
            settled.results.iter().filter_map(|one| one.error.clone()).collect::<Vec<_>>()
        }
        Some(Words::Enqueued(enqueued)) => {
            enqueued.results.iter().filter_map(|one| one.error.clone()).collect()
        }
        Some(_) | None => Vec::new(),
    });
    faults.collect()
}

#[test]
fn whatever_is_asked_is_refused_at_its_field_or_carried_out() {
    let frame = schema();
    let asked = std::env::var("FUZZ_REQUESTS").ok().and_then(|text| text.parse().ok());
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut desk = Desk::new();
    desk.is_brief = true;
    let mut taken: BTreeMap<String, u32> = BTreeMap::new();
    let mut astray = BTreeSet::new();
    for round in 0..asked.unwrap_or(REQUESTS) {
        let verbs: Vec<FieldDescriptor> = frame.oneofs().next().expect("one").fields().collect();
        let verb = verbs[usize::try_from(dice.roll(verbs.len() as u64)).expect("an index")].clone();
        let kind = verb.kind();
        let Some(content) = kind.as_message().filter(|_| verb.name() != "bye" || dice.one_in(50)) else {
            continue;
        };
        let mut bytes = Vec::new();
        message(&mut dice, content, 0, &mut bytes);
        if dice.one_in(10) && !bytes.is_empty() {
            let at = usize::try_from(dice.roll(bytes.len() as u64)).expect("an index");
            bytes[at] ^= 1 << dice.roll(8);
        }
        match desk.ask_bytes(verb.number(), &bytes) {
            Outcome::Refused(error) => {
                assert_ne!(error.code(), Code::Unspecified, "{error:?}");
                assert!(!error.message.is_empty(), "{error:?}");
                // A frame that is refused as a whole is so before it is any verb's.
                let path = error.field.strip_prefix(&format!("{}.", verb.name())).unwrap_or(&error.field);
                if !leads_somewhere(content, path) {
                    astray.insert(format!("{}: {path}: {}", verb.name(), error.message));
                }
            }
            Outcome::Taken(frames) => {
                *taken.entry(verb.name().to_owned()).or_default() += 1;
                let faults = inner_faults(&frames).into_iter().map(|fault| fault.field);
                astray.extend(faults.filter(|path| !leads_somewhere(content, path)));
            }
        }
        if dice.one_in(3) {
            desk.pass(dice.roll(2_000));
        }
        if round % 1_000 == 0 {
            desk.audit();
        }
    }
    desk.audit();
    assert!(astray.is_empty(), "faults in no field: {astray:#?}");
    for verb in ["enqueue", "fetch", "settle", "touch", "change", "query", "watch", "put"] {
        assert!(taken.get(verb).is_some_and(|count| *count > 100), "hardly anything is taken: {taken:?}");
    }
}

/// A filter and how it is written.
fn written(dice: &mut Dice) -> (Filter, String) {
    let mut filter = Filter::default();
    let mut text = String::new();
    for _ in 0..dice.roll(4) {
        let is_negated = dice.one_in(3);
        let (column, named) = dice.of(&[
            (TextColumn::Queue, "queue"),
            (TextColumn::Kind, "kind"),
            (TextColumn::Key, "key"),
            (TextColumn::Dedup, "dedup"),
        ]);
        let mut tests = Vec::new();
        let mut values = Vec::new();
        let is_state = dice.one_in(3);
        for _ in 0..=dice.roll(3) {
            if is_state {
                let state = dice.of(&JobState::ALL);
                tests.push(Test::State(States::from_iter([state])));
                values.push(state.name().to_owned());
                continue;
            }
            let value: String = (0..dice.roll(6))
                .map(|_| dice.of(&['a', 'Z', ' ', ',', '"', '\\', '*', 'ö', ':', '-']))
                .collect();
            let is_quoted = value.is_empty() || value.contains([' ', ',', '"', '\\']) || dice.one_in(3);
            let pattern = match !is_quoted && value.contains('*') {
                true => Pattern::Like(value.clone()),
                false => Pattern::Is(value.clone()),
            };
            tests.push(Test::Text(column, pattern));
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
            values.push(if is_quoted { format!("\"{escaped}\"") } else { value });
        }
        let named = if is_state { "state" } else { named };
        let dash = if is_negated { "-" } else { "" };
        text += &format!("{}{dash}{named}:{}", " ".repeat(1 + usize::from(dice.one_in(2))), values.join(","));
        filter.clauses.push(Clause { is_negated, any: tests });
    }
    (filter, text)
}

#[test]
fn filters_read_back_as_they_were_meant_and_nonsense_is_told() {
    let mut dice = Dice(7);
    for _ in 0..20_000 {
        let (meant, text) = written(&mut dice);
        assert_eq!(filter(&text, NOW).as_ref(), Ok(&meant), "{text:?}");
    }
    let letters: Vec<char> = "abst:ae,-\"\\*><=.0129d hmZT+ö\t".chars().collect();
    let words =
        ["state:", "queue:", "age:", "created:", "attempt:", "id:", "error:", "-", ",", "..", ">=", "dead"];
    for _ in 0..40_000 {
        let text: String = (0..dice.roll(12))
            .map(|_| if dice.one_in(3) { dice.of(&words).to_owned() } else { dice.of(&letters).to_string() })
            .collect();
        if let Err(fault) = filter(&text, NOW) {
            assert_eq!((fault.field.as_str(), fault.code.name()), ("filter", "INVALID"), "{text:?}");
            assert!(!fault.message.is_empty(), "{text:?}");
        }
    }
}
