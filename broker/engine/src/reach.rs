//! Reach: which names somebody may use, as globs. The session floor learns it from a token; here it is
//! only applied.

use crate::filter::{Clause, Pattern, Test, TextColumn};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The names that somebody may use: each that is one of the patterns, where a `*` at the end of one stands
/// for anything. By default every name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// None = every name.
    patterns: Option<Arc<[String]>>,
}

impl Reach {
    /// The names that are like one of these patterns; `*` alone is every name, and no pattern is none.
    #[must_use]
    pub fn of(patterns: Vec<String>) -> Self {
        let is_all = patterns.iter().any(|pattern| pattern == "*");
        Self { patterns: (!is_all).then(|| patterns.into()) }
    }

    /// Every name is within it.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.patterns.is_none()
    }

    /// The name is within it.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        let is_like = |pattern: &String| match pattern.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => pattern == name,
        };
        self.patterns.as_ref().is_none_or(|patterns| patterns.iter().any(is_like))
    }

    /// The condition that a job's queue is within it; None = there is none.
    #[must_use]
    pub fn clause(&self) -> Option<Clause> {
        let test = |pattern: &String| {
            let like = if pattern.ends_with('*') { Pattern::Like } else { Pattern::Is };
            Test::Text(TextColumn::Queue, like(pattern.clone()))
        };
        let any = self.patterns.as_ref()?.iter().map(test).collect();
        Some(Clause { is_negated: false, any })
    }

    /// The patterns, as they were given; every name is `*`.
    #[must_use]
    pub fn patterns(&self) -> Vec<String> {
        self.patterns.as_ref().map_or_else(|| ["*".into()].into(), |patterns| patterns.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(patterns: &[&str]) -> Reach {
        Reach::of(patterns.iter().map(|pattern| (*pattern).into()).collect())
    }

    #[test]
    fn a_star_at_the_end_stands_for_anything_and_nothing_else_does() {
        let mail = reach(&["mail", "mail-*"]);
        assert!(mail.covers("mail") && mail.covers("mail-") && mail.covers("mail-eu"));
        assert!(!mail.covers("mailbox") && !mail.covers("") && !mail.covers("x-mail-eu"));
        assert!(reach(&["a", "*"]).is_all() && Reach::default().covers("x"));
        assert!(!reach(&[]).covers("x") && !reach(&[]).covers(""));
    }

    #[test]
    fn the_clause_says_the_same_as_the_patterns() {
        assert_eq!(Reach::default().clause(), None);
        // A clause of no test holds for nothing.
        assert_eq!(reach(&[]).clause().unwrap().any, []);
        assert_eq!(reach(&["mail", "mail-*"]).clause().unwrap().any.len(), 2);
    }
}
