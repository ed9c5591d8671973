//! `assign`: who leads.

use super::permission::least_role;
use super::speaker::{Speaker, short_id};
use super::{Answer, Deps, No, data_of, done};
use crate::access::Person;
use crate::chat::grammar::{Verb, Who};
use crate::core::IncidentId;
use crate::core::message::command as say;
use crate::core::nearest::nearest;
use crate::incident::Act;

/// So many people are named.
const PEOPLE: usize = 20;

/// Whom an incident can be given to: those whose role may work on one.
pub(super) fn people(deps: &Deps) -> String {
    let may = |person: &Person| person.role >= least_role(Verb::Ack);
    let all = deps.people.all().into_iter().filter(may);
    let mut names: Vec<String> = all.map(|person| format!("@{}", short_id(&person.id))).collect();
    let more = names.len().saturating_sub(PEOPLE);
    names.truncate(PEOPLE);
    if more > 0 {
        names.push(say::and_more(more, "other"));
    }
    names.push("me".to_owned());
    say::can_be_assigned(&names)
}

pub(super) async fn assign(speaker: &Speaker<'_>, incident: Option<IncidentId>, to: Who) -> Answer {
    let id = speaker.incident(incident, "assign").await?.id;
    let person = match to {
        Who::Me => speaker.person.clone(),
        Who::Name(name) => speaker.deps.people.find(&name).ok_or_else(|| {
            let all = speaker.deps.people.all();
            No::Refused(say::no_person(&name, nearest(&name, all.iter().map(|person| person.name.as_str()))))
        })?,
    };
    let incident = speaker.act("assign", id, Act::Assign { to: person.id }).await?;
    Ok(done(say::assigned(id, &person.name), data_of(&incident)?))
}
