//! Conditions: that they can be read, name what is there, and put together what goes together.

use super::Checker;
use super::scope::reader;
use crate::playbook::condition::{Clash, Condition, Kind, Wrong};
use crate::playbook::diagnostic::Code;
use crate::playbook::model::Task;

impl Checker<'_> {
    pub(super) fn triggers(&mut self) -> Vec<Option<Condition>> {
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
                        if free.len() <= 1 && !fields {
                            let found = condition.kind(&|_, _| Kind::Number);
                            self.kinds(&path, when, &condition, Kind::Truth, found);
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

    pub(super) fn verification(&mut self, index: usize, task: &Task, path: &str, before: &[bool]) -> Option<Condition> {
        let (path, words) = match (task.kind.as_str(), &task.verify) {
            ("Verify", None) => (format!("{path}.parameters.condition"), task.parameters.get("condition")?.as_str()?),
            ("Wait", None) => (format!("{path}.parameters.until"), task.parameters.get("until")?.as_str()?),
            ("Verify" | "Wait", Some(_)) => {
                self.add_key(
                    &format!("{path}.verify"),
                    Code::PB003,
                    format!("a {} has its own condition; remove `verify`", task.kind),
                );
                return None;
            }
            (_, Some(verify)) => (format!("{path}.verify.condition"), verify.condition.as_str()),
            (_, None) => return None,
        };
        let condition = self.condition(&path, words, before, Some(index), Kind::Truth)?;
        let measured = condition.roots().any(|root| reader(self.playbook, root).is_some());
        if !measured {
            let says = "nothing in it can be measured again; name the output of a read task that comes before \
                        (a Metric_Query, an API_Call with GET …)";
            self.add(&path, Code::PB025, says);
        }
        Some(condition)
    }

    pub(super) fn condition_wrong(&mut self, path: &str, words: &str, wrong: &Wrong) {
        let place = self.inside(path, words, wrong.at);
        let fix = if wrong.says.starts_with("write ") { "" } else { "; write CEL, for instance `cpu.value < 80`" };
        let (code, says) = if wrong.mixed_numbers {
            (Code::PB026, format!("`{words}`: {}", wrong.says))
        } else {
            (Code::PB016, format!("`{words}` is not a condition: {}{fix}", wrong.says))
        };
        self.at(path, place, code, says);
    }

    /// Parses a condition and looks at its names; `own` is the task whose own output it may see.
    pub(super) fn condition(
        &mut self,
        path: &str,
        words: &str,
        before: &[bool],
        own: Option<usize>,
        wanted: Kind,
    ) -> Option<Condition> {
        let condition = match Condition::parse(words) {
            Ok(condition) => condition,
            Err(wrong) => {
                self.condition_wrong(path, words, &wrong);
                return None;
            }
        };
        if self.misnamed(words) {
            return None;
        }
        let mut clean = true;
        for reference in condition.references() {
            self.uses(&reference.root, &reference.fields);
            if let Err((code, says)) = self.scope.look(&reference.root, &reference.fields, before, own, true) {
                let place = self.inside(path, words, reference.at);
                clean = false;
                self.at(path, place, code, says);
            }
        }
        if clean {
            let found = condition.kind(&|root, fields| self.scope.kind(root, fields, own));
            self.kinds(path, words, &condition, wanted, found);
        }
        Some(condition)
    }

    /// Whether what it puts together goes together, and what comes of it is what is wanted.
    fn kinds(&mut self, path: &str, words: &str, condition: &Condition, wanted: Kind, found: Result<Kind, Clash>) {
        match found {
            Err(clash) => {
                let code = if clash.function { Code::PB034 } else { Code::PB033 };
                let place = self.inside(path, words, clash.at);
                self.at(path, place, code, clash.says);
            }
            Ok(found) if found == wanted || found == Kind::Any => {}
            Ok(found) if wanted == Kind::List => {
                let says = format!("`{}` is {}, not a list", condition.source(), found.says());
                self.add(path, Code::PB031, format!("{says}; name an output that is one, or write `[…]`"));
            }
            Ok(found) => {
                let fix = match found {
                    Kind::List | Kind::Map => format!("size({}) > 0", condition.source()),
                    Kind::Text => format!("{} == \"…\"", condition.source()),
                    Kind::Number | Kind::Truth | Kind::Any => format!("{} > 0", condition.source()),
                };
                let says =
                    format!("`{}` is {}, not true or false; compare it, as `{fix}`", condition.source(), found.says());
                self.add(path, Code::PB033, says);
            }
        }
    }
}
