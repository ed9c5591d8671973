//! (room watch)
