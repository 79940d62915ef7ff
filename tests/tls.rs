//! TLS on both ports: certificates of the development authority, who is trusted and who is not, renewal
//! while the broker runs, and handshakes that do not end.

use crate::harness::{Answer, Broker, ExampleWorker, Peer, Proxy, body, encode, eventually, hello, windlass};
use rustix::process::Signal;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use windlass_client::{Client, ErrorKind, JobContext, JobError, NewJob, Tls};
use windlass_proto::v1::Code;
use windlass_proto::v1::client_frame::Request;

/// A directory with what `windlass tls init` makes.
struct Authority {
    home: TempDir,
}

impl Authority {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        windlass(&["tls", "init", home.path().join("tls").to_str().unwrap()]).ok();
        Self { home }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.home.path().join("tls").join(name)
    }

    fn text(&self, name: &str) -> String {
        self.file(name).to_str().unwrap().to_owned()
    }

    /// What a client has to know.
    fn tls(&self) -> Tls {
        Tls { ca: self.file("ca.pem"), identity: None }
    }

    fn tls_with_certificate(&self) -> Tls {
        Tls { identity: Some((self.file("client.pem"), self.file("client.key"))), ..self.tls() }
    }

    /// A broker with the certificate of this authority.
    fn broker(&self, flags: &[&str]) -> Broker {
        let (certificate, key) = (self.text("server.pem"), self.text("server.key"));
        Broker::with(&[&["--tls-cert", &certificate, "--tls-key", &key], flags].concat())
    }
}

/// Asks the gateway over TLS, without a certificate.
fn https(addr: &str, tls: &Tls, path: &str) -> std::io::Result<String> {
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let session = ClientConnection::new(Arc::new(tls.config().unwrap()), name).unwrap();
    let mut stream = StreamOwned::new(session, TcpStream::connect(addr).unwrap());
    stream.sock.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

async fn client(broker: &Broker, tls: Tls) -> Result<Client, windlass_client::Error> {
    Client::builder().tls(Some(tls)).connect(broker.addr()).await
}

fn log(broker: &Broker) -> String {
    fs::read_to_string(broker.home().join("broker-1.err")).unwrap()
}

/// The lines that begin with a command of that name.
fn commands<'a>(answer: &'a Answer, word: &str) -> Vec<Vec<&'a str>> {
    let lines = answer.out.lines().map(str::trim).filter(|line| line.starts_with(word));
    lines.map(|line| line.split(' ').skip(1).collect()).collect()
}

