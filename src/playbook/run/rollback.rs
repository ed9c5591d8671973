//! How a change is undone by a task of its playbook (`rollback: TASK`), as far as it is known before the change is made. An
//! approval of the change covers it: what undoes the change later does exactly this, or people are asked again.
//!
//! It is worked out before the change, and done after it. So how a field was before is no part of what is approved: the
//! change itself moves it. What it will be is, and so are the parameters and the object.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::event::Part;
use super::plan::TaskPlan;
use super::status::Status;
use crate::core::digest;
use crate::core::message::playbook_undo as say;
use crate::playbook::action::Planned;

/// What is known of how a change is undone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Rollback {
    /// Exactly this.
    Known {
        /// The task that does it.
        task: String,
        /// Its rendered parameters.
        parameters: Value,
        /// What it would do, worked out against the live system as it was before the change.
        planned: Box<Planned>,
    },
    /// It can't be worked out before the change is made, so people are asked when it is needed.
    Later {
        /// The task that does it.
        task: String,
        /// Why not yet.
        why: String,
    },
}

impl Rollback {
    /// Digest of what an approval covers of it. Not why it is not known yet: the same reason may be worded otherwise the next
    /// time.
    #[must_use]
    pub fn hash(&self) -> String {
        match self {
            Self::Known { task, parameters, planned } => {
                let parameters = parameters.to_string();
                let mut parts: Vec<&[u8]> =
                    vec![b"known", task.as_bytes(), parameters.as_bytes(), planned.object.as_bytes()];
                for change in &planned.changes {
                    parts.extend([change.field.as_bytes(), change.after.as_bytes()]);
                }
                digest::of_parts(parts)
            }
            Self::Later { task, .. } => digest::of_parts([b"later".as_slice(), task.as_bytes()]),
        }
    }

    /// What a person must know where it is not what was approved any more; nothing where it is.
    #[must_use]
    pub fn difference(&self, now: &Self) -> Vec<String> {
        match (self, now) {
            (Self::Later { .. }, Self::Later { .. }) => Vec::new(),
            (Self::Later { .. }, Self::Known { .. }) => vec![say::known_only_now()],
            (Self::Known { .. }, Self::Later { why, .. }) => vec![say::not_known_any_more(why)],
            (Self::Known { parameters: approved, planned: seen, .. }, Self::Known { parameters, planned, .. }) => {
                of_known((approved, seen), (parameters, planned))
            }
        }
    }

    /// How it is done, for the people who approve the change. A field that the change itself moves is told from there.
    #[must_use]
    pub fn words(&self, name: &str, change: &Planned) -> String {
        match self {
            Self::Known { planned, .. } => {
                let after = |field: &str| {
                    let moved = change.changes.iter().find(|moved| moved.field == field);
                    moved.filter(|_| change.object == planned.object).map(|moved| moved.after.as_str())
                };
                let told = planned.changes.iter().map(|undone| {
                    say::field(&undone.field, after(&undone.field).unwrap_or(&undone.before), &undone.after)
                });
                say::by_task(name, &planned.object, &told.collect::<Vec<_>>())
            }
            Self::Later { why, .. } => say::by_task_later(name, why),
        }
    }
}

fn of_known((approved, seen): (&Value, &Planned), (parameters, planned): (&Value, &Planned)) -> Vec<String> {
    let mut lines = Vec::new();
    if seen.object != planned.object {
        lines.push(say::other_object(&seen.object, &planned.object));
    }
    if approved != parameters {
        lines.push(say::other_parameters(&approved.to_string(), &parameters.to_string()));
    }
    for now in &planned.changes {
        match seen.changes.iter().find(|change| change.field == now.field) {
            Some(change) if change.after == now.after => {}
            Some(change) => lines.push(say::other_value(&now.field, &change.after, &now.after)),
            None => lines.push(say::other_field(&now.field, &now.before, &now.after)),
        }
    }
    let gone = seen.changes.iter().filter(|change| planned.changes.iter().all(|now| now.field != change.field));
    lines.extend(gone.map(|change| say::no_field(&change.field)));
    lines.truncate(20);
    lines
}

