//! Why a command did not do as asked: an exit code, and what is said about it on stderr.

use super::exit::Exit;
use super::output::{self, Form};
use serde_json::{Value, json};
use std::fmt;
use std::io::IsTerminal;
use std::process::ExitCode;
use windlass_client::proto::Code;
use windlass_client::{Error, ErrorKind};

/// What an answer that begins with "HTTP" looks like as the length of a frame.
const HTTP: &str = "1213486160";
/// And an alert of TLS 1.3.
const TLS: &str = "352518912";

/// What somebody needs who has no broker yet.
const WAYS: &str = "
  windlass demo --keep           a broker with work in it, to look at
  windlass serve --ephemeral     a broker that forgets; it says where it listens
  windlass serve --data DIR      a broker to keep";

/// A command that failed. What there is to say about it is kept apart, so that success is cheap to return.
#[derive(Debug)]
pub(super) struct Failure(Box<Said>);

#[derive(Debug)]
struct Said {
    exit: Exit,
    /// The protocol's word, or ours.
    code: String,
    detail: String,
    /// The same for people, who have not seen the code.
    told: String,
    /// The field of the request at fault; empty: none in particular.
    field: String,
    retry_after_ms: Option<u64>,
    /// What to do next, for people.
    next: String,
    /// A data directory or an archive is damaged: code 78, as of `serve`.
    is_damage: bool,
}

/// Exit code of damage; see `StoreError::exit_code`.
const DAMAGED: u8 = 78;

/// What a command comes to.
pub(super) type Outcome = Result<Exit, Failure>;

impl Failure {
    pub(super) fn new(exit: Exit, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self(Box::new(Said {
            exit,
            code: exit.name().to_owned(),
            told: detail.clone(),
            detail,
            field: String::new(),
            retry_after_ms: None,
            next: String::new(),
            is_damage: false,
        }))
    }

    /// The command line is wrong.
    pub(super) fn usage(detail: impl Into<String>) -> Self {
        Self::new(Exit::Usage, detail)
    }

    /// What was named does not exist.
    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(Exit::NotFound, detail)
    }

    /// The gateway said no.
    pub(super) fn of_problem(status: u16, detail: &str) -> Self {
        let exit = if [401, 403].contains(&status) { Exit::NotAllowed } else { Exit::Failed };
        Self::new(exit, format!("the gateway answers {status}: {detail}"))
    }

    /// The command could not do its work.
    pub(super) fn failed(detail: impl Into<String>) -> Self {
        Self::new(Exit::Failed, detail)
    }

    /// The store refuses, with its own exit code.
    pub(super) fn of_store(exit_code: i32, detail: impl Into<String>) -> Self {
        let mut failure = Self::failed(detail);
        if exit_code == i32::from(DAMAGED) {
            failure.0.is_damage = true;
            failure.0.code = "DAMAGED".into();
        }
        failure
    }

    /// Adds what to do next.
    pub(super) fn next(mut self, next: impl Into<String>) -> Self {
        self.0.next = next.into();
        self
    }

    /// The exit code that it comes to.
    #[cfg(test)]
    pub(super) fn exit(&self) -> Exit {
        self.0.exit
    }

    /// The failure as a document of `application/problem+json`, RFC 9457.
    fn problem(&self) -> Value {
        let mut problem = json!({
            "type": "about:blank",
            "title": Exit::ALL[self.0.exit as usize].1,
            "detail": self.0.detail,
            "code": self.0.code,
            "exit_code": self.code(),
        });
        if let Some(retry_after_ms) = self.0.retry_after_ms {
            problem["retry_after_ms"] = json!(retry_after_ms);
        }
        if !self.0.field.is_empty() {
            let pointer = format!("/{}", self.0.field.replace('[', "/").replace(']', "").replace('.', "/"));
            problem["errors"] = json!([{"pointer": pointer, "detail": self.0.detail}]);
        }
        problem
    }

    /// Says it on stderr.
    pub(super) fn tell(&self, form: Form) -> ExitCode {
        match form {
            Form::Json | Form::Jsonl => output::note(&self.problem().to_string()),
            Form::Table | Form::Csv | Form::Name => output::complain(&self.to_string()),
        }
        if self.0.exit == Exit::Unreachable && form == Form::Table && std::io::stderr().is_terminal() {
            output::note(WAYS);
        }
        ExitCode::from(self.code())
    }

    fn code(&self) -> u8 {
        if self.0.is_damage { DAMAGED } else { self.0.exit as u8 }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let colon = if self.0.next.is_empty() { "" } else { "; " };
        write!(f, "{}{colon}{}", self.0.told, self.0.next)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = Exit::of(&error);
        let code = if let ErrorKind::Refused(code) = error.kind() {
            let name = if code == Code::Unspecified { "INTERNAL" } else { code.as_str_name() };
            name.trim_start_matches("CODE_").to_owned()
        } else {
            exit.name().to_owned()
        };
        let next = if exit == Exit::Unreachable {
            "is a broker running there? Start one with `windlass serve`"
        } else if error.message().contains(HTTP) {
            "an HTTP server answers there; the port of a broker is another one, 7520 unless told otherwise"
        } else if error.message().contains(TLS) {
            "TLS is spoken there; give --tls-ca, the authority of its certificate"
        } else {
            ""
        };
        Self(Box::new(Said {
            exit,
            code,
            detail: if error.message().is_empty() { error.to_string() } else { error.message().to_owned() },
            told: error.to_string(),
            field: error.field().to_owned(),
            retry_after_ms: error.retry_after().and_then(|after| u64::try_from(after.as_millis()).ok()),
            next: next.to_owned(),
            is_damage: false,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_a_problem_document_with_the_exit_code() {
        let problem = Failure::not_found("there is no job x").problem();
        assert_eq!((&problem["code"], &problem["exit_code"]), (&json!("NOT_FOUND"), &json!(6)));
        let mut refused = Failure::failed("not a name");
        refused.0.field = "enqueue.jobs[3].queue".into();
        assert_eq!(refused.problem()["errors"][0]["pointer"], "/enqueue/jobs/3/queue");
    }
}
