//! `windlass serve`: runs a broker until it is told to stop.

use super::exit::Exit;
use super::output;
use crate::broker::Broker;
use crate::config::{Flags, LogForm, Settings};
use crate::hooks;
use crate::http::{self, Gateway};
use crate::local::Locals;
use crate::net::{self, NetOptions};
use crate::reload::{self, Reloadable};
use crate::systemd;
use crate::tls::Tls;
use crate::tokens::Tokens;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Time for deliveries under way to be given back once the broker stops.
const FAREWELL: Duration = Duration::from_secs(2);

/// How often it is said that the broker is reachable for everybody.
const EXPOSURE: Duration = Duration::from_secs(60);

/// Runs the broker; returns when it has stopped.
pub(super) fn run(runtime: &Runtime, flags: Flags) -> ExitCode {
    let mut settings = match flags.settle() {
        Ok(settings) => settings,
        Err(error) => return fail(Exit::Usage as u8, &error.to_string()),
    };
    let tls = match settings.tls.clone().map(Tls::load).transpose() {
        Ok(tls) => tls,
        Err(error) => return fail(Exit::Usage as u8, &format!("TLS: {error}")),
    };
    let _removed_at_the_end = match ephemeral(&mut settings) {
        Ok(home) => home,
        Err(error) => {
            return fail(Exit::Failed as u8, &format!("cannot make a temporary directory: {error}"));
        }
    };
    log(&settings);
    let tokens = match settings.tokens.clone().map(Tokens::open).transpose() {
        Ok(tokens) => tokens.map(Arc::new),
        Err(error) => return fail(Exit::Usage as u8, &error.to_string()),
    };
    crate::process::raise_open_files();
    let broker = match Broker::start(&settings.options) {
        Ok(broker) => broker,
        Err(error) => {
            let code = u8::try_from(error.exit_code()).unwrap_or(Exit::Failed as u8);
            let data = settings.options.data.display();
            return fail(code, &format!("cannot start on {data}: {}", with_causes(&error)));
        }
    };
    runtime.block_on(serve(broker, &settings, tls, tokens))
}

/// An error in words, and its exit code: some of the store's are its own.
fn fail(code: u8, message: &str) -> ExitCode {
    output::complain(message);
    ExitCode::from(code)
}

/// A home for the data of a broker that keeps none.
fn ephemeral(settings: &mut Settings) -> std::io::Result<Option<TempDir>> {
    if !settings.ephemeral {
        return Ok(None);
    }
    let home = tempfile::Builder::new().prefix("windlass-ephemeral-").tempdir()?;
    settings.options.data = home.path().join("data");
    Ok(Some(home))
}

async fn serve(
    broker: Broker,
    settings: &Settings,
    tls: Option<Tls>,
    tokens: Option<Arc<Tokens>>,
) -> ExitCode {
    let stop = CancellationToken::new();
    let ready = bind(settings).and_then(|sockets| {
        reload::at_hangup(reloadables(tls.as_ref(), tokens.as_ref()), stop.clone())?;
        Ok((sockets, signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?))
    });
    let (sockets, mut terminate, mut interrupt) = match ready {
        Ok(ready) => ready,
        Err(error) => {
            broker.drain();
            return fail(Exit::Failed as u8, &error.to_string());
        }
    };
    tokio::spawn(warn_of_exposure(settings.exposed.clone()));
    let options = options(&broker, settings, tls.clone(), tokens.clone());
    let clock = settings.options.clock.clone();
    let clock: net::Clock = Arc::new(move || clock.now_ms());
    let locals = Locals::new(broker.door.clone(), options.terms.clone(), Arc::clone(&clock), http::CLIENT);
    let gateway = sockets.http.map(|(listener, addr)| {
        let gateway = Gateway::new(locals.clone(), broker.meters.clone(), addr, settings.http_hosts.clone());
        (gateway.clone(), addr, tokio::spawn(http::serve(listener, gateway, tls.clone(), stop.clone())))
    });
    let own = Locals::new(broker.door.clone(), options.terms.clone(), Arc::clone(&clock), hooks::CLIENT);
    let no_more = CancellationToken::new();
    let everywhere = settings.webhook_link_local;
    let couriers = tokio::spawn(hooks::serve(own, broker.sinks.clone(), everywhere, no_more.clone()));
    if let Some(tokens) = tokens {
        tokio::spawn(crate::tokens::watch(tokens, Arc::clone(&clock), stop.clone()));
    }
    let network = tokio::spawn(net::serve(sockets.net, broker.door.clone(), options, clock, stop.clone()));
    announce(sockets.addr, gateway.as_ref().map(|(_, addr, _)| *addr), tls.is_some());
    let systemd = tokio::spawn(systemd::report(locals, stop.clone()));
    tokio::select! {
        () = first_of(&mut terminate, &mut interrupt) => {}
        () = end_of_stdin(settings.until_stdin_ends) => {}
    }
    tracing::info!("draining; a second signal ends the broker at once");
    systemd.abort();
    systemd::stopping();
    if let Some((gateway, ..)) = &gateway {
        gateway.drain();
    }
    no_more.cancel();
    let _joined = tokio::time::timeout(FAREWELL, couriers).await;
    let drained = tokio::task::spawn_blocking(|| broker.drain());
    let orderly = async {
        let _joined = drained.await;
        stop.cancel();
        let _joined = network.await;
        if let Some((_, _, served)) = gateway {
            let _joined = served.await;
        }
    };
    tokio::select! {
        () = orderly => tracing::info!("stopped"),
        () = first_of(&mut terminate, &mut interrupt) => {
            // What was acknowledged is on disk already: ending here loses nothing.
            tracing::warn!("ended by a second signal");
            std::process::exit(0);
        }
    }
    ExitCode::SUCCESS
}

