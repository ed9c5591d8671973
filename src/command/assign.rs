//! `assign`: who leads.

use super::speaker::Speaker;
use super::{Answer, No, data_of, done};
use crate::chat::grammar::Who;
use crate::core::IncidentId;
use crate::core::message::command as say;
use crate::core::nearest::nearest;
use crate::incident::Act;

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
