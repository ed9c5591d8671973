//! How each source's words become a severity. A word that no table knows, or none at all, is a Warning with a note:
//! never Info, which nobody would look at.
//!
//! | words (any case) | severity |
//! |---|---|
//! | critical, crit, fatal, emergency, emerg, disaster, high, major, error, err, alert, page, p1, p2, sev1, sev2 | Critical |
//! | warning, warn, average, medium, moderate, minor, p3, sev3 | Warning |
//! | info, information, informational, notice, low, none, ok, debug, trivial, not classified, p4, p5, sev4, sev5 | Info |
//!
//! Zabbix's own numbers (`event_nseverity`) go first, since its words can be renamed: 0 not classified and
//! 1 information are Info, 2 warning and 3 average are Warning, 4 high and 5 disaster are Critical.

use super::Severity;

/// The severity of a word.
#[must_use]
pub fn of_word(word: &str) -> Option<Severity> {
    match word.trim().to_ascii_lowercase().as_str() {
        "critical" | "crit" | "fatal" | "emergency" | "emerg" | "disaster" | "high" | "major" | "error" | "err"
        | "alert" | "page" | "p1" | "p2" | "sev1" | "sev2" => Some(Severity::Critical),
        "warning" | "warn" | "average" | "medium" | "moderate" | "minor" | "p3" | "sev3" => Some(Severity::Warning),
        "info" | "information" | "informational" | "notice" | "low" | "none" | "ok" | "debug" | "trivial"
        | "not classified" | "p4" | "p5" | "sev4" | "sev5" => Some(Severity::Info),
        _ => None,
    }
}

/// The severity of Zabbix's number, 0 to 5.
#[must_use]
pub fn of_zabbix_number(text: &str) -> Option<Severity> {
    match text.trim() {
        "0" | "1" => Some(Severity::Info),
        "2" | "3" => Some(Severity::Warning),
        "4" | "5" => Some(Severity::Critical),
        _ => None,
    }
}

/// The word's severity, or Warning with a note.
pub(super) fn or_warning(word: Option<&str>, notes: &mut Vec<String>) -> Severity {
    let word = word.map(str::trim).filter(|word| !word.is_empty());
    match word {
        Some(word) => of_word(word).unwrap_or_else(|| {
            notes
                .push(format!("the severity {:?} is not known; taken as Warning", crate::core::text::capped(word, 40)));
            Severity::Warning
        }),
        None => {
            notes.push("an alert names no severity; taken as Warning".to_owned());
            Severity::Warning
        }
    }
}
