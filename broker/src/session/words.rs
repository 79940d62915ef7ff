//! The words of schedules that both languages have under the same names: one list each, read from either
//! side. A word that only one language has does not compile.

use windlass_engine::schedule::{CatchUp, Overlap};
use windlass_proto::v1;

/// A word of the engine's that has its twin on the wire.
pub(super) trait Word: Sized {
    type Wire;

    /// What a client said; what it left out is the default.
    fn heard(wire: Self::Wire) -> Self;

    /// What a client is told.
    fn said(self) -> Self::Wire;
}

macro_rules! words {
    ($name:ident: $($word:ident),+) => {
        impl Word for $name {
            type Wire = v1::schedule::$name;

            fn heard(wire: Self::Wire) -> Self {
                match wire {
                    Self::Wire::Unspecified => Self::default(),
                    $(Self::Wire::$word => Self::$word,)+
                }
            }

            fn said(self) -> Self::Wire {
                match self {
                    $(Self::$word => Self::Wire::$word,)+
                }
            }
        }
    };
}

words!(Overlap: Skip, BufferOne, BufferAll, CancelRunning, Allow);
words!(CatchUp: Last, None, All);
