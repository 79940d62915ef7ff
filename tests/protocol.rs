//! The wire, byte by byte, as docs/PROTOCOL.md says it; no client library involved.

// Bytes: what is no frame, no message, too long, or of a later version.
mod frames;
// Hello and Welcome, resuming, Bye.
mod greeting;
// The appendix of docs/PROTOCOL.md.
mod producer;
// Pages and versions.
mod reading;
// Every request that a welcomed peer can have refused.
mod refusals;