/// Says where it listens, in one write: whoever starts a broker may read no further than the first line.
fn announce(net: SocketAddr, http: Option<SocketAddr>, is_encrypted: bool) {
    let scheme = if is_encrypted { "https" } else { "http" };
    let http = http.map(|addr| format!("\ndashboard and HTTP on {scheme}://{addr}")).unwrap_or_default();
    output::announce(&format!("windlass listening on {net}{http}"));
}

/// The bounds and terms of connections.
fn options(
    broker: &Broker,
    settings: &Settings,
    tls: Option<Tls>,
    tokens: Option<Arc<Tokens>>,
) -> NetOptions {
    let mut options = NetOptions::new(broker.secret, settings.max_payload, settings.max_connections);
    options.tls = tls;
    options.terms = options.terms.with_tokens(tokens);
    if settings.options.clock.is_test() {
        options.terms = options.terms.with_test_clock();
    }
    options
}

/// What SIGHUP reads anew.
fn reloadables(tls: Option<&Tls>, tokens: Option<&Arc<Tokens>>) -> Vec<Reloadable> {
    let mut all = Vec::new();
    if let Some(tls) = tls.cloned() {
        all.push(Reloadable::new("TLS", move || tls.reload().map_err(|error| error.to_string())));
    }
    if let Some(tokens) = tokens.cloned() {
        all.push(Reloadable::new("tokens", move || tokens.reload().map_err(|error| error.to_string())));
    }
    all
}

/// Says again and again that others can reach what they should not.
async fn warn_of_exposure(exposed: Option<String>) {
    let Some(exposed) = exposed else { return };
    let mut turns = tokio::time::interval(EXPOSURE);
    loop {
        turns.tick().await;
        tracing::warn!("--insecure: {exposed}");
    }
}

/// Where clients come in.
struct Sockets {
    net: TcpListener,
    addr: SocketAddr,
    http: Option<(TcpListener, SocketAddr)>,
}

/// Binds both addresses, or says which of them cannot be had.
fn bind(settings: &Settings) -> std::io::Result<Sockets> {
    let bind = |addr: SocketAddr, flag: &str| {
        let bound = net::bind(addr).and_then(|listener| listener.local_addr().map(|addr| (listener, addr)));
        bound.map_err(|error| {
            let message = format!("cannot listen on {addr}: {error}; choose another address with {flag}");
            std::io::Error::new(error.kind(), message)
        })
    };
    let (net, addr) = bind(settings.listen, "--listen")?;
    let http = settings.http.map(|http| bind(http, "--http, or say --http off")).transpose()?;
    Ok(Sockets { net, addr, http })
}

/// Waits until whoever started the broker has closed its stdin; for ever if that is not asked for.
async fn end_of_stdin(is_awaited: bool) {
    let (ended, end) = tokio::sync::oneshot::channel::<()>();
    if is_awaited {
        // It cannot be interrupted, so it has a thread of its own, which ends with the process.
        std::thread::spawn(move || {
            let _read_in_vain = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
            drop(ended);
        });
        let _closed = end.await;
    } else {
        std::future::pending().await
    }
}

async fn first_of(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

fn log(settings: &Settings) {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_new(&settings.log_level).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .with_target(false);
    match settings.log {
        LogForm::Human => builder.init(),
        LogForm::Json => builder.json().init(),
    }
}

pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(&format!(" ({source})"));
        cause = source.source();
    }
    text
}
