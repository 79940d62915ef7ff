//! `windlass admin login`: a link with which a browser logs in to the dashboard, once.

use super::super::enqueue::duration;
use super::super::failure::{Failure, Outcome};
use super::super::output::Output;
use super::super::target::Place;
use super::super::web::{ask, parts, read};
use super::done;
use clap::Args;
use serde_json::{Value, json};
use std::time::Duration;

/// The port of a broker, and of its gateway.
const PORT: u16 = 7520;

/// Where the dashboard is.
#[derive(Args)]
pub(super) struct LoginArgs {
    /// Address of the gateway [default: the port after the broker's]
    #[arg(long)]
    url: Option<String>,
    /// How long to wait for it
    #[arg(long, value_parser = duration, default_value = "5s", value_name = "TIME")]
    patience: Duration,
}

/// Runs the command.
pub(super) fn run(out: &Output, place: &Place, args: &LoginArgs) -> Outcome {
    let token = place.token()?.ok_or_else(|| Failure::usage("say whose link it is: --token-file FILE"))?;
    let url = match &args.url {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => beside(&place.addr, place.tls().is_some())?,
    };
    let asked = parts(&format!("{url}/v1/session/links"))?;
    let tls = place.tls().filter(|_| asked.is_encrypted).map(|tls| tls.config()).transpose()?;
    let headers = format!("Authorization: Bearer {token}\r\nContent-Length: 0\r\n");
    let answer = ask(&asked, ("POST", &headers), args.patience, tls)
        .map_err(|error| Failure::failed(format!("{url} does not answer: {error}")))?;
    let (status, body) =
        read(&answer).ok_or_else(|| Failure::failed(format!("{url} answers something that is not HTTP")))?;
    let told: Value = serde_json::from_str(&body).unwrap_or_default();
    let Some(code) = told["code"].as_str().filter(|_| status == 201) else {
        return Err(Failure::of_problem(status, told["detail"].as_str().unwrap_or("it says not why")));
    };
    let link = format!("{url}/#login={code}");
    out.done(&json!({"url": link, "good_for_ms": told["good_for_ms"]}), &link)?;
    out.hint("good once, for a minute; whoever opens it is logged in with your token's rights");
    done()
}

/// The gateway of a broker that listens there.
fn beside(addr: &str, is_encrypted: bool) -> Result<String, Failure> {
    let scheme = if is_encrypted { "https" } else { "http" };
    let unknown = || Failure::usage(format!("where the gateway of {addr} is, is not known; say --url"));
    if addr.contains('/') || addr.contains('@') {
        return Err(unknown());
    }
    let after = addr.rfind(']').map_or(0, |at| at + 1);
    let (host, port) = match addr[after..].rfind(':') {
        Some(colon) => (&addr[..after + colon], addr[after + colon + 1..].parse().map_err(|_| unknown())?),
        None => (addr, PORT),
    };
    Ok(format!("{scheme}://{host}:{}", port.checked_add(1).ok_or_else(unknown)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_beside_its_broker() {
        assert_eq!(beside("broker", false).unwrap(), "http://broker:7521");
        assert_eq!(beside("[::1]:99", true).unwrap(), "https://[::1]:100");
        for unknown in ["windlass://t@h", "h:x", "h:65535"] {
            assert!(beside(unknown, false).is_err(), "{unknown}");
        }
    }
}
