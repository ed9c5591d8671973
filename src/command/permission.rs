//! What each command needs: one total table, by what the person must be allowed to do.

use crate::access::{Permission, Risk, Role};
use crate::chat::grammar::{BookAct, Command, Verb};

/// What giving this command takes. What an approval needs beyond it (the change's risk, teams, not one's own) the engine
/// decides from the policy.
const fn permission(verb: Verb) -> Permission {
    match verb {
        Verb::Help
        | Verb::Incidents
        | Verb::Show
        | Verb::Why
        | Verb::Ask
        | Verb::Logs
        | Verb::Metrics
        | Verb::Trace
        | Verb::Topology
        | Verb::Anomalies
        | Verb::Forecast
        | Verb::Capacity
        | Verb::Playbooks
        | Verb::Plan
        | Verb::Runs
        | Verb::Oncall
        | Verb::Timeline
        | Verb::Postmortem
        | Verb::Report
        | Verb::Schedule
        | Verb::Usage
        | Verb::Health => Permission::Read,
        Verb::Ack | Verb::Assign | Verb::Severity | Verb::Resolve | Verb::Reopen => Permission::Acknowledge,
        Verb::Silence => Permission::Silence,
        Verb::Run => Permission::Propose,
        Verb::Feedback | Verb::Answer => Permission::Comment,
        Verb::Pause | Verb::Resume | Verb::Cancel | Verb::Retry => Permission::Steer,
        Verb::Approve | Verb::Reject => Permission::Approve(Risk::Reversible),
    }
}

/// The least role that may give this command.
pub(super) const fn least_role(verb: Verb) -> Role {
    permission(verb).least_role()
}

/// The least role that may give exactly this command.
pub(super) const fn role_for(command: &Command) -> Role {
    match command {
        // What everybody may read, only some may change.
        Command::Playbooks { act: BookAct::Use { .. }, .. } => Permission::Configure.least_role(),
        other => least_role(other.verb()),
    }
}

/// Whether the command is a person's own word: said as someone else it would let one person pass for several where the
/// policy asks for several.
pub(super) const fn own_word(verb: Verb) -> bool {
    matches!(verb, Verb::Approve | Verb::Reject | Verb::Answer)
}

/// A role's word.
pub(super) const fn role_word(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Responder => "responder",
        Role::Approver => "approver",
        Role::Admin => "admin",
    }
}
