//! Asking before something is lost: yes or no, or the number itself where much is at stake.

use super::super::exit::Exit;
use super::super::failure::Failure;
use super::note;
use std::io::{BufRead, IsTerminal, Write};

/// More than so many have to be typed.
const TYPED_ABOVE: u64 = 100;

/// What is about to happen.
pub(in crate::cli) struct Question<'a> {
    /// A whole sentence: to what, how many, where.
    pub(in crate::cli) what: &'a str,
    /// How many things it is about.
    pub(in crate::cli) count: u64,
    /// A mistake here is dear: the number is asked for, however small.
    pub(in crate::cli) is_protected: bool,
    /// The answer was given on the command line.
    pub(in crate::cli) yes: bool,
}

/// Says what will happen, and asks whether it shall.
///
/// # Errors
/// If the answer is no, or nobody is there to give one.
pub(in crate::cli) fn confirm(question: &Question<'_>) -> Result<(), Failure> {
    if question.yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        let message = format!("{} There is no terminal to ask on; say --yes to go on", question.what);
        return Err(Failure::new(Exit::Declined, message));
    }
    note(question.what);
    let is_typed = question.is_protected || question.count > TYPED_ABOVE;
    let prompt =
        if is_typed { format!("Type {} to go on: ", question.count) } else { "Go on? [y/N] ".into() };
    let _closed_stderr_is_no_reason_to_stop =
        std::io::stderr().write_all(prompt.as_bytes()).and_then(|()| std::io::stderr().flush());
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    if read.is_ok() && is_yes(answer.trim(), is_typed, question.count) {
        return Ok(());
    }
    Err(Failure::new(Exit::Declined, "nothing was changed"))
}

fn is_yes(answer: &str, is_typed: bool, count: u64) -> bool {
    if is_typed {
        answer.replace([',', ' ', '_'], "").parse() == Ok(count)
    } else {
        matches!(answer, "y" | "Y" | "yes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_yes_is_not_enough_where_the_number_is_asked_for() {
        assert!(is_yes("y", false, 3) && is_yes("12,840", true, 12_840) && is_yes("12 840", true, 12_840));
        assert!(!is_yes("", false, 3) && !is_yes("y", true, 200) && !is_yes("199", true, 200));
    }
}
