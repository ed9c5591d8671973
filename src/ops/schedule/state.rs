//! What is remembered of a schedule: for each timetable that a living replica has, up to which tick it is decided.
//!
//! A changed configuration comes one replica after the other, so for a while two timetables stand for one schedule. Each goes
//! on from its own state, and a moment that several have is decided by whoever comes first. A timetable that no replica
//! spoke for while others did ([`GONE`]) is forgotten: should its text come back, it begins anew and makes up for nothing.
//!
//! A Mayday of before knows the timetable of the last writer only, and begins anew when that is another one than its own.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::timetable::Timetable;
use crate::core::Timestamp;
use crate::store::Record;

/// While there are several, each is spoken for this often.
const TOUCH: Duration = Duration::from_secs(300);
/// A timetable that no replica spoke for this long, while others looked, is gone. A text that is taken back within it makes up
/// for ticks that nobody had then, so it is no longer than a busy replica may need.
const GONE: Duration = Duration::from_secs(3 * TOUCH.as_secs());
/// So many timetables of one schedule are kept.
const MOST: usize = 8;

/// The record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// The timetable of the replica that wrote last.
    #[serde(flatten)]
    own: Table,
    /// The newest tick that something was done for.
    #[serde(default)]
    pub last: Option<Timestamp>,
    /// Other replicas' timetables, the one that was written last first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    others: Vec<Table>,
}
impl Record for State {}

/// How far one timetable is decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Table {
    /// The pattern and the zone.
    timetable: String,
    /// It decides ticks after here. Records of before do not say; they were the only ones.
    #[serde(default)]
    since: Timestamp,
    /// Ticks up to here are decided.
    until: Timestamp,
    /// When a replica last spoke for it.
    #[serde(default)]
    seen: Timestamp,
}

impl Table {
    const fn begun(timetable: String, now: Timestamp) -> Self {
        Self { timetable, since: now, until: now, seen: now }
    }

    /// Whether it was missing for too long at a moment when others were seen.
    fn is_gone(&self, others_seen: Timestamp) -> bool {
        is_longer(self.seen, others_seen, GONE)
    }

    fn has_decided(&self, tick: Timestamp) -> bool {
        self.since < tick && tick <= self.until && Timetable::of_text(&self.timetable).is_some_and(|own| own.has(tick))
    }
}

fn is_longer(from: Timestamp, to: Timestamp, span: Duration) -> bool {
    Duration::try_from(to.duration_since(from)).is_ok_and(|passed| passed > span)
}

impl State {
    /// The record as the replica with this timetable goes on from it, and whether it must be written even if nothing is due.
    pub fn taken_up(read: Option<Self>, timetable: String, now: Timestamp) -> (Self, bool) {
        let Some(Self { own, last, mut others }) = read else {
            return (Self { own: Table::begun(timetable, now), last: None, others: Vec::new() }, true);
        };
        others.insert(0, own);
        let looked = others.iter().map(|table| table.seen).max().unwrap_or(now);
        let stood = others.len();
        others.retain(|table| !table.is_gone(looked));
        let forgot = others.len() < stood;
        // While nobody looked, nobody was missing.
        if is_longer(looked, now, GONE) {
            others.iter_mut().for_each(|table| table.seen = now);
        }
        let known = others.iter().position(|table| table.timetable == timetable).map(|at| others.remove(at));
        others.truncate(MOST - 1);
        let must = forgot || known.as_ref().is_none_or(|own| !others.is_empty() && is_longer(own.seen, now, TOUCH));
        let own = known.unwrap_or_else(|| Table::begun(timetable, now));
        (Self { own: Table { seen: now, ..own }, last, others }, must)
    }

    /// Ticks up to here are decided for the replica's own timetable.
    pub const fn until(&self) -> Timestamp {
        self.own.until
    }

    /// Decides the own timetable's ticks up to this one; the newest of them that something is done for, if any.
    pub fn decide(&mut self, until: Timestamp, last: Option<Timestamp>) {
        self.own.until = until;
        self.last = self.last.max(last);
    }

    /// Whether another timetable has this tick too, and it was decided there.
    pub fn is_decided_elsewhere(&self, tick: Timestamp) -> bool {
        self.others.iter().any(|table| table.has_decided(tick))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(1_795_219_200 + 60 * minutes).unwrap()
    }

    fn texts(state: &State) -> Vec<&str> {
        state.others.iter().map(|table| table.timetable.as_str()).collect()
    }

    #[test]
    fn a_timetable_is_forgotten_when_others_looked_for_a_quarter_of_an_hour_and_it_did_not() {
        let (first, _) = State::taken_up(None, "a".to_owned(), at(0));
        // Long alone and never touched: it is as alive as any other when a second one comes.
        let (mut state, must) = State::taken_up(Some(first), "b".to_owned(), at(10_000));
        assert!(must && texts(&state) == ["a"]);
        for minute in 1..=15 {
            let (next, must) = State::taken_up(Some(state.clone()), "b".to_owned(), at(10_000 + minute));
            if must {
                state = next;
            }
        }
        let (again, must) = State::taken_up(Some(state.clone()), "a".to_owned(), at(10_015));
        assert!(must && again.until() == at(0), "not gone yet: it goes on where it was");
        for minute in 16..=25 {
            let (next, must) = State::taken_up(Some(state.clone()), "b".to_owned(), at(10_000 + minute));
            if must {
                state = next;
            }
        }
        assert_eq!(texts(&state), [""; 0]);
        let (again, _) = State::taken_up(Some(state), "a".to_owned(), at(10_026));
        assert_eq!(again.until(), at(10_026), "it begins anew");
    }

    #[test]
    fn while_nobody_looked_nobody_was_missing() {
        let (state, _) = State::taken_up(None, "a".to_owned(), at(0));
        let (state, _) = State::taken_up(Some(state), "b".to_owned(), at(1));
        let (state, _) = State::taken_up(Some(state), "b".to_owned(), at(50_000));
        let (state, _) = State::taken_up(Some(state), "a".to_owned(), at(50_030));
        assert_eq!((state.until(), texts(&state)), (at(0), vec!["b"]));
    }

    #[test]
    fn one_alone_is_not_written_without_need_and_many_are_bounded() {
        let (state, _) = State::taken_up(None, "a".to_owned(), at(0));
        assert!(!State::taken_up(Some(state.clone()), "a".to_owned(), at(30)).1);
        let many = (0..20).fold(state, |state, n| State::taken_up(Some(state), format!("t{n}"), at(1)).0);
        assert_eq!((many.others.len(), many.others[0].timetable.as_str()), (MOST - 1, "t18"));
    }

    #[test]
    fn a_record_of_before_goes_on_and_one_of_now_is_read_by_the_mayday_of_before() {
        let old = serde_json::json!({"until": at(5), "timetable": "* * * * * UTC", "last": at(5)});
        let old: State = serde_json::from_value(old).unwrap();
        let (state, must) = State::taken_up(Some(old), "* * * * * UTC".to_owned(), at(50));
        assert!(!must && state.until() == at(5) && state.last == Some(at(5)));
        let (state, _) = State::taken_up(Some(state), "0 * * * * UTC".to_owned(), at(50));
        assert!(state.is_decided_elsewhere(at(4)) && !state.is_decided_elsewhere(at(6)));
        // What it reads: the last writer's, under the names of before.
        let now = serde_json::to_value(&state).unwrap();
        assert_eq!(
            (&now["until"], &now["timetable"], &now["last"]),
            (&serde_json::json!(at(50)), &serde_json::json!("0 * * * * UTC"), &serde_json::json!(at(5)))
        );
    }
}