impl Status {
    /// What was approved, together with the change, of the task that a step carries out to undo it. None where nothing was:
    /// an action's own inverse, or an approval that an earlier Mayday asked for.
    #[must_use]
    pub fn approved_rollback(&self, step: usize) -> Option<Rollback> {
        let Part::Undo { inverse: false, .. } = self.part(step) else { return None };
        self.undoes(step)?.1.plan?.rollback
    }

    /// Whether people were asked for this very step while the run unwinds: then that is its right, and not the change's.
    #[must_use]
    pub fn was_asked(&self, step: usize) -> bool {
        let grant = self.tasks[step].grant.and_then(|grant| self.grants.get(grant));
        self.part(step).is_undo() && grant.is_some_and(|grant| grant.tasks.contains(&self.head.tasks[step].id))
    }
}

impl TaskPlan {
    /// This plan, of the task that undoes something, beside what was approved of it.
    #[must_use]
    pub fn as_rollback(&self, task: &str) -> Rollback {
        Rollback::Known {
            task: task.to_owned(),
            parameters: self.parameters.clone(),
            planned: Box::new(self.planned.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::playbook::action::Change;

    fn planned(object: &str, changes: &[(&str, &str, &str)]) -> Planned {
        let change = |(field, before, after): &(&str, &str, &str)| Change {
            field: (*field).to_owned(),
            before: (*before).to_owned(),
            after: (*after).to_owned(),
        };
        Planned {
            object: object.to_owned(),
            changes: changes.iter().map(change).collect(),
            target: json!({}),
            radius: String::new(),
            undo: None,
            details: Vec::new(),
        }
    }

    fn known(parameters: Value, object: &str, changes: &[(&str, &str, &str)]) -> Rollback {
        Rollback::Known { task: "back".to_owned(), parameters, planned: Box::new(planned(object, changes)) }
    }

    fn later(why: &str) -> Rollback {
        Rollback::Later { task: "back".to_owned(), why: why.to_owned() }
    }

    #[test]
    fn how_it_was_before_is_no_part_of_what_is_approved_and_all_else_is() {
        let approved = known(json!({"size": 8}), "pool a", &[("size", "8", "8")]);
        let after = known(json!({"size": 8}), "pool a", &[("size", "16", "8")]);
        assert_eq!((approved.hash(), approved.difference(&after)), (after.hash(), Vec::new()));
        for (now, says) in [
            (known(json!({"size": 8}), "pool b", &[("size", "16", "8")]), "object: pool a → pool b"),
            (known(json!({"size": 9}), "pool a", &[("size", "16", "8")]), "parameters: {\"size\":8} → {\"size\":9}"),
            (known(json!({"size": 8}), "pool a", &[("size", "16", "9")]), "size: approved → 8, now → 9"),
            (known(json!({"size": 8}), "pool a", &[("size", "16", "8"), ("owner", "x", "y")]), "owner: new, x → y"),
            (known(json!({"size": 8}), "pool a", &[]), "size: no longer changes"),
            (later("gone"), "what it does can no longer be worked out before it is needed (gone)"),
        ] {
            assert_eq!(approved.difference(&now), [says]);
            assert_ne!(approved.hash(), now.hash(), "{says}");
        }
        assert_eq!(later("one").hash(), later("another").hash(), "the reason is told, and not approved");
        assert_eq!(later("one").difference(&approved).len(), 1, "what nobody could see is asked for");
    }

    #[test]
    fn a_field_that_the_change_itself_moves_is_told_from_there() {
        let rollback = known(json!({}), "pool a", &[("size", "8", "8"), ("owner", "x", "x")]);
        let told = rollback.words("Set it back", &planned("pool a", &[("size", "8", "16")]));
        assert!(told.ends_with("Set it back (pool a: size 16 → 8, owner x → x)"), "{told}");
        let told = rollback.words("Set it back", &planned("pool b", &[("size", "8", "16")]));
        assert!(told.ends_with("Set it back (pool a: size 8 → 8, owner x → x)"), "{told}");
    }
}
