//! Roles: what a token is for, in five words.

use serde::Deserialize;

/// What a token is for. Which request is whose, says one table: `session/rights.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Enqueues jobs, and asks by their ids what became of them.
    Producer,
    /// Takes jobs and says how they went.
    Worker,
    /// Looks at everything but what jobs carry.
    Viewer,
    /// Looks, changes jobs, pauses queues, tells workers to stop.
    Operator,
    /// Does everything; configures.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Producer, Self::Worker, Self::Viewer, Self::Operator, Self::Admin];

    /// Its word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Producer => "producer",
            Self::Worker => "worker",
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

/// A set of roles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles(u8);

impl Roles {
    /// Every role.
    pub const ALL: Self = Self::of(&Role::ALL);

    /// These roles.
    #[must_use]
    pub const fn of(roles: &[Role]) -> Self {
        let (mut set, mut at) = (0, 0);
        while at < roles.len() {
            set |= 1 << roles[at] as u8;
            at += 1;
        }
        Self(set)
    }

    /// The sets have a role in common.
    #[must_use]
    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 > 0
    }

    /// The role is one of them.
    #[must_use]
    pub fn has(self, role: Role) -> bool {
        self.meets(Self::of(&[role]))
    }

    /// Their words.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        Role::ALL.into_iter().filter(|role| self.has(*role)).map(Role::name).collect()
    }
}
