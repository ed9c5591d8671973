//! (room heal)
