//! What can be said about a job, written once for each type that holds one.
//!
//! A macro, because a trait would have to be imported by every producer.

/// The setters of a job, for every type that holds one; `$self => $job` says where.
macro_rules! job_setters {
    ($self:ident => $job:expr) => {
        /// The payload, opaque to the broker; default empty, at most `Welcome.max_payload` bytes (1 MiB
        /// unless the broker is configured otherwise).
        pub fn payload(mut $self, payload: impl Into<bytes::Bytes>) -> Self {
            $job.spec.payload = payload.into();
            $self
        }

        /// The payload as JSON, with the content type to go with it. A value that does not serialise is
        /// reported when the job is enqueued.
        pub fn json(mut $self, value: &impl serde::Serialize) -> Self {
            $crate::job::set_json(&mut $job, value);
            $self
        }

        /// Media type of the payload, for people and tools; at most 200 bytes.
        pub fn content_type(mut $self, content_type: impl Into<String>) -> Self {
            $job.spec.content_type = content_type.into();
            $self
        }

        /// Where the job waits; a name; default `default`.
        pub fn queue(mut $self, queue: impl Into<String>) -> Self {
            $job.spec.queue = queue.into();
            $self
        }

        /// Runs not before this long after the broker accepted the job; default at once, at most 10 years.
        /// Replaces an earlier `run_at`.
        pub fn delay(mut $self, delay: std::time::Duration) -> Self {
            $job.spec.delay_ms = $crate::millis::of(delay);
            $job.spec.run_at_ms = 0;
            $self
        }

        /// Runs not before this instant; default at once. Replaces an earlier `delay`.
        pub fn run_at(mut $self, instant: std::time::SystemTime) -> Self {
            $job.spec.run_at_ms = $crate::millis::at(instant);
            $job.spec.delay_ms = 0;
            $self
        }

        /// A job not started by this instant ends as expired; default never.
        pub fn expires_at(mut $self, instant: std::time::SystemTime) -> Self {
            $job.spec.expires_at_ms = $crate::millis::at(instant);
            $self
        }

        /// A job not started this long after it was enqueued ends as expired; default by policy, else never.
        pub fn ttl(mut $self, ttl: std::time::Duration) -> Self {
            $crate::job::policy_of(&mut $job.spec).ttl_ms = Some($crate::millis::of(ttl));
            $self
        }

        /// 0 to 9, higher first; default 4.
        pub fn priority(mut $self, priority: u32) -> Self {
            $crate::job::policy_of(&mut $job.spec).priority = Some(priority);
            $self
        }

        /// How many runs may fail before the job is dead, 1 to 10,000; default 20; 1 means no retry.
        pub fn attempts(mut $self, attempts: u32) -> Self {
            $crate::job::policy_of(&mut $job.spec).max_attempts = Some(attempts);
            $self
        }

        /// How many workers may die with the job before it is dead as POISON, 1 to 1,000; default 3.
        pub fn crashes(mut $self, crashes: u32) -> Self {
            $crate::job::policy_of(&mut $job.spec).max_crashes = Some(crashes);
            $self
        }

        /// How long to wait between attempts; default from 5 s, doubling, up to 12 h, 20 % either way.
        pub fn backoff(mut $self, backoff: windlass_proto::v1::Backoff) -> Self {
            $crate::job::policy_of(&mut $job.spec).backoff = Some(backoff);
            $self
        }

        /// Visibility timeout of the job's leases, up to 7 days; default 0: they live with the session.
        pub fn lease(mut $self, lease: std::time::Duration) -> Self {
            $crate::job::policy_of(&mut $job.spec).lease_ms = Some($crate::millis::of(lease));
            $self
        }

        /// How long the job is kept after it completed; default 1 hour; zero removes it at its end.
        pub fn keep_done(mut $self, keep: std::time::Duration) -> Self {
            $crate::job::policy_of(&mut $job.spec).keep_done_ms = Some($crate::millis::of(keep));
            $self
        }

        /// Slots of a worker that the job takes, 1 to 1,000; default 1.
        pub fn cost(mut $self, cost: u32) -> Self {
            $crate::job::policy_of(&mut $job.spec).cost = Some(cost);
            $self
        }

        /// The whole policy at once; it replaces what the setters above have set.
        pub fn policy(mut $self, policy: windlass_proto::v1::Policy) -> Self {
            $job.spec.policy = Some(policy);
            $self
        }

        /// The lane inside the queue, for fairness and order; at most 200 bytes; default the lane of all
        /// jobs without a key.
        pub fn key(mut $self, key: impl Into<String>) -> Self {
            $job.spec.key = key.into();
            $self
        }

        /// What to do when a job for the same thing exists; default: nothing is compared.
        pub fn dedup(mut $self, dedup: $crate::dedup::Dedup) -> Self {
            $job.spec.dedup = Some(dedup.dedup);
            $self
        }

        /// Waits for this job to complete; may be called several times, at most 1,000. The job has to stand,
        /// or to be enqueued before this one in the same request. By default this one is cancelled when it
        /// ends otherwise.
        pub fn after(mut $self, job: $crate::id::JobId) -> Self {
            $crate::job::wait_for(&mut $job.spec, job, windlass_proto::v1::after::On::Success);
            $self
        }

        /// The same, for the end of that job in any way.
        pub fn after_finish(mut $self, job: $crate::id::JobId) -> Self {
            $crate::job::wait_for(&mut $job.spec, job, windlass_proto::v1::after::On::Finish);
            $self
        }

        /// The same, for that job to be dead, cancelled or expired.
        pub fn after_failure(mut $self, job: $crate::id::JobId) -> Self {
            $crate::job::wait_for(&mut $job.spec, job, windlass_proto::v1::after::On::Failure);
            $self
        }

        /// What becomes of the job when one that it waits for ends otherwise; of a group, when a member does
        /// not complete. Default: it is cancelled.
        pub fn dep_policy(mut $self, policy: windlass_proto::v1::DepPolicy) -> Self {
            $job.spec.dep_policy = policy.into();
            $self
        }

        /// Counts into this group, see [`NewJob::new_group`](crate::NewJob::new_group).
        pub fn group(mut $self, group: $crate::id::JobId) -> Self {
            $job.spec.group = group.to_bytes();
            $self
        }

        /// The job waits until [`Admin::confirm`](crate::Admin::confirm) names it; after 1 hour without
        /// that it ends as expired.
        pub fn hold(mut $self) -> Self {
            $job.spec.hold = true;
            $self
        }

        /// The same for another time than 1 hour.
        pub fn hold_for(mut $self, ttl: std::time::Duration) -> Self {
            $job.spec.hold = true;
            $job.spec.hold_ttl_ms = $crate::millis::of(ttl);
            $self
        }

        /// A held job that nobody confirms in time runs, instead of ending as expired.
        pub fn run_on_hold_timeout(mut $self) -> Self {
            $job.spec.run_on_hold_timeout = true;
            $self
        }

        /// What the key means; default that keys take turns. `Serial` runs the jobs of a key one at a time.
        pub fn ordering(mut $self, ordering: windlass_proto::v1::Ordering) -> Self {
            $crate::job::policy_of(&mut $job.spec).ordering = Some(ordering.into());
            $self
        }

        /// Share of turns of the key among the keys of its queue, 1 to 1,000; default 1.
        pub fn weight(mut $self, weight: u32) -> Self {
            $job.spec.weight = weight;
            $self
        }

        /// Names a limit that the job must pass beside those of its queue, kind and key; at most 8.
        pub fn limit(mut $self, name: impl Into<String>) -> Self {
            $job.spec.limits.push(name.into());
            $self
        }

        /// Asks for workers with this label; at most 8, and all of them must be so.
        pub fn need_label(mut $self, name: impl Into<String>, value: impl Into<String>) -> Self {
            $job.spec.need_labels.insert(name.into(), value.into());
            $self
        }

        /// The id, if something of the caller's own is to make enqueueing idempotent; default a new UUID.
        pub fn id(mut $self, id: $crate::id::JobId) -> Self {
            $job.id = id;
            $job.id_is_ours = false;
            $self
        }

        /// Adds a header, handed to the handler as it is. At most 64; the name of 1 to 200 bytes, the value
        /// of at most 4,096, all together at most 16 KiB.
        pub fn header(mut $self, name: impl Into<String>, value: impl Into<String>) -> Self {
            $job.spec.headers.insert(name.into(), value.into());
            $self
        }

        /// Adds a tag for search and selection, at most 16 of at most 100 bytes.
        pub fn tag(mut $self, tag: impl Into<String>) -> Self {
            $job.spec.tags.push(tag.into());
            $self
        }

    };
}

pub(crate) use job_setters;
