//! One fault rings in many places: who suffers from a service that has an incident of its own is folded into that one.
//!
//! Whom a search blames is stored with the incident, so whichever of the two is looked at later finds the other: a
//! consequence looks for the cause's open incident, a cause for open incidents that blame it. Each is looked at at once and
//! once more a little later, which covers that both were looked at at the same moment.
//!
//! Searches of the same moment may also blame each other, two or more in a circle: then each would be folded and nobody asked.
//! A cause that suffers itself from who asks is refused; and a moment after a fold it is looked whether it closed a circle,
//! where the oldest incident stands alone again.

use std::time::Duration;

use super::{Explained, Investigate, Investigator};
use crate::core::Timestamp;
use crate::incident::{Incident, Input, OpenIncident, Related};
use crate::store::{self, Batch};
use crate::work::Shard;

/// So many of the newest open incidents are looked through; in a larger storm older ones stand for themselves.
const OPEN: usize = 200;
/// After its cause is over an incident may go on for so long and still be its consequence: rates and averages over some
/// time end that much later.
pub(super) const AFTERMATH: Duration = Duration::from_secs(120);
/// By then what was folded at the same moment has been applied.
const SETTLED: Duration = Duration::from_secs(3);
/// A chain of causes is followed so far.
const CHAIN: usize = 16;

