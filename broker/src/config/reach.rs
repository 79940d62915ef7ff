//! Who can reach the broker: this machine, unless tokens and TLS stand before everybody else.

use super::ConfigError;
use std::net::SocketAddr;

/// What stands between strangers and the broker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guards {
    /// Every client has to show a token.
    pub(super) tokens: bool,
    /// Nobody on the way can read or change what is said.
    pub(super) tls: bool,
}

impl Guards {
    /// What others could do who reach one of these addresses, if it was said aloud that this is meant;
    /// `None` if nobody can do anything he should not.
    ///
    /// # Errors
    /// If they could, and it was not.
    pub(super) fn exposed(
        self,
        addresses: impl Iterator<Item = SocketAddr>,
        insecure: bool,
    ) -> Result<Option<String>, ConfigError> {
        let missing = match (self.tokens, self.tls) {
            (true, true) => return Ok(None),
            (false, true) => "no tokens: anybody there could read and change every job",
            (true, false) => "no TLS: anybody on the way could read tokens and jobs",
            (false, false) => "neither tokens nor TLS: anybody there could read and change every job",
        };
        let Some(address) = addresses.into_iter().find(|address| !address.ip().is_loopback()) else {
            return Ok(None);
        };
        let exposed = format!("{address} is reachable from other machines, and this broker has {missing}");
        if insecure {
            return Ok(Some(exposed));
        }
        Err(ConfigError::Invalid(format!(
            "{exposed}. Listen on 127.0.0.1, or give --tokens and --tls-cert with --tls-key \
             (docs/OPERATIONS.md, \"Reaching it from other machines\"; `windlass tls init` makes \
             certificates), or say --insecure"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exposed(guards: Guards, address: &str, insecure: bool) -> Result<Option<String>, ConfigError> {
        guards.exposed([address.parse().unwrap()].into_iter(), insecure)
    }

    #[test]
    fn only_tokens_and_tls_together_open_the_door() {
        for open in ["0.0.0.0:1", "[::]:1", "10.0.0.7:1"] {
            assert!(matches!(exposed(Guards { tokens: true, tls: true }, open, false), Ok(None)));
            for (tokens, tls, lacks) in
                [(false, false, "neither"), (false, true, "no tokens"), (true, false, "no TLS")]
            {
                let guards = Guards { tokens, tls };
                let refused = exposed(guards, open, false).unwrap_err().to_string();
                assert!(refused.contains(lacks) && refused.contains("--insecure"), "{refused}");
                assert!(exposed(guards, open, true).unwrap().unwrap().contains(lacks));
            }
        }
        for here in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1"] {
            assert!(matches!(exposed(Guards { tokens: false, tls: false }, here, false), Ok(None)));
        }
    }
}
