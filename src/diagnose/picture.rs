//! The chart and the numbers of a card: what changed most, of the service that is blamed, else of those that suffer. Pure.

use std::time::Duration;

use super::gather::Window;
use super::observe::{Moved, Observed};
use super::rank::Verdict;
use super::scope::Scope;
use crate::analysis::Evidence;
use crate::chat::card::EvidenceRef;
use crate::chat::{Chart, Fact};
use crate::core::IncidentId;
use crate::core::message::diagnose as say;

const FACTS: usize = 4;

pub(super) fn of(
    observed: &Observed,
    verdicts: &[Verdict],
    evidence: &[(usize, Evidence)],
    scope: &Scope,
    window: &Window,
    incident: Option<IncidentId>,
) -> (Option<Chart>, Vec<Fact>) {
    let subject = scope.services.first().map(|service| service.name.as_str());
    let near = |moved: &Moved| {
        // Blamed, then the sick one itself, then the rest.
        let blamed = verdicts.first().is_some_and(|verdict| verdict.service == moved.service);
        if blamed {
            0
        } else if Some(moved.service.as_str()) == subject {
            1
        } else {
            2
        }
    };
    let mut moved: Vec<&Moved> = observed.moved.iter().collect();
    moved.sort_by(|one, other| near(one).cmp(&near(other)).then(other.change.score.total_cmp(&one.change.score)));
    let over = Duration::try_from(window.to.duration_since(window.from)).unwrap_or_default();
    // To whole minutes: a caption is no measurement.
    let over = Duration::from_secs(over.as_secs().div_ceil(60) * 60);
    let chart = moved.first().map(|moved| Chart {
        caption: say::caption(moved.signal.what.trim_start_matches("the "), &moved.service, over),
        unit: moved.signal.unit.to_owned(),
        points: moved.signal.points.iter().copied().rev().take(400).rev().collect(),
        threshold: Some(match moved.signal.full {
            Some(full) => (format!("full at {}", say::amount(full, moved.signal.unit)), full),
            None => (say::normal(moved.change.before, moved.signal.unit), moved.change.before),
        }),
        mark: Some((say::clock(moved.change.at), moved.change.at)),
    });
    let facts = moved.iter().take(FACTS).map(|moved| {
        let proof = evidence.iter().find(|(index, _)| *index == moved.evidence).map(|(_, piece)| piece.id.0.clone());
        let reference = proof.zip(incident).map(|(id, incident)| {
            let path = format!("/incidents/{incident}/evidence/{id}");
            EvidenceRef { id, path }
        });
        let what = moved.signal.what.trim_start_matches("the ");
        let name = if Some(moved.service.as_str()) == subject {
            what.to_owned()
        } else {
            format!("{what} of {}", moved.service)
        };
        Fact {
            name,
            value: say::amount(moved.change.after, moved.signal.unit),
            normal: Some(say::normal(moved.change.before, moved.signal.unit)),
            evidence: reference.into_iter().collect(),
        }
    });
    (chart, facts.collect())
}
