//! What people do in a history: one random command each.

use super::*;

impl History {
    fn id(&mut self) -> JobId {
        let mut id = [0; 16];
        id[..2].copy_from_slice(&(self.dice.roll(150) as u16 + 1).to_be_bytes());
        JobId(id)
    }

    pub(super) fn enqueue(&mut self, conn: ConnId) {
        let count = 1 + self.dice.roll(6);
        let wait_ms = self.dice.one_in(4).then(|| self.dice.roll(30_000));
        let mut jobs: Vec<JobSpec> = (0..count).map(|_| self.spec()).collect();
        if wait_ms.is_some() {
            // Who waits under an id of his own waits for that job.
            jobs.iter_mut().flat_map(|spec| &mut spec.wishes).for_each(|wishes| wishes.dedup = None);
        }
        if self.dice.one_in(2) {
            flows::tie(&mut self.dice, &self.model, &mut jobs);
        }
        let jobs = jobs.into_iter().map(Ok).collect();
        self.play(conn, Command::Enqueue(Enqueue { jobs, partial: false, wait_ms }));
    }

    fn spec(&mut self) -> JobSpec {
        let now = self.world.now;
        let dice = &mut self.dice;
        let backoff = Backoff {
            base_ms: dice.roll(4_000),
            factor_permille: 1_000 + dice.roll(1_000) as u32,
            max_ms: 5_000,
            jitter_permille: dice.roll(500) as u32,
            list_ms: Vec::new(),
        };
        let policy = Policy {
            priority: (!dice.one_in(3)).then(|| dice.roll(3) as u8 * 4),
            max_attempts: Some(1 + dice.roll(3) as u32),
            backoff: Some(backoff),
            max_crashes: dice.one_in(2).then(|| 1 + dice.roll(6) as u32),
            keep_done_ms: dice.one_in(2).then(|| dice.roll(3) * 2_000),
            keep_dead_ms: Some(1 + dice.roll(60_000)),
            timeout_ms: dice.one_in(6).then(|| 1 + dice.roll(12_000)),
            stall_ms: dice.one_in(6).then(|| 1 + dice.roll(9_000)),
            ttl_ms: dice.one_in(8).then(|| dice.roll(8_000)),
            cost: dice.one_in(2).then(|| 1 + dice.roll(4) as u32),
            ordering: dice
                .of(&[None, None, Some(Ordering::Serial), Some(Ordering::SerialSkipFailed)])
                .flatten(),
            ..Policy::default()
        };
        JobSpec {
            queue: QUEUES[dice.roll(3) as usize].into(),
            kind: KINDS[dice.roll(3) as usize].into(),
            key: KEYS[dice.roll(3) as usize].into(),
            payload: vec![b'p'; dice.roll(40) as usize].into(),
            run_at: if dice.one_in(4) { now + dice.roll(10_000) } else { 0 },
            wishes: Some(Box::new(Wishes {
                tick: None,
                expires_at: if dice.one_in(8) { now + dice.roll(10_000) } else { 0 },
                terms: Terms { policy, weight: dice.roll(3) as u32, ..Terms::default() },
                gate: Gate {
                    limits: if dice.one_in(4) { vec!["gpu".into()] } else { Vec::new() },
                    need_labels: if dice.one_in(6) { orders::labels(dice) } else { Vec::new() },
                },
                hold: dice.one_in(10).then(|| Hold { ttl_ms: dice.roll(9_000), then_run: dice.one_in(2) }),
                dedup: dice.one_in(4).then(|| unique::dedup(dice)),
                flow: None,
            })),
            id: self.id(),
            ..JobSpec::default()
        }
    }

