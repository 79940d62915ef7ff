//! What every command of `windlass admin` works with: a connection, and a way to answer and to ask.

use super::super::failure::Failure;
use super::super::output::{self, Form, Output, Question};
use super::super::target::Place;
use super::AdminArgs;
use std::ops::Deref;
use windlass_client::{Admin, Client};

/// A connection to the broker that is meant, and how to answer.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) client: Client,
    pub(super) admin: Admin,
    pub(super) out: Output,
    pub(super) place: Place,
    yes: bool,
}

/// What a desk says goes out.
impl Deref for Desk {
    type Target = Output;

    fn deref(&self) -> &Output {
        &self.out
    }
}

impl Desk {
    /// Connects.
    pub(super) async fn open(args: &AdminArgs) -> Result<Self, Failure> {
        let place = args.target.place()?;
        let client = args.target.connect_to(&place).await?;
        let out = args.output.open().at(client.welcome().server_at_ms);
        Ok(Self { admin: client.admin(), client, out, place, yes: args.yes })
    }

    pub(super) async fn close(self) {
        self.client.close().await;
    }

    /// The same with answers in another form.
    pub(super) fn with_form(&self, form: Form) -> Self {
        Self { out: self.out.with_form(form), ..self.clone() }
    }

    /// The same at another moment.
    pub(super) fn at(self, now_ms: u64) -> Self {
        Self { out: self.out.at(now_ms), ..self }
    }

    /// Says what is about to happen, and asks whether it shall.
    pub(super) fn confirm(&self, what: &str, count: u64) -> Result<(), Failure> {
        let is_protected = self.place.is_protected;
        output::confirm(&Question { what, count, is_protected, yes: self.yes })
    }

    /// The time of the broker is a test's.
    pub(super) fn has_test_clock(&self) -> bool {
        self.client.welcome().features.iter().any(|feature| feature == "test_clock")
    }

    /// Where it happens, for questions.
    pub(super) fn place(&self) -> String {
        self.place.name()
    }
}
