//! Requests in any order, through the session and the rules, and the answers back into words.

use bytes::{BufMut, BytesMut};
use prost::Message;
use std::sync::{Arc, LazyLock};
use windlass_broker::driver::core::{Core, CoreOptions};
use windlass_broker::session::{Session, Terms, Verdict};
use windlass_broker::store::seam::Leaves;
use windlass_broker::store::simulated::SimDisk;
use windlass_engine::{Frame, Request, Start, Turn};
use windlass_proto::v1::{self, ClientFrame};

const NOW_MS: u64 = 1_800_000_000_000;
/// Requests of one input.
const REQUESTS_MAX: usize = 40;
/// Bytes that answers to one input may have.
const SAID_MAX: usize = 16 << 20;

/// Requests, each with its length in two bytes before it: the oneof of a `ClientFrame` as protobuf writes
/// it, without the id. Hello comes by itself. Between two of them some time goes by.
pub fn message(data: &[u8]) {
    static TERMS: LazyLock<Arc<Terms>> = LazyLock::new(|| Arc::new(Terms::new([7; 32])));
    let mut talk = Talk::begin(&TERMS);
    let hello = v1::client_frame::Request::Hello(v1::Hello::default());
    talk.ask(ClientFrame { id: 1, request: Some(hello) });
    let mut rest = data;
    for id in 2..2 + REQUESTS_MAX as u64 {
        let Some((length, after)) = rest.split_first_chunk::<2>() else { break };
        let length = usize::from(u16::from_le_bytes(*length)).min(after.len());
        let (request, after) = after.split_at(length);
        rest = after;
        if let Ok(frame) = ClientFrame::decode(request) {
            talk.ask(ClientFrame { id, ..frame });
        }
        if talk.session.is_closed() {
            break;
        }
        talk.now_ms += 1 << (length % 24);
    }
    talk.core.engine().audit().expect("the engine agrees with itself");
}

/// One connection to a broker without threads.
struct Talk {
    core: Core,
    session: Session,
    now_ms: u64,
    said: usize,
}

impl Talk {
    fn begin(terms: &Arc<Terms>) -> Self {
        let disk = SimDisk::new();
        let (mut journal, recovered) = disk.open_journal();
        let options = CoreOptions { jobs_max: 1_000, ..CoreOptions::default() };
        let (mut core, _) = Core::recover(&mut journal, recovered, disk.open_leaves().reader(), 1, options)
            .expect("an empty disk opens");
        core.start(Start { now: NOW_MS, minutes: 1 }, &mut Turn::new(1)).expect("nothing fails in memory");
        Self { core, session: Session::new(Arc::clone(terms), None), now_ms: NOW_MS, said: 0 }
    }

    /// A request as it comes from a socket, decided if it is to be, with all that follows from it said.
    fn ask(&mut self, frame: ClientFrame) {
        let mut arrived = BytesMut::new();
        arrived.put_u32(u32::try_from(frame.encoded_len()).expect("it came in two bytes of length"));
        frame.encode(&mut arrived).expect("a buffer grows");
        let mut commands = Vec::new();
        match self.session.read(&mut arrived, self.now_ms) {
            Some(Verdict::Ask((id, command, _))) => commands.push((Request { conn: 1, id }, command)),
            Some(Verdict::Refuse(_, error) | Verdict::Close(_, error)) => {
                assert!(!error.message.is_empty(), "a refusal says why");
            }
            Some(Verdict::Answer(..)) | None => {}
        }
        // What is left over for later turns is decided before the next request.
        for _ in 0..20 {
            let mut turn = Turn::new(2);
            self.core.turn(self.now_ms, &[], commands.drain(..), &mut turn).expect("nothing fails in memory");
            let frames: Vec<Frame> = turn.frames.into_iter().filter(|frame| frame.to.conn == 1).collect();
            self.session.take(frames);
            let mut words = BytesMut::new();
            self.said += self.session.speak(self.now_ms, usize::MAX, &mut words);
            assert!(self.said < SAID_MAX, "{} bytes are said to so little", self.said);
            if self.core.next_deadline() != Some(0) {
                return;
            }
        }
    }
}
