//! Drawing: values in, HTML out. Everything that comes from outside is text here; the templates escape it.
//!
//! Architecture Invariant: no file of this folder reads or waits; a page is a function of what it is given.

pub(super) mod card;
pub(super) mod channel;
pub(super) mod chart;
pub(super) mod incident;
pub(super) mod layout;
pub(super) mod message;
pub(super) mod sign_in;
mod words;
