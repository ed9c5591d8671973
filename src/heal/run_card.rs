//! A run that belongs to no incident, as a card of its own: what it would do, where, who asked for it. Pure.

use super::brief::{brief, state_word};
use crate::access::Actor;
use crate::chat::{Button, ButtonStyle, Card, Fact};
use crate::core::message::heal as say;
use crate::core::message::incident::{DETAILS, TEAM};
use crate::core::redact::shown;
use crate::playbook::{RunState, RunView};

/// Longest name of a playbook or service in the title, bytes: it is read on a phone.
const IN_TITLE: usize = 80;

/// The card, for the team that the run's service belongs to.
pub(super) fn card(view: &RunView, team: &str) -> Card {
    let service = view.parameters.get("service").and_then(serde_json::Value::as_str);
    let run = view.run;
    Card {
        id: run.to_string(),
        state: state_word(view).replace('_', " "),
        over: view.state == RunState::Ended,
        since: Some(view.ended_at.unwrap_or(view.proposed_at)),
        title: say::run_title(
            &shown(&view.playbook_name, IN_TITLE),
            service.map(|name| shown(name, IN_TITLE)).as_deref(),
        ),
        subtitle: Some(match (view.part_of, &view.by) {
            (Some(parent), _) => say::part_of(parent),
            (None, Actor::Mayday(part)) => say::asked_for_by_mayday(part),
            (None, Actor::Person(person) | Actor::Impersonated { person, .. }) => say::asked_for_by(&person.0),
        }),
        facts: vec![Fact { name: TEAM.to_owned(), value: team.to_owned(), normal: None, evidence: Vec::new() }],
        plan: Some(brief(view, team).plan),
        buttons: vec![Button {
            label: DETAILS.to_owned(),
            command: format!("runs {run}"),
            style: ButtonStyle::Plain,
            ask: None,
        }],
        ..Card::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{view, waiting};
    use super::*;
    use crate::access::PersonId;
    use crate::core::RunId;
    use crate::playbook::RunState;
    use crate::playbook::view::RunOutcome;

    #[test]
    fn it_says_what_where_and_who_asked_and_carries_the_plans_buttons() {
        let mut asks = waiting();
        asks.by = Actor::Person(PersonId("web:ana".to_owned()));
        asks.parameters.insert("service".to_owned(), "order-service".into());
        let shown = card(&asks, "orders");
        assert_eq!((shown.id.as_str(), shown.state.as_str(), shown.over), ("RUN-3", "proposed", false));
        assert_eq!(shown.title, "Restart a hung service: order-service");
        assert_eq!(shown.subtitle.as_deref(), Some("Asked for by ana, for no incident."));
        assert_eq!(shown.plan.unwrap().buttons[0].command, "approve RUN-3 --plan 9f86d081");
        asks.part_of = Some(RunId::new(2));
        assert_eq!(card(&asks, "orders").subtitle.as_deref(), Some("Part of RUN-2."));
        let over = card(&view(RunState::Ended, Some(RunOutcome::NoEffect)), "orders");
        assert_eq!((over.state.as_str(), over.over), ("no effect", true));
        assert_eq!(over.since, view(RunState::Ended, Some(RunOutcome::NoEffect)).ended_at);
        assert!(crate::chat::grammar::parse(&over.buttons[0].command).is_ok());
    }
}