impl Investigator {
    /// Adds to the batch what a search says about who suffers from whom.
    pub(super) async fn relate(
        &self,
        batch: &mut Batch,
        incident: &Incident,
        explained: &Explained,
    ) -> Result<(), store::Error> {
        if self.open_circle(batch, incident).await? {
            return Ok(());
        }
        let current = incident.known.relations.suffers_from.as_ref();
        let open = || self.deps.incidents.open(OPEN);
        match &explained.cause {
            Some(service) => match self.root(incident, service, &open().await?).await? {
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
                for OpenIncident { own: other, relations } in open().await? {
                    // It knows it as its consequence from before it came back.
                    if relations.sufferers.iter().any(|one| one.incident == own.incident) {
                        self.note(batch, &other, own.clone(), false).await?;
                    }
                    let blames = relations.blames.as_deref().is_some_and(|service| service == own.service);
                    let alone = relations.suffers_from.is_none() && other.incident != own.incident;
                    if blames
                        && alone
                        && !own.service.is_empty()
                        && let Some(other) = self.deps.incidents.incident(other.incident).await?
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
            let check = Investigate { incident: incident.id, again: false, relations: true };
            let due = self.deps.clock.now() + SETTLED;
            self.queue.push_at(batch, Shard::of(&incident.group_key), due, &check)?;
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

    /// The incident that is the cause, where the service that is blamed has an open one: that, or the one it is folded into
    /// itself. None too if it suffers from this one: that can't be.
    async fn root(
        &self,
        incident: &Incident,
        service: &str,
        open: &[OpenIncident],
    ) -> Result<Option<Related>, store::Error> {
        let own = &incident.known.relations.sufferers;
        let blamed = open.iter().find(|other| other.own.incident != incident.id && other.own.service == service);
        let Some(blamed) = blamed else { return Ok(None) };
        let Some(mut cause) = self.deps.incidents.incident(blamed.own.incident).await? else { return Ok(None) };
        for _ in 0..CHAIN {
            if cause.id == incident.id || own.iter().any(|one| one.incident == cause.id) {
                return Ok(None);
            }
            let Some(further) = self.cause_of(&cause).await? else { return Ok(Some(cause.related())) };
            cause = further;
        }
        Ok(None)
    }

    /// The open incident that this one is folded into.
    async fn cause_of(&self, incident: &Incident) -> Result<Option<Incident>, store::Error> {
        let Some(cause) = &incident.known.relations.suffers_from else { return Ok(None) };
        let cause = self.deps.incidents.incident(cause.incident).await?;
        Ok(cause.filter(|cause| !cause.phase.is_over()))
    }

    /// If incidents are folded into one another in a circle that this one is part of, the oldest of them stands alone again,
    /// whoever of them notices; says whether it is so.
    pub(super) async fn open_circle(&self, batch: &mut Batch, incident: &Incident) -> Result<bool, store::Error> {
        let mut oldest = incident.clone();
        let mut next = self.cause_of(incident).await?;
        for _ in 0..CHAIN {
            let Some(other) = next else { return Ok(false) };
            if other.id == incident.id {
                tracing::info!(incident = %oldest.id, "incidents are folded in a circle; the oldest stands alone");
                self.unfold(batch, &oldest).await?;
                return Ok(true);
            }
            next = self.cause_of(&other).await?;
            if other.id < oldest.id {
                oldest = other;
            }
        }
        Ok(false)
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
    let since = cause.over_at().map(|end| now.duration_since(end));
    since.and_then(|since| Duration::try_from(since).ok()).is_some_and(|since| since < AFTERMATH)
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

        /// Looks only who is folded into whom.
        async fn check(&self, incident: &Incident) {
            let investigator = self.investigator();
            let mut batch = Batch::new();
            investigator.open_circle(&mut batch, incident).await.unwrap();
            self.commit(batch).await;
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

    /// Another open incident, of this service, folded into that one.
    fn suffering(id: u64, service: &str, cause: &Incident) -> Incident {
        let mut suffering = incident();
        (suffering.id, suffering.service) = (IncidentId::new(id), service.into());
        suffering.group_key = format!("service_name={service}");
        suffering.known.relations.suffers_from = Some(cause.related());
        suffering
    }

    #[tokio::test]
    async fn who_suffers_from_it_is_no_cause_of_it_directly_or_further_on() {
        let bench = Bench::new().await;
        bench.has(suffering(9, "inventory-service", &incident()));
        assert_eq!(bench.looks(blamed()).await, [], "it suffers from this one");
        let bench = Bench::new().await;
        let between = suffering(8, "gateway", &incident());
        bench.has(between.clone());
        bench.has(suffering(9, "inventory-service", &between));
        assert_eq!(bench.looks(blamed()).await, [], "by way of another");
        // Listed here already, though its own record does not say so yet.
        let bench = Bench::new().await;
        let mut cause = incident();
        cause.known.relations.sufferers.push(inventory().related());
        bench.has(cause);
        bench.has(inventory());
        assert_eq!(bench.looks(blamed()).await, []);
    }

    #[tokio::test]
    async fn of_those_that_were_folded_in_a_circle_the_oldest_stands_alone_whoever_notices() {
        let seven = IncidentId::new(7);
        for others in [vec![9], vec![9, 10]] {
            let bench = Bench::new().await;
            let mut ring = vec![incident()];
            ring.extend(others.iter().map(|id| suffering(*id, &format!("s{id}"), &incident())));
            for at in 0..ring.len() {
                let cause = ring[(at + 1) % ring.len()].related();
                ring[at].known.relations.suffers_from = Some(cause);
                bench.has(ring[at].clone());
            }
            for one in &ring {
                bench.check(one).await;
            }
            let inbox = bench.inbox().await;
            let alone = |input: &&Input| **input == Input::SuffersFrom { incident: seven, cause: None };
            assert_eq!(inbox.iter().filter(alone).count(), ring.len(), "harmless when it is said twice: {inbox:?}");
            for younger in &ring[1..] {
                let folds = |input: &Input| matches!(input, Input::SuffersFrom { .. });
                assert!(!bench.inbox_of(younger).await.iter().any(folds), "{} stays folded", younger.id);
            }
            // It stands alone now; the others' chain ends at it.
            bench.has(incident());
            let before = bench.inbox().await.len();
            bench.check(&ring[1]).await;
            assert_eq!(bench.inbox().await.len(), before);
        }
    }

    #[tokio::test]
    async fn a_fold_is_looked_at_again_a_moment_later_without_a_search() {
        let bench = Bench::new().await;
        bench.has(inventory());
        assert_eq!(bench.looks(blamed()).await.len(), 1);
        bench.has(folded());
        bench.has(suffering(9, "inventory-service", &incident()));
        *bench.world.explained.lock().unwrap() = None;
        bench.clock.advance(SETTLED);
        let waiting = bench.investigations().await;
        assert!(waiting.iter().all(|item| item.record.relations) && waiting.len() == 1, "{waiting:?}");
        bench.investigate(Duration::from_secs(5)).await;
        assert!(bench.inbox().await.contains(&Input::SuffersFrom { incident: SEVEN, cause: None }));
    }

    #[tokio::test]
    async fn what_came_back_for_a_reason_of_its_own_is_taken_off_the_list_of_its_former_cause() {
        let bench = Bench::new().await;
        let mut former = inventory();
        former.known.relations.sufferers.push(incident().related());
        bench.has(former);
        bench.looks(explained("order-service hangs")).await;
        let off = Input::Sufferer { incident: NINE, other: incident().related(), suffers: false };
        assert!(bench.inbox_of(&inventory()).await.contains(&off));
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
        // Its own list has been forgotten: it came back once in between.
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
    async fn how_long_its_cause_is_over_is_what_the_causes_alerts_say() {
        let bench = Bench::new().await;
        let now = crate::core::Clock::now(&bench.clock);
        let mut over = inventory();
        (over.phase, over.resolved_at, over.known.over_at) = (Phase::Resolved, Some(now), Some(now - AFTERMATH));
        bench.has(over);
        bench.has(folded());
        let alone = Input::SuffersFrom { incident: SEVEN, cause: None };
        assert!(bench.looks(blamed()).await.contains(&alone), "it was heard of late");
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
