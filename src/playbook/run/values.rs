//! What conditions and texts of a run see: parameters, the alert, stored outputs.

use serde_json::{Map, Value, json};

use super::status::Status;
use crate::playbook::book::Book;

/// The same as one step sees them: with its `item`, and with that item's own output where others see the whole list. What
/// undoes something sees what that gave, the time that it undoes.
#[must_use]
pub fn values_for(book: &Book, status: &Status, index: usize) -> Value {
    let mut values = values(book, status);
    let undoes = status.undoes(index);
    let own = undoes.is_some() || status.tasks[index].item.is_some();
    let (of, output) = match undoes {
        Some((of, done)) => (of, done.output),
        None => (index, status.tasks[index].output.clone()),
    };
    if let (true, Value::Object(map)) = (own, &mut values) {
        if let Some(item) = &status.tasks[of].item {
            map.insert("item".to_owned(), item.clone());
        }
        if let Some(variable) = &book.playbook.tasks[status.declared(of)].output_variable {
            match output {
                Some(output) => map.insert(variable.clone(), output),
                None => map.remove(variable),
            };
        }
    }
    values
}

/// What the task that undoes a change sees, as far as it is there before the change is made: not what the change itself will
/// give.
#[must_use]
pub fn values_of_rollback(book: &Book, status: &Status, of: usize) -> Value {
    let mut values = values_for(book, status, of);
    if let (Some(variable), Value::Object(map)) =
        (&book.playbook.tasks[status.declared(of)].output_variable, &mut values)
    {
        map.remove(variable);
    }
    values
}

/// What a step that measures has to compare with: the values before the first of the changes that it measures, as far as
/// they were read anew for that, else the stored ones that are older than it.
#[must_use]
pub fn values_before(book: &Book, status: &Status, index: usize) -> Value {
    let mut values = values_for(book, status, index);
    let ancestors = &book.graph.ancestors[status.declared(index)];
    let measured = |change: &usize| *change == index || ancestors[status.declared(*change)];
    let mut changes: Vec<usize> = (0..status.tasks.len()).filter(measured).collect();
    // When it was first made, or may have been; a try after that moves nothing.
    let made = |change: &usize| {
        let task = &status.tasks[*change];
        task.held_before.as_ref().map(|held| held.seq).or_else(|| task.before.as_ref().and(task.started))
    };
    if let (Some(first), Value::Object(map)) = (changes.iter().filter_map(made).min(), &mut values) {
        for (task, now) in book.playbook.tasks.iter().zip(&status.tasks) {
            if let Some(variable) = task.output_variable.as_ref().filter(|_| now.started.is_some_and(|at| at >= first))
            {
                map.remove(variable);
            }
        }
    }
    // The first one is laid over the others.
    changes.sort_by_key(|change| std::cmp::Reverse(made(change)));
    for before in changes.iter().filter_map(|change| status.tasks[*change].before.as_ref()?.as_object()) {
        for (name, output) in before {
            values[name] = output.clone();
        }
    }
    values
}

/// The values by name. Outputs are the stored ones, so that a run with a crash and one without see the same.
#[must_use]
pub fn values(book: &Book, status: &Status) -> Value {
    let head = &status.head;
    let mut values = Map::new();
    let parameters: Map<String, Value> = head.parameters.clone().into_iter().collect();
    values.insert("params".to_owned(), Value::Object(parameters));
    if let Some(alert) = &head.alert {
        values.insert("alert".to_owned(), alert.clone());
    }
    let run = json!({"id": head.run, "playbook": head.playbook, "incident": head.incident});
    values.insert("run".to_owned(), run);
    let mut tasks = Map::new();
    for (index, task) in status.tasks.iter().enumerate() {
        let Some(declared) = book.playbook.tasks.get(index) else { continue };
        if let (Some(variable), Some(output)) = (&declared.output_variable, &task.output) {
            values.insert(variable.clone(), output.clone());
        }
        tasks.insert(declared.id.clone(), json!({"state": super::view::task_state(status, index), "note": task.note}));
    }
    values.insert("tasks".to_owned(), Value::Object(tasks));
    Value::Object(values)
}
