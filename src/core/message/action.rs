//! What actions say.
