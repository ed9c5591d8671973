//! `for_each`: one task, once for each item of a list.
//!
//! The list is worked out once, when everything before the task is done, and stands in the journal from then on. Each item
//! is a step of its own (`task[0]`, `task[1]` …) with its own plan, intent, tries and doubt; at most `concurrency` of them
//! are under way. One approval covers the plans of all. When all are over, the task is: its output is the list of theirs, in
//! the items' order, null where one failed or was skipped. An item that fails under an aborting `on_failure` ends the run,
//! and no further item starts; under `continue…` the others go on, and the task fails at the end.

use serde_json::Value;

use super::decide::{Decision, Next};
use super::event::{CHILD, Event, FailureKind, Part, TaskHead};
use super::outcome::each_capped;
use super::status::Status;
use super::task::{Stage, TaskStatus};
use super::values::values;
use crate::core::message::playbook as say;
use crate::core::text::capped;

/// The most items of one task; a longer list fails the task, it is never cut.
pub const MAX_ITEMS: usize = 100;

/// The id of an item's step.
#[must_use]
pub fn item_id(task: &str, number: usize) -> String {
    format!("{task}[{number}]")
}

/// An item in a few words, for the name of its step.
fn brief(item: &Value, number: usize) -> String {
    let named = ["name", "service", "id"].iter().find_map(|field| item.get(field)?.as_str());
    let text = match item {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(item.to_string()),
        Value::Object(_) => named.map(str::to_owned),
        Value::Null | Value::Array(_) => None,
    };
    capped(&text.unwrap_or_else(|| format!("item {}", number + 1)), 60)
}

impl Status {
    /// The steps of a task's items, in the items' order; none as long as the list is not known.
    pub fn items(&self, of: usize) -> impl Iterator<Item = usize> + '_ {
        let belongs = move |head: &TaskHead| matches!(head.part, Part::Item { of: group, .. } if group == of);
        self.head.tasks.iter().enumerate().filter(move |(_, head)| belongs(head)).map(|(index, _)| index)
    }

    /// The list is known: a step for each item.
    pub(super) fn spread(&mut self, of: usize, items: &[Value]) {
        let head = self.head.tasks[of].clone();
        for (number, item) in items.iter().enumerate() {
            self.head.tasks.push(TaskHead {
                id: item_id(&head.id, number),
                name: say::item_of(&head.name, &brief(item, number)),
                kind: head.kind.clone(),
                changes: head.changes,
                part: Part::Item { of, number },
                declared: Some(self.declared(of)),
            });
            self.tasks.push(TaskStatus { item: Some(item.clone()), ..TaskStatus::new() });
        }
        self.tasks[of].stage = Stage::Spread;
    }

    /// People start a failed task again: of one with items, those that failed.
    pub(super) fn again(&mut self, index: usize) {
        let spread = self.items(index).next().is_some();
        let changes = self.head.tasks[index].changes || self.head.tasks[index].kind == CHILD;
        let round = self.round;
        let task = &mut self.tasks[index];
        // What may have happened before may still have to be undone.
        if changes && !spread {
            task.keep();
        }
        let earlier = std::mem::take(&mut task.earlier);
        // How it was before anything was done stays so.
        let held_before = task.held_before.take().filter(|_| !earlier.is_empty());
        *task = TaskStatus { earlier, held_before, item: task.item.take(), round, ..TaskStatus::new() };
        if spread {
            task.stage = Stage::Spread;
        }
    }
}

impl Decision<'_> {
    /// How many items of a task may be under way at once.
    fn concurrency(&self, of: usize) -> usize {
        self.declared(of).for_each.as_ref().map_or(1, |each| each.concurrency())
    }

    /// Whether an item may start now: fewer than allowed are under way.
    pub(super) fn has_room(&self, of: usize) -> bool {
        let starting = |index: usize| {
            self.next.iter().any(|next| matches!(next, Next::Begin(at) | Next::Prepare(at) if *at == index))
        };
        let under_way = self.status.items(of).filter(|index| {
            let works = self.busy.contains(index) || starting(*index);
            match self.status.tasks[*index].stage {
                Stage::Running | Stage::Waits { .. } | Stage::Verifying { .. } | Stage::InDoubt => true,
                Stage::Approved | Stage::Again { .. } => works,
                // Working out what a change would do is not doing it.
                Stage::Pending => works && !self.status.head.tasks[*index].changes,
                Stage::Planned
                | Stage::Spread
                | Stage::Succeeded
                | Stage::Failed
                | Stage::Skipped
                | Stage::RolledBack => false,
            }
        });
        under_way.count() < self.concurrency(of)
    }

    /// The list of a task whose turn it is.
    pub(super) fn spread(&self, index: usize) -> Event {
        let task = self.status.head.tasks[index].id.clone();
        let declared = self.status.declared(index);
        let list = match (&self.book.each[declared], &self.book.playbook.tasks[declared].for_each) {
            (Some(cel), _) => cel.list(&values(self.book, self.status)),
            (None, Some(each)) => Ok(each.list().unwrap_or_default().to_vec()),
            (None, None) => Ok(Vec::new()),
        };
        match list {
            Ok(items) if items.len() <= MAX_ITEMS => Event::Spread { task, items },
            Ok(items) => {
                let why = say::too_many_items(items.len(), MAX_ITEMS);
                Event::Failed { task, kind: FailureKind::Broken, why, retry_at: None, output: None }
            }
            Err(why) => Event::Failed { task, kind: FailureKind::Broken, why, retry_at: None, output: None },
        }
    }

    /// A task all of whose items are over.
    pub(super) fn joined(&self) -> Option<Event> {
        let over = |index: &usize| {
            self.status.tasks[*index].stage == Stage::Spread
                && self.status.items(*index).all(|item| self.status.tasks[item].stage.is_final())
        };
        let index = (0..self.status.tasks.len()).find(over)?;
        let items: Vec<&TaskStatus> = self.status.items(index).map(|item| &self.status.tasks[item]).collect();
        let count = |stage: Stage| items.iter().filter(|item| item.stage == stage).count();
        let (failed, skipped) = (count(Stage::Failed), count(Stage::Skipped));
        let output = items.iter().map(|item| item.output.clone().filter(|_| item.stage == Stage::Succeeded));
        let output = Value::Array(output.map(Option::unwrap_or_default).collect());
        let output = each_capped(output, self.limits.output_bytes);
        let task = self.status.head.tasks[index].id.clone();
        Some(Event::Joined { task, output, failed, note: say::items_done(items.len(), failed, skipped) })
    }
}
