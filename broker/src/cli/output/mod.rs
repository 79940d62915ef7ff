//! The one output layer: data on stdout in the form that was asked for, everything else on stderr.

mod ask;
mod cell;
mod separated;
mod table;
mod terminal;
mod value;

use super::failure::Failure;
use clap::ValueEnum;
use serde_json::{Map, Value};
use std::io::Write;

pub(super) use ask::{Question, confirm};
pub(super) use cell::{
    count, grouped, head as cell_head, ink as cell_ink, length, size, spoken as cell_text,
};
pub(super) use table::NONE;
pub(super) use terminal::{Ink, Terminal};
pub(super) use value::{instant, payload, row};

/// How a command answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// For people on a terminal, separated by tabs for a pipe.
    #[default]
    Table,
    /// One JSON document.
    Json,
    /// One JSON object a line.
    Jsonl,
    /// Comma-separated values, with a head.
    Csv,
    /// Only the name or the id, one a line.
    Name,
}

/// What can be said about the answer on every command line.
#[derive(clap::Args, Clone, Debug, Default)]
pub(super) struct OutputArgs {
    /// How to answer
    #[arg(long, short, value_enum, default_value_t, global = true, help_heading = "Output")]
    output: Form,
    /// Only these fields, in this order, like id,state
    #[arg(long, value_delimiter = ',', value_name = "FIELDS", global = true, help_heading = "Output")]
    fields: Vec<String>,
    /// Data only: no head, no hints, nothing about what was done
    #[arg(long, global = true, help_heading = "Output")]
    quiet: bool,
    /// No colour, as with NO_COLOR in the environment
    #[arg(long, global = true, help_heading = "Output")]
    no_color: bool,
}

/// How this command answers, and to whom.
#[derive(Clone, Debug)]
pub(super) struct Output {
    form: Form,
    fields: Vec<String>,
    is_quiet: bool,
    out: Terminal,
    err: Terminal,
    /// The present, for times that are told relative to it.
    now_ms: u64,
}

impl OutputArgs {
    pub(super) fn form(&self) -> Form {
        self.output
    }

    pub(super) fn open(&self) -> Output {
        let wishes = terminal::Wishes::from_env(self.no_color);
        Output {
            form: self.output,
            fields: self.fields.clone(),
            is_quiet: self.quiet,
            out: Terminal::stdout(wishes),
            err: Terminal::stderr(wishes),
            now_ms: crate::clock::wall_ms(),
        }
    }
}

impl Output {
    pub(super) fn form(&self) -> Form {
        self.form
    }

    /// The same in another form.
    pub(super) fn with_form(&self, form: Form) -> Self {
        Self { form, ..self.clone() }
    }

    /// The same, with times relative to the clock of the broker.
    pub(super) fn at(self, now_ms: u64) -> Self {
        Self { now_ms, ..self }
    }

