//! `rollback`: that what is to be undone can be, and that a task which only undoes another is nothing else besides.

use super::Checker;
use crate::core::nearest::hint;
use crate::playbook::diagnostic::Code;
use crate::playbook::model::{Otherwise, Risk, Task, Undo};
use crate::playbook::run::CHILD;
use crate::playbook::tasks;

impl Checker<'_> {
    /// Whether a test may speak of the undoing of a task by this id.
    pub(super) fn is_undo(&self, id: &str) -> bool {
        let undone = |task: &&Task| task.undone_by() == Some(Undo::Inverse);
        id.strip_prefix("undo:").is_some_and(|of| self.playbook.tasks.iter().filter(undone).any(|task| task.id == of))
    }

    pub(super) fn rollback(&mut self, index: usize, task: &Task, path: &str) {
        let here = format!("{path}.rollback");
        let known = tasks::find(&task.kind);
        match task.undone_by() {
            Some(Undo::Task(by)) if task.kind == CHILD => {
                let says = format!(
                    "only the run of `{}` can take back what it did; write `rollback: inverse` instead of `{by}`",
                    task.id
                );
                self.add(&here, Code::PB029, says);
            }
            Some(_) if known.is_some() && tasks::risk(task) == Risk::Read && task.kind != CHILD => {
                let says = format!("`{}` changes nothing, so there is nothing to undo; remove it", task.id);
                let at = if task.rollback.is_some() { here } else { format!("{path}.verify.otherwise") };
                self.add(&at, Code::PB029, says);
            }
            Some(Undo::Inverse) if known.is_some() && !tasks::reversible(task) => {
                let which = match task.kind.as_str() {
                    "API_Call" => "of API calls only a PATCH has an inverse of its own".to_owned(),
                    kind => format!("a {kind} has no inverse of its own"),
                };
                let says = format!("{which}; name a task that undoes it, as `rollback: undo_it`");
                let at = if task.rollback.is_some() { here } else { format!("{path}.verify.otherwise") };
                self.add(&at, Code::PB029, says);
            }
            Some(Undo::Task(by)) => self.rollback_task(index, task, by, &here),
            Some(Undo::Inverse) => {}
            None => {
                let asked = task.verify.as_ref().is_some_and(|verify| verify.otherwise == Otherwise::Rollback);
                if asked {
                    let says = "`otherwise: rollback` undoes this task too, and `rollback: none` says not to; remove one of them";
                    self.add(&here, Code::PB029, says);
                }
            }
        }
        let undoes = self.playbook.tasks.iter().find(|other| other.undone_by() == Some(Undo::Task(&task.id)));
        if let Some(of) = undoes.filter(|of| of.id != task.id) {
            self.only_undoes(task, &of.id.clone(), path);
        }
        for (number, needed) in task.depends_on.iter().enumerate() {
            let undoes = self.playbook.tasks.iter().find(|other| other.undone_by() == Some(Undo::Task(needed)));
            if let Some(of) = undoes {
                let says = format!(
                    "`{needed}` runs only to undo `{}`, so nothing can wait for it; remove the dependency",
                    of.id
                );
                self.add(&format!("{path}.depends_on[{number}]"), Code::PB030, says);
            }
        }
    }

    fn rollback_task(&mut self, index: usize, task: &Task, by: &str, path: &str) {
        let tasks = &self.playbook.tasks;
        let reversible = tasks::find(&task.kind).is_some_and(|known| known.reversible);
        let inverse = if reversible { ", or write `rollback: inverse`" } else { "" };
        if by == task.id {
            self.add(path, Code::PB029, format!("`{by}` can't undo itself; name another task{inverse}"));
        } else if !tasks.iter().any(|other| other.id == by) {
            let near = hint(by, tasks.iter().map(|other| other.id.as_str()));
            let near = if near.is_empty() { "; add a task of that id".to_owned() } else { near };
            let says = format!("`rollback` is `inverse`, `none` or the id of a task, not `{by}`{near}");
            self.add(path, Code::PB010, says);
        } else if let Some(first) = tasks[..index].iter().find(|other| other.undone_by() == Some(Undo::Task(by))) {
            let says =
                format!("`{by}` already undoes `{}`; a task undoes one other, so give this one its own", first.id);
            self.add(path, Code::PB029, says);
        }
    }

    /// A task that undoes another runs once that one is to be undone, whatever came before: it has no place in the order.
    fn only_undoes(&mut self, task: &Task, of: &str, path: &str) {
        let not = [
            (!task.depends_on.is_empty(), "depends_on"),
            (!task.conditions.is_empty(), "conditions"),
            (task.for_each.is_some(), "for_each"),
            (task.rollback.is_some(), "rollback"),
            (task.verify.is_some(), "verify"),
            (task.approval.is_some(), "approval"),
            (task.pause, "pause"),
            (task.output_variable.is_some(), "output_variable"),
        ];
        for (_, key) in not.iter().filter(|(has, _)| *has) {
            let says = format!("`{}` runs only to undo `{of}`, so it can't have `{key}`; remove it", task.id);
            self.add_key(&format!("{path}.{key}"), Code::PB030, says);
        }
        if task.on_failure.continues() {
            let says = format!("`{}` undoes `{of}`: when that fails a person is needed; remove `on_failure`", task.id);
            self.add_key(&format!("{path}.on_failure"), Code::PB030, says);
        }
        if matches!(task.kind.as_str(), "Verify" | "Sub_Playbook") {
            let says = format!("a {} can't undo anything; let `{}` be a task that does", task.kind, task.id);
            self.add(&format!("{path}.type"), Code::PB030, says);
        }
    }
}
