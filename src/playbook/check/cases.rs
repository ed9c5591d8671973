//! A playbook's own tests: that they name what is there, give what a task can give, and expect something.

use serde_json::Value;

use super::Checker;
use crate::core::nearest::hint;
use crate::playbook::diagnostic::Code;
use crate::playbook::tasks::{self, Gives};

impl Checker<'_> {
    pub(super) fn tests(&mut self) {
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
                    let near = if near.is_empty() { format!("; there are {}", ids.join(", ")) } else { near };
                    self.add_key(&format!("{path}.{wher}.{id}"), Code::PB024, format!("there is no task `{id}`{near}"));
                }
            }
            for (id, output) in &test.given {
                self.given(&format!("{path}.given.{id}"), id, output);
            }
            let readable = !self.places.has_wrong(&format!("{path}.expect"));
            if readable
                && test.expect.tasks.is_empty()
                && test.expect.messages.is_empty()
                && test.expect.outcome.is_none()
            {
                let says = "this test expects nothing, so it can't fail; add `tasks:`, `messages:` or `outcome:`";
                self.add(&format!("{path}.expect"), Code::PB024, says);
            }
            for (name, parameter) in &self.playbook.parameters {
                if parameter.default.is_none() && !test.parameters.contains_key(name) {
                    let says = format!("the test gives no `{name}`, which has no default; add it under `parameters:`");
                    self.add(&path, Code::PB024, says);
                }
            }
            if self.playbook.tests[..index].iter().any(|other| other.name == test.name) {
                self.add(
                    &format!("{path}.name"),
                    Code::PB009,
                    format!("two tests are called \"{}\"; rename one", test.name),
                );
            }
            for name in test.parameters.keys() {
                if !self.playbook.parameters.contains_key(name) {
                    let near = hint(name, self.playbook.parameters.keys().map(String::as_str));
                    let near = if near.is_empty() {
                        "; remove it, or declare it under the playbook's `parameters:`".to_owned()
                    } else {
                        near
                    };
                    self.add_key(
                        &format!("{path}.parameters.{name}"),
                        Code::PB024,
                        format!("there is no parameter `{name}`{near}"),
                    );
                }
            }
        }
    }

    /// An output that a test gives, or a list of readings: only fields that the task's type has.
    fn given(&mut self, path: &str, id: &str, output: &Value) {
        let Some(task) = self.playbook.tasks.iter().find(|task| task.id == id.split('[').next().unwrap_or(id)) else {
            return;
        };
        let Some(Gives::These(outs)) = tasks::find(&task.kind).map(|task_type| &task_type.gives) else { return };
        let readings = match output {
            Value::Array(readings) => {
                readings.iter().enumerate().map(|(at, one)| (format!("{path}[{at}]"), one)).collect()
            }
            one => vec![(path.to_owned(), one)],
        };
        for (path, reading) in readings {
            let Value::Object(fields) = reading else {
                let says = format!(
                    "the output of a {} is a map, as `{{{}: …}}`, or `{{fails: \"why\"}}`",
                    task.kind, outs[0].name
                );
                self.add(&path, Code::PB024, says);
                continue;
            };
            for field in fields.keys().filter(|field| *field != "fails" && outs.iter().all(|out| out.name != **field)) {
                let near = hint(field, outs.iter().map(|out| out.name));
                let all: Vec<&str> = outs.iter().map(|out| out.name).collect();
                let near = if near.is_empty() { format!("; it has {}", all.join(", ")) } else { near };
                let says = format!("the output of a {} has no `{field}`{near}", task.kind);
                self.add_key(&format!("{path}.{field}"), Code::PB024, says);
            }
        }
    }
}
