//! Limits: times that fit into each other, approvals that people can give, parameters that are used.

use std::collections::BTreeSet;

use super::Checker;
use crate::core::duration::Span;
use crate::playbook::diagnostic::Code;
use crate::playbook::model::{Approval, Risk, Task};
use crate::playbook::pace::Pace;
use crate::playbook::tasks;

impl Checker<'_> {
    /// Notes that a condition or a text uses a parameter.
    pub(super) fn uses(&mut self, root: &str, fields: &[String]) {
        if root == "params" {
            self.used.insert(fields.first().cloned());
        }
    }

    /// Parameters that nothing uses: more often a slip in the name than a wish.
    pub(super) fn unused(&mut self) {
        // Without any mistake only: what could not be read may use it.
        if !self.report.is_clean() || self.used.contains(&None) {
            return;
        }
        for name in self.playbook.parameters.keys() {
            if !self.used.contains(&Some(name.clone())) {
                let says = format!(
                    "nothing uses the parameter `{name}`; write `{{{{ params.{name} }}}}` where it belongs, or remove it"
                );
                self.add_key(&format!("parameters.{name}"), Code::PB036, says);
            }
        }
    }

    pub(super) fn limits(&mut self, task: &Task, path: &str) {
        if task.timeout.is_some_and(|timeout| timeout.0.is_zero()) {
            self.add(
                &format!("{path}.timeout"),
                Code::PB023,
                "a task needs some time; leave `timeout` out or give it more",
            );
        }
        if task.risk.is_some() && !matches!(task.kind.as_str(), "API_Call" | "Run_Command") {
            self.add_key(
                &format!("{path}.risk"),
                Code::PB006,
                format!(
                    "only an API_Call or a Run_Command declares its risk, a {} has its own; remove `risk`",
                    task.kind
                ),
            );
        }
        if task.risk == Some(Risk::Read) && tasks::risk(task) == Risk::Read && !reads(task) {
            let says = "a call that changes nothing is a GET; another method, or a program, is at least `reversible`";
            self.add(&format!("{path}.risk"), Code::PB006, says);
        }
        if task.approval.is_some() && tasks::find(&task.kind).is_some() && tasks::risk(task) == Risk::Read {
            let says = format!("`{}` changes nothing and runs without approval; remove `approval`", task.id);
            self.add_key(&format!("{path}.approval"), Code::PB003, says);
        }
        self.task_times(task, path);
        if let Some(approval) = &task.approval {
            self.approval(approval, path);
        }
    }

    /// Times of the whole playbook.
    pub(super) fn playbook_times(&mut self) {
        if self.playbook.quota.is_some_and(|quota| quota.per.0.is_zero()) {
            self.add("quota.per", Code::PB023, "a quota counts runs within some time; write for instance `1h`");
        }
        if self.playbook.max_duration.is_some_and(|longest| longest.0.is_zero()) {
            self.add("max_duration", Code::PB023, "a run needs some time; leave `max_duration` out or give it more");
        }
    }

    /// A time within a task that is longer than the run may take, or than what it is a part of.
    fn task_times(&mut self, task: &Task, path: &str) {
        let given = |name: &str| {
            let text = task.parameters.get(name).and_then(serde_json::Value::as_str)?;
            text.parse::<Span>().ok().map(|span| (format!("{path}.parameters.{name}"), span))
        };
        let timeout = task.timeout.map(|span| (format!("{path}.timeout"), span));
        let within = task.verify.as_ref().and_then(|verify| verify.within);
        let within = within.map(|span| (format!("{path}.verify.within"), span));
        let waits = ["within", "for", "expires"].iter().filter_map(|name| match task.kind.as_str() {
            "Verify" | "Wait" | "Ask_Human" => given(name),
            _ => None,
        });
        if let Some(longest) = self.playbook.max_duration.filter(|longest| !longest.0.is_zero()) {
            for (at, span) in timeout.into_iter().chain(within.clone()).chain(waits) {
                if span > longest {
                    let key = at.rsplit('.').next().unwrap_or_default().to_owned();
                    let says = format!(
                        "`{key}: {span}` is longer than the run may take (`max_duration: {longest}`); shorten it"
                    );
                    self.add(&at, Code::PB035, says);
                }
            }
        }
        if let (Some((at, every)), Some((_, within))) = (given("every"), given("within"))
            && task.kind == "Verify"
            && every > within
        {
            let says = format!("it would be read every {every}, and is over after {within}; read it more often");
            self.add(&at, Code::PB035, says);
        }
        self.hold_time(task, path);
    }

    /// How long a condition must hold fits into the time that it has, with more than one reading.
    fn hold_time(&mut self, task: &Task, path: &str) {
        let (pace, measures) =
            (Pace::of(task), ["condition", "until"].iter().any(|key| task.parameters.contains_key(*key)));
        let at = match task.kind.as_str() {
            "Verify" | "Wait" if measures => format!("{path}.parameters"),
            "Verify" | "Wait" => return,
            _ => format!("{path}.verify"),
        };
        let hold = Span(pace.hold);
        if !hold.0.is_zero() && hold >= pace.within {
            let within = pace.within;
            let says = format!(
                "it must hold for {hold}, and has {within} for all of it (`within`); make `for` shorter or `within` longer"
            );
            self.add(&format!("{at}.for"), Code::PB035, says);
        } else if !hold.0.is_zero()
            && task.kind == "Verify"
            && task.parameters.contains_key("every")
            && pace.every > hold
        {
            let says = format!(
                "it would be read every {}, and must hold for {hold} without interruption; read it more often",
                pace.every
            );
            self.add(&format!("{at}.every"), Code::PB035, says);
        }
    }

    /// Names with a chat (`web:ana`) are persons, each of whom approves once; others may be teams of any size.
    fn approval(&mut self, approval: &Approval, path: &str) {
        let path = format!("{path}.approval");
        if approval.expires.is_some_and(|expires| expires.0.is_zero()) {
            let says = "an approval needs some time; leave `expires` out or give it more";
            self.add(&format!("{path}.expires"), Code::PB023, says);
        }
        let persons: BTreeSet<String> = approval.approvers.iter().map(|name| name.trim().to_lowercase()).collect();
        let only_persons = !persons.is_empty() && persons.iter().all(|name| name.contains(':'));
        let count = approval.count.unwrap_or(1) as usize;
        if only_persons && persons.len() < count {
            let named =
                if persons.len() == 1 { "1 person is".to_owned() } else { format!("{} people are", persons.len()) };
            let says = format!("{count} people must approve and {named} named; name more, or lower `count`");
            self.add(&format!("{path}.count"), Code::PB037, says);
        }
    }
}

fn reads(task: &Task) -> bool {
    task.action.as_deref().is_some_and(|line| line.starts_with("GET ") || line.starts_with("HEAD "))
}
