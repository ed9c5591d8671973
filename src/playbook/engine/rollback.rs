//! The task that undoes a change, worked out before anyone approves the change: asked of its action against the live system
//! as it is now, without changing anything.

use std::sync::Arc;

use serde_json::Value;

use super::effects::{PLAN_MOST, Tools, safely};
use super::render;
use crate::access::Risk;
use crate::core::message::playbook as say;
use crate::playbook::action::{Action, Context, Planned};
use crate::playbook::book::Book;
use crate::playbook::model::{Task, Undo};
use crate::playbook::registry::Registry;
use crate::playbook::run::{Part, Rollback, Status, TaskPlan, item_id};
use crate::playbook::tasks;

/// A task that is to be worked out.
pub struct Wanted {
    task: String,
    kind: String,
    parameters: Result<Value, String>,
    action: Option<Arc<dyn Action>>,
    context: Context,
}

impl Wanted {
    /// What undoes a step of a run, if a task of the playbook does that changes something: what changes nothing needs
    /// nobody's approval. The context is the change's.
    pub fn of(book: &Book, status: &Status, index: usize, registry: &Registry, context: &Context) -> Option<Self> {
        let by = task_of(book, &book.playbook.tasks[status.declared(index)])?;
        if tasks::risk(by) == Risk::Read {
            return None;
        }
        // As the step is called that would do it.
        let step = match status.part(index) {
            Part::Item { number, .. } => item_id(&by.id, number),
            Part::Forward | Part::Each | Part::Template { .. } | Part::Undo { .. } => by.id.clone(),
        };
        Some(Self {
            parameters: render::of_rollback(book, status, index, by),
            action: registry.get(&by.kind).cloned(),
            context: Context { task: step, task_name: name(by).to_owned(), ..context.clone() },
            task: by.id.clone(),
            kind: by.kind.clone(),
        })
    }

    /// Works it out. Whatever keeps it from being known, a system that does not answer too, is told to the people who
    /// approve the change; it does not keep the change from being planned.
    pub async fn look(self, tools: &Tools) -> Rollback {
        let Self { task, kind, parameters, action, context } = self;
        let parameters = match parameters {
            Ok(parameters) => parameters,
            Err(why) => return Rollback::Later { task, why },
        };
        match tools.plan(action, context, &kind, parameters.clone()).await {
            Ok(planned) => Rollback::Known { task, parameters, planned: Box::new(planned) },
            Err((_, why)) => Rollback::Later { task, why },
        }
    }
}

/// A change's plan with what undoes it, unless the two are too large to be kept together.
#[must_use]
pub fn together(parameters: Value, planned: Planned, rollback: Option<Rollback>) -> TaskPlan {
    let mut plan = TaskPlan { parameters, planned, rollback };
    if let Some(Rollback::Known { task, .. }) = &plan.rollback {
        let bytes = serde_json::to_vec(&plan).map_or(0, |text| text.len());
        if bytes > PLAN_MOST {
            let why = say::plan_too_large(bytes, PLAN_MOST);
            plan.rollback = Some(Rollback::Later { task: task.clone(), why });
        }
    }
    plan
}

/// How a change is undone, for people: as the playbook says, else in the action's words. An inverse that the action does
/// not have for this target is told before anyone approves.
#[must_use]
pub fn undone_by(book: &Book, task: &Task, action: &dyn Action, plan: &TaskPlan) -> Option<String> {
    let planned = &plan.planned;
    match task.undone_by() {
        None => planned.undo.clone(),
        Some(Undo::Inverse) if safely(|| action.inverse(&planned.target, &Value::Null), || None).is_none() => {
            Some(say::undo_missing(&task.kind))
        }
        Some(Undo::Inverse) => Some(say::undo_by_inverse(planned.undo.as_deref())),
        Some(Undo::Task(by)) => {
            let name = task_of(book, task).map_or(by, name);
            let words = plan.rollback.as_ref().map(|rollback| rollback.words(name, planned));
            Some(words.unwrap_or_else(|| say::undo_by_task(name)))
        }
    }
}

/// The task that undoes another.
fn task_of<'a>(book: &'a Book, task: &'a Task) -> Option<&'a Task> {
    let Some(Undo::Task(by)) = task.undone_by() else { return None };
    book.playbook.tasks.iter().find(|task| task.id == by)
}

fn name(task: &Task) -> &str {
    if task.name.is_empty() { &task.id } else { &task.name }
}
