//! What an approval is bound to: the playbook's version, parameters, the objects' identities and their guard fields.
//! Never times or resource versions, so that a busy system does not void it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::event::Head;
use super::rollback::Rollback;
use crate::access::Hashed;
use crate::core::digest;
use crate::core::message::playbook_undo as say;
use crate::playbook::action::Planned;

/// One change, worked out against the live system.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskPlan {
    /// The rendered parameters.
    pub parameters: Value,
    /// What it would do.
    pub planned: Planned,
    /// How a task of the playbook undoes it, where one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Rollback>,
}

impl TaskPlan {
    /// Digest of what an approval covers in this task.
    #[must_use]
    pub fn hash(&self) -> String {
        // Both plans are rendered from the same text, so the same value is written the same way.
        let parameters = self.parameters.to_string();
        let mut parts: Vec<&[u8]> = vec![parameters.as_bytes(), self.planned.object.as_bytes()];
        for change in &self.planned.changes {
            parts.extend([change.field.as_bytes(), change.before.as_bytes(), change.after.as_bytes()]);
        }
        // Without one the digest is what an earlier Mayday made of the same plan.
        let rollback = self.rollback.as_ref().map(Rollback::hash);
        if let Some(rollback) = &rollback {
            parts.extend([b"rollback".as_slice(), rollback.as_bytes()]);
        }
        digest::of_parts(parts)
    }
}

/// The changes that can be planned now: what one approval covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frontier {
    digest: String,
    parameters: String,
    tasks: Vec<(String, String)>,
}

impl Frontier {
    /// Of these tasks of a run.
    pub fn of<'a>(head: &Head, tasks: impl IntoIterator<Item = (&'a str, &'a TaskPlan)>) -> Self {
        let parameters: serde_json::Map<String, Value> = head.parameters.clone().into_iter().collect();
        let mut tasks: Vec<(String, String)> =
            tasks.into_iter().map(|(task, plan)| (task.to_owned(), plan.hash())).collect();
        tasks.sort();
        Self { digest: head.digest.clone(), parameters: Value::Object(parameters).to_string(), tasks }
    }
}

impl Frontier {
    /// Whether exactly this plan of a task is among them.
    #[must_use]
    pub fn covers(&self, task: &str, plan: &TaskPlan) -> bool {
        let hash = plan.hash();
        self.tasks.iter().any(|(name, covered)| name == task && *covered == hash)
    }
}

impl Hashed for Frontier {
    fn plan_hash(&self) -> String {
        let mut parts: Vec<&[u8]> = vec![self.digest.as_bytes(), self.parameters.as_bytes()];
        for (task, hash) in &self.tasks {
            parts.extend([task.as_bytes(), hash.as_bytes()]);
        }
        digest::of_parts(parts)
    }
}

/// What a person must know when a plan is asked again: fields that are different from what was approved.
#[must_use]
pub fn difference(approved: &TaskPlan, now: &TaskPlan) -> Vec<String> {
    let mut lines = Vec::new();
    if approved.planned.object != now.planned.object {
        lines.push(format!("object: {} → {}", approved.planned.object, now.planned.object));
    }
    if approved.parameters != now.parameters {
        lines.push(format!("parameters: {} → {}", approved.parameters, now.parameters));
    }
    for change in &now.planned.changes {
        match approved.planned.changes.iter().find(|before| before.field == change.field) {
            Some(before) if before == change => {}
            Some(before) => lines.push(format!(
                "{}: approved {} → {}, now {} → {}",
                change.field, before.before, before.after, change.before, change.after
            )),
            None => lines.push(format!("{}: new, {} → {}", change.field, change.before, change.after)),
        }
    }
    for before in &approved.planned.changes {
        if !now.planned.changes.iter().any(|change| change.field == before.field) {
            lines.push(format!("{}: no longer changes", before.field));
        }
    }
    if let (Some(approved), Some(now)) = (&approved.rollback, &now.rollback) {
        lines.extend(approved.difference(now).iter().map(|line| say::in_undo(line)));
    }
    lines.truncate(20);
    lines
}

/// The key of a task's effect: the same for every try and after a crash. A task that people start again after it has
/// failed for good is another effect, and so is one on another target. The run's first moment is in it, since another
/// installation has a run of the same number. Points stand between its parts, so that they are never taken together for a
/// text drawn at random and redacted from the audit, where the key must stay.
#[must_use]
pub fn idempotency_key(head: &Head, task: &str, round: u32, target: &Value) -> String {
    let (run, at, target) = (head.run.to_string(), head.at.to_string(), target.to_string());
    let parts = [run.as_str(), &at, &head.digest, task, &target];
    let text = digest::of_parts(parts.map(str::as_bytes));
    if round == 0 {
        format!("{}.{task}.{}", head.run, &text[..16])
    } else {
        format!("{}.{task}.{}.{round}", head.run, &text[..16])
    }
}
