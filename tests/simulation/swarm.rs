//! The swarm: each seed draws which faults and which features its history has, and how strong they are.
//! With all of them at once much would never be seen: where connections break all the time no queue grows,
//! and what only goes wrong without a feature is hidden by it.

use super::random::Random;

/// What a history has more or less of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dial {
    /// Connections break.
    Cut,
    /// The broker does not notice that one has broken.
    HalfOpen,
    /// The disk fails.
    Disk,
    /// The disk is low.
    Pressure,
    /// The power is cut.
    Crash,
    /// The broker is stopped in order.
    Stop,
    /// The broker's process stands still.
    Stall,
    /// Somebody sets the clock.
    Jump,
    /// Nothing happens for a while.
    Leap,
    /// What was sent is sent once more.
    Again,
    /// Workers fall silent, die, say Bye, and settle what is not theirs.
    Misdeed,
    /// Jobs with dedup keys.
    Dedup,
    /// Jobs that wait for a word.
    Hold,
    /// Jobs that wait for jobs, and groups.
    Flow,
    /// Keys whose jobs run one at a time.
    Serial,
    /// Leases with a visibility timeout.
    Lease,
    /// Runs that are held to something.
    Held,
    /// What operators do to jobs.
    Change,
    /// Limits and settings of queues.
    Settings,
    /// Schedules.
    Schedule,
    /// Orders to sessions.
    Order,
}

const DIALS: usize = Dial::Order as usize + 1;

/// The draw of one history.
#[derive(Clone, Debug)]
pub struct Swarm {
    /// Steps, before it calms down.
    pub steps: u64,
    /// How much of what may go wrong does, in a hundred.
    pub roughness: u64,
    /// Producers, each with a namespace.
    pub producers: usize,
    /// Workers.
    pub workers: usize,
    /// In a hundred of what is usual.
    dials: [u64; DIALS],
}

impl Swarm {
    /// Draws.
    pub fn draw(random: &mut Random) -> Self {
        let steps = *random.pick(&[150, 300, 600, 900]);
        let roughness = *random.pick(&[20, 50, 100, 100]);
        let mut dials = [100; DIALS];
        // Some histories have a little of everything.
        if !random.chance(20) {
            dials.iter_mut().for_each(|dial| *dial = *random.pick(&[0, 0, 100, 100, 300]));
        }
        Self { steps, roughness, producers: 2 + random.place(2), workers: 2 + random.place(4), dials }
    }

    /// Nothing goes wrong by itself.
    pub fn quiet(random: &mut Random) -> Self {
        Self { steps: 0, roughness: 0, producers: 2, workers: 3, ..Self::draw(random) }.all(100)
    }

    fn all(self, dial: u64) -> Self {
        Self { dials: [dial; DIALS], ..self }
    }

    /// How much of it there is, in a hundred of what is usual.
    pub fn dial(&self, dial: Dial) -> u64 {
        self.dials[dial as usize]
    }

    /// What is usual in so many of a hundred cases is so often here.
    pub fn percent(&self, dial: Dial, usual: u64) -> u64 {
        (usual * self.dial(dial) / 100).min(95)
    }
}
