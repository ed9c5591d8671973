//! What a group of commits asks of the database: decided here, purely, before anyone is asked.
//!
//! The commits of a group are decided one after the other, as if each had been committed before the next. What they
//! require of the database is assumed to hold, and sent along as conditions of the whole group. If one does not hold, the
//! database says what it found, and the group is decided again with that: then some commits are refused and the rest goes.
//! So a group costs one call, and one commit's conflict does not fail the others.

use std::collections::HashMap;

use crate::store::{Batch, Condition, Key, Revision, Write};

/// So many parts below one first part are told apart in what others are told; above, they are told the first part.
const PARTS: usize = 8;

/// What the database is known to hold: the revision of a key, none where nothing stands.
pub(super) type Known = HashMap<Key, Option<Revision>>;

/// A key's new value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Put<'a> {
    pub value: &'a [u8],
    /// Which of the group's accepted commits wrote it; the first is 1.
    pub by: u64,
}

/// A decided group.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    /// What must hold for the decisions to be right.
    pub needs: HashMap<&'a Key, Option<Revision>>,
    /// Each written key's last value; none where it is deleted.
    pub writes: HashMap<&'a Key, Option<Put<'a>>>,
    /// For each commit: which of the accepted it is, or the key whose condition does not hold.
    pub answers: Vec<Result<u64, Key>>,
    /// How many were accepted.
    pub accepted: u64,
    /// Whether everything needed is what the database said of itself, and nothing is left to be asked.
    pub settled: bool,
}

/// Decides a group.
pub(super) fn decide<'a>(batches: impl Iterator<Item = &'a Batch>, known: &Known) -> Plan<'a> {
    let mut plan =
        Plan { needs: HashMap::new(), writes: HashMap::new(), answers: Vec::new(), accepted: 0, settled: true };
    for batch in batches {
        let wrong = batch.conditions.iter().find(|condition| !plan.holds(condition, known));
        let answer = match wrong {
            Some(Condition::Absent(key) | Condition::Unchanged(key, _)) => Err(key.clone()),
            None => {
                plan.accepted += 1;
                for write in &batch.writes {
                    match write {
                        Write::Put(key, value) => plan.writes.insert(key, Some(Put { value, by: plan.accepted })),
                        Write::Delete(key) => plan.writes.insert(key, None),
                    };
                }
                Ok(plan.accepted)
            }
        };
        plan.answers.push(answer);
    }
    plan.settled &= plan.accepted == 0;
    plan
}

impl<'a> Plan<'a> {
    fn holds(&mut self, condition: &'a Condition, known: &Known) -> bool {
        let (key, wanted) = match condition {
            Condition::Absent(key) => (key, None),
            Condition::Unchanged(key, revision) => (key, Some(*revision)),
        };
        if let Some(written) = self.writes.get(key) {
            // Nobody can know the revisions of this group yet.
            return written.is_none() && wanted.is_none();
        }
        let settled = &mut self.settled;
        let found = *self.needs.entry(key).or_insert_with(|| {
            known.get(key).copied().unwrap_or_else(|| {
                *settled = false;
                wanted
            })
        });
        found == wanted
    }

    /// What others are told has changed: the first two parts of the keys, or the first where there are many.
    pub fn prefixes(&self) -> Vec<&'a str> {
        let mut below: HashMap<&str, Vec<&str>> = HashMap::new();
        for key in self.writes.keys() {
            let mut ends = key.as_str().match_indices('/').map(|(at, _)| at).chain([key.as_str().len()]);
            let first = ends.next().unwrap_or(0);
            let second = ends.next().unwrap_or(first);
            let seen = below.entry(&key.as_str()[..first]).or_default();
            let part = &key.as_str()[..second];
            if seen.len() <= PARTS && !seen.contains(&part) {
                seen.push(part);
            }
        }
        below.into_iter().flat_map(|(first, seen)| if seen.len() > PARTS { vec![first] } else { seen }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::stored(text.to_owned())
    }

    fn batch(conditions: &[(&str, Option<u64>)], writes: &[(&str, Option<&str>)]) -> Batch {
        let mut batch = Batch::new();
        for (at, revision) in conditions {
            batch.require_as_read(key(at), revision.map(Revision));
        }
        for (at, value) in writes {
            batch.writes.push(match value {
                Some(value) => Write::Put(key(at), value.as_bytes().to_vec()),
                None => Write::Delete(key(at)),
            });
        }
        batch
    }

    #[test]
    fn commits_that_agree_go_together_and_each_counts() {
        let group =
            [batch(&[("a", Some(4))], &[("b", Some("1"))]), batch(&[("a", Some(4))], &[("b", Some("2")), ("c", None)])];
        let plan = decide(group.iter(), &Known::new());
        assert_eq!(plan.answers, [Ok(1), Ok(2)]);
        assert_eq!(plan.needs, HashMap::from([(&key("a"), Some(Revision(4)))]));
        assert_eq!(plan.writes[&key("b")], Some(Put { value: b"2", by: 2 }));
        assert!(plan.writes[&key("c")].is_none() && !plan.settled);
    }

    #[test]
    fn of_two_that_want_the_same_place_the_first_gets_it() {
        let group = [batch(&[("a", None)], &[("a", Some("1"))]), batch(&[("a", None)], &[("a", Some("2"))])];
        let plan = decide(group.iter(), &Known::new());
        assert_eq!(plan.answers, [Ok(1), Err(key("a"))]);
        // What stands there already was found to be something: nobody gets it, and nobody need be asked again.
        let plan = decide(group.iter(), &Known::from([(key("a"), Some(Revision(1)))]));
        assert_eq!(plan.answers, [Err(key("a")), Err(key("a"))]);
        assert!(plan.settled);
    }

    #[test]
    fn a_place_freed_by_one_is_free_for_the_next() {
        let group = [batch(&[("a", Some(1))], &[("a", None)]), batch(&[("a", None)], &[("a", Some("2"))])];
        let plan = decide(group.iter(), &Known::new());
        assert_eq!(plan.answers, [Ok(1), Ok(2)]);
        assert_eq!(plan.needs, HashMap::from([(&key("a"), Some(Revision(1)))]));
    }

    #[test]
    fn a_refusal_that_rests_on_an_assumption_is_asked_for() {
        let group = [batch(&[("a", Some(1)), ("b", Some(2))], &[("x", Some("1"))])];
        let plan = decide(group.iter(), &Known::from([(key("b"), None)]));
        assert_eq!(plan.answers, [Err(key("b"))]);
        assert!(!plan.settled, "whether `a` was wrong already is not known");
    }

    #[test]
    fn others_are_told_few_prefixes() {
        let group = [batch(&[], &[("queue/post/01/x", Some("1")), ("queue/post/02/x", None), ("web", Some("1"))])];
        let mut told = decide(group.iter(), &Known::new()).prefixes();
        told.sort_unstable();
        assert_eq!(told, ["queue/post", "web"]);
        let mut many = Batch::new();
        for number in 0..100 {
            many.writes.push(Write::Delete(key(&format!("alert/{number}/x"))));
        }
        assert_eq!(decide([&many].into_iter(), &Known::new()).prefixes(), ["alert"]);
    }
}
