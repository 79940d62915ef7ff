//! What a stream is: a terminal or a pipe, how wide, and whether it wants colour.

use std::io::IsTerminal;
use std::os::fd::AsFd;

/// A stream of output as it was found when the command began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Terminal {
    /// Somebody looks at it.
    pub(in crate::cli) is_terminal: bool,
    /// Escape sequences for colours are wanted.
    pub(in crate::cli) has_colour: bool,
    /// Columns; a pipe has as many as a line needs.
    pub(in crate::cli) width: usize,
}

/// What the environment says about colour.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wishes {
    /// `NO_COLOR` is set, or `--no-color` was said.
    pub(super) none: bool,
    /// `CLICOLOR_FORCE` is set.
    pub(super) forced: bool,
    /// `TERM` is `dumb`.
    pub(super) is_dumb: bool,
}

impl Wishes {
    pub(super) fn from_env(no_color: bool) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        Self {
            none: no_color || set("NO_COLOR"),
            forced: set("CLICOLOR_FORCE") && std::env::var_os("CLICOLOR_FORCE").is_some_and(|v| v != "0"),
            is_dumb: std::env::var_os("TERM").is_some_and(|term| term == "dumb"),
        }
    }

    /// Whoever says no is heard first, then whoever insists.
    fn colour(self, is_terminal: bool) -> bool {
        !self.none && (self.forced || (is_terminal && !self.is_dumb))
    }
}

impl Terminal {
    pub(super) fn stdout(wishes: Wishes) -> Self {
        Self::of(&std::io::stdout(), wishes)
    }

    pub(super) fn stderr(wishes: Wishes) -> Self {
        Self::of(&std::io::stderr(), wishes)
    }

    fn of(stream: &(impl IsTerminal + AsFd), wishes: Wishes) -> Self {
        /// Where nobody can say how wide the terminal is.
        const USUAL: usize = 80;
        let is_terminal = stream.is_terminal();
        let asked = || {
            let size = rustix::termios::tcgetwinsize(stream).ok()?;
            (size.ws_col > 0).then_some(usize::from(size.ws_col))
        };
        let told = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        let width = if is_terminal { told.or_else(asked).unwrap_or(USUAL) } else { usize::MAX };
        Self { is_terminal, has_colour: wishes.colour(is_terminal), width }
    }
}

/// A colour, or another way to stand out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Ink {
    Plain,
    Bold,
    Dim,
    Red,
    Green,
    Yellow,
    Blue,
}

impl Ink {
    /// The text in this colour.
    pub(in crate::cli) fn paint(self, text: &str, has_colour: bool) -> String {
        let code = match self {
            Self::Plain => return text.to_owned(),
            Self::Bold => 1,
            Self::Dim => 2,
            Self::Red => 31,
            Self::Green => 32,
            Self::Yellow => 33,
            Self::Blue => 34,
        };
        if has_colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_beats_force_beats_what_the_stream_is() {
        let wishes = |none, forced, is_dumb| Wishes { none, forced, is_dumb };
        assert!(wishes(false, false, false).colour(true));
        assert!(!wishes(false, false, false).colour(false));
        assert!(!wishes(false, false, true).colour(true));
        assert!(wishes(false, true, true).colour(false));
        assert!(!wishes(true, true, false).colour(true));
    }
}