#[test]
fn the_development_authority_says_commands_that_work_and_overwrites_nothing() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("tls");
    let init = windlass(&["tls", "init", dir.to_str().unwrap(), "--name", "broker.test"]).ok();
    let mode = |name: &str| fs::metadata(dir.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(["ca.key", "server.key", "client.key"].map(mode), [0o600; 3]);
    let before = fs::read(dir.join("server.key")).unwrap();
    let again = windlass(&["tls", "init", dir.to_str().unwrap()]);
    assert!(again.code == 1 && again.err.contains("nothing is written over it"), "{again:?}");
    assert_eq!(fs::read(dir.join("server.key")).unwrap(), before);
    let no_name = windlass(&["tls", "init", home.path().join("x").to_str().unwrap(), "--name", "zoë"]);
    assert_eq!(no_name.code, 2, "{no_name:?}");

    // The commands, as they were said, but for the ports.
    let serves = commands(&init, "windlass serve");
    assert_eq!(serves.len(), 2, "{init:?}");
    let admin = commands(&init, "windlass admin").remove(0);
    for serve in serves {
        let broker = Broker::with(&serve[1..]);
        let asked = admin.iter().map(|word| if *word == "broker.test:7520" { broker.addr() } else { word });
        windlass(&asked.collect::<Vec<_>>()).ok();
        let url = format!("https://{}/readyz", broker.http_addr());
        let [ca, certificate, key] = ["ca.pem", "client.pem", "client.key"].map(|name| dir.join(name));
        let [ca, certificate, key] = [&ca, &certificate, &key].map(|path| path.to_str().unwrap());
        let check = [
            "healthcheck",
            "--timeout",
            "30s",
            "--url",
            &url,
            "--tls-ca",
            ca,
            "--tls-cert",
            certificate,
            "--tls-key",
            key,
        ];
        windlass(&check).ok();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_run_over_tls_through_cuts() {
    let authority = Authority::new();
    let broker = authority.broker(&[]);
    let proxy = Proxy::before(broker.addr());
    let runs = Arc::new(AtomicUsize::new(0));
    let worker = Client::builder().tls_ca(authority.file("ca.pem")).connect(proxy.addr()).await.unwrap();
    let counted = Arc::clone(&runs);
    let handler = move |_: JobContext| {
        counted.fetch_add(1, Ordering::Relaxed);
        async { Ok::<_, JobError>("done") }
    };
    let running = worker.worker().queues(["q"]).handle_raw("k", handler).start();
    let producer = client(&broker, authority.tls()).await.unwrap();
    let payload = vec![b'x'; 100 << 10];
    let ids = (0..60).map(|_| NewJob::new("k").queue("q").payload(payload.clone()));
    for (at, job) in ids.enumerate() {
        let enqueued = producer.enqueue(job).and_wait(Duration::from_secs(30));
        if at % 20 == 10 {
            proxy.cut();
        }
        enqueued.await.unwrap();
    }
    assert_eq!(runs.load(Ordering::Relaxed), 60);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_broker_that_cannot_be_trusted_is_not_spoken_to() {
    let (authority, other) = (Authority::new(), Authority::new());
    let broker = authority.broker(&[]);
    let stranger = client(&broker, other.tls()).await.unwrap_err();
    assert!(
        stranger.kind() == ErrorKind::Protocol && stranger.message().contains("UnknownIssuer"),
        "{stranger}"
    );
    // It is of the right authority, but for other names.
    let elsewhere = authority.broker(&["--listen", "127.0.0.2:0"]);
    let wrong_name = client(&elsewhere, authority.tls()).await.unwrap_err();
    assert!(wrong_name.message().contains("127.0.0.2"), "{wrong_name}");
    assert!(https(&broker.http_addr(), &other.tls(), "/readyz").is_err());
    // Without anybody to trust there is no TLS.
    let addr = format!("windlass+tls://{}", broker.addr());
    assert_eq!(Client::connect(&addr).await.unwrap_err().kind(), ErrorKind::Invalid);
    Client::builder().tls_ca(authority.file("ca.pem")).connect(&addr).await.unwrap();
}

#[tokio::test]
async fn where_clients_are_to_show_a_certificate_those_without_one_reach_neither_port() {
    let (authority, other) = (Authority::new(), Authority::new());
    let broker = authority.broker(&["--tls-client-ca", &authority.text("ca.pem")]);
    let without = client(&broker, authority.tls()).await.unwrap_err();
    assert_eq!(without.kind(), ErrorKind::Refused(Code::Unauthenticated), "{without}");
    let strange = Tls { identity: other.tls_with_certificate().identity, ..authority.tls() };
    assert!(client(&broker, strange).await.is_err());
    // The broker's own certificate is none for a client.
    let server = Tls {
        identity: Some((authority.file("server.pem"), authority.file("server.key"))),
        ..authority.tls()
    };
    assert!(client(&broker, server).await.is_err());
    client(&broker, authority.tls_with_certificate()).await.unwrap();
    assert!(https(&broker.http_addr(), &authority.tls(), "/livez").is_err());
    let answer = https(&broker.http_addr(), &authority.tls_with_certificate(), "/livez").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn who_speaks_plainly_where_tls_is_spoken_learns_it_and_the_other_way_round() {
    let authority = Authority::new();
    let broker = authority.broker(&[]);
    let plain = windlass(&["admin", "status", "--addr", broker.addr()]);
    assert!(plain.code != 0 && plain.err.contains("--tls-ca"), "{plain:?}");
    let open = Broker::start();
    let encrypted = client(&open, authority.tls()).await.unwrap_err();
    assert!(encrypted.message().contains("does not speak TLS"), "{encrypted}");
    // What came for one port is not taken by the other.
    let mut config = authority.tls().config().unwrap();
    config.alpn_protocols = vec![b"windlass".to_vec()];
    let fault = handshake(config, &broker.http_addr()).unwrap_err().to_string();
    assert!(fault.contains("NoApplicationProtocol"), "{fault}");
}

fn handshake(config: rustls::ClientConfig, addr: &str) -> std::io::Result<()> {
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let mut session = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut socket = TcpStream::connect(addr).unwrap();
    while session.is_handshaking() {
        session.complete_io(&mut socket)?;
    }
    Ok(())
}

#[test]
fn older_versions_of_tls_are_refused() {
    let authority = Authority::new();
    let broker = authority.broker(&[]);
    for addr in [broker.addr().to_owned(), broker.http_addr()] {
        handshake(authority.tls().config().unwrap(), &addr).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        let pem = fs::read(authority.file("ca.pem")).unwrap();
        let ca = rustls::pki_types::pem::PemObject::from_pem_slice(&pem).unwrap();
        roots.add(ca).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let old = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let fault = handshake(old, &addr).unwrap_err().to_string();
        assert!(fault.contains("ProtocolVersion"), "{fault}");
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_taken_up_and_a_faulty_one_is_not() {
    let (authority, next) = (Authority::new(), Authority::new());
    let mut broker = authority.broker(&[]);
    let standing = client(&broker, authority.tls()).await.unwrap();
    let put = |name: &str, from: &Path| fs::copy(from, authority.file(name)).unwrap();
    let hang_up = |broker: &mut Broker, said: &str| {
        broker.program().signal(Signal::HUP);
        eventually("it is said in the log", || log(broker).contains(said).then_some(()));
    };
    // Half of a renewal: the key does not fit.
    put("server.pem", &next.file("server.pem"));
    hang_up(&mut broker, "what was in force stays so");
    client(&broker, authority.tls()).await.unwrap();
    put("server.key", &next.file("server.key"));
    hang_up(&mut broker, "read anew what=\"TLS\"");
    client(&broker, next.tls()).await.unwrap();
    assert!(client(&broker, authority.tls()).await.is_err());
    assert!(https(&broker.http_addr(), &next.tls(), "/livez").is_ok());
    // Whoever was there before stays.
    standing.enqueue(NewJob::new("k").queue("q")).await.unwrap();
}

#[test]
fn a_handshake_that_does_not_end_is_cut() {
    let authority = Authority::new();
    let broker = authority.broker(&[]);
    // The beginning of a ClientHello, whose rest never comes.
    let half = [22, 3, 1, 2, 0, 1, 0];
    let peers = [broker.addr().to_owned(), broker.http_addr()].map(|addr| {
        let mut socket = TcpStream::connect(addr).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        socket.write_all(&half).unwrap();
        socket
    });
    for mut socket in peers {
        assert_eq!(socket.read(&mut [0; 16]).unwrap(), 0);
    }
    let said = || log(&broker).matches("the handshake was not finished in time").count() == 2;
    eventually("both are in the log", || said().then_some(()));
}

#[test]
fn who_can_be_reached_from_elsewhere_needs_tokens_and_tls_or_says_it_aloud() {
    let authority = Authority::new();
    let (certificate, key) = (authority.text("server.pem"), authority.text("server.key"));
    let data = authority.home.path().join("data");
    let data = data.to_str().unwrap();
    let tls = ["--tls-cert", &certificate, "--tls-key", &key];
    for reach in
        [["--listen", "0.0.0.0:0", "--http", "off"], ["--listen", "127.0.0.1:0", "--http", "0.0.0.0:0"]]
    {
        for guards in [&[][..], &tls] {
            let serve = [&["serve", "--data", data][..], &reach, guards].concat();
            let refused = windlass(&serve);
            assert!(refused.code == 2 && refused.err.contains("windlass tls init"), "{refused:?}");
        }
    }
    assert!(!Path::new(data).exists(), "a refused start leaves no trace");
    let file = authority.text("tokens.toml");
    let token = windlass(&["token", "new", "all", "--role", "admin", "--file", &file]).ok();
    let guards = ["--tokens", &file, "--listen", "0.0.0.0:0"];
    let mut guarded = authority.broker(&guards);
    assert!(!log(&guarded).contains("reachable"));
    // A program like a user's, with all that it has to show in its address.
    let port = guarded.addr().rsplit_once(':').unwrap().1.to_owned();
    let addr = format!("windlass+tls://{}@127.0.0.1:{port}", token.out.trim());
    let worker = ExampleWorker::with(
        authority.home.path(),
        "worker",
        &["--addr", &addr, "--tls-ca", &authority.text("ca.pem")],
    );
    let asked = ["admin", "workers", "--addr", &addr, "--tls-ca", &authority.text("ca.pem")];
    eventually("the worker is there", || windlass(&asked).ok().out.contains("worker-example").then_some(()));
    drop(worker);
    assert_eq!(guarded.terminate(), 0);
    let broker = Broker::with(&["--listen", "0.0.0.0:0", "--insecure"]);
    eventually("it is warned of", || log(&broker).contains("neither tokens nor TLS").then_some(()));
    let port = broker.addr().rsplit_once(':').unwrap().1;
    let mut peer = Peer::mute(&format!("127.0.0.1:{port}"));
    peer.send(&encode(1, Request::Hello(hello())));
    body!(peer.answer(1), Welcome);
}
