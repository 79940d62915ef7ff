//! The proof: a table of contents.
#![allow(unreachable_pub, reason = "modules of a test binary speak to each other, nobody else reads them")]

// Histories of a whole broker in virtual time, with everything that can go wrong; one seed each.
mod simulation;