    /// Nothing but data is wanted.
    pub(super) fn is_quiet(&self) -> bool {
        self.is_quiet
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// The stream of the data.
    pub(super) fn out(&self) -> Terminal {
        self.out
    }

    /// A person reads a table.
    pub(super) fn is_for_people(&self) -> bool {
        self.form == Form::Table && self.out.is_terminal
    }

    /// Rows with the same keys. An empty answer is `[]`, a head without rows, or nothing.
    pub(super) fn rows(&self, columns: &[&str], rows: &[Value]) -> Result<(), Failure> {
        self.check(rows.first())?;
        let fields: Vec<&str> = self.fields.iter().map(String::as_str).collect();
        let columns = if fields.is_empty() { columns } else { &fields[..] };
        let picked: Vec<Value> = match self.form {
            Form::Json | Form::Jsonl => rows.iter().map(|row| self.pick(row)).collect(),
            Form::Table | Form::Csv | Form::Name => Vec::new(),
        };
        match self.form {
            Form::Json => json(&Value::Array(picked)),
            Form::Jsonl => picked.iter().for_each(|row| line(&row.to_string())),
            Form::Csv => {
                separated::csv(!self.is_quiet, columns, rows).iter().for_each(|text| line(text));
            }
            Form::Name => rows.iter().for_each(|row| line(&cell::plain(&row[columns[0]]))),
            Form::Table if self.out.is_terminal => {
                let lines = table::lines(self.out, !self.is_quiet, columns, rows, self.now_ms);
                lines.iter().for_each(|text| line(text));
            }
            Form::Table => {
                separated::tabs(!self.is_quiet, columns, rows).iter().for_each(|text| line(text));
            }
        }
        Ok(())
    }

    /// A table as it is on a screen, wherever it goes; heads stay as they are.
    pub(super) fn screen(&self, columns: &[&str], rows: &[Value]) {
        table::lines(self.out, true, columns, rows, self.now_ms).iter().for_each(|text| line(text));
    }

    /// One object: a field a line for people, a document for programs.
    pub(super) fn object(&self, value: &Value) -> Result<(), Failure> {
        self.check(Some(value))?;
        let picked = self.pick(value);
        let Value::Object(fields) = &picked else { return Ok(()) };
        match self.form {
            Form::Json => json(&picked),
            Form::Jsonl => line(&picked.to_string()),
            Form::Csv => {
                let columns: Vec<&str> = fields.keys().map(String::as_str).collect();
                separated::csv(!self.is_quiet, &columns, std::slice::from_ref(value))
                    .iter()
                    .for_each(|text| line(text));
            }
            Form::Name => line(&name_of(fields)),
            Form::Table if self.out.is_terminal => self.spoken(fields),
            Form::Table => {
                for (key, value) in fields {
                    line(&format!("{key}\t{}", cell::plain(value)));
                }
            }
        }
        Ok(())
    }

    /// An object for a person: long values below their names, lists of objects as tables.
    fn spoken(&self, fields: &Map<String, Value>) {
        let shown = in_order(fields, !self.fields.is_empty());
        let width = shown.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
        for (key, value) in shown {
            let shown = Ink::Dim.paint(&format!("{key:width$}"), self.out.has_colour);
            match value {
                Value::Array(items) if items.first().is_some_and(Value::is_object) => {
                    line(&shown);
                    let columns: Vec<&str> = match items.first() {
                        Some(Value::Object(first)) => first.keys().map(String::as_str).collect(),
                        _ => Vec::new(),
                    };
                    let inner = Terminal { width: self.out.width.saturating_sub(2), ..self.out };
                    for text in table::lines(inner, true, &columns, items, self.now_ms) {
                        line(&format!("  {text}"));
                    }
                }
                Value::Object(inner) if !inner.is_empty() => {
                    line(&shown);
                    let text = serde_json::to_string_pretty(value).expect("a value of ours is JSON");
                    text.lines().for_each(|text| line(&format!("  {}", one_line(text))));
                }
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Array(_)
                | Value::Object(_) => {
                    let ink = cell::ink(key, value);
                    let mut text = cell::spoken(key, value, self.now_ms);
                    if let Value::String(exact) = value
                        && text != one_line(exact)
                        && !exact.is_empty()
                    {
                        text = format!("{text}  ({exact})");
                    }
                    line(&format!("{shown}  {}", ink.paint(&text, self.out.has_colour)));
                }
            }
        }
    }

    /// What a command did: a sentence for people, the facts for programs.
    pub(super) fn done(&self, value: &Value, text: &str) -> Result<(), Failure> {
        match self.form {
            Form::Table if self.is_quiet => Ok(()),
            Form::Table => {
                line(text);
                Ok(())
            }
            Form::Json | Form::Jsonl | Form::Csv | Form::Name => self.object(value),
        }
    }

    /// One of many things that come one after the other: a line each, at once.
    pub(super) fn item(&self, value: &Value, text: &str) -> Result<(), Failure> {
        match self.form {
            Form::Table => line(&one_line(text)),
            Form::Json | Form::Jsonl => {
                self.check(Some(value))?;
                line(&self.pick(value).to_string());
            }
            Form::Csv => {
                let Value::Object(fields) = value else { return Ok(()) };
                let columns: Vec<&str> = fields.keys().map(String::as_str).collect();
                separated::csv(false, &columns, std::slice::from_ref(value))
                    .iter()
                    .for_each(|text| line(text));
            }
            Form::Name => {
                if let Value::Object(fields) = value {
                    line(&name_of(fields));
                }
            }
        }
        Ok(())
    }

    /// What to do next, for a person who looks.
    pub(super) fn hint(&self, text: &str) {
        if self.err.is_terminal && !self.is_quiet && self.form == Form::Table {
            note(&Ink::Dim.paint(text, self.err.has_colour));
        }
    }

    /// Refuses a field that is not there, and names those that are.
    fn check(&self, first: Option<&Value>) -> Result<(), Failure> {
        let Some(Value::Object(row)) = first else { return Ok(()) };
        match self.fields.iter().find(|field| !row.contains_key(*field)) {
            None => Ok(()),
            Some(unknown) => {
                let known: Vec<&str> = row.keys().map(String::as_str).collect();
                let message = format!("there is no field {unknown:?}; there are {}", known.join(", "));
                Err(Failure::usage(message))
            }
        }
    }

    /// The fields that were asked for.
    fn pick(&self, value: &Value) -> Value {
        let Value::Object(row) = value else { return value.clone() };
        if self.fields.is_empty() {
            return value.clone();
        }
        let pair = |field: &String| (field.clone(), row.get(field).cloned().unwrap_or_default());
        Value::Object(self.fields.iter().map(pair).collect())
    }
}

/// A table that is aligned wherever it goes, for a story that is told in words anyway.
pub(super) fn table(columns: &[&str], rows: &[Value]) {
    let wide = Terminal { is_terminal: false, has_colour: false, width: usize::MAX };
    table::lines(wide, true, columns, rows, 0).iter().for_each(|text| line(text));
}

/// The fields of an object as people read them: what it is first, and nothing that is not there, unless
/// the fields were asked for.
fn in_order(fields: &Map<String, Value>, is_asked: bool) -> Vec<(&String, &Value)> {
    const FIRST: [&str; 8] = ["id", "name", "state", "queue", "kind", "key", "attempt", "max_attempts"];
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(inner) => inner.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    };
    let mut shown: Vec<_> = fields.iter().filter(|(_, value)| is_asked || !is_empty(value)).collect();
    if !is_asked {
        let place = |key: &str| FIRST.iter().position(|first| *first == key).unwrap_or(FIRST.len());
        shown.sort_by_key(|(key, _)| place(key));
    }
    shown
}