    pub(super) fn fetch(&mut self, conn: ConnId) {
        let open: Vec<u64> =
            self.model.streams.keys().filter(|key| key.conn == conn).map(|key| key.id).collect();
        let change = if open.len() > 3 || self.dice.one_in(4) { self.dice.of(&open) } else { None };
        let dice = &mut self.dice;
        let first = dice.roll(3) as usize;
        let queues: Vec<String> =
            (0..=dice.roll(3) as usize).map(|n| QUEUES[(first + n) % 3].to_string()).collect();
        let is_weighted = dice.one_in(2);
        let weights = queues.iter().filter(|_| is_weighted).map(|_| 1 + dice.roll(4) as u32).collect();
        let kinds = if dice.one_in(2) { Vec::new() } else { vec![KINDS[dice.roll(2) as usize].to_string()] };
        let once = if change.is_none() && dice.one_in(3) { 1 + dice.roll(4) as u32 } else { 0 };
        let slots = 1 + dice.roll(6) as u32;
        let most = if once > 0 { once } else { slots };
        let batch = (change.is_none() && dice.one_in(3)).then(|| {
            let max = 1 + dice.roll(most.into()) as u32;
            let min = 1 + dice.roll(max.into()) as u32;
            Batch { min, max, linger_ms: dice.roll(3) * 2_000, same_key: dice.one_in(3) }
        });
        let fetch = Fetch {
            batch,
            stream: change.unwrap_or(0),
            queues,
            weights,
            kinds,
            slots,
            once,
            wait_ms: dice.roll(3) * 3_000,
            lease_ms: [None, Some(0), Some(500 + dice.roll(20_000))][dice.roll(3) as usize],
            close: change.is_some() && dice.one_in(2),
        };
        self.play(conn, Command::Fetch(Box::new(fetch)));
    }

    /// Mostly of leases that stand, sometimes of older ones, somebody else's or none.
    fn lease(&mut self, conn: ConnId) -> (JobId, u64) {
        let session = self.world.attached[&conn];
        let mine: Vec<_> = self.model.leases(session).map(|(job, _)| (job.spec.id, job.fence)).collect();
        if !self.dice.one_in(6)
            && let Some(lease) = self.dice.of(&mine)
        {
            return lease;
        }
        match self.dice.of(&self.known) {
            Some((_, id, fence)) => (id, fence),
            None => (self.id(), 1),
        }
    }

    pub(super) fn settle(&mut self, conn: ConnId) {
        let count = 1 + self.dice.roll(2);
        let results = (0..count).map(|_| {
            let (id, fence) = self.lease(conn);
            let dice = &mut self.dice;
            let how = match dice.roll(8) {
                0..4 => How::Complete(windlass_engine::Blob::from(&b"r"[..])),
                4 | 5 => How::Fail {
                    error: Box::new(ErrorNote {
                        message: ["", "boom 17", "boom 4711"][dice.roll(3) as usize].into(),
                        ..ErrorNote::default()
                    }),
                    fatal: dice.one_in(6),
                    retry_after_ms: dice.one_in(2).then(|| dice.roll(2) * 1_500),
                },
                6 => How::Release { delay_ms: dice.roll(2) * 700, reason: String::new(), throttle: None },
                _ => How::Cancelled { note: String::new() },
            };
            let checkpoint = dice.one_in(6).then(|| Box::new(vec![b's'; dice.roll(30) as usize].into()));
            let spawn = if self.dice.one_in(3) { self.spawn() } else { None };
            Settlement { id, fence, how, checkpoint, spawn }
        });
        let results = results.collect();
        self.play(conn, Command::Settle(results));
    }

    /// Jobs that follow; none of them can be refused for its key.
    fn spawn(&mut self) -> Option<Box<Spawn>> {
        let mut jobs: Vec<JobSpec> = (0..=self.dice.roll(2)).map(|_| self.spec()).collect();
        jobs.iter_mut().flat_map(|spec| &mut spec.wishes).for_each(|wishes| wishes.dedup = None);
        let ids: BTreeSet<JobId> = jobs.iter().map(|spec| spec.id).collect();
        flows::tie(&mut self.dice, &self.model, &mut jobs);
        (ids.len() == jobs.len()).then(|| Box::new(Ok(jobs)))
    }

    pub(super) fn touch(&mut self, conn: ConnId) {
        let (id, fence) = self.lease(conn);
        let extend_ms = self.dice.one_in(2).then(|| self.dice.roll(20_000));
        let labels = if self.dice.one_in(2) { orders::labels(&mut self.dice) } else { Vec::new() };
        let beat = self.dice.one_in(3).then(|| Beat { labels, ..Beat::default() });
        let telling = said::random(&mut self.dice);
        self.play(
            conn,
            Command::Touch(Touch { beat, jobs: vec![JobTouch { id, fence, extend_ms, telling }] }),
        );
    }

