//! `windlass healthcheck`: one question over HTTP, for container images in which nothing else can ask it.

use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::output::OutputArgs;
use super::trust::TlsArgs;
use super::web::{GET, ask, parts, read};
use clap::Args;
use serde_json::json;
use std::time::{Duration, Instant};

/// Ask a broker over HTTP whether it is ready.
#[derive(Args)]
#[command(after_help = "Examples:\n  windlass healthcheck\n  \
    windlass healthcheck --url http://broker:7521/livez --timeout 2s\n  \
    windlass healthcheck --url https://localhost:7521/readyz --tls-ca ca.pem\n\n\
    Exit codes: 0 ready, 1 not ready, 3 nobody answers, 7 no answer in time")]
pub(super) struct HealthcheckArgs {
    /// What to ask
    #[arg(long, env = "WINDLASS_HEALTHCHECK_URL", default_value = "http://127.0.0.1:7521/readyz")]
    url: String,
    /// How long to wait
    #[arg(long, value_parser = super::enqueue::duration, default_value = "3s", value_name = "TIME")]
    timeout: Duration,
    #[command(flatten)]
    tls: TlsArgs,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

/// Asks.
pub(super) fn run(args: &HealthcheckArgs) -> Outcome {
    let asked = parts(&args.url)?;
    let is_encrypted = asked.is_encrypted;
    let tls = match args.tls.here()? {
        Some(tls) if is_encrypted => Some(tls.config()?),
        None if is_encrypted => return Err(Failure::usage("https:// needs --tls-ca")),
        Some(_) | None => None,
    };
    let began = Instant::now();
    let answer = ask(&asked, GET, args.timeout, tls).map_err(|error| {
        let is_late = [std::io::ErrorKind::TimedOut, std::io::ErrorKind::WouldBlock].contains(&error.kind());
        let exit = if is_late { Exit::TimedOut } else { Exit::Unreachable };
        Failure::new(exit, format!("{} does not answer: {error}", args.url))
    })?;
    let (status, body) = read(&answer)
        .ok_or_else(|| Failure::failed(format!("{} answers something that is not HTTP", args.url)))?;
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    if !(200..300).contains(&status) {
        let why = body.lines().next().unwrap_or_default();
        return Err(Failure::failed(format!("{} answers {status}: {why}", args.url)));
    }
    let value = json!({"url": args.url, "status": status, "took_ms": took_ms});
    args.output.open().done(&value, &format!("ready ({status}, {took_ms} ms)"))?;
    Ok(Exit::Ok)
}
