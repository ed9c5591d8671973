//! Who speaks, where, and what they mean when they leave something out.

use std::collections::BTreeMap;
use std::time::Duration;

use super::ports::Said;
use super::{Deps, No, Options};
use crate::access::{Actor, Person, PersonId};
use crate::catalog::Service;
use crate::chat::Inbound;
use crate::core::message::command as say;
use crate::core::nearest::nearest;
use crate::core::{IncidentId, RunId, Timestamp};
use crate::incident::{Act, Incident};
use crate::playbook::{self, RunView};

/// So many open incidents are named when one has to be chosen.
const CHOICES: usize = 5;
/// Among so many ids the nearest is looked for.
const NEAR_AMONG: usize = 50;

/// One command's speaker.
pub(super) struct Speaker<'a> {
    pub deps: &'a Deps,
    pub options: &'a Options,
    pub person: &'a Person,
    /// Who it is done as, and by whom.
    pub actor: Actor,
    pub now: Timestamp,
    inbound: &'a Inbound,
}

impl<'a> Speaker<'a> {
    pub fn new(deps: &'a Deps, options: &'a Options, inbound: &'a Inbound) -> Self {
        let person = inbound.person.id.clone();
        let actor = match &inbound.impersonated_by {
            Some(admin) => Actor::Impersonated { admin: admin.id.clone(), person },
            None => Actor::Person(person),
        };
        Self { deps, options, person: &inbound.person, actor, now: deps.clock.now(), inbound }
    }

    /// The incident that was named, or the one in whose thread it was said.
    pub async fn incident(&self, named: Option<IncidentId>, command: &str) -> Result<Incident, No> {
        let Some(id) = named.or_else(|| self.thread()) else {
            let open = self.deps.incidents.list(true, CHOICES).await?;
            let open: Vec<String> = open.iter().map(|incident| incident.id.to_string()).collect();
            return Err(No::Refused(say::which_incident(command, &open)));
        };
        match self.deps.incidents.get(id).await? {
            Some(incident) => Ok(incident),
            None => {
                let known = self.deps.incidents.list(false, NEAR_AMONG).await?;
                let known: Vec<String> = known.iter().map(|incident| incident.id.to_string()).collect();
                let near = nearest(&id.to_string(), known.iter().map(String::as_str));
                Err(No::Refused(say::no_incident(id, near)))
            }
        }
    }

    /// The incident whose thread it was said in; a thread's slot may have more behind the id.
    pub fn thread(&self) -> Option<IncidentId> {
        let slot = self.inbound.thread.as_deref()?;
        slot.split('/').next().filter(|id| id.starts_with("INC-"))?.parse().ok()
    }

    /// Writes the change into the audit; it must not be done if this fails.
    pub async fn audit(&self, verb: &'static str, subject: String) -> Result<(), No> {
        let line = crate::core::text::capped(self.inbound.text.trim(), 1_000);
        let place = self.inbound.channel.as_ref().map(|channel| format!("{}:{}", channel.chat, channel.name));
        let said = Said { by: self.actor.clone(), verb, subject, line, place };
        self.deps.audits.record(said).await.map_err(|why| No::Broken(say::not_audited(&why)))
    }

    /// Audits, then does something to an incident.
    pub async fn act(&self, verb: &'static str, id: IncidentId, act: Act) -> Result<Incident, No> {
        self.audit(verb, id.to_string()).await?;
        self.deps.incidents.act(id, self.actor.clone(), act).await
    }

    /// A run that is there.
    pub async fn run(&self, id: RunId) -> Result<RunView, No> {
        match self.deps.runs.get(id).await.map_err(no_run_error)? {
            Some(view) => Ok(view),
            None => Err(self.no_run(id).await?),
        }
    }

    async fn no_run(&self, id: RunId) -> Result<No, No> {
        let known = self.deps.runs.list(None, NEAR_AMONG).await.map_err(no_run_error)?;
        let known: Vec<String> = known.iter().map(|view| view.run.to_string()).collect();
        let near = nearest(&id.to_string(), known.iter().map(String::as_str));
        Ok(No::Refused(say::no_run(id, near)))
    }

    /// The catalogue's service of that name.
    pub fn service(&self, name: &str) -> Result<&'a Service, No> {
        self.deps.catalog.find(name).ok_or_else(|| {
            let names = self.deps.catalog.services().iter();
            let names = names.flat_map(|service| std::iter::once(&service.name).chain(&service.aliases));
            No::Refused(say::no_service(name, nearest(name, names.map(String::as_str))))
        })
    }

    /// Refuses a value of a playbook that should name a service and names none of the catalogue. Values the playbook has
    /// no parameter for are the playbook's to refuse.
    pub fn services_of(
        &self,
        playbook: &super::ports::PlaybookBrief,
        given: &BTreeMap<String, String>,
    ) -> Result<(), No> {
        let names = playbook.parameters.iter().filter(|parameter| parameter.names_service);
        for value in names.filter_map(|parameter| given.get(&parameter.name)) {
            self.service(value)?;
        }
        Ok(())
    }

    /// A playbook that is loaded.
    pub fn playbook(&self, id: &str) -> Result<super::ports::PlaybookBrief, No> {
        self.deps.playbooks.find(id).ok_or_else(|| {
            let all = self.deps.playbooks.all();
            No::Refused(say::no_playbook(id, nearest(id, all.iter().map(|playbook| playbook.id.as_str()))))
        })
    }

    /// What people call someone.
    pub fn name_of(&self, id: &PersonId) -> String {
        self.deps.people.find(&id.0).map_or_else(|| short_id(id).to_owned(), |person| person.name)
    }

    /// What people call who did something.
    pub fn actor_name(&self, actor: &Actor) -> String {
        match actor {
            Actor::Person(id) => self.name_of(id),
            Actor::Mayday(_) => "Mayday".to_owned(),
            Actor::Impersonated { admin, person } => format!("{} (as {})", self.name_of(admin), self.name_of(person)),
        }
    }

    /// A moment, relative and exact.
    pub fn when(&self, at: Timestamp) -> String {
        say::when(at, self.now)
    }

    /// How long ago.
    pub fn since(&self, at: Timestamp) -> Duration {
        Duration::try_from(self.now.duration_since(at)).unwrap_or_default()
    }
}

/// `web:ana` without its chat.
pub(super) fn short_id(id: &PersonId) -> &str {
    id.0.rsplit(':').next().unwrap_or(&id.0)
}

/// The engine's error as an answer.
pub(super) fn no_run_error(error: playbook::Error) -> No {
    match error {
        playbook::Error::Store(error) => error.into(),
        other => No::Refused(capital(&other.to_string())),
    }
}

/// With a capital and a full stop.
pub(super) fn capital(text: &str) -> String {
    let text = crate::core::message::heal::upper_first(text);
    if text.ends_with(['.', '?']) { text } else { format!("{text}.") }
}
