//! An incident opened or an alert joined it: propose the playbook that fits best, and have the cause looked for.

use std::collections::BTreeSet;

use super::{Deps, Investigate, JOINED_PAUSE, Options, fold, inbox, investigate_queue, signal_queue};
use crate::access::Actor;
use crate::alert::{AlertId, Status};
use crate::core::message::heal as say;
use crate::core::{BoxFuture, IncidentId, RunId, Tainted};
use crate::incident::{Act, Incident, Input, OpenIncident, Phase, Signal};
use crate::playbook::{self, ProposeRequest, Proposed, RunState};
use crate::store::{self, Batch};
use crate::work::{Handler, Lease, Queue, Queued, Shard};

/// Who proposes, in the records.
const PART: &str = "heal";
/// So many of the newest runs are looked through for one whose brief has not reached its incident yet.
const NEWEST: usize = 50;
/// So many of the newest open incidents are asked whether they suffer from one that is over.
const SUFFERERS: usize = 1000;

pub(super) struct Signals {
    deps: Deps,
    propose: bool,
    queue: Queue<Signal>,
    investigations: Queue<Investigate>,
    inbox: Queue<Input>,
}

impl Signals {
    pub fn new(deps: Deps, options: &Options) -> Self {
        Self {
            propose: options.propose,
            queue: signal_queue(&deps.store, &deps.clock),
            investigations: investigate_queue(&deps.store, &deps.clock),
            inbox: inbox(&deps.store, &deps.clock),
            deps,
        }
    }

    /// Adds to the batch what follows from one signal. Proposing happens here and now: its key makes it harmless to come
    /// here again after a crash.
    async fn one(&self, batch: &mut Batch, shard: Shard, signal: &Signal) -> Result<(), store::Error> {
        let (id, alert, opened) = match signal {
            Signal::Opened { incident, alert } => (*incident, alert, true),
            Signal::Joined { incident, alert } => (*incident, alert, false),
            Signal::Resolved { incident } => return self.over(batch, *incident).await,
            Signal::Folded { incident } => return self.folded(*incident).await,
        };
        let Some(incident) = self.deps.incidents.incident(id).await? else {
            tracing::warn!(incident = %id, "a signal names an incident that is not there");
            return Ok(());
        };
        let due = self.deps.clock.now() + if opened { std::time::Duration::ZERO } else { JOINED_PAUSE };
        self.investigations.push_at(
            batch,
            shard,
            due,
            &Investigate { incident: id, again: opened, relations: false },
        )?;
        // What helps is proposed where the cause is.
        if self.propose
            && !incident.is_folded()
            && let Some(says) = self.propose(&incident, alert, opened).await?
        {
            let act = Act::Note { text: Tainted::new(says) };
            let note = Input::Act { incident: id, by: Actor::Mayday(PART.to_owned()), act };
            self.inbox.push(batch, Shard::of(&incident.group_key), &note)?;
        }
        Ok(())
    }

    /// The incident is over: its proposals are taken back, and who suffered from it and still does is looked at once what
    /// it left behind is past.
    async fn over(&self, batch: &mut Batch, id: IncidentId) -> Result<(), store::Error> {
        let Some(incident) = self.deps.incidents.incident(id).await? else { return Ok(()) };
        if incident.phase != Phase::Resolved {
            return Ok(());
        }
        // Those that say so themselves: its own list is bounded, and begins anew when it comes back.
        let open = self.deps.incidents.open(SUFFERERS).await?;
        let says =
            |other: &OpenIncident| other.relations.suffers_from.as_ref().is_some_and(|cause| cause.incident == id);
        let mut sufferers: BTreeSet<_> =
            open.iter().filter(|other| says(other)).map(|other| other.own.incident).collect();
        sufferers.extend(incident.known.relations.sufferers.iter().map(|other| other.incident));
        for other in sufferers {
            if let Some(other) = self.deps.incidents.incident(other).await? {
                let due = self.deps.clock.now() + fold::AFTERMATH;
                let look = Investigate { incident: other.id, again: false, relations: false };
                self.investigations.push_at(batch, Shard::of(&other.group_key), due, &look)?;
            }
        }
        self.withdraw(&incident, &say::incident_over(id)).await
    }

    async fn folded(&self, id: IncidentId) -> Result<(), store::Error> {
        let Some(incident) = self.deps.incidents.incident(id).await? else { return Ok(()) };
        let Some(cause) = incident.known.relations.suffers_from.clone() else { return Ok(()) };
        self.withdraw(&incident, &say::suffers_from(id, cause.incident)).await
    }

