//! The chart and the numbers of a card: what changed most, of the service that is blamed, else of those that suffer. Pure.

use std::time::Duration;

use super::gather::Window;
use super::observe::{Moved, Observed};
use super::rank::Verdict;
use super::scope::Scope;
use crate::analysis::Evidence;
use crate::chat::card::EvidenceRef;
use crate::chat::{Chart, Fact};
use crate::core::message::diagnose as say;
use crate::core::{IncidentId, Timestamp};

const FACTS: usize = 4;
/// Points of a chart.
const POINTS: usize = 400;

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
    // What moved next door, where the blamed service is not called, tells nothing about this.
    let blamed = verdicts.first().map(|verdict| verdict.service.as_str()).or(subject);
    let tells = |moved: &&Moved| {
        let below = scope.below(&moved.service);
        let ours =
            subject.is_some_and(|subject| subject == moved.service || scope.below(subject).contains(&moved.service));
        ours || blamed.is_none_or(|blamed| blamed == moved.service || below.contains(blamed))
    };
    let mut moved: Vec<&Moved> = observed.moved.iter().filter(tells).collect();
    moved.sort_by(|one, other| near(one).cmp(&near(other)).then(other.change.score.total_cmp(&one.change.score)));
    let chart = moved.first().map(|moved| Chart {
        caption: say::caption(
            moved.signal.what.trim_start_matches("the "),
            &moved.service,
            shown(moved.signal.points.iter().rev().take(POINTS).next_back().map(|(at, _)| *at), window),
        ),
        unit: moved.signal.unit.to_owned(),
        points: moved.signal.points.iter().copied().rev().take(POINTS).rev().collect(),
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

/// How far back a chart goes: to its first point, since a young series has less than the window. To whole minutes: a
/// caption is no measurement.
fn shown(first: Option<Timestamp>, window: &Window) -> Duration {
    let from = first.map_or(window.from, |first| first.max(window.from));
    let over = Duration::try_from(window.to.duration_since(from)).unwrap_or_default();
    Duration::from_secs(over.as_secs().div_ceil(60).max(1) * 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_young_series_is_said_to_be_young() {
        let to = Timestamp::UNIX_EPOCH + Duration::from_secs(100_000);
        let ago = |secs| to - Duration::from_secs(secs);
        let window = Window { from: ago(930), since: ago(30), to, step: Duration::from_secs(5), lasts: true };
        for (first, minutes) in [(Some(ago(105)), 2), (Some(ago(925)), 16), (None, 16), (Some(to), 1)] {
            assert_eq!(shown(first, &window), Duration::from_secs(minutes * 60), "{first:?}");
        }
    }
}
