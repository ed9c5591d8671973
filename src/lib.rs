//! Mayday.
