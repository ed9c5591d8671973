//! Which names a condition or a text can see, and what is known about them.

use super::super::condition::Kind;
use super::super::diagnostic::Code;
use super::super::model::{ParameterType, Playbook, Risk, Task};
use super::super::names::{ALERT_FIELDS, Known, RUN_FIELDS, TASK_FIELDS};
use super::super::tasks::{self, Gives, OutKind};
use crate::core::nearest::hint;

/// The names of one playbook.
pub struct Scope<'a> {
    playbook: &'a Playbook,
    /// The task for whose items what is looked at is done, if for any: of its output only the item's own is seen.
    pub item: Option<usize>,
}

/// The read task that gives an output under this name, if it can be carried out again.
pub fn reader(playbook: &Playbook, name: &str) -> Option<usize> {
    let task = playbook.tasks.iter().position(|task| task.output_variable.as_deref() == Some(name))?;
    repeatable(&playbook.tasks[task]).then_some(task)
}

/// Whether a task only reads, so that carrying it out again changes and tells nothing.
pub fn repeatable(task: &Task) -> bool {
    let reads = !matches!(task.kind.as_str(), "Wait" | "Verify" | "Ask_Human" | "Notification" | "Sub_Playbook");
    reads && task.for_each.is_none() && tasks::risk(task) == Risk::Read
}

impl<'a> Scope<'a> {
    /// Of this playbook.
    pub fn of(playbook: &'a Playbook) -> Self {
        Self { playbook, item: None }
    }

    /// Looks a name up as a task would see it that comes after `before`.
    pub fn look(
        &self,
        root: &str,
        fields: &[String],
        before: &[bool],
        own: Option<usize>,
        outputs: bool,
    ) -> Result<(), (Code, String)> {
        let first = fields.first().map(String::as_str);
        match root {
            "params" => self.known(root, first, self.playbook.parameters.keys().map(String::as_str)),
            "alert" => self.known(root, first, ALERT_FIELDS.iter().map(|field| field.name)),
            "run" => self.known(root, first, RUN_FIELDS.iter().map(|field| field.name)),
            "tasks" if outputs => {
                self.known(root, first, self.playbook.tasks.iter().map(|task| task.id.as_str()))?;
                match fields.get(1) {
                    Some(field) if TASK_FIELDS.iter().all(|known| known.name != field) => Err((
                        Code::PB019,
                        format!("`tasks.{}` has no `{field}`, only state and note", first.unwrap_or("")),
                    )),
                    _ => Ok(()),
                }
            }
            "item" if self.item.is_some() => Ok(()),
            "item" => Err((
                Code::PB017,
                "`item` is there only in a task with `for_each`, and there not in its `conditions`".to_owned(),
            )),
            // Functions' type names are values in CEL.
            "int" | "double" | "string" | "bool" | "list" | "map" | "range" | "dict" | "namespace" | "debug"
            | "loop" => Ok(()),
            _ => self.output(root, first, before, own, outputs),
        }
    }

    /// The kind of value behind a name, as far as it is known before anything runs.
    pub fn kind(&self, root: &str, fields: &[String], own: Option<usize>) -> Kind {
        match (root, fields) {
            ("params" | "alert" | "run" | "tasks", []) => Kind::Map,
            ("params", [name]) => match self.playbook.parameters.get(name).map(|parameter| parameter.kind) {
                Some(ParameterType::Name | ParameterType::String | ParameterType::Duration) => Kind::Text,
                Some(ParameterType::Integer | ParameterType::Number) => Kind::Number,
                Some(ParameterType::Boolean) => Kind::Truth,
                None => Kind::Any,
            },
            ("alert", [labels, _]) if labels == "labels" => Kind::Text,
            ("alert", [field]) => kind_of(ALERT_FIELDS, field),
            ("run", [field]) => kind_of(RUN_FIELDS, field),
            ("tasks", [_, field]) => kind_of(TASK_FIELDS, field),
            ("tasks", [_]) => Kind::Map,
            ("item", _) => Kind::Any,
            (root, fields) => {
                let giver = self.playbook.tasks.iter().position(|task| task.output_variable.as_deref() == Some(root));
                giver.map_or(Kind::Any, |giver| self.kind_of_output(giver, fields, own))
            }
        }
    }

