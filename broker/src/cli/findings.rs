//! What is wrong, in sentences with a way out: what `doctor` and `status` tell.

use super::exit::Exit;
use super::failure::Failure;
use super::output::{self, Ink, Output};
use serde_json::{Value, json};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    /// As it should be.
    Ok,
    /// It will hurt some day.
    Warning,
    /// It hurts.
    Critical,
}

/// One thing that was looked at.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    /// For programs, like `queue.no_worker`.
    pub(super) code: &'static str,
    pub(super) severity: Severity,
    /// For people: a sentence.
    pub(super) text: String,
    /// What to do; empty: nothing.
    pub(super) fix: String,
    /// The queue that it is about; empty: none.
    pub(super) queue: String,
}

impl Severity {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    pub(super) fn ink(self) -> Ink {
        match self {
            Self::Ok => Ink::Green,
            Self::Warning => Ink::Yellow,
            Self::Critical => Ink::Red,
        }
    }
}

impl Finding {
    pub(super) fn ok(code: &'static str, text: impl Into<String>) -> Self {
        Self::new(Severity::Ok, code, text, "")
    }

    pub(super) fn warning(code: &'static str, text: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, text, fix)
    }

    pub(super) fn critical(code: &'static str, text: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(Severity::Critical, code, text, fix)
    }

    fn new(severity: Severity, code: &'static str, text: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { code, severity, text: text.into(), fix: fix.into(), queue: String::new() }
    }

    /// The same about a queue.
    pub(super) fn of_queue(self, queue: &str) -> Self {
        Self { queue: queue.to_owned(), ..self }
    }

    pub(super) fn row(&self) -> Value {
        json!({
            "severity": self.severity.word(),
            "code": self.code,
            "text": self.text,
            "fix": self.fix,
            "queue": (!self.queue.is_empty()).then_some(&self.queue),
        })
    }
}

/// Tells them; the exit code says whether anything is wrong.
pub(super) fn tell(out: &Output, findings: &[Finding]) -> Result<Exit, Failure> {
    if out.is_for_people() {
        let has_colour = out.out().has_colour;
        for finding in findings {
            let word = finding.severity.ink().paint(&format!("{:<8}", finding.severity.word()), has_colour);
            output::line(&format!("{word}  {}", output::one_line(&finding.text)));
            if !finding.fix.is_empty() {
                output::line(&format!("          {}", output::one_line(&finding.fix)));
            }
        }
    } else {
        let rows: Vec<Value> = findings.iter().map(Finding::row).collect();
        out.rows(&["severity", "code", "text", "fix"], &rows)?;
    }
    let worst = findings.iter().map(|finding| finding.severity).max().unwrap_or(Severity::Ok);
    Ok(if worst == Severity::Ok { Exit::Ok } else { Exit::Failed })
}