    /// What Mayday proposed for the incident and nobody has begun has no reason any more, and must not keep a plan for
    /// another incident away.
    async fn withdraw(&self, incident: &Incident, why: &str) -> Result<(), store::Error> {
        let id = incident.id;
        // A run whose brief is still on the way is among the newest.
        let mut open: BTreeSet<RunId> = incident.runs.iter().filter(|run| !run.ended).map(|run| run.run).collect();
        match self.deps.runs.list(None, NEWEST).await {
            Ok(views) => open.extend(views.iter().filter(|view| view.incident == Some(id)).map(|view| view.run)),
            Err(error) => tracing::warn!(incident = %id, %error, "the newest runs can't be read"),
        }
        for run in open {
            match self.deps.runs.get(run).await {
                Ok(Some(view)) if view.state != RunState::Ended && matches!(view.by, Actor::Mayday(_)) => {}
                // What a person proposed is theirs to end.
                Ok(_) => continue,
                Err(error) => {
                    tracing::warn!(incident = %id, %run, %error, "a run of a resolved incident can't be read");
                    continue;
                }
            }
            match self.deps.runs.withdraw(run, why.to_owned()).await {
                Ok(decided) => tracing::info!(incident = %id, %run, ?decided, why, "a proposal is taken back"),
                // Nobody drives it yet, right after a start: comes again.
                Err(playbook::Error::Store(error @ store::Error::Unavailable(_))) => return Err(error),
                Err(error) => tracing::warn!(incident = %id, %run, %error, "a proposal can't be taken back"),
            }
        }
        Ok(())
    }

    /// Proposes; gives a line for the timeline when a playbook fits and is not proposed.
    async fn propose(
        &self,
        incident: &Incident,
        alert: &AlertId,
        opened: bool,
    ) -> Result<Option<String>, store::Error> {
        let Some(alert) = self.deps.incidents.alert(alert).await? else { return Ok(None) };
        if !opened && alert.status == Status::Resolved {
            return Ok(None);
        }
        let playbook = match self.deps.triggers.best(&alert) {
            Ok(chosen) if chosen.names_service && self.deps.catalog.find(alert.service_name.as_data()).is_none() => {
                let why = say::unknown_service(alert.service_name.as_data());
                return Ok(opened.then(|| say::not_now(&chosen.playbook, &why)));
            }
            Ok(chosen) => chosen.playbook,
            // Said once per incident, not for every alert that joins.
            Err(none) if opened => return Ok(none.notes.first().map(|note| say::no_match(note))),
            Err(_) => return Ok(None),
        };
        let of_this = || incident.runs.iter().filter(|run| run.playbook == playbook);
        if of_this().any(|run| !run.ended) {
            return Ok(None);
        }
        if !opened && let Some(rejected) = of_this().rfind(|run| run.state == "rejected") {
            return Ok(Some(say::rejected_before(&playbook, rejected.run)));
        }
        let request = ProposeRequest {
            key: key(incident, &playbook),
            playbook: playbook.clone(),
            parameters: std::collections::BTreeMap::new(),
            incident: Some(incident.id),
            alert: Some(alert),
            by: Actor::Mayday(PART.to_owned()),
        };
        match self.deps.runs.propose(request).await {
            Ok(Proposed::New(run)) => {
                metrics::counter!("mayday_heal_proposals_total").increment(1);
                tracing::info!(incident = %incident.id, %run, %playbook, "proposed");
                Ok(None)
            }
            Ok(Proposed::Already(_)) => Ok(None),
            Err(playbook::Error::Store(error)) => Err(error),
            Err(error) => {
                tracing::warn!(incident = %incident.id, %playbook, %error, "not proposed");
                Ok(opened.then(|| say::not_now(&playbook, &error.to_string())))
            }
        }
    }
}

/// The same until a run of this playbook has come and ended for this incident, so that alerts that join while one is open,
/// or while its brief is still on the way, propose nothing new. Numbers of runs only grow: it never comes again.
fn key(incident: &Incident, playbook: &str) -> String {
    match incident.newest_run(playbook) {
        Some(newest) => format!("{}/{playbook}/after-{newest}", incident.id),
        None => format!("{}/{playbook}/first", incident.id),
    }
}

impl Handler<Signal> for Signals {
    fn handle<'a>(&'a self, lease: &'a Lease, items: Vec<Queued<Signal>>) -> BoxFuture<'a, Result<(), store::Error>> {
        Box::pin(async move {
            let mut batch = Batch::new();
            lease.guard(&mut batch);
            for item in &items {
                self.one(&mut batch, lease.shard, &item.record).await?;
                self.queue.done(&mut batch, item);
            }
            self.deps.store.commit(batch).await.map(|_| ())
        })
    }
}