/// What an object is called: its id, its name, or what else comes first.
fn name_of(fields: &Map<String, Value>) -> String {
    let named = ["id", "name", "queue", "operation"].into_iter().find_map(|key| fields.get(key));
    named.or_else(|| fields.values().next()).map(cell::plain).unwrap_or_default()
}

/// One JSON document.
pub(super) fn json(value: &Value) {
    line(&serde_json::to_string_pretty(value).expect("a value of ours is JSON"));
}

/// A line on stdout. A closed pipe ends the command quietly.
pub(super) fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

/// A line on stdout that nobody has to read: who says it has more to do than to speak.
pub(super) fn announce(text: &str) {
    let mut out = std::io::stdout().lock();
    let _nobody_listens = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Text without the control characters that would break a line.
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A line on stderr.
pub(super) fn note(text: &str) {
    let _closed_stderr_is_no_reason_to_stop = writeln!(std::io::stderr().lock(), "{text}");
}

/// A line on the terminal that the next one takes the place of; an empty one takes it away.
pub(super) fn progress(text: &str) {
    let mut err = std::io::stderr().lock();
    let _closed_stderr_is_no_reason_to_stop = write!(err, "\r\x1b[K{text}").and_then(|()| err.flush());
}

/// An error in words on stderr.
pub(super) fn complain(message: &str) {
    note(&format!("windlass: {message}"));
}
