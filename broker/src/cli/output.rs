//! The one output layer: tables for people, JSON for programs, errors on stderr.

use clap::ValueEnum;
use serde_json::Value;
use std::io::Write;
use std::process::ExitCode;

/// How a command answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// Aligned columns.
    #[default]
    Table,
    /// One JSON document.
    Json,
}

/// Rows with the same keys, printed as a table or as a JSON array. An empty answer is `[]`.
pub(super) fn rows(form: Form, columns: &[&str], rows: &[Value]) {
    match form {
        Form::Json => json(&Value::Array(rows.to_vec())),
        Form::Table => table(columns, rows),
    }
}

/// One JSON document.
pub(super) fn json(value: &Value) {
    line(&serde_json::to_string_pretty(value).expect("a value of ours is JSON"));
}

/// One object, printed as `key  value` lines or as JSON.
pub(super) fn object(form: Form, value: &Value) {
    if form == Form::Json {
        return json(value);
    }
    let Value::Object(fields) = value else { return };
    let width = fields.keys().map(String::len).max().unwrap_or(0);
    for (key, value) in fields {
        line(&format!("{key:width$}  {}", cell(value)));
    }
}

/// A line on stdout. A closed pipe ends the command quietly.
pub(super) fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

/// Text without the control characters that would break a line.
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A line on stderr.
pub(super) fn hint(text: &str) {
    let _closed_stderr_is_no_reason_to_stop = writeln!(std::io::stderr().lock(), "{text}");
}

/// An error on stderr, with its exit code.
pub(super) fn fail(code: u8, message: &str) -> ExitCode {
    hint(&format!("windlass: {message}"));
    ExitCode::from(code)
}

/// Instants in milliseconds since 1970 as RFC 3339 in UTC; null for 0.
pub(super) fn instant(at_ms: u64) -> Value {
    let at = i64::try_from(at_ms)
        .ok()
        .filter(|&at| at > 0)
        .and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    at.map_or(Value::Null, |at| Value::String(format!("{at:.3}")))
}

/// Bytes as JSON if they are JSON, as text if they are text, else as their length and hex digits.
pub(super) fn payload(bytes: &[u8]) -> Value {
    if let Ok(value) = serde_json::from_slice(bytes) {
        return value;
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Value::String(text.to_owned()),
        Err(_) => Value::String(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
    }
}

/// Asks before something is lost. Without a terminal the answer is no.
pub(super) fn confirm(question: &str) -> bool {
    use std::io::{BufRead, IsTerminal};
    if !std::io::stdin().is_terminal() {
        hint(&format!("windlass: {question} Say --yes to go on; there is no terminal to ask on."));
        return false;
    }
    hint(&format!("{question} [y/N]"));
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}

fn table(columns: &[&str], rows: &[Value]) {
    let cells: Vec<Vec<String>> =
        rows.iter().map(|row| columns.iter().map(|column| cell(&row[*column])).collect()).collect();
    let width = |place: usize| {
        let head = columns[place].len();
        cells.iter().map(|row| row[place].chars().count()).fold(head, usize::max)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let print = |row: Vec<String>| {
        let padded: Vec<String> =
            row.iter().zip(&widths).map(|(text, width)| format!("{text:width$}")).collect();
        line(padded.join("  ").trim_end());
    };
    print(columns.iter().map(|column| column.to_uppercase()).collect());
    for row in cells {
        print(row);
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) => one_line(text),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        Value::Number(number) => number.to_string(),
        Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}
