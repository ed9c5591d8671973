//! What a playbook means: order, names, types, texts and conditions, checked before anything runs.

mod cases;
mod conditions;
mod each;
mod fills;
mod graph;
mod limits;
mod rollback;
mod scope;
#[cfg(test)]
mod tests;
mod values;

pub use graph::Graph;
pub use scope::{reader, repeatable};
pub use values::fits;

use std::collections::BTreeSet;

use serde_json::Value;

use super::condition::{Condition, Kind};
use super::diagnostic::{Code, Place, Report};
use super::model::{Parameter, ParameterType, Places, Playbook, Task, Undo};
use super::tasks::{self, TASK_TYPES};
use super::text;
use crate::core::nearest::hint;
use scope::Scope;

/// What the checks worked out on the way, for the engine.
#[derive(Debug, Default)]
pub struct Compiled {
    /// The tasks' order.
    pub graph: Graph,
    /// Conditions of each task.
    pub conditions: Vec<Vec<Condition>>,
    /// The list of each `for_each` that is worked out.
    pub each: Vec<Option<Condition>>,
    /// `verify.condition` of each task, or the condition of a Verify or Wait task.
    pub verify: Vec<Option<Condition>>,
    /// `when` of each trigger.
    pub when: Vec<Option<Condition>>,
}

/// Checks a playbook; what is wrong goes to the report.
pub fn check(playbook: &Playbook, places: &Places, source: &str, report: &mut Report) -> Compiled {
    let scope = Scope::of(playbook);
    let mut checker = Checker { playbook, places, source, report, scope, used: BTreeSet::new() };
    let graph = checker.order();
    checker.head();
    let when = checker.triggers();
    let mut compiled = Compiled { graph, when, ..Compiled::default() };
    for (index, task) in playbook.tasks.iter().enumerate() {
        let path = format!("tasks[{index}]");
        let mut before = compiled.graph.ancestors.get(index).cloned().unwrap_or_default();
        // A task that undoes another sees what that one saw, and its output.
        if let Some(of) = playbook.tasks.iter().position(|of| of.undone_by() == Some(Undo::Task(&task.id))) {
            before.clone_from(&compiled.graph.ancestors[of]);
            before[of] = true;
        }
        checker.task(index, task, &path, &before, &mut compiled);
    }
    checker.tests();
    checker.unused();
    compiled
}

struct Checker<'a> {
    playbook: &'a Playbook,
    places: &'a Places,
    source: &'a str,
    report: &'a mut Report,
    scope: Scope<'a>,
    /// Parameters that something uses; none stands for all of them.
    used: BTreeSet<Option<String>>,
}

