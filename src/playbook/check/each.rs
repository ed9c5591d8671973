//! `for_each`: that there is a list, and that the task can be done for its items.

use super::Checker;
use crate::playbook::condition::{Condition, Kind};
use crate::playbook::diagnostic::Code;
use crate::playbook::model::{ForEach, Over, Task};
use crate::playbook::text;
use serde_json::Value;

impl Checker<'_> {
    /// Whether a test may speak of an item of a task by this id.
    pub(super) fn is_item(&self, id: &str) -> bool {
        let Some((of, number)) = id.strip_suffix(']').and_then(|rest| rest.split_once('[')) else { return false };
        let of = of.strip_prefix("undo:").unwrap_or(of);
        let item = |task: &&Task| task.id == of && self.playbook.item_of(task).is_some();
        number.parse::<usize>().is_ok() && self.playbook.tasks.iter().any(|task| item(&task))
    }

    pub(super) fn for_each(&mut self, task: &Task, path: &str, before: &[bool]) -> Option<Condition> {
        let each = task.for_each.as_ref()?;
        let path = match each {
            ForEach::Plain(_) => format!("{path}.for_each"),
            ForEach::With(_) => format!("{path}.for_each.in"),
        };
        if matches!(task.kind.as_str(), "Verify" | "Wait") {
            let says = format!("a {} waits once, not for each item; put the list into its condition", task.kind);
            self.add(&path, Code::PB031, says);
        }
        match each.over() {
            Over::List(items) => {
                if items.is_empty() {
                    self.add(
                        &path,
                        Code::PB031,
                        "the list is empty, so the task would never do anything; name its items",
                    );
                }
                for (number, item) in items.iter().enumerate() {
                    if item.as_str().is_some_and(text::is_template) {
                        let says = "items of a list are taken as they are; write the list as CEL: `for_each: \"[params.a, 'b']\"`";
                        self.add(&format!("{path}[{number}]"), Code::PB031, says);
                    }
                    if matches!(item, Value::Null) {
                        self.add(&format!("{path}[{number}]"), Code::PB031, "this item is empty; remove it");
                    }
                }
                None
            }
            Over::Cel(words) => self.condition(&path, words, before, None, Kind::List),
        }
    }
}