    fn kind_of_output(&self, giver: usize, fields: &[String], own: Option<usize>) -> Kind {
        let task = &self.playbook.tasks[giver];
        let each = task.for_each.is_some() && Some(giver) != own && Some(giver) != self.item;
        match (fields, tasks::find(&task.kind).map(|task_type| &task_type.gives)) {
            ([], _) if each => Kind::List,
            (_, _) if each => Kind::Any,
            ([], _) => Kind::Map,
            ([field], Some(Gives::These(outs))) => {
                match outs.iter().find(|out| out.name == field).map(|out| out.kind) {
                    Some(OutKind::Number) => Kind::Number,
                    Some(OutKind::Text) => Kind::Text,
                    Some(OutKind::Bool) => Kind::Truth,
                    Some(OutKind::List) => Kind::List,
                    Some(OutKind::Dynamic) | None => Kind::Any,
                }
            }
            _ => Kind::Any,
        }
    }

    fn known<'n>(
        &self,
        root: &str,
        field: Option<&str>,
        names: impl Iterator<Item = &'n str> + Clone,
    ) -> Result<(), (Code, String)> {
        match field {
            Some(field) if !names.clone().any(|name| name == field) => {
                let near = hint(field, names.clone());
                // `alert.value` is `alert.metric_value`.
                let part = names.clone().find(|name| name.split('_').any(|part| part == field));
                let listed: Vec<&str> = names.take(20).collect();
                let near = if !near.is_empty() {
                    near
                } else if let Some(name) = part {
                    format!("; did you mean `{name}`?")
                } else if listed.is_empty() {
                    format!(
                        "; declare it under the playbook's `{}:`",
                        if root == "params" { "parameters" } else { root }
                    )
                } else {
                    format!("; there are {}", listed.join(", "))
                };
                Err((Code::PB017, format!("`{root}` has no `{field}`{near}")))
            }
            _ => Ok(()),
        }
    }

    fn output(
        &self,
        root: &str,
        field: Option<&str>,
        before: &[bool],
        own: Option<usize>,
        outputs: bool,
    ) -> Result<(), (Code, String)> {
        let tasks = &self.playbook.tasks;
        let given = tasks.iter().position(|task| task.output_variable.as_deref() == Some(root));
        let Some(giver) = given.filter(|_| outputs) else {
            if self.playbook.parameters.contains_key(root) {
                return Err((Code::PB017, format!("`{root}` is a parameter; write `params.{root}`")));
            }
            if let Some(giver) = given {
                let says = format!(
                    "`{root}` is the output of the task `{}`, and this is filled in before any task runs; use `params` or `alert`",
                    tasks[giver].id
                );
                return Err((Code::PB017, says));
            }
            let names = tasks.iter().filter_map(|task| task.output_variable.as_deref()).filter(|_| outputs);
            let near = hint(root, names.chain(["params", "alert", "run", "tasks"]));
            let near = match near.is_empty() {
                true if outputs => format!("; a task does with `output_variable: {root}`"),
                true => "; write for instance `params.service`".to_owned(),
                false => near,
            };
            return Err((Code::PB017, format!("nothing declares `{root}`{near}")));
        };
        if Some(giver) != own && !before.get(giver).copied().unwrap_or(false) {
            let says = format!(
                "`{root}` is the output of the task `{id}`, which need not be done by then; add `{id}` to `depends_on`",
                id = tasks[giver].id
            );
            return Err((Code::PB018, says));
        }
        if tasks[giver].for_each.is_some() && Some(giver) != own && Some(giver) != self.item {
            return match field {
                Some(field) => Err((
                    Code::PB019,
                    format!(
                        "`{root}` is a list, one output for each item; write `{root}[0].{field}` or `{root}.all(one, …)`"
                    ),
                )),
                None => Ok(()),
            };
        }
        let Some(Gives::These(outs)) = tasks::find(&tasks[giver].kind).map(|task_type| &task_type.gives) else {
            return Ok(());
        };
        match field {
            Some(field) if !outs.iter().any(|out| out.name == field) => {
                let near = hint(field, outs.iter().map(|out| out.name));
                let listed: Vec<&str> = outs.iter().map(|out| out.name).collect();
                let near = if near.is_empty() { format!("; it has {}", listed.join(", ")) } else { near };
                Err((Code::PB019, format!("the output of a {} has no `{field}`{near}", tasks[giver].kind)))
            }
            _ => Ok(()),
        }
    }
}

fn kind_of(fields: &[Known], name: &str) -> Kind {
    fields.iter().find(|field| field.name == name).map_or(Kind::Any, |field| field.kind)
}
