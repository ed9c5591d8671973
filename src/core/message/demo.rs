//! What the demo says.
