//! A peer that plays the broker by script: it accepts, reads one request at a time, and says what it is
//! told to say.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use windlass_client::proto::client_frame::Request;
use windlass_client::proto::enqueued::{One, Outcome};
use windlass_client::proto::server_frame::Body;
use windlass_client::proto::{
    ClientFrame, Closed, Deliver, Enqueue, Enqueued, Error, Fetch, Hello, JobSpec, ServerFrame, Settle,
    SettleCode, Settled, State, Touched, Welcome, Work, settled, touched,
};
use windlass_client::{Client, ClientBuilder};

/// Far more than any step takes: only a test that is broken anyway waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Fails the test instead of hanging.
pub(crate) async fn soon<T>(what: &str, step: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, step).await {
        Ok(done) => done,
        Err(_) => panic!("{what} did not happen"),
    }
}

/// The listening side.
pub(crate) struct Peer {
    listener: TcpListener,
    pub(crate) welcome: Welcome,
}

/// One connection, past its Hello.
pub(crate) struct Line {
    socket: TcpStream,
    buffer: BytesMut,
    pub(crate) hello: Hello,
}

impl Peer {
    pub(crate) async fn bind() -> Self {
        let welcome = Welcome {
            proto: 1,
            session: Bytes::from_static(&[7; 16]),
            secret: Bytes::from_static(b"secret"),
            session_ttl_ms: 15_000,
            resume_window_ms: 3_000,
            max_frame: 4 << 20,
            max_payload: 1 << 20,
            max_batch: 10_000,
            idempotency_window_ms: 600_000,
            max_outstanding: 1_024,
            ..Welcome::default()
        };
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap(), welcome }
    }

    pub(crate) fn address(&self) -> String {
        self.listener.local_addr().unwrap().to_string()
    }

    /// The next connection, welcomed as `welcome` says.
    pub(crate) async fn accept(&self) -> Line {
        let mut line = self.accept_only().await;
        line.say(1, Body::Welcome(self.welcome.clone())).await;
        line
    }

    /// The next connection that resumes or begins a session; those that only attach are welcomed and given
    /// to nobody.
    pub(crate) async fn accept_main(&self) -> Line {
        loop {
            let line = self.accept().await;
            if line.hello.resume_session.is_empty() || line.hello.running.is_some() {
                return line;
            }
            // The beat thread's: nobody listens to it in most tests.
            tokio::spawn(line.answer_beats());
        }
    }

    /// The next connection, with its Hello read and nothing answered.
    pub(crate) async fn accept_only(&self) -> Line {
        soon("a connection", async {
            let (socket, _) = self.listener.accept().await.unwrap();
            let mut line = Line { socket, buffer: BytesMut::new(), hello: Hello::default() };
            match line.hear().await.request {
                Some(Request::Hello(hello)) => line.hello = hello,
                other => panic!("a connection begins with Hello, not {other:?}"),
            }
            line
        })
        .await
    }

    /// A client and its first connection.
    pub(crate) async fn client(&self, builder: ClientBuilder) -> (Client, Line) {
        let address = self.address();
        let (client, line) = tokio::join!(builder.connect(&address), self.accept());
        (client.unwrap(), line)
    }
}

impl Line {
    /// The next request.
    pub(crate) async fn hear(&mut self) -> ClientFrame {
        soon("a request", self.try_hear()).await.expect("the client closed the connection")
    }

    /// The next request, or `None` when the client has closed the connection.
    pub(crate) async fn try_hear(&mut self) -> Option<ClientFrame> {
        loop {
            if let Some(length) = self.buffer.first_chunk::<4>() {
                let length = u32::from_be_bytes(*length) as usize;
                if self.buffer.len() >= 4 + length {
                    let mut frame = self.buffer.split_to(4 + length);
                    return Some(ClientFrame::decode(frame.split_off(4).freeze()).unwrap());
                }
            }
            if self.socket.read_buf(&mut self.buffer).await.ok()? == 0 {
                return None;
            }
        }
    }

    /// The next request that is no beat; beats are answered.
    pub(crate) async fn hear_word(&mut self) -> ClientFrame {
        loop {
            let frame = self.hear().await;
            match &frame.request {
                Some(Request::Touch(touch)) if touch.jobs.is_empty() => {
                    self.say(frame.id, Body::Touched(Touched::default())).await;
                }
                _ => return frame,
            }
        }
    }

