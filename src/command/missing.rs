//! The one table of commands that are understood and have no back end yet. A test fails when a back end appears and its
//! row stays, so that "can't do it yet" is never said by accident.

use crate::chat::grammar::Verb;

/// A command without a back end.
pub(super) struct Missing {
    /// Which.
    pub verb: Verb,
    /// Where its back end will be: paths below `src/` that begin so do not exist yet.
    #[cfg_attr(not(test), allow(dead_code, reason = "read by the test that keeps the table true"))]
    pub waits_for: &'static [&'static str],
}

const fn row(verb: Verb, waits_for: &'static [&'static str]) -> Missing {
    Missing { verb, waits_for }
}

/// The table.
pub(super) const TABLE: &[Missing] = &[
    row(Verb::Silence, &["incident/silenc"]),
    row(Verb::Ask, &["llm/", "diagnose/ask"]),
    row(Verb::Trace, &["source/jaeger", "source/zipkin", "source/trace"]),
    row(Verb::Anomalies, &["analysis/anomal"]),
    row(Verb::Forecast, &["analysis/forecast"]),
    row(Verb::Capacity, &["analysis/capacity", "analysis/forecast"]),
    row(Verb::Oncall, &["incident/on_call", "incident/oncall", "incident/escalat"]),
    row(Verb::Postmortem, &["ops/postmortem", "knowledge/postmortem", "incident/postmortem"]),
    row(Verb::Report, &["ops/report"]),
    row(Verb::Feedback, &["knowledge/"]),
    row(Verb::Usage, &["llm/"]),
];

/// Whether the command has no back end yet.
pub(super) fn is_missing(verb: Verb) -> bool {
    TABLE.iter().any(|row| row.verb == verb)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::message::command::instead;

    fn paths(folder: &std::path::Path, below: &str, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{below}{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                found.push(format!("{name}/"));
                paths(&entry.path(), &format!("{name}/"), found);
            } else {
                found.push(name);
            }
        }
    }

    #[test]
    fn no_command_of_the_table_has_a_back_end_and_each_says_what_to_use_instead() {
        let mut found = Vec::new();
        paths(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "", &mut found);
        assert!(found.iter().any(|path| path == "command/missing.rs"));
        for row in TABLE {
            assert!(!instead(row.verb.as_str()).is_empty(), "{} says nothing", row.verb);
            for prefix in row.waits_for {
                let there = found.iter().find(|path| path.starts_with(prefix));
                assert_eq!(there, None, "`{}` has a back end now: handle it and take its row away", row.verb);
            }
        }
    }
}
