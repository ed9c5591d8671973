//! One fault rings in many places: who suffers from a service that has an incident of its own is folded into that one.
//!
//! Whom a search blames is stored with the incident, so whichever of the two is looked at later finds the other: a
//! consequence looks for the cause's open incident, a cause for open incidents that blame it. Each is looked at at once and
//! once more a little later, which covers that both were looked at at the same moment.

use std::time::Duration;

use super::{Explained, Investigator};
use crate::core::Timestamp;
use crate::incident::{Incident, Input, Related};
use crate::store::{self, Batch};
use crate::work::Shard;

/// So many of the newest open incidents are looked through; in a larger storm older ones stand for themselves.
const OPEN: usize = 200;
/// After its cause is over an incident may go on for so long and still be its consequence: rates and averages over some
/// time end that much later.
pub(super) const AFTERMATH: Duration = Duration::from_secs(120);

impl Investigator {
    /// Adds to the batch what a search says about who suffers from whom.
    pub(super) async fn relate(
        &self,
        batch: &mut Batch,
        incident: &Incident,
        explained: &Explained,
    ) -> Result<(), store::Error> {
        let current = incident.known.relations.suffers_from.as_ref();
        let open = || self.deps.incidents.open(OPEN);
        match &explained.cause {
            Some(service) => match root(incident, service, &open().await?) {
                Some(cause) => self.fold(batch, incident, &cause).await,
                None if self.holds_still(current).await? => Ok(()),
                None => self.unfold(batch, incident).await,
            },
            // Nothing was seen: that is no reason to think otherwise.
            None if explained.findings.is_empty() && self.holds_still(current).await? => Ok(()),
            None if current.is_some() && self.fades(current).await? => Ok(()),
            None => {
                self.unfold(batch, incident).await?;
                let own = incident.related();
                for other in open().await? {
                    let relations = &other.known.relations;
                    let blames = relations.blames.as_deref().is_some_and(|service| service == own.service);
                    if blames && relations.suffers_from.is_none() && other.id != incident.id && !own.service.is_empty()
                    {
                        self.fold(batch, &other, &own).await?;
                    }
                }
                Ok(())
            }
        }
    }

    async fn fold(&self, batch: &mut Batch, incident: &Incident, cause: &Related) -> Result<(), store::Error> {
        let before = incident.known.relations.suffers_from.as_ref();
        if before.is_some_and(|before| before != cause) {
            self.leave(batch, incident).await?;
        }
        if before != Some(cause) {
            self.push(batch, incident, &Input::SuffersFrom { incident: incident.id, cause: Some(cause.clone()) })?;
        }
        // Also when it is no news here: the cause forgets who suffered when it comes back.
        self.note(batch, cause, incident.related(), true).await
    }

    async fn unfold(&self, batch: &mut Batch, incident: &Incident) -> Result<(), store::Error> {
        if !incident.is_folded() {
            return Ok(());
        }
        self.leave(batch, incident).await?;
        self.push(batch, incident, &Input::SuffersFrom { incident: incident.id, cause: None })
    }

    async fn leave(&self, batch: &mut Batch, incident: &Incident) -> Result<(), store::Error> {
        match &incident.known.relations.suffers_from {
            Some(before) => self.note(batch, before, incident.related(), false).await,
            None => Ok(()),
        }
    }

    /// Tells the cause's incident who suffers from it, or no longer does.
    async fn note(
        &self,
        batch: &mut Batch,
        cause: &Related,
        other: Related,
        suffers: bool,
    ) -> Result<(), store::Error> {
        let Some(cause) = self.deps.incidents.incident(cause.incident).await? else { return Ok(()) };
        let listed = cause.known.relations.sufferers.iter().any(|one| one.incident == other.incident);
        if listed == suffers {
            return Ok(());
        }
        self.push(batch, &cause, &Input::Sufferer { incident: cause.id, other, suffers })
    }

    fn push(&self, batch: &mut Batch, incident: &Incident, input: &Input) -> Result<(), store::Error> {
        self.inbox.push(batch, Shard::of(&incident.group_key), input).map(|_| ())
    }

    /// Whether the incident it was folded into still explains it: open, or over a moment ago.
    async fn holds_still(&self, cause: Option<&Related>) -> Result<bool, store::Error> {
        let Some(cause) = cause else { return Ok(false) };
        let Some(cause) = self.deps.incidents.incident(cause.incident).await? else { return Ok(false) };
        Ok(!cause.phase.is_over() || just_over(&cause, self.deps.clock.now()))
    }

    /// Whether the incident it was folded into is over since a moment: what goes on is what it left behind.
    async fn fades(&self, cause: Option<&Related>) -> Result<bool, store::Error> {
        let Some(cause) = cause else { return Ok(false) };
        let cause = self.deps.incidents.incident(cause.incident).await?;
        Ok(cause.is_some_and(|cause| just_over(&cause, self.deps.clock.now())))
    }
}

fn just_over(cause: &Incident, now: Timestamp) -> bool {
    let since = cause.resolved_at.filter(|_| cause.phase.is_over()).map(|end| now.duration_since(end));
    since.and_then(|since| Duration::try_from(since).ok()).is_some_and(|since| since < AFTERMATH)
}

