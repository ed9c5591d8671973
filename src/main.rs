//! Mayday.
fn main(){}
