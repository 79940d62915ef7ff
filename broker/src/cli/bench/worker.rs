//! A worker: one session with one stream, whose handlers take no time.

use super::credit::Credit;
use super::payload::stamp;
use super::producer::{cut, hello, refusal};
use super::tally::Tally;
use super::{NAME, Problem};
use std::rc::Rc;
use windlass_client::proto::fetch::Source;
use windlass_client::proto::result::How;
use windlass_client::proto::{ClientFrame, Complete, Deliver, Fetch, Result as Outcome, ServerFrame};
use windlass_client::proto::{Settle, SettleCode, Settled};
use windlass_client::proto::{client_frame::Request, server_frame::Body};
use windlass_client::{Connection, Receiver, Sender};

/// Results of one Settle, as many as the protocol allows.
const SETTLE_MAX: usize = 10_000;
/// Hello takes id 1.
const FETCH_ID: u64 = 2;

/// One session.
#[derive(Debug)]
pub(super) struct Worker {
    sender: Sender,
    receiver: Receiver,
    /// Made once, filled and emptied.
    settle: ClientFrame,
    /// Runs that are over and not yet told.
    over: Vec<Outcome>,
    tally: Rc<Tally>,
    credit: Rc<Credit>,
}

impl Worker {
    /// Connects and opens a stream of `slots`.
    pub(super) async fn open(
        addr: &str,
        slots: u32,
        tally: Rc<Tally>,
        credit: Rc<Credit>,
    ) -> Result<Self, Problem> {
        let (mut connection, _) = Connection::open(addr, hello()).await?;
        let fetch = Fetch {
            sources: vec![Source { queue: NAME.into(), weight: 1 }],
            kinds: vec![NAME.into()],
            slots,
            ..Fetch::default()
        };
        connection.send(&ClientFrame { id: FETCH_ID, request: Some(Request::Fetch(fetch)) })?;
        connection.flush().await?;
        let (sender, receiver) = connection.split();
        let settle = ClientFrame { id: FETCH_ID, request: None };
        Ok(Self { sender, receiver, settle, over: Vec::new(), tally, credit })
    }

    /// Runs jobs until the broker closes the connection, which is a failure.
    pub(super) async fn run(mut self) -> Result<(), Problem> {
        loop {
            let frame = self.receiver.recv().await?.ok_or_else(cut)?;
            self.hear(frame)?;
            while let Some(frame) = self.receiver.try_recv()? {
                self.hear(frame)?;
            }
            while !self.over.is_empty() {
                self.tell()?;
            }
            self.sender.flush().await?;
        }
    }

    fn hear(&mut self, frame: ServerFrame) -> Result<(), Problem> {
        match frame.body {
            Some(Body::Deliver(deliver)) => self.handle(deliver),
            Some(Body::Settled(settled)) => self.settled(&settled),
            Some(Body::Error(error)) => Err(refusal(error)),
            Some(Body::Signal(_)) => Ok(()),
            other => Err(Problem::Own(format!("an unexpected word to a worker: {other:?}"))),
        }
    }

    /// All jobs of a frame start at the same instant, and are over at once.
    fn handle(&mut self, deliver: Deliver) -> Result<(), Problem> {
        let now = self.tally.now();
        self.over.reserve(deliver.jobs.len());
        for work in deliver.jobs {
            let Some(stamp) = stamp(&work.payload) else {
                return Err(Problem::Own("a job of queue `bench` is not of this benchmark".into()));
            };
            self.tally.record(stamp, now, 1);
            self.over.push(Outcome {
                id: work.id,
                fence: work.fence,
                how: Some(How::Complete(Complete::default())),
                ..Outcome::default()
            });
        }
        Ok(())
    }

    fn tell(&mut self) -> Result<(), Problem> {
        let rest = self.over.split_off(self.over.len().min(SETTLE_MAX));
        let results = std::mem::replace(&mut self.over, rest);
        self.settle.id += 1;
        self.settle.request = Some(Request::Settle(Settle { results }));
        self.sender.send(&self.settle)?;
        // The vector comes back, so that it is allocated once.
        if let Some(Request::Settle(Settle { mut results })) = self.settle.request.take()
            && self.over.is_empty()
        {
            results.clear();
            self.over = results;
        }
        Ok(())
    }

    fn settled(&self, settled: &Settled) -> Result<(), Problem> {
        let good = i32::from(SettleCode::Settled);
        if let Some(bad) = settled.results.iter().find(|one| one.code != good) {
            return Err(Problem::Own(format!("a settlement was not taken: {bad:?}")));
        }
        let jobs = settled.results.len() as u64;
        self.tally.add_done(jobs);
        self.credit.give(jobs);
        Ok(())
    }
}
