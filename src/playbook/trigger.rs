//! Which playbook is for an alert: the most specific match.

use std::cmp::Reverse;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::book::Book;
use super::condition::Condition;
use super::model::Trigger;
use crate::alert::Alert;
use crate::core::message::playbook as say;

/// What was found for an alert.
#[derive(Debug, Clone, Default)]
pub struct Match {
    /// The playbook that fits best.
    pub playbook: Option<Arc<Book>>,
    /// Playbooks that would have matched, and why their `when` could not be told.
    pub reports: Vec<String>,
}

/// How specific a match is; larger is better. The name is compared last, and the other way round.
type Rank = (bool, bool, bool, i64);

/// The best of some playbooks: named service over any, named severity over any, with `when` over without, then priority,
/// then the name that comes first.
#[must_use]
pub fn best(books: &[Arc<Book>], alert: &Alert) -> Match {
    let mut found = Match::default();
    let mut best: Option<(Rank, Reverse<String>)> = None;
    for book in books {
        for (index, trigger) in book.playbook.trigger_conditions.iter().enumerate() {
            if !names_match(trigger, alert) {
                continue;
            }
            if let Some(when) = &book.when[index] {
                match holds(book, when, alert) {
                    Ok(true) => {}
                    Ok(false) => continue,
                    Err(why) => {
                        found.reports.push(why);
                        continue;
                    }
                }
            }
            let rank = (
                named(trigger.service_name.as_deref()),
                named(trigger.severity.as_deref()),
                trigger.when.is_some(),
                book.playbook.priority,
            );
            let key = (rank, Reverse(book.playbook.playbook_id.clone()));
            if best.as_ref().is_none_or(|best| key > *best) {
                best = Some(key);
                found.playbook = Some(book.clone());
            }
        }
    }
    found
}

fn named(word: Option<&str>) -> bool {
    word.is_some_and(|word| !word.eq_ignore_ascii_case("any"))
}

fn names_match(trigger: &Trigger, alert: &Alert) -> bool {
    let severity = match alert.severity {
        crate::alert::Severity::Critical => "Critical",
        crate::alert::Severity::Warning => "Warning",
        crate::alert::Severity::Info => "Info",
    };
    let fits = |wanted: Option<&str>, is: &str| match wanted {
        Some(wanted) if !wanted.eq_ignore_ascii_case("any") => wanted.eq_ignore_ascii_case(is),
        _ => true,
    };
    trigger.alert_name == alert.alert_name.as_data()
        && fits(trigger.service_name.as_deref(), alert.service_name.as_data())
        && fits(trigger.severity.as_deref(), severity)
}

fn holds(book: &Book, when: &Condition, alert: &Alert) -> Result<bool, String> {
    let name = &book.playbook.playbook_id;
    let Some(number) = alert.metric_value else { return Err(say::when_without_value(name, when.source())) };
    let values: Map<String, Value> = when.roots().map(|root| (root.to_owned(), Value::from(number))).collect();
    when.holds(&Value::Object(values)).map_err(|why| say::when_failed(name, &why))
}
