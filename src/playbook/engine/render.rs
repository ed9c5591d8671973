//! A task's parameters as its action gets them: texts filled in, checked against the task type, limits from the playbook.

use serde_json::{Map, Value, json};

use crate::playbook::book::Book;
use crate::playbook::check::fits;
use crate::playbook::model::Task;
use crate::playbook::run::{Status, values_for, values_of_rollback};
use crate::playbook::tasks::{self, ParamKind, Takes};
use crate::playbook::text::{self, Use};

/// Renders a task's parameters.
///
/// # Errors
/// A sentence: an undefined name, text that can't become part of a change, a value of the wrong type.
pub fn parameters(book: &Book, status: &Status, index: usize) -> Result<Value, String> {
    filled(&book.playbook.tasks[status.declared(index)], || values_for(book, status, index))
}

/// The same of the task that undoes a step, before that step is done.
///
/// # Errors
/// A sentence; it may speak of what only the step will give.
pub fn of_rollback(book: &Book, status: &Status, of: usize, by: &Task) -> Result<Value, String> {
    filled(by, || values_of_rollback(book, status, of))
}

fn filled(task: &Task, values: impl FnOnce() -> Value) -> Result<Value, String> {
    // All of a run's outputs are copied for a template; most tasks have none.
    let templated = task.action.iter().any(|line| line.contains('{')) || task.parameters.values().any(has_template);
    let seen = if templated { values() } else { Value::Null };
    let written = task.for_each.as_ref().is_some_and(|each| each.list().is_some());
    let declared = match tasks::find(&task.kind).map(|task_type| &task_type.takes) {
        Some(Takes::These(declared)) => *declared,
        Some(Takes::Anything) | None => &[],
    };
    let mut rendered = Map::new();
    for (name, value) in &task.parameters {
        let kind = declared.iter().find(|parameter| parameter.name == name).map(|parameter| parameter.kind);
        if kind == Some(ParamKind::Condition) {
            rendered.insert(name.clone(), value.clone());
            continue;
        }
        let value = render(value, &seen, purpose(task, name), written).map_err(|why| format!("`{name}`: {why}"))?;
        if let Some(kind) = kind {
            fits(kind, &value).map_err(|why| format!("`{name}` {why}"))?;
        }
        rendered.insert(name.clone(), value);
    }
    match &task.action {
        Some(line) => {
            let line = text::render(line, &seen, Use::Change).map_err(|why| format!("`action`: {why}"))?;
            Ok(json!({"action": line, "parameters": rendered}))
        }
        None => Ok(Value::Object(rendered)),
    }
}

fn has_template(value: &Value) -> bool {
    match value {
        Value::String(words) => words.contains('{'),
        Value::Array(items) => items.iter().any(has_template),
        Value::Object(map) => map.values().any(has_template),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Messages and questions are for people; everything else may reach a system, or decides who is told.
fn purpose(task: &Task, parameter: &str) -> Use {
    if tasks::is_prose(&task.kind, parameter) { Use::People } else { Use::Change }
}

/// A value that is nothing but a run's parameter is taken as it is: its own type has checked it, or a person gave it. So is
/// an item that the playbook's author wrote down (`written`).
fn render(value: &Value, seen: &Value, purpose: Use, written: bool) -> Result<Value, String> {
    match value {
        Value::String(words) => {
            let single = text::single_expression(words);
            if written && single == Some("item") {
                return Ok(seen["item"].clone());
            }
            let parameter = single.and_then(|inner| inner.strip_prefix("params."));
            match parameter.and_then(|name| seen["params"].get(name)) {
                Some(value) => Ok(value.clone()),
                None => text::render_value(value, seen, purpose),
            }
        }
        Value::Array(items) => {
            Ok(Value::Array(items.iter().map(|item| render(item, seen, purpose, written)).collect::<Result<_, _>>()?))
        }
        Value::Object(map) => Ok(Value::Object(
            map.iter()
                .map(|(key, item)| Ok((key.clone(), render(item, seen, purpose, written)?)))
                .collect::<Result<_, String>>()?,
        )),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(value.clone()),
    }
}
