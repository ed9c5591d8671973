//! The command grammar: one line of text in, a typed [`Command`] or the place where it went wrong out. Pure: no I/O,
//! no clock, no knowledge of which incidents or playbooks exist.
//!
//! ```text
//! line        = [ "/mayday" | "@mayday" ] [ ":" ] command
//! command     = "help" [ name ]
//!             | "incidents" [ "open" | "all" ]
//!             | ( "show" | "ack" | "resolve" | "reopen" | "why" | "timeline" | "postmortem" ) [ incident ]
//!             | "assign" [ incident ] person            (in either order)
//!             | "severity" [ incident ] level
//!             | "silence" matcher { matcher } span
//!             | "ask" text
//!             | "logs" service [ span ] { word }
//!             | ( "metrics" | "forecast" ) expression [ span ]
//!             | "trace" word | "topology" service
//!             | ( "anomalies" | "capacity" ) [ service ]
//!             | "playbooks" [ playbook ]
//!             | ( "plan" | "run" ) playbook { key "=" value } [ "--incident" incident ]
//!             | "runs" [ run ]
//!             | ( "pause" | "resume" | "cancel" | "retry" ) run
//!             | ( "approve" | "reject" ) run [ "--plan" hash ] [ text ]
//!             | "answer" run [ "--task" task ] text
//!             | "oncall" [ team ] | "report" [ span ] | "schedule" | "usage" | "health"
//!             | "feedback" [ incident ] ( "good" | "bad" ) [ text ]
//! incident    = "INC-" digits | digits                  (any case)
//! run         = "RUN-" digits | digits
//! level       = "Critical" | "Warning" | "Info"         (any case, or the first letters)
//! span        = { digits ( "ms" | "s" | "m" | "min" | "h" | "d" | "w" ) }
//! matcher     = label ( "=" | "!=" | "=~" | "!~" ) value { "," matcher }
//! person      = [ "@" ] name | "me"
//! expression  = text, whose last word is a span if it reads as one (not after `offset`)
//! text        = the rest of the line as it stands; quoted as a whole if it would read as something else
//! word, name, value = characters without a blank, with stretches in "…" or '…' (\ before a quote or \ takes it as it is)
//! ```
//!
//! Words are looked up whatever their case. `parse(command.to_string())` gives the command back.
//!
//! Architecture Invariant: what a command does, and who may give it, is not known here.

pub mod command;
pub mod complete;
pub mod error;
pub mod spec;

mod parse;
mod print;
mod token;

pub use command::{BookAct, Command, Filter, Matcher, Operator, Verdict, Who};
pub use complete::{Candidate, Values, Wanted, complete};
pub use error::GrammarError;
pub use parse::{in_message, parse};
pub use spec::{Kind, Spec, Verb};
