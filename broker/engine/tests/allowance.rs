//! What the naive broker knows of limits and serial keys: who may start now, asked anew each time.

use crate::reference::{Job, Model};
use std::collections::{BTreeMap, BTreeSet};
use windlass_engine::command::{Put, Scope, Target};
use windlass_engine::fact::ResourceBody;
use windlass_engine::ids::{Ms, Seq};
use windlass_engine::ledger::job::State;
use windlass_engine::limit::Limit;
use windlass_engine::policy::Ordering;

/// All limits, and how far the rates of their keys are used up.
#[derive(Default)]
pub(crate) struct Allowance {
    rules: BTreeMap<String, (Scope, Limit)>,
    /// Limits that stood when the broker was started last, and when that was.
    known_since: BTreeMap<String, Ms>,
    /// What first attempts have saved up for retries, and when the last one started, by limit and key.
    saved: BTreeMap<(String, String), (u64, Ms)>,
    /// When the next start of a rate is due, in nanoseconds, by limit and key.
    due_ns: BTreeMap<(String, String), u64>,
}

impl Allowance {
    pub(crate) fn restart(&mut self, now: Ms) {
        self.due_ns.clear();
        self.saved.clear();
        self.known_since = self.rules.keys().map(|name| (name.clone(), now)).collect();
    }

    pub(crate) fn put(&mut self, put: &Put) {
        for set in &put.set {
            if let (Target::Limit(name), ResourceBody::Limit(limit)) = (&set.target, &set.body) {
                self.rules.insert(name.clone(), (set.scope.clone(), limit.clone()));
            }
        }
        for target in &put.remove {
            if let Target::Limit(name) = target {
                self.rules.remove(name);
                self.known_since.remove(name);
            }
        }
    }

    /// The limits that a job passes through, each with the key it counts for.
    fn of<'a>(&'a self, job: &'a Job) -> impl Iterator<Item = (&'a str, &'a Limit, String)> {
        let spec = &job.spec;
        self.rules.iter().filter_map(move |(name, (scope, limit))| {
            let fits = |asked: &String, is: &String| asked.is_empty() || asked == is;
            let is_named = [&scope.queue, &scope.kind, &scope.key].iter().all(|text| text.is_empty());
            let applies = if is_named {
                job.wishes().gate.limits.contains(name)
            } else {
                fits(&scope.queue, &spec.queue)
                    && fits(&scope.kind, &spec.kind)
                    && fits(&scope.key, &spec.key)
            };
            let key = if limit.per_key { spec.key.clone() } else { String::new() };
            applies.then_some((name.as_str(), limit, key))
        })
    }

    fn due_ns(&self, name: &str, key: &str, limit: &Limit) -> u64 {
        let interval = limit.per_ms * 1_000_000 / limit.rate;
        let since = self.known_since.get(name);
        let fresh = since.map_or(0, |since| since * 1_000_000 + interval * (limit.burst - 1));
        self.due_ns.get(&(name.into(), key.into())).copied().unwrap_or(fresh)
    }

    /// It failed before, and a limit looks at the share of retries.
    fn is_shared_retry(&self, job: &Job) -> bool {
        job.attempt > 0 && !job.is_suspect() && self.of(job).any(|(_, limit, _)| limit.retry_permille > 0)
    }

    /// First attempts have saved up enough for this retry, or it is a second since the last one.
    fn may_retry(&self, name: &str, limit: &Limit, key: &str, now: Ms) -> bool {
        let price = u64::from(1_000 - limit.retry_permille);
        let (saved, last_at) = self.saved.get(&(name.into(), key.into())).copied().unwrap_or((0, 0));
        limit.retry_permille == 0 || saved >= price || now >= last_at + 1_000
    }

    fn save(&mut self, job: &Job, now: Ms) {
        let shared = self.of(job).filter(|(_, limit, _)| limit.retry_permille > 0);
        let shared: Vec<(String, String, u64)> =
            shared.map(|(name, limit, key)| (name.into(), key, limit.retry_permille.into())).collect();
        for (name, key, share) in shared {
            let (saved, last_at) = self.saved.entry((name, key)).or_default();
            if job.attempt > 0 {
                (*saved, *last_at) = (saved.saturating_sub(1_000 - share), now);
            } else {
                *saved = (*saved + share).min((1_000 - share) * 100);
            }
        }
    }

    /// A job starts.
    pub(crate) fn started(&mut self, job: &Job, now: Ms) {
        self.save(job, now);
        let rated: Vec<(String, String, u64, u64)> = self
            .of(job)
            .filter(|(_, limit, _)| limit.rate > 0)
            .map(|(name, limit, key)| {
                let due = self.due_ns(name, &key, limit);
                (name.to_owned(), key, due, limit.per_ms * 1_000_000 / limit.rate)
            })
            .collect();
        for (name, key, due, interval) in rated {
            let due = due.max(now * 1_000_000) + interval * u64::from(job.cost());
            self.due_ns.insert((name, key), due);
        }
    }
}

