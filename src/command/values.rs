//! What exists now, for completion.

use super::Deps;
use super::incidents::{phase_word, what};
use crate::chat::grammar::{Candidate, Kind, Values, Wanted};
use crate::core::BoxFuture;
use crate::heal::brief;

/// So many of a kind are looked at.
const AT_MOST: usize = 30;

pub(super) struct Existing<'a> {
    pub deps: &'a Deps,
}

impl Values for Existing<'_> {
    fn of<'a>(&'a self, wanted: &'a Wanted) -> BoxFuture<'a, Vec<Candidate>> {
        Box::pin(async move {
            match wanted.kind {
                Kind::Incident => self.incidents().await,
                Kind::Run => self.runs().await,
                Kind::Playbook => {
                    let all = self.deps.playbooks.all().into_iter();
                    all.map(|playbook| candidate(playbook.id, playbook.name)).collect()
                }
                Kind::Parameter => self.parameters(wanted),
                Kind::Service => {
                    let services = self.deps.catalog.services().iter();
                    services.map(|service| candidate(service.name.clone(), service.team.clone())).collect()
                }
                Kind::Matcher => {
                    let services = self.deps.catalog.services().iter();
                    services.map(|service| candidate(format!("service={}", service.name), String::new())).collect()
                }
                Kind::Person => {
                    let people = self.deps.people.all().into_iter();
                    people.map(|person| candidate(format!("@{}", handle(&person.id.0)), person.name)).collect()
                }
                Kind::Team => {
                    let mut teams: Vec<String> =
                        self.deps.catalog.services().iter().map(|service| service.team.clone()).collect();
                    teams.sort();
                    teams.dedup();
                    teams.into_iter().map(|team| candidate(team, String::new())).collect()
                }
                Kind::Command | Kind::Expression | Kind::Span(_) | Kind::Choice(_) | Kind::Text => Vec::new(),
            }
        })
    }
}

impl Existing<'_> {
    /// Open ones first; those that are over only if none is open.
    async fn incidents(&self) -> Vec<Candidate> {
        let mut found = self.deps.incidents.list(true, AT_MOST).await.unwrap_or_default();
        if found.is_empty() {
            found = self.deps.incidents.list(false, AT_MOST).await.unwrap_or_default();
        }
        let hint = |incident: &crate::incident::Incident| format!("{}, {}", what(incident), phase_word(incident.phase));
        found.iter().map(|incident| candidate(incident.id.to_string(), hint(incident))).collect()
    }

    async fn runs(&self) -> Vec<Candidate> {
        let found = self.deps.runs.list(None, AT_MOST).await.unwrap_or_default();
        let hint = |view: &crate::playbook::RunView| format!("{}, {}", view.playbook, brief::state_word(view));
        found.iter().map(|view| candidate(view.run.to_string(), hint(view))).collect()
    }

    fn parameters(&self, wanted: &Wanted) -> Vec<Candidate> {
        let Some(playbook) = wanted.before.first().and_then(|id| self.deps.playbooks.find(id)) else {
            return Vec::new();
        };
        let given = |name: &str| wanted.before.iter().any(|word| word.split('=').next() == Some(name));
        let open = playbook.parameters.into_iter().filter(|parameter| !given(&parameter.name));
        open.map(|parameter| candidate(format!("{}=", parameter.name), parameter.says)).collect()
    }
}

fn candidate(text: String, hint: String) -> Candidate {
    Candidate { text, hint }
}

/// `web:ana` is called `@ana`.
fn handle(id: &str) -> &str {
    id.rsplit(':').next().unwrap_or(id)
}
