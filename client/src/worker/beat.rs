//! Beat.
