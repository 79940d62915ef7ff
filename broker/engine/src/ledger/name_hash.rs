//! The hash of a name: seeded, because names come from clients, who must not choose collisions.

use super::names::Name;
use crate::policy::mix;
use core::hash::{Hash, Hasher};

/// The hash of a name; never 0.
pub(crate) fn hash(seed: u64, name: &Name) -> u64 {
    let mut mixer = Mixer(seed);
    match name {
        // Keys are many, and looked up with every job: their words only.
        Name::Key(of, text) => {
            mixer.write_u32(*of);
            mixer.write(text.as_bytes());
        }
        Name::Namespace(_)
        | Name::Queue(..)
        | Name::Kind(..)
        | Name::Limit(..)
        | Name::Terms(_)
        | Name::Gate(_)
        | Name::Error(..)
        | Name::Schedule(..)
        | Name::Sink(..) => name.hash(&mut mixer),
    }
    mixer.finish().max(1)
}

/// Mixes word by word.
struct Mixer(u64);

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.write_u64(u64::from_le_bytes(*word));
        }
        let last = rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
        // The length tells a rest with zeros from a shorter one.
        self.write_u64(last ^ (bytes.len() as u64) << 56);
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(value.into());
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(value.into());
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = mix(self.0, value);
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
