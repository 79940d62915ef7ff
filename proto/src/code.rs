//! What each code means, in one sentence, and whether sending again can help.

use crate::v1::{Code, SettleCode};

impl Code {
    /// The code as people write it: without the prefix of the enum.
    pub fn name(self) -> &'static str {
        let full = self.as_str_name();
        full.strip_prefix("CODE_").unwrap_or(full)
    }

    /// What it tells the one who asked.
    pub fn meaning(self) -> &'static str {
        match self {
            Code::Unspecified => "a code that this client does not know; treat it as INTERNAL",
            Code::Internal => "the broker failed, and what became of the request is not known",
            Code::Invalid => "the request breaks a rule of the protocol and always will",
            Code::Unauthenticated => "there is no valid token, session or secret",
            Code::Denied => "the token does not allow it",
            Code::NotFound => "what the request names does not exist",
            Code::VersionConflict => "the resource has another version than if_version",
            Code::Exhausted => "a bound of the broker or of a queue is reached; it may be free later",
            Code::TooLarge => "the frame, the payload or a list is over its bound",
            Code::Draining => "the broker is shutting down and takes nothing new",
            Code::Unsupported => "the broker does not do this",
        }
    }

    /// Whether the same request may succeed later as it is. After INTERNAL its outcome is unknown, and
    /// the rules for sending again in docs/PROTOCOL.md make that safe.
    pub fn is_retryable(self) -> bool {
        match self {
            Code::Unspecified | Code::Internal | Code::Exhausted | Code::Draining => true,
            Code::Invalid
            | Code::Unauthenticated
            | Code::Denied
            | Code::NotFound
            | Code::VersionConflict
            | Code::TooLarge
            | Code::Unsupported => false,
        }
    }
}

impl SettleCode {
    /// The code as people write it: without the prefix of the enum.
    pub fn name(self) -> &'static str {
        let full = self.as_str_name();
        full.strip_prefix("SETTLE_CODE_").unwrap_or(full)
    }

    /// What it tells the one who settled.
    pub fn meaning(self) -> &'static str {
        match self {
            SettleCode::Unspecified => "a code that this client does not know",
            SettleCode::Settled => "the lease was good; it is done and on disk",
            SettleCode::LeaseLost => "the lease has ended; nothing was changed",
            SettleCode::AlreadySettled => "it was settled under this fence before; nothing was changed",
            SettleCode::UnknownJob => "there is no such job, or none any more",
            SettleCode::SpawnRejected => "a job of spawn was refused; nothing was done, the lease stands",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short() {
        assert_eq!(Code::VersionConflict.name(), "VERSION_CONFLICT");
        assert_eq!(SettleCode::LeaseLost.name(), "LEASE_LOST");
    }

    #[test]
    fn every_code_has_a_sentence() {
        for number in 0..=10 {
            let code = Code::try_from(number).unwrap();
            assert!(code.meaning().len() > 10, "{}", code.name());
        }
        assert!(Code::try_from(11).is_err(), "a new code joins this test and docs/PROTOCOL.md");
    }
}