/// The open incident of the service that is blamed, or the one that this is folded into itself.
fn root(incident: &Incident, service: &str, open: &[Incident]) -> Option<Related> {
    let cause = open.iter().find(|other| other.id != incident.id && other.service.as_data() == service)?;
    match &cause.known.relations.suffers_from {
        // It suffers from this one: that can't be.
        Some(further) if further.incident == incident.id => None,
        Some(further) => Some(further.clone()),
        None => Some(cause.related()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Bench, SEVEN, explained, incident, opened};
    use super::*;
    use crate::core::IncidentId;
    use crate::incident::{Phase, Signal};

    const NINE: IncidentId = IncidentId::new(9);

    /// The incident of what order-service calls.
    fn inventory() -> Incident {
        let mut inventory = incident();
        inventory.id = NINE;
        inventory.service = "inventory-service".into();
        inventory.group_key = "service_name=inventory-service".to_owned();
        inventory
    }

    fn blamed() -> Explained {
        let mut found = explained("inventory-service: answers nothing");
        found.findings[0].component = "inventory-service".to_owned();
        found.cause = Some("inventory-service".to_owned());
        found
    }

    fn folded() -> Incident {
        let mut folded = incident();
        folded.known.relations.blames = Some("inventory-service".to_owned());
        folded.known.relations.suffers_from = Some(inventory().related());
        folded
    }

    impl Bench {
        fn has(&self, incident: Incident) {
            self.world.incidents.lock().unwrap().insert(incident.id, incident);
        }

        async fn looks(&self, found: Explained) -> Vec<Input> {
            *self.world.explained.lock().unwrap() = Some(found);
            self.signal(opened("other")).await;
            self.investigate(Duration::from_secs(5)).await;
            let inputs = self.inbox().await.into_iter();
            inputs.filter(|input| matches!(input, Input::SuffersFrom { .. } | Input::Sufferer { .. })).collect()
        }
    }

    #[tokio::test]
    async fn a_consequence_is_folded_into_the_open_incident_of_its_cause() {
        let bench = Bench::new().await;
        assert_eq!(bench.looks(blamed()).await, [], "the cause has no incident");
        bench.has(inventory());
        let folds = bench.looks(blamed()).await;
        assert_eq!(folds, [Input::SuffersFrom { incident: SEVEN, cause: Some(inventory().related()) }]);
        let listed = Input::Sufferer { incident: NINE, other: incident().related(), suffers: true };
        assert!(bench.inbox_of(&inventory()).await.contains(&listed));
    }

    #[tokio::test]
    async fn a_cause_that_opens_later_takes_in_who_blames_it() {
        let bench = Bench::new().await;
        let mut gateway = incident();
        gateway.id = NINE;
        gateway.service = "gateway".into();
        gateway.known.relations.blames = Some("order-service".to_owned());
        bench.has(gateway.clone());
        let folds = bench.looks(explained("order-service hangs")).await;
        assert!(folds.contains(&Input::SuffersFrom { incident: NINE, cause: Some(incident().related()) }), "{folds:?}");
        assert!(folds.contains(&Input::Sufferer { incident: SEVEN, other: gateway.related(), suffers: true }));
    }

    #[tokio::test]
    async fn nothing_is_proposed_for_a_consequence() {
        let bench = Bench::new().await;
        bench.has(folded());
        bench.signal(opened("Service_Down")).await;
        assert!(bench.world.proposed.lock().unwrap().is_empty());
        bench.has(incident());
        bench.signal(opened("Service_Down")).await;
        assert_eq!(bench.world.proposed.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn what_outlasts_its_cause_stands_alone_again_after_a_while() {
        let bench = Bench::new().await;
        let mut over = inventory();
        over.known.relations.sufferers.push(incident().related());
        (over.phase, over.resolved_at) = (Phase::Resolved, Some(crate::core::Clock::now(&bench.clock)));
        bench.has(over);
        bench.has(folded());
        bench.signal(Signal::Resolved { incident: NINE }).await;
        assert_eq!(bench.looks(blamed()).await, [], "rates end later than what they count");
        assert_eq!(bench.looks(explained("order-service: fails")).await, []);
        bench.clock.advance(AFTERMATH);
        bench.investigate(Duration::from_secs(5)).await;
        let alone = Input::SuffersFrom { incident: SEVEN, cause: None };
        assert!(bench.inbox().await.contains(&alone));
    }

    #[tokio::test]
    async fn a_fault_of_its_own_takes_it_out_at_once() {
        let bench = Bench::new().await;
        bench.has(inventory());
        bench.has(folded());
        let mut nothing = Explained { not_seen: vec!["metrics".to_owned()], ..Explained::default() };
        nothing.evidence.clone_from(&explained("").evidence);
        assert_eq!(bench.looks(nothing).await, [], "nothing seen is no reason");
        let alone = Input::SuffersFrom { incident: SEVEN, cause: None };
        assert!(bench.looks(explained("order-service hangs")).await.contains(&alone));
    }
}