    pub(super) fn tell(&mut self, conn: ConnId) {
        let sessions: Vec<SessionId> = self.model.sessions.keys().copied().collect();
        let tell = orders::random(&mut self.dice, &sessions);
        self.play(conn, Command::Tell(Box::new(tell)));
    }

    pub(super) fn change(&mut self, conn: ConnId) {
        let now = self.world.now;
        let to = match self.dice.roll(11) {
            9 | 10 => Mutation::Confirm,
            0 | 1 => {
                let (grace_ms, dependents) = (self.dice.roll(3) * 2_500, self.dice.one_in(3));
                Mutation::Cancel { why: String::new(), grace_ms, dependents }
            }
            2 | 3 => Mutation::Retry { reset_attempts: self.dice.one_in(2), spread_ms: 0 },
            4 => Mutation::Delete,
            5 => Mutation::Bury,
            6 => Mutation::Move(QUEUES[self.dice.roll(3) as usize].into()),
            7 => Mutation::Patch(Box::new(Patch {
                policy: Policy { priority: self.dice.one_in(2).then_some(8), ..Policy::default() },
                key: self.dice.one_in(2).then(|| KEYS[self.dice.roll(3) as usize].into()),
                ..Patch::default()
            })),
            _ => Mutation::RunAt(if self.dice.one_in(2) { 0 } else { now + self.dice.roll(5_000) }),
        };
        let max = self.dice.roll(4);
        let change = Change { max, ..Change::new(self.select(), to) };
        self.play(conn, Command::Change(Box::new(change)));
    }

    /// Some ids, or few enough jobs by what they are.
    fn select(&mut self) -> Select {
        if !self.dice.one_in(4) {
            return Select::ids((0..=self.dice.roll(3)).map(|_| self.id()).collect());
        }
        let dice = &mut self.dice;
        let kind = Test::Text(TextColumn::Kind, Pattern::Is(KINDS[dice.roll(3) as usize].into()));
        let attempt = Test::Number(NumberColumn::Attempt, dice.roll(3), 2);
        Select {
            queue: QUEUES[dice.roll(3) as usize].into(),
            states: (0..2).filter_map(|_| dice.of(&State::ALL)).collect(),
            filter: Filter::default().with(kind).with(attempt),
            group: None,
            ids: None,
        }
    }

    pub(super) fn watch(&mut self, conn: ConnId) {
        let ids = (0..=self.dice.roll(3)).map(|_| self.id()).collect();
        let watch = ears::random(&mut self.dice, &QUEUES, ids);
        self.play(conn, Command::Watch(Box::new(watch)));
    }

    pub(super) fn pause(&mut self, conn: ConnId) {
        let dice = &mut self.dice;
        let (queue, kind) = (QUEUES[dice.roll(3) as usize].into(), KINDS[dice.roll(2) as usize].into());
        let (name, scope) = match dice.roll(4) {
            0 => ("pause", Scope { queue, ..Scope::default() }),
            1 => ("rate", Scope { queue, kind, ..Scope::default() }),
            2 => ("keys", Scope { kind, ..Scope::default() }),
            _ => ("gpu", Scope::default()),
        };
        let limit = match name {
            "pause" => Limit { concurrency: Some(0), ..Limit::default() },
            "rate" => {
                Limit { rate: 1 + dice.roll(4), per_ms: 3_000, burst: 1 + dice.roll(3), ..Limit::default() }
            }
            "keys" => Limit { per_key: true, concurrency: Some(1), ..Limit::default() },
            _ => Limit {
                concurrency: Some(1 + dice.roll(2) as u32),
                retry_permille: dice.roll(3) as u32 * 250,
                ..Limit::default()
            },
        };
        let target = Target::Limit(name.into());
        let mut put = Put::default();
        if self.dice.one_in(3) {
            let body = ResourceBody::Limit(limit);
            put.set.push(SetResource { target, if_version: 0, body, scope });
        } else {
            put.remove.push(target);
        }
        self.play(conn, Command::Put(put));
    }
}
