//! What there is to permit, and which role may: one total table.

use serde::{Deserialize, Serialize};

use super::Role;

/// How much harm a task can do. Ordered: each is worse than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    /// Changes nothing.
    Read,
    /// Can be undone.
    Reversible,
    /// Interrupts something for a while.
    Disruptive,
    /// Can't be undone.
    Destructive,
}

impl Risk {
    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Reversible => "reversible",
            Self::Disruptive => "disruptive",
            Self::Destructive => "destructive",
        }
    }
}

/// One thing a person may or may not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Permission {
    /// See incidents, runs, logs, metrics.
    Read,
    /// Acknowledge, assign, set severity, resolve, reopen.
    Acknowledge,
    /// Write notes, answers and feedback.
    Comment,
    /// Silence alerts.
    Silence,
    /// Propose a run (its changes still wait for their right).
    Propose,
    /// Pause, resume, cancel or retry a run.
    Steer,
    /// Approve or reject a change of this risk.
    Approve(Risk),
    /// Read the audit chain.
    Audit,
    /// Change configuration, schedules, standing policies.
    Configure,
    /// Speak as another person; audited.
    Impersonate,
    /// Change something without the approvals it needs, giving a reason; audited.
    BreakGlass,
}

impl Permission {
    /// The least role that has it.
    #[must_use]
    pub const fn least_role(self) -> Role {
        match self {
            Self::Read => Role::Viewer,
            Self::Acknowledge | Self::Comment | Self::Silence | Self::Propose => Role::Responder,
            Self::Steer | Self::Approve(_) | Self::Audit => Role::Approver,
            Self::Configure | Self::Impersonate | Self::BreakGlass => Role::Admin,
        }
    }
}

impl Role {
    /// Whether this role may do it.
    #[must_use]
    pub fn may(self, permission: Permission) -> bool {
        self >= permission.least_role()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Permission; 14] = [
        Permission::Read,
        Permission::Acknowledge,
        Permission::Comment,
        Permission::Silence,
        Permission::Propose,
        Permission::Steer,
        Permission::Approve(Risk::Read),
        Permission::Approve(Risk::Reversible),
        Permission::Approve(Risk::Disruptive),
        Permission::Approve(Risk::Destructive),
        Permission::Audit,
        Permission::Configure,
        Permission::Impersonate,
        Permission::BreakGlass,
    ];

    #[test]
    fn a_higher_role_never_may_less() {
        let roles = [Role::Viewer, Role::Responder, Role::Approver, Role::Admin];
        for permission in ALL {
            for pair in roles.windows(2) {
                assert!(!pair[0].may(permission) || pair[1].may(permission), "{permission:?}");
            }
            assert!(Role::Admin.may(permission));
        }
    }

    #[test]
    fn a_viewer_only_reads_and_a_responder_does_not_approve() {
        assert_eq!(ALL.iter().filter(|permission| Role::Viewer.may(**permission)).count(), 1);
        assert!(Role::Responder.may(Permission::Propose));
        assert!(!Role::Responder.may(Permission::Approve(Risk::Reversible)));
        assert!(!Role::Approver.may(Permission::Impersonate));
    }
}
