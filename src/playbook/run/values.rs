//! What conditions and texts of a run see: parameters, the alert, stored outputs.

use serde_json::{Map, Value, json};

use super::status::Status;
use crate::playbook::book::Book;

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
        tasks.insert(declared.id.clone(), json!({"state": super::view::task_state(task), "note": task.note}));
    }
    values.insert("tasks".to_owned(), Value::Object(tasks));
    Value::Object(values)
}
