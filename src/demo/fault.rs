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
}

/// All of them.
pub const FAULTS: &[Fault] = &[
    Fault {
        name: "hang",
        part: Part::InventoryService,
        does: "inventory-service accepts connections and answers none; a restart heals it",
    },
    Fault { name: "crash", part: Part::OrderService, does: "order-service aborts and stays down; a restart heals it" },
    Fault {
        name: "disk",
        part: Part::PaymentGateway,
        does: "payment-gateway fills its own small folder and can't book payments; removing old parts of its journal heals it",
    },
];

/// The fault of that name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Fault> {
    FAULTS.iter().find(|fault| fault.name == name)
}
