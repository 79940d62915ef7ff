//! What a storm reads and listens to.

use super::*;

impl Storm {
    pub(super) fn watch(&mut self, conn: ConnId) {
        let open: Vec<Request> = self.streams.iter().filter(|key| key.conn == conn).copied().collect();
        let watch = Watch {
            stream: if self.dice.one_in(4) { self.dice.of(&open).map_or(7, |key| key.id) } else { 0 },
            names: (0..self.dice.roll(3)).filter_map(|_| self.dice.of(EventName::ALL)).collect(),
            ids: (0..self.dice.roll(5)).map(|_| self.id()).collect(),
            queue: self.name(&["", "mail"]),
            kind: self.name(&["", "send"]),
            key: self.name(&["", "anna"]),
            states: if self.dice.one_in(2) {
                States::ALL
            } else {
                self.dice.of(&State::ALL).into_iter().collect()
            },
            from_seq: self.maybe(Self::number).unwrap_or(0),
            until_finished: self.dice.one_in(3),
            with_stream: self.dice.one_in(3),
            with_result: self.dice.one_in(2),
        };
        let next = self.world.request(conn, Asked::default());
        self.streams.push(Request { conn, id: next.id + 1 });
        self.world.asked.remove(&next);
        self.play(conn, Command::Watch(Box::new(watch)));
    }

    pub(super) fn query(&mut self, conn: ConnId) {
        let limit = self.dice.roll(4) as usize;
        let query = match self.dice.roll(6) {
            4 if self.dice.one_in(2) => {
                Query::Audit { after: self.maybe(Self::number), limit, newest_first: self.dice.one_in(2) }
            }
            4 => Query::Operations { after: None, limit },
            0 => Query::Job(self.id()),
            1 => Query::Queues { name: String::new(), after: self.name(&["", "mail"]), limit },
            2 => Query::Sessions { after: self.dice.of(&self.sessions), limit },
            3 => Query::Server,
            _ => Query::Jobs(JobsQuery {
                select: self.select(),
                fields: if self.dice.one_in(2) { Fields::ALL } else { Fields::NONE },
                after: self.maybe(Self::number),
                limit,
                newest_first: self.dice.one_in(2),
            }),
        };
        self.play(conn, Command::Query(query));
    }
}
