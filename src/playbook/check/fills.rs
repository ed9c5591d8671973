//! What a task is given: its parameters, and the texts that are filled in.

use serde_json::Value;

use super::{Checker, values};
use crate::core::nearest::{hint, nearest};
use crate::playbook::diagnostic::Code;
use crate::playbook::model::{Risk, Task};
use crate::playbook::run::CHILD;
use crate::playbook::tasks::{self, ParamKind, Takes};
use crate::playbook::text;

/// Task types that take one of two parameters.
const EITHER: [(&str, &str, &str, &str); 2] = [
    (
        "Kubernetes_Scale",
        "replicas",
        "replicas_increase",
        "Kubernetes_Scale needs either `replicas:` or `replicas_increase:`",
    ),
    ("Cloud_Scale", "capacity", "capacity_increase", "Cloud_Scale needs either `capacity:` or `capacity_increase:`"),
];

impl Checker<'_> {
    /// Whether a text uses a parameter whose name can't be one: that was said where it is declared.
    pub(super) fn misnamed(&self, words: &str) -> bool {
        let bad = |name: &&String| name.contains(|char: char| !char.is_ascii_alphanumeric() && char != '_');
        self.playbook.parameters.keys().filter(bad).any(|name| words.contains(&format!("params.{name}")))
    }

    /// Looks at a text's template and its names.
    pub(super) fn text(&mut self, path: &str, words: &str, before: &[bool], own: Option<usize>, outputs: bool) {
        if let Some(at) = dollar(words) {
            let place = self.inside(path, words, at);
            self.at(path, place, Code::PB020, "`${…}` is not filled in; write `{{ … }}`");
        }
        let names = match text::names(words) {
            Ok(names) => names,
            Err(wrong) => {
                let place = self.inside(path, words, wrong.at);
                self.at(path, place, Code::PB020, format!("the text can't be filled in: {}", wrong.says));
                return;
            }
        };
        if self.misnamed(words) {
            return;
        }
        for (at, filter) in text::unknown_filters(words) {
            let place = self.inside(path, words, at);
            let known = || text::FILTERS.iter().map(|known| known.name);
            let near = hint(filter, known());
            let near =
                if near.is_empty() { format!("; there are {}", known().collect::<Vec<_>>().join(", ")) } else { near };
            self.at(path, place, Code::PB034, format!("there is no filter `{filter}`{near}"));
        }
        for name in names {
            let mut parts = name.split('.').map(str::to_owned);
            let root = parts.next().unwrap_or_default();
            let fields: Vec<String> = parts.collect();
            self.uses(&root, &fields);
            if let Err((code, says)) = self.scope.look(&root, &fields, before, own, outputs) {
                let at = words.find(&name).unwrap_or(0);
                let place = self.inside(path, words, at);
                self.at(path, place, code, says);
            }
        }
    }

    pub(super) fn parameters(&mut self, task: &Task, task_type: &tasks::TaskType, path: &str, before: &[bool]) {
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
                self.add_key(&path, Code::PB013, format!("{} takes no `{name}`{near}", task.kind));
                continue;
            };
            if parameter.kind == ParamKind::Condition {
                if !value.is_string() {
                    self.add(&path, Code::PB015, format!("`{name}` must be a condition in quotes"));
                }
                continue;
            }
            self.texts(&path, value, before, task);
            if tasks::is_address(&task.kind, name) && names_an_alert(value) {
                let says = "an alert can't choose who is told; write the name here, or make it a parameter of type `name` \
                            with this text as its default, and use `{{ params.… }}` here";
                self.add(&path, Code::PB022, says);
            }
            let said = value.as_str().is_some_and(|words| dollar(words).is_some());
            if let Some(says) = values::fits(parameter.kind, value).err().filter(|_| !said) {
                self.add(&path, Code::PB015, format!("`{name}` {says}"));
            }
        }
        // What a misspelt one was meant to be is not missing besides.
        let meant = |name: &str| {
            let unknown = task.parameters.keys().filter(|key| declared.iter().all(|parameter| parameter.name != **key));
            unknown
                .filter_map(|key| nearest(key, declared.iter().map(|parameter| parameter.name)))
                .any(|near| near == name)
        };
        let said = self.places.is_wrong(&format!("{path}.parameters"));
        for parameter in declared.iter().filter(|parameter| parameter.required && !said && !meant(parameter.name)) {
            if !task.parameters.contains_key(parameter.name) {
                let says = format!("{} needs the parameter `{}`: {}", task.kind, parameter.name, parameter.doc);
                self.add(path, Code::PB014, says);
            }
        }
        if task.kind == CHILD {
            self.child(task, path);
        }
        let has = |name: &str| task.parameters.contains_key(name) || meant(name);
        if let Some((.., says)) =
            EITHER.iter().find(|(kind, one, other, _)| *kind == task.kind && has(one) == has(other))
        {
            self.add(path, Code::PB014, *says);
        }
        // Both together say how long the condition must hold.
        if task.kind == "Wait" && !has("for") && !has("until") {
            self.add(path, Code::PB014, "Wait needs `for:` a duration, `until:` a condition, or both");
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
            self.add_key(&format!("{path}.timeout"), Code::PB032, says);
        }
    }

    /// Every text in a value.
    fn texts(&mut self, path: &str, value: &Value, before: &[bool], task: &Task) {
        match value {
            Value::String(words) if text::is_template(words) || dollar(words).is_some() => {
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

    pub(super) fn action_line(&mut self, task: &Task, path: &str, before: &[bool]) {
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
            self.add_key(&path, Code::PB027, format!("a {} has no `action`; remove it", task.kind));
            return;
        }
        self.text(&path, line, before, None, true);
        if let Err(says) = values::action_line(line) {
            self.add(&path, Code::PB027, says);
        }
    }
}

/// Where a text has `${params…}`, which other tools fill in and this one does not.
fn dollar(words: &str) -> Option<usize> {
    let names = ["params", "alert", "run", "tasks", "item"];
    words.match_indices("${").map(|(at, _)| at).find(|at| {
        let rest = words[at + 2..].trim_start_matches('{').trim_start();
        names.iter().any(|name| rest.strip_prefix(name).is_some_and(|rest| rest.starts_with(['.', '}', ' ', '['])))
    })
}

/// Whether a text in this value is filled in from an alert.
fn names_an_alert(value: &Value) -> bool {
    match value {
        Value::String(words) => {
            text::names(words).is_ok_and(|names| names.iter().any(|name| name == "alert" || name.starts_with("alert.")))
        }
        Value::Array(items) => items.iter().any(names_an_alert),
        _ => false,
    }
}
