//! The faults of the demo: what each is called, which service it strikes, and what heals it.
//!
//! A new fault is one more entry here and one more arm in the service's `control`.

use super::shop::part::Part;

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// As people type it.
    pub name: &'static str,
    /// Which service falls sick.
    pub part: Part,
    /// What it does, one sentence.
    pub does: &'static str,
    /// Where its service tells whether it is in force: a path that does not answer well, or one whose answer has these words.
    pub seen: Seen,
    /// What holds once it was made, a sentence without its full stop.
    pub now: &'static str,
}

/// How one sees that a fault is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// The service does not say that it is well.
    Unwell,
    /// The answer of a path has these words.
    Answer(&'static str, &'static str),
}

/// All of them.
pub const FAULTS: &[Fault] = &[
    Fault {
        name: "hang",
        part: Part::InventoryService,
        does: "inventory-service accepts connections and answers none; a restart heals it",
        seen: Seen::Unwell,
        now: "inventory-service now accepts connections and answers none",
    },
    Fault {
        name: "crash",
        part: Part::OrderService,
        does: "order-service aborts and stays down; a restart heals it",
        seen: Seen::Unwell,
        now: "order-service has aborted and stays down",
    },
    Fault {
        name: "disk",
        part: Part::PaymentGateway,
        does: "payment-gateway fills its own small folder and can't book payments; removing old parts of its journal heals it",
        seen: Seen::Unwell,
        now: "payment-gateway has filled its own small folder and can't book payments",
    },
    Fault {
        name: "burn",
        part: Part::InventoryService,
        does: "inventory-service recounts its stock and burns a core; pausing the recount heals it",
        seen: Seen::Answer("/jobs/recount", "\"running\""),
        now: "inventory-service recounts its stock and burns a core",
    },
    Fault {
        name: "connections",
        part: Part::InventoryService,
        does: "inventory-service leaks its connections to the store; more of them don't help and are taken back, a restart heals it",
        seen: Seen::Unwell,
        now: "inventory-service leaks its connections to the store",
    },
];

/// The fault of that name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Fault> {
    FAULTS.iter().find(|fault| fault.name == name)
}

#[cfg(test)]
mod tests {
    use super::FAULTS;
    use crate::core::message::demo::broken;

    #[test]
    fn after_a_fault_the_panel_says_what_holds_now() {
        let says: Vec<_> = FAULTS.iter().map(|fault| broken(fault.part.name(), fault.now)).collect();
        assert!(says[0].starts_with("inventory-service now accepts connections and answers none."), "{}", says[0]);
        for (fault, says) in FAULTS.iter().zip(says) {
            assert!(says.starts_with(fault.part.name()), "{says}");
        }
    }
}
