//! (room diagnose)
