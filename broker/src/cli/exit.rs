//! Exit codes, which scripts rely on: one list, and the one table from the protocol's codes to them.

use std::process::ExitCode;
use windlass_client::proto::Code;
use windlass_client::{Error, ErrorKind};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Exit {
    /// Done as asked.
    Ok = 0,
    /// The broker, or the command itself, said no.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// Nobody answers at the address.
    Unreachable = 3,
    /// There is no valid token, or it does not allow this.
    NotAllowed = 4,
    /// What was to be changed has changed meanwhile, or `--expect` missed.
    Conflict = 5,
    /// What was named does not exist.
    NotFound = 6,
    /// The time ran out.
    TimedOut = 7,
    /// Some of it was done.
    Partly = 8,
    /// Nobody said yes.
    Declined = 9,
}

impl Exit {
    /// All of them, with their meaning in words.
    pub(super) const ALL: [(Self, &'static str); 10] = [
        (Self::Ok, "ok"),
        (Self::Failed, "refused or failed"),
        (Self::Usage, "the command line is wrong"),
        (Self::Unreachable, "cannot connect"),
        (Self::NotAllowed, "not allowed"),
        (Self::Conflict, "conflict: it has changed meanwhile, or --expect missed"),
        (Self::NotFound, "not found"),
        (Self::TimedOut, "timed out"),
        (Self::Partly, "partly done"),
        (Self::Declined, "declined, or nobody could be asked: see --yes"),
    ];

    /// What a refusal of the broker comes to.
    pub(super) fn of_code(code: Code) -> Self {
        match code {
            Code::Unauthenticated | Code::Denied => Self::NotAllowed,
            Code::NotFound => Self::NotFound,
            Code::VersionConflict => Self::Conflict,
            Code::Unspecified
            | Code::Internal
            | Code::Invalid
            | Code::Exhausted
            | Code::TooLarge
            | Code::Draining
            | Code::Unsupported => Self::Failed,
        }
    }

    /// What an error of the client comes to.
    pub(super) fn of(error: &Error) -> Self {
        let kind = error.kind();
        if let ErrorKind::Refused(code) = kind {
            Self::of_code(code)
        } else if kind == ErrorKind::Unreachable {
            Self::Unreachable
        } else if kind == ErrorKind::Invalid {
            Self::Usage
        } else if [ErrorKind::Timeout, ErrorKind::OutcomeUnknown].contains(&kind) {
            Self::TimedOut
        } else {
            Self::Failed
        }
    }

    /// The word for programs where the protocol has none.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Failed => "FAILED",
            Self::Usage => "USAGE",
            Self::Unreachable => "UNREACHABLE",
            Self::NotAllowed => "DENIED",
            Self::Conflict => "CONFLICT",
            Self::NotFound => "NOT_FOUND",
            Self::TimedOut => "TIMED_OUT",
            Self::Partly => "PARTLY_DONE",
            Self::Declined => "DECLINED",
        }
    }

    /// The list as `--help` shows it.
    pub(super) fn help() -> String {
        let lines = Self::ALL.iter().map(|(exit, meaning)| format!("  {:<4}{meaning}\n", *exit as u8));
        format!(
            "Exit codes:\n{}  78  damaged data directory or archive (serve, store)",
            lines.collect::<String>()
        )
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_the_protocol_has_its_exit_code() {
        let found: Vec<u8> = (0..=10).map(|code| Exit::of_code(code.try_into().unwrap()) as u8).collect();
        assert_eq!(found, [1, 1, 1, 4, 4, 6, 5, 1, 1, 1, 1]);
        assert!(Code::try_from(11).is_err(), "a new code needs its place in the table");
    }

    #[test]
    fn the_list_is_whole_and_in_order() {
        for (place, (exit, meaning)) in Exit::ALL.iter().enumerate() {
            assert_eq!(*exit as usize, place, "{meaning}");
        }
        assert!(Exit::help().contains("6   not found"));
    }
}
