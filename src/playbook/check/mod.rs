//! What a playbook means: order, names, types, texts and conditions, checked before anything runs.

mod each;
mod graph;
mod rollback;
mod scope;
#[cfg(test)]
mod tests;
mod values;

pub use graph::Graph;
pub use scope::{reader, repeatable};
pub use values::fits;

use serde_json::Value;

use super::condition::Condition;
use super::diagnostic::{Code, Place, Report};
use super::model::{ParameterType, Places, Playbook, Risk, Task, Undo};
use super::run::CHILD;
use super::tasks::{self, ParamKind, TASK_TYPES, Takes};
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
    let mut checker = Checker { playbook, places, source, report, scope: Scope::of(playbook) };
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
    compiled
}

struct Checker<'a> {
    playbook: &'a Playbook,
    places: &'a Places,
    source: &'a str,
    report: &'a mut Report,
    scope: Scope<'a>,
}

impl Checker<'_> {
    fn add(&mut self, path: &str, code: Code, says: impl Into<String>) {
        self.report.add(self.places.of(path), code, says);
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
                self.add(path, Code::PB005, format!("`{path}` is empty"));
            }
        }
        if self.playbook.tasks.is_empty() {
            self.add("tasks", Code::PB004, "a playbook needs at least one task");
        }
        for (name, parameter) in &self.playbook.parameters {
            let path = format!("parameters.{name}");
            if !super::names::RESERVED.contains(&name.as_str())
                && !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            {
                self.add(
                    &path,
                    Code::PB008,
                    format!("parameter {name:?} can't be called that; use letters, digits and `_`"),
                );
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
        if let Some(quota) = &self.playbook.quota
            && quota.per.0.is_zero()
        {
            self.add("quota.per", Code::PB023, "a quota needs a time longer than nothing");
        }
    }

    fn triggers(&mut self) -> Vec<Option<Condition>> {
        let mut compiled = Vec::new();
        for (index, trigger) in self.playbook.trigger_conditions.iter().enumerate() {
            let path = format!("trigger_conditions[{index}]");
            if trigger.alert_name.trim().is_empty() {
                self.add(
                    &format!("{path}.alert_name"),
                    Code::PB021,
                    "`alert_name` is empty; name the alert this is for",
                );
            }
            let when = trigger.when.as_ref().and_then(|when| {
                let path = format!("{path}.when");
                match Condition::parse(when) {
                    Ok(condition) => {
                        let free: Vec<String> =
                            condition.roots().filter(|root| *root != "value").map(str::to_owned).collect();
                        let fields = condition.references().iter().any(|reference| !reference.fields.is_empty());
                        if free.len() > 1 || fields {
                            let says = format!(
                                "`when` sees one number, the alert's value, under one name of your choice (and as `value`); \
                                 here are {}",
                                free.join(", ")
                            );
                            self.add(&path, Code::PB021, says);
                        } else if free.is_empty() && condition.roots().next().is_none() {
                            self.add(&path, Code::PB021, "`when` does not look at the alert's value; write e.g. `cpu_usage > 90`");
                        }
                        Some(condition)
                    }
                    Err(wrong) => {
                        self.condition_wrong(&path, when, &wrong);
                        None
                    }
                }
            });
            compiled.push(when);
        }
        compiled
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
                    self.add(&path, Code::PB011, format!("`{}` depends on itself", task.id));
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
            let near = if near.is_empty() { "; `mayday playbook schema` lists the types".to_owned() } else { near };
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
            .filter_map(|(number, words)| self.condition(&format!("{path}.conditions[{number}]"), words, before, None))
            .collect();
        compiled.conditions.push(conditions);
        compiled.each.push(self.for_each(task, path, before));
        self.scope.item = self.playbook.item_of(task);
        self.action_line(task, path, before);
        if let Some(task_type) = task_type {
            self.parameters(task, task_type, path, before);
        }
        compiled.verify.push(self.verification(index, task, path, before));
        self.scope.item = None;
        self.limits(task, path);
        self.rollback(index, task, path);
    }

    fn limits(&mut self, task: &Task, path: &str) {
        if task.timeout.is_some_and(|timeout| timeout.0.is_zero()) {
            self.add(
                &format!("{path}.timeout"),
                Code::PB023,
                "a task needs some time; leave `timeout` out or give it more",
            );
        }
        if task.risk.is_some() && task.kind != "API_Call" {
            self.add(
                &format!("{path}.risk"),
                Code::PB006,
                format!("only an API_Call declares its risk; {} has its own", task.kind),
            );
        }
        if task.risk == Some(Risk::Read) && tasks::risk(task) == Risk::Read && !reads(task) {
            let says = "a call that changes nothing is a GET; with another method it is at least `reversible`";
            self.add(&format!("{path}.risk"), Code::PB006, says);
        }
        if task.approval.is_some() && tasks::find(&task.kind).is_some() && tasks::risk(task) == Risk::Read {
            let says = format!("`{}` changes nothing and runs without approval; remove `approval`", task.id);
            self.add(&format!("{path}.approval"), Code::PB003, says);
        }
    }

    fn verification(&mut self, index: usize, task: &Task, path: &str, before: &[bool]) -> Option<Condition> {
        let (path, words) = match (task.kind.as_str(), &task.verify) {
            ("Verify", None) => (format!("{path}.parameters.condition"), task.parameters.get("condition")?.as_str()?),
            ("Wait", None) => (format!("{path}.parameters.until"), task.parameters.get("until")?.as_str()?),
            ("Verify" | "Wait", Some(_)) => {
                self.add(
                    &format!("{path}.verify"),
                    Code::PB003,
                    format!("a {} has its own condition; remove `verify`", task.kind),
                );
                return None;
            }
            (_, Some(verify)) => (format!("{path}.verify.condition"), verify.condition.as_str()),
            (_, None) => return None,
        };
        let condition = self.condition(&path, words, before, Some(index))?;
        let measured = condition.roots().any(|root| reader(self.playbook, root).is_some());
        if !measured && self.places.of(&path).line > 0 {
            let says = "nothing in it can be measured again; name the output of a read task that comes before \
                        (a Metric_Query, an API_Call with GET …)";
            self.add(&path, Code::PB025, says);
        }
        Some(condition)
    }

    fn condition_wrong(&mut self, path: &str, words: &str, wrong: &super::condition::Wrong) {
        let place = self.inside(path, words, wrong.at);
        let (code, says) = if wrong.mixed_numbers {
            (Code::PB026, format!("`{words}`: {}", wrong.says))
        } else {
            (
                Code::PB016,
                format!("`{words}` is not a condition: {}; write CEL, for instance `cpu.value < 80`", wrong.says),
            )
        };
        self.report.add(place, code, says);
    }

    /// Parses a condition and looks at its names; `own` is the task whose own output it may see.
    fn condition(&mut self, path: &str, words: &str, before: &[bool], own: Option<usize>) -> Option<Condition> {
        let condition = match Condition::parse(words) {
            Ok(condition) => condition,
            Err(wrong) => {
                self.condition_wrong(path, words, &wrong);
                return None;
            }
        };
        for reference in condition.references() {
            if let Err((code, says)) = self.scope.look(&reference.root, &reference.fields, before, own, true) {
                let place = self.inside(path, words, reference.at);
                self.report.add(place, code, says);
            }
        }
        Some(condition)
    }

    /// Looks at a text's template and its names.
    fn text(&mut self, path: &str, words: &str, before: &[bool], own: Option<usize>, outputs: bool) {
        let names = match text::names(words) {
            Ok(names) => names,
            Err(wrong) => {
                let place = self.inside(path, words, wrong.at);
                self.report.add(place, Code::PB020, format!("the text can't be filled in: {}", wrong.says));
                return;
            }
        };
        for name in names {
            let mut parts = name.split('.').map(str::to_owned);
            let root = parts.next().unwrap_or_default();
            let fields: Vec<String> = parts.collect();
            if let Err((code, says)) = self.scope.look(&root, &fields, before, own, outputs) {
                let at = words.find(&name).unwrap_or(0);
                let place = self.inside(path, words, at);
                self.report.add(place, code, says);
            }
        }
    }

    fn parameters(&mut self, task: &Task, task_type: &tasks::TaskType, path: &str, before: &[bool]) {
        let declared = match task_type.takes {
            Takes::These(declared) => declared,
            Takes::Anything => {
                for (name, value) in &task.parameters {
                    self.texts(&format!("{path}.parameters.{name}"), value, before, task);
                }
                return;
            }
        };
        for (name, value) in &task.parameters {
            let path = format!("{path}.parameters.{name}");
            let Some(parameter) = declared.iter().find(|parameter| parameter.name == name) else {
                let near = hint(name, declared.iter().map(|parameter| parameter.name));
                let known: Vec<&str> = declared.iter().map(|parameter| parameter.name).collect();
                let near = if near.is_empty() { format!("; it takes {}", known.join(", ")) } else { near };
                self.add(&path, Code::PB013, format!("{} takes no `{name}`{near}", task.kind));
                continue;
            };
            if parameter.kind == ParamKind::Condition {
                if !value.is_string() {
                    self.add(&path, Code::PB015, format!("`{name}` must be a condition in quotes"));
                }
                continue;
            }
            self.texts(&path, value, before, task);
            if let Err(says) = values::fits(parameter.kind, value) {
                self.add(&path, Code::PB015, format!("`{name}` {says}"));
            }
        }
        for parameter in declared.iter().filter(|parameter| parameter.required) {
            if !task.parameters.contains_key(parameter.name) {
                let says = format!("{} needs the parameter `{}`: {}", task.kind, parameter.name, parameter.doc);
                self.add(path, Code::PB014, says);
            }
        }
        if task.kind == CHILD {
            self.child(task, path);
        }
        if task.kind == "Wait" && task.parameters.contains_key("for") == task.parameters.contains_key("until") {
            self.add(path, Code::PB014, "Wait needs either `for:` a duration or `until:` a condition");
        }
    }

    /// A task that is another playbook's run has that playbook's limits.
    fn child(&mut self, task: &Task, path: &str) {
        let own = task.parameters.get("playbook").and_then(Value::as_str);
        if own.is_some_and(|id| id.eq_ignore_ascii_case(&self.playbook.playbook_id)) {
            let says = "a playbook can't run itself; name another, or use `retry` or `for_each`";
            self.add(&format!("{path}.parameters.playbook"), Code::PB032, says);
        }
        if task.timeout.is_some() {
            let says = "a Sub_Playbook takes as long as that playbook's `max_duration` allows; remove `timeout`";
            self.add(&format!("{path}.timeout"), Code::PB032, says);
        }
    }

    /// Every text in a value.
    fn texts(&mut self, path: &str, value: &Value, before: &[bool], task: &Task) {
        match value {
            Value::String(words) if text::is_template(words) => {
                self.text(path, words, before, None, true);
                let changes = tasks::find(&task.kind).is_some() && tasks::risk(task) > Risk::Read;
                if changes && text::names(words).is_ok_and(|names| names.iter().any(|name| name.starts_with("alert"))) {
                    let says = "text of an alert can't be part of a change; make it a parameter of type `name` with this \
                                text as its default, and use `{{ params.… }}` here";
                    self.add(path, Code::PB022, says);
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.texts(&format!("{path}[{index}]"), item, before, task);
                }
            }
            Value::Object(map) => {
                for (key, item) in map {
                    self.texts(&format!("{path}.{key}"), item, before, task);
                }
            }
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn action_line(&mut self, task: &Task, path: &str, before: &[bool]) {
        let Some(task_type) = tasks::find(&task.kind) else { return };
        let Some(line) = &task.action else {
            if task_type.action_line {
                self.add(
                    path,
                    Code::PB027,
                    format!("`{}` needs `action:`, for instance `action: GET /health`", task.id),
                );
            }
            return;
        };
        let path = format!("{path}.action");
        if !task_type.action_line {
            self.add(&path, Code::PB027, format!("a {} has no `action`; remove it", task.kind));
            return;
        }
        self.text(&path, line, before, None, true);
        if let Err(says) = values::action_line(line) {
            self.add(&path, Code::PB027, says);
        }
    }

    fn tests(&mut self) {
        for (index, test) in self.playbook.tests.iter().enumerate() {
            let path = format!("tests[{index}]");
            let ids: Vec<&str> = self.playbook.tasks.iter().map(|task| task.id.as_str()).collect();
            let named = test
                .given
                .keys()
                .map(|id| (id, "given"))
                .chain(test.expect.tasks.keys().map(|id| (id, "expect.tasks")));
            for (id, wher) in named {
                if !ids.contains(&id.as_str()) && !self.is_undo(id) && !self.is_item(id) {
                    let near = hint(id, ids.iter().copied());
                    self.add(&format!("{path}.{wher}.{id}"), Code::PB024, format!("there is no task `{id}`{near}"));
                }
            }
            for name in test.parameters.keys() {
                if !self.playbook.parameters.contains_key(name) {
                    let near = hint(name, self.playbook.parameters.keys().map(String::as_str));
                    self.add(
                        &format!("{path}.parameters.{name}"),
                        Code::PB024,
                        format!("there is no parameter `{name}`{near}"),
                    );
                }
            }
        }
    }
}

fn reads(task: &Task) -> bool {
    task.action.as_deref().is_some_and(|line| line.starts_with("GET ") || line.starts_with("HEAD "))
}
