//! Configuring: policies of queues, kinds and the namespace, and the pause of a queue.

use windlass_proto::v1::query::What as Noun;
use windlass_proto::v1::resource::What;
use windlass_proto::v1::{ConfigView, Limit, Policy, Put, Query, QueueConf, Resource, Stored};
use windlass_proto::v1::{client_frame::Request, server_frame::Body};

use super::Admin;
use crate::error::{Error, ErrorKind, Result};
use crate::link::Rules;
use crate::proto::Code;

impl Admin {
    /// Pauses a queue: nothing of it starts any more, what runs goes on. `why` is shown to whoever asks.
    ///
    /// # Errors
    /// See [`ErrorKind`].
    pub async fn pause(&self, queue: &str, why: &str) -> Result<()> {
        let limit =
            Limit { queue: queue.to_owned(), concurrency: Some(0), why: why.to_owned(), ..Limit::default() };
        self.set(pause_of(queue), 0, What::Limit(limit)).await.map(drop)
    }

    /// Ends the pause of a queue; a queue that is not paused stays as it is.
    ///
    /// # Errors
    /// See [`ErrorKind`].
    pub async fn resume(&self, queue: &str) -> Result<()> {
        match self.put(Put { remove: vec![pause_of(queue)], ..Put::default() }).await {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::Refused(Code::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Sets how a queue behaves, replacing what was set before; answers with its new version. Only if the
    /// stored version is `if_version`; 0: whatever is stored.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] with `VersionConflict` if it has another version.
    pub async fn set_queue(&self, queue: &str, conf: QueueConf, if_version: u64) -> Result<u64> {
        self.set(format!("queue/{queue}"), if_version, What::Queue(conf)).await
    }

    /// Sets a limit: a rate, a concurrency, a pause or a breaker; otherwise as [`Admin::set_queue`].
    ///
    /// # Errors
    /// As [`Admin::set_queue`].
    pub async fn set_limit(&self, name: &str, limit: Limit, if_version: u64) -> Result<u64> {
        self.set(format!("limit/{name}"), if_version, What::Limit(limit)).await
    }

    /// Removes a limit; one that is not there is no fault.
    ///
    /// # Errors
    /// See [`ErrorKind`].
    pub async fn remove_limit(&self, name: &str) -> Result<()> {
        self.put(Put { remove: vec![format!("limit/{name}")], ..Put::default() }).await.map(drop)
    }

    /// Sets the policy of all jobs of a kind; otherwise as [`Admin::set_queue`].
    ///
    /// # Errors
    /// As [`Admin::set_queue`].
    pub async fn set_kind_policy(&self, kind: &str, policy: Policy, if_version: u64) -> Result<u64> {
        self.set(format!("kind/{kind}"), if_version, What::Kind(policy)).await
    }

    /// Sets the policy of all jobs of the namespace; otherwise as [`Admin::set_queue`].
    ///
    /// # Errors
    /// As [`Admin::set_queue`].
    pub async fn set_namespace_policy(&self, policy: Policy, if_version: u64) -> Result<u64> {
        self.set("namespace".to_owned(), if_version, What::Namespace(policy)).await
    }

    /// All resources of the namespace as they are stored, with their versions, by name.
    ///
    /// # Errors
    /// See [`ErrorKind`].
    pub async fn config(&self) -> Result<Vec<ConfigView>> {
        self.every_row(Query { what: Noun::Config.into(), ..Query::default() }, |rows| rows.configs).await
    }

    /// Sets and removes resources of any sort, all or none.
    ///
    /// # Errors
    /// See [`ErrorKind`]. If the broker named the resource at fault, the error is that one's.
    pub async fn put(&self, put: Put) -> Result<Stored> {
        // Sent twice, a condition on the version would fail because of our own first sending.
        let conditional = put.set.iter().any(|resource| resource.if_version != 0);
        let rules = if conditional { Rules::ONCE } else { Rules::RESEND };
        let Body::Stored(mut stored) = self.ask(Request::Put(put), rules).await? else {
            return Err(Error::wrong_answer("Stored"));
        };
        match stored.results.iter_mut().find_map(|one| one.error.take()) {
            Some(refusal) => Err(refusal.into()),
            None => Ok(stored),
        }
    }

    pub(super) async fn set(&self, name: String, if_version: u64, what: What) -> Result<u64> {
        let resource = Resource { name, if_version, what: Some(what) };
        let stored = self.put(Put { set: vec![resource], ..Put::default() }).await?;
        Ok(stored.results.first().map_or(0, |one| one.version))
    }
}

/// The limit that is the pause of a queue, as the protocol names it.
fn pause_of(queue: &str) -> String {
    format!("limit/pause:queue/{queue}")
}
