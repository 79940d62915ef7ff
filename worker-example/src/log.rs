//! The log: one line for each execution, to stdout and, where asked for, to a file.

use crate::run::{HandlerError, Run};
use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

/// Where lines go.
pub(crate) struct Log {
    file: Option<File>,
}

impl Log {
    /// Opens the file, if any, to append to it.
    pub(crate) fn open(path: Option<&Path>) -> io::Result<Self> {
        let file = path.map(|path| OpenOptions::new().create(true).append(true).open(path)).transpose()?;
        Ok(Self { file })
    }

    /// Writes one line: a single write, so that lines of several workers in one file do not mix. A job
    /// does not fail because its line cannot be written; the reader of stdout may have left.
    pub(crate) fn write(&self, line: &str) {
        let line = format!("{} {line}\n", jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%3fZ"));
        let _ = io::stdout().write_all(line.as_bytes());
        if let Some(mut file) = self.file.as_ref()
            && let Err(error) = file.write_all(line.as_bytes())
        {
            let _ = writeln!(io::stderr(), "cannot write to the log file: {error}");
        }
    }
}

/// What is told about one execution; the payload comes last, as it may hold anything.
pub(crate) fn line(run: &Run, outcome: &Result<Value, HandlerError>, took: Duration) -> String {
    let verdict = match outcome {
        Ok(_) => "ok",
        Err(HandlerError::Retry(_)) => "failed",
        Err(HandlerError::Permanent(_)) => "permanent",
    };
    let error = match outcome {
        Ok(_) => String::new(),
        Err(error) => format!(" error={:?}", error.to_string()),
    };
    let start = &run.payload[..run.payload.len().min((CHARS_MAX + 1) * 4)];
    format!(
        "{} {} attempt={} left={} outcome={verdict} ms={}{error} payload={}",
        printable(&run.kind),
        run.id,
        run.attempt,
        run.attempts_left,
        took.as_millis(),
        printable(&String::from_utf8_lossy(start)),
    )
}

/// At most the first `CHARS_MAX` characters, without any that would end the line or move the cursor.
fn printable(text: &str) -> String {
    let mut safe = String::new();
    for character in text.chars().take(CHARS_MAX) {
        match character {
            '"' | '\'' | '\\' => safe.push(character),
            other => safe.extend(other.escape_debug()),
        }
    }
    if text.chars().nth(CHARS_MAX).is_some() {
        safe.push('…');
    }
    safe
}

const CHARS_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_line_tells_who_what_and_how_it_ended() {
        let run = Run::sample("send_email", r#"{"to": "a@b.c"}"#);
        let took = Duration::from_millis(12);
        assert_eq!(
            line(&run, &Ok(json!({})), took),
            "send_email 0190b5a0-0000-7000-8000-000000000001 attempt=1 left=2 outcome=ok ms=12 payload={\"to\": \"a@b.c\"}"
        );
        let failed = line(&run, &Err(HandlerError::retry("said \"451\"\nlater")), took);
        assert!(failed.contains(r#" outcome=failed ms=12 error="said \"451\"\nlater" payload="#), "{failed}");
        assert!(line(&run, &Err(HandlerError::permanent("no")), took).contains(" outcome=permanent "));
    }

    #[test]
    fn a_payload_is_bounded_and_cannot_forge_a_line() {
        let mut run = Run::sample("k", "a\nb\u{1b}[2J\u{202e}é\\");
        let told = line(&run, &Ok(json!({})), Duration::ZERO);
        assert!(told.ends_with(r"payload=a\nb\u{1b}[2J\u{202e}é\"), "{told}");
        for (payload, length) in
            [("x".repeat(200), 200), ("é".repeat(201), 201), ("\u{1f600}".repeat(5_000), 201)]
        {
            run.payload = payload.into();
            let told = line(&run, &Ok(json!({})), Duration::ZERO);
            assert_eq!(told.split_once("payload=").unwrap().1.chars().count(), length);
        }
        run.payload = vec![0xff, b'x'];
        assert!(line(&run, &Ok(json!({})), Duration::ZERO).ends_with("payload=\u{fffd}x"));
    }

    #[test]
    fn lines_are_appended_to_the_file_after_the_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        for text in ["first", "second"] {
            Log::open(Some(&path)).unwrap().write(text);
        }
        let written = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = written.lines().map(|line| line.split_once(' ').unwrap()).collect();
        assert_eq!(lines.iter().map(|(_, text)| *text).collect::<Vec<_>>(), ["first", "second"]);
        for (time, _) in lines {
            assert!(time.ends_with('Z') && time.parse::<jiff::Timestamp>().is_ok(), "{time}");
        }
    }
}