/// Who may start at one moment, worked out once for all jobs.
pub(crate) struct Moment<'a> {
    model: &'a Model,
    now: Ms,
    /// What runs under each limit and key.
    in_use: BTreeMap<(&'a str, String), u32>,
    /// Limits and keys that turn some ready job away; whoever else counts into them waits, too.
    closed: BTreeSet<(&'a str, String)>,
    /// The job of each serial key that runs, or else the first.
    first: BTreeMap<(&'a str, &'a str), (bool, Seq)>,
}

impl<'a> Moment<'a> {
    pub(crate) fn new(model: &'a Model, now: Ms) -> Self {
        let mut moment =
            Self { model, now, in_use: BTreeMap::new(), closed: BTreeSet::new(), first: BTreeMap::new() };
        for job in &model.jobs {
            if job.lease.is_some() {
                for (name, _, key) in model.allowance.of(job) {
                    *moment.in_use.entry((name, key)).or_default() += job.cost();
                }
            }
            if is_serial(job) && stands(job) {
                let this = (job.lease.is_none(), job.seq);
                let first = moment.first.entry((&job.spec.queue, &job.spec.key)).or_insert(this);
                *first = this.min(*first);
            }
        }
        for job in model.jobs.iter().filter(|job| job.state == State::Ready) {
            for (name, limit, key) in model.allowance.of(job) {
                if !moment.admits(job, name, limit, &key) {
                    moment.closed.insert((name, key));
                }
            }
        }
        moment
    }

    fn admits(&self, job: &Job, name: &'a str, limit: &Limit, key: &str) -> bool {
        let in_use = self.in_use.get(&(name, key.into())).copied().unwrap_or(0);
        let fits = |most| most > 0 && (in_use == 0 || in_use + job.cost() <= most);
        let room = limit.concurrency.is_none_or(fits);
        if limit.rate == 0 {
            return room;
        }
        let interval = limit.per_ms * 1_000_000 / limit.rate;
        let asked = interval * u64::from(job.cost()).min(limit.burst);
        let due = self.model.allowance.due_ns(name, key, limit);
        room && due + asked <= self.now * 1_000_000 + interval * limit.burst
    }

    /// Every limit lets it start, and no other job of its serial key comes before it.
    pub(crate) fn may_start(&self, job: &Job) -> bool {
        let mut limits = self.model.allowance.of(job);
        let allowance = &self.model.allowance;
        let is_shared = allowance.is_shared_retry(job);
        self.is_next(job)
            && limits.all(|(name, limit, key)| {
                self.admits(job, name, limit, &key)
                    && (!is_shared || allowance.may_retry(name, limit, &key, self.now))
            })
    }

    /// A limit turns it away, or somebody else whom it must not pass; or others of its key.
    pub(crate) fn is_kept(&self, job: &Job) -> bool {
        let mut limits = self.model.allowance.of(job);
        // When a retry is looked at again is the engine's business.
        let is_shared = self.model.allowance.is_shared_retry(job);
        !self.is_next(job) || is_shared || limits.any(|(name, _, key)| self.closed.contains(&(name, key)))
    }

    /// The limits that turn it away, and all that may keep it: somebody else is turned away whom it
    /// must not pass, or they look at the share of retries.
    pub(crate) fn keepers(&self, job: &'a Job) -> (BTreeSet<&'a str>, BTreeSet<&'a str>) {
        let is_shared = self.model.allowance.is_shared_retry(job);
        let (mut certain, mut possible) = (BTreeSet::new(), BTreeSet::new());
        for (name, limit, key) in self.model.allowance.of(job) {
            if !self.admits(job, name, limit, &key) {
                certain.insert(name);
            }
            if self.closed.contains(&(name, key)) || is_shared && limit.retry_permille > 0 {
                possible.insert(name);
            }
        }
        (certain, possible)
    }

    /// The job of its serial key that comes before all others of it.
    pub(crate) fn goes_first(&self, job: &Job) -> Option<Seq> {
        let first = self.first.get(&(job.spec.queue.as_str(), job.spec.key.as_str()));
        first.filter(|_| is_serial(job)).map(|&(_, first)| first)
    }

    fn is_next(&self, job: &Job) -> bool {
        self.goes_first(job).is_none_or(|first| first == job.seq)
    }
}

fn ordering(job: &Job) -> Ordering {
    job.wishes().terms.policy.ordering.unwrap_or_default()
}

fn is_serial(job: &Job) -> bool {
    ordering(job) != Ordering::Fair && !job.spec.key.is_empty()
}

/// Those behind it in its serial key wait for it.
fn stands(job: &Job) -> bool {
    match job.state {
        State::Dead => ordering(job) == Ordering::Serial,
        state => !state.is_final(),
    }
}