impl Checker<'_> {
    fn add(&mut self, path: &str, code: Code, says: impl Into<String>) {
        self.at(path, self.places.of(path), code, says);
    }

    /// The same where the key is what is wrong.
    fn add_key(&mut self, path: &str, code: Code, says: impl Into<String>) {
        self.at(path, self.places.key_of(path), code, says);
    }

    /// The same at a place within that part. What was found wrong already is not spoken of again.
    fn at(&mut self, path: &str, place: Place, code: Code, says: impl Into<String>) {
        if !self.places.is_wrong(path) {
            self.report.add(place, code, says);
        }
    }

    /// The place of a byte of a text that stands at a path; of the text itself where the file writes it differently.
    fn inside(&self, path: &str, text: &str, at: usize) -> Place {
        let place = self.places.of(path);
        let Some(line) = self.source.lines().nth(place.line.saturating_sub(1)) else { return place };
        let from = line.char_indices().nth(place.column.saturating_sub(1)).map_or(line.len(), |(at, _)| at);
        let first = text.lines().next().unwrap_or(text);
        match line[from..].find(first) {
            Some(found) if at <= first.len() && !first.is_empty() && first.is_char_boundary(at) => {
                let before = line[..from + found].chars().count() + first[..at].chars().count();
                Place { line: place.line, column: before + 1 }
            }
            _ => place,
        }
    }

    fn head(&mut self) {
        for (path, words) in [("name", &self.playbook.name), ("playbook_id", &self.playbook.playbook_id)] {
            if words.is_empty() && self.places.of(path) != self.places.of("") {
                self.add(path, Code::PB005, format!("`{path}` is empty; give it one"));
            }
        }
        if self.playbook.tasks.is_empty() {
            self.add("tasks", Code::PB004, "a playbook needs at least one task; add one");
        }
        for (name, parameter) in &self.playbook.parameters {
            let path = format!("parameters.{name}");
            if !super::names::RESERVED.contains(&name.as_str())
                && !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            {
                self.add_key(
                    &path,
                    Code::PB008,
                    format!("parameter {name:?} can't be called that; use letters, digits and `_`"),
                );
            }
            if self.places.is_wrong(&format!("{path}.type")) {
                continue;
            }
            for (number, value) in parameter.one_of.iter().enumerate() {
                let alone = Parameter { one_of: Vec::new(), ..parameter.clone() };
                if let Err(says) = super::parameters::accept(name, &alone, value) {
                    self.add(&format!("{path}.one_of[{number}]"), Code::PB015, says);
                }
            }
            let Some(default) = &parameter.default else { continue };
            let path = format!("{path}.default");
            match default {
                Value::String(words) if text::is_template(words) => {
                    self.text(&path, words, &[], None, false);
                    let from_alert =
                        text::names(words).is_ok_and(|names| names.iter().any(|name| name.starts_with("alert")));
                    if parameter.kind == ParameterType::String && from_alert {
                        self.add(
                            &path,
                            Code::PB022,
                            "text of an alert can't become a `string`; give the parameter the type `name` (or a number's)",
                        );
                    }
                }
                _ => {
                    if let Err(says) = super::parameters::accept(name, parameter, default) {
                        self.add(&path, Code::PB015, says);
                    }
                }
            }
        }
        if let Some(words) = &self.playbook.concurrency_key {
            self.text("concurrency_key", words, &[], None, false);
        }
        self.playbook_times();
    }

    fn order(&mut self) -> Graph {
        let tasks = &self.playbook.tasks;
        let ids: Vec<&str> = tasks.iter().map(|task| task.id.as_str()).collect();
        for (index, task) in tasks.iter().enumerate() {
            if !task.id.is_empty() && ids[..index].contains(&task.id.as_str()) {
                self.add(
                    &format!("tasks[{index}].id"),
                    Code::PB009,
                    format!("two tasks are called `{}`; rename one", task.id),
                );
            }
            for (number, needed) in task.depends_on.iter().enumerate() {
                let path = format!("tasks[{index}].depends_on[{number}]");
                if *needed == task.id {
                    self.add(&path, Code::PB011, format!("`{}` depends on itself; remove it", task.id));
                } else if !ids.contains(&needed.as_str()) {
                    let near = hint(needed, ids.iter().copied());
                    self.add(
                        &path,
                        Code::PB010,
                        format!("`{}` depends on `{needed}`, which is no task here{near}", task.id),
                    );
                }
            }
        }
        let pairs: Vec<(&str, Vec<String>)> = tasks
            .iter()
            .map(|task| (task.id.as_str(), task.depends_on.iter().filter(|id| **id != task.id).cloned().collect()))
            .collect();
        let pairs: Vec<(&str, &[String])> = pairs.iter().map(|(id, after)| (*id, after.as_slice())).collect();
        match Graph::of(&pairs) {
            Ok(graph) => graph,
            Err(circle) => {
                let first = circle.first().and_then(|id| tasks.iter().position(|task| task.id == *id)).unwrap_or(0);
                let says =
                    format!("these tasks wait for each other: {}; remove one of the dependencies", circle.join(" → "));
                self.add(&format!("tasks[{first}].depends_on"), Code::PB011, says);
                // Names can't be checked against an order that does not exist: everything counts as before everything.
                let mut graph = Graph::of(&tasks.iter().map(|task| (task.id.as_str(), &[][..])).collect::<Vec<_>>())
                    .unwrap_or_default();
                graph.ancestors = vec![vec![true; tasks.len()]; tasks.len()];
                graph
            }
        }
    }

    fn task(&mut self, index: usize, task: &Task, path: &str, before: &[bool], compiled: &mut Compiled) {
        let task_type = tasks::find(&task.kind);
        if task_type.is_none() && !task.kind.is_empty() {
            let near = hint(&task.kind, TASK_TYPES.iter().map(|known| known.name));
            let near = if near.is_empty() { "; `mayday playbook reference` lists the types".to_owned() } else { near };
            self.add(&format!("{path}.type"), Code::PB012, format!("there is no task type `{}`{near}", task.kind));
        }
        if let Some(variable) = &task.output_variable
            && self.playbook.tasks[..index].iter().any(|other| other.output_variable.as_ref() == Some(variable))
        {
            let says = format!("two tasks give their output the name `{variable}`; rename one");
            self.add(&format!("{path}.output_variable"), Code::PB009, says);
        }
        let conditions = task
            .conditions
            .iter()
            .enumerate()
            .filter_map(|(number, words)| {
                self.condition(&format!("{path}.conditions[{number}]"), words, before, None, Kind::Truth)
            })
            .collect();
        compiled.conditions.push(conditions);
        compiled.each.push(self.for_each(task, path, before));
        self.scope.item = self.playbook.item_of(task);
        if self.places.is_wrong(&format!("{path}.for_each")) {
            self.scope.item = Some(index);
        }
        self.action_line(task, path, before);
        if let Some(task_type) = task_type {
            self.parameters(task, task_type, path, before);
        }
        compiled.verify.push(self.verification(index, task, path, before));
        self.scope.item = None;
        self.limits(task, path);
        self.rollback(index, task, path);
    }
}
