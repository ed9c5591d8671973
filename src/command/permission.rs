//! Which role each command needs: one total table.

use crate::access::Role;
use crate::chat::grammar::Verb;

/// The least role that may give this command. What an approval needs beyond it (risk, teams, not one's own) the engine
/// decides from the policy.
pub(super) const fn least_role(verb: Verb) -> Role {
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
        | Verb::Health => Role::Viewer,
        Verb::Ack
        | Verb::Assign
        | Verb::Severity
        | Verb::Resolve
        | Verb::Reopen
        | Verb::Silence
        | Verb::Run
        | Verb::Answer
        | Verb::Feedback => Role::Responder,
        Verb::Pause | Verb::Resume | Verb::Cancel | Verb::Retry | Verb::Approve | Verb::Reject => Role::Approver,
    }
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