    pub(crate) async fn hear_enqueue(&mut self) -> (u64, Enqueue) {
        match self.hear_word().await {
            ClientFrame { id, request: Some(Request::Enqueue(enqueue)) } => (id, enqueue),
            other => panic!("not Enqueue: {other:?}"),
        }
    }

    pub(crate) async fn hear_fetch(&mut self) -> (u64, Fetch) {
        match self.hear_word().await {
            ClientFrame { id, request: Some(Request::Fetch(fetch)) } => (id, fetch),
            other => panic!("not Fetch: {other:?}"),
        }
    }

    pub(crate) async fn hear_settle(&mut self) -> (u64, Settle) {
        match self.hear_word().await {
            ClientFrame { id, request: Some(Request::Settle(settle)) } => (id, settle),
            other => panic!("not Settle: {other:?}"),
        }
    }

    pub(crate) async fn hear_bye(&mut self) {
        match self.hear_word().await {
            ClientFrame { id, request: Some(Request::Bye(_)) } => self.say(id, Body::Closed(Closed {})).await,
            other => panic!("not Bye: {other:?}"),
        }
    }

    /// Answers beats and touches until the client closes the connection.
    pub(crate) async fn answer_beats(mut self) {
        while let Some(frame) = self.try_hear().await {
            if let Some(Request::Touch(touch)) = frame.request {
                let good = touched::One { code: SettleCode::Settled.into(), ..touched::One::default() };
                self.say(frame.id, Body::Touched(Touched { jobs: vec![good; touch.jobs.len()] })).await;
            }
        }
    }

    pub(crate) async fn say(&mut self, id: u64, body: Body) {
        // The client may have gone already, which is its own test's business.
        let _sent = self.socket.write_all(&frame(id, body)).await;
    }

    pub(crate) async fn say_error(&mut self, id: u64, error: Error) {
        self.say(id, Body::Error(error)).await;
    }

    /// Says only the beginning of a frame, then cuts the connection.
    pub(crate) async fn say_half(mut self, id: u64, body: Body) {
        let frame = frame(id, body);
        self.socket.write_all(&frame[..frame.len() / 2]).await.unwrap();
        self.socket.shutdown().await.unwrap();
    }

    /// Answers an Enqueue: every job is new.
    pub(crate) async fn created(&mut self, id: u64, enqueue: &Enqueue) {
        self.enqueued(id, enqueue, Outcome::Created).await;
    }

    pub(crate) async fn enqueued(&mut self, id: u64, enqueue: &Enqueue, outcome: Outcome) {
        let one = |(at, job): (usize, &JobSpec)| One {
            outcome: outcome.into(),
            id: job.id.clone(),
            state: State::Ready.into(),
            seq: at as u64 + 1,
            ..One::default()
        };
        let results = enqueue.jobs.iter().enumerate().map(one).collect();
        self.say(id, Body::Enqueued(Enqueued { results })).await;
    }

    /// Answers a Settle, every outcome alike.
    pub(crate) async fn settled(&mut self, id: u64, settle: &Settle, code: SettleCode) {
        let one =
            settled::One { code: code.into(), state: State::Completed.into(), ..settled::One::default() };
        self.say(id, Body::Settled(Settled { results: vec![one; settle.results.len()] })).await;
    }

    pub(crate) async fn deliver(&mut self, stream: u64, jobs: Vec<Work>) {
        self.say(stream, Body::Deliver(Deliver { jobs, ..Deliver::default() })).await;
    }
}

/// A job under a lease, both numbered alike.
pub(crate) fn work(number: u8, kind: &str, payload: &str) -> Work {
    Work {
        id: Bytes::copy_from_slice(&[number; 16]),
        fence: u64::from(number),
        queue: "default".to_owned(),
        kind: kind.to_owned(),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        attempt: 1,
        max_attempts: 20,
        deliveries: 1,
        ..Work::default()
    }
}

fn frame(id: u64, body: Body) -> Bytes {
    let message = ServerFrame { id, body: Some(body) };
    let mut frame = BytesMut::new();
    frame.extend_from_slice(&u32::try_from(message.encoded_len()).unwrap().to_be_bytes());
    message.encode(&mut frame).unwrap();
    frame.freeze()
}
