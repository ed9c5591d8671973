//! Completion of a half-written line: what may stand at its end, from the table of commands and from what exists now.

use super::spec::{Arg, Kind, Need, SPECS, Spec, Verb};
use super::token::Cursor;
use crate::chat::Completion;
use crate::core::BoxFuture;
use crate::core::duration::Span;
use crate::core::{IncidentId, RunId};

/// A word that may stand at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// As it is written.
    pub text: String,
    /// What it means, a few words.
    pub hint: String,
}

/// Which words are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// For which command.
    pub verb: Verb,
    /// What kind of thing.
    pub kind: Kind,
    /// The words after the command so far (a playbook's id, before its parameters).
    pub before: Vec<String>,
}

/// Knows what exists now: incidents, runs, playbooks, services, persons. `command/` implements it.
pub trait Values: Send + Sync {
    /// What may stand there, best first; nothing if it does not know. Need not look at what is typed so far.
    fn of<'a>(&'a self, wanted: &'a Wanted) -> BoxFuture<'a, Vec<Candidate>>;
}

/// Completions of `line`, best first, at most `limit`: whole lines. Commands for which `may` says no are left out.
pub async fn complete(
    line: &str,
    values: &dyn Values,
    may: &(dyn Fn(Verb) -> bool + Sync),
    limit: usize,
) -> Vec<Completion> {
    let start =
        line.rfind(char::is_whitespace).map_or(0, |at| at + line[at..].chars().next().map_or(1, char::len_utf8));
    let (stem, typed) = line.split_at(start);
    let mut cursor = Cursor::new(stem);
    let mut words = Vec::new();
    // An open quote: nothing is known that belongs into it.
    while let Ok(next) = cursor.next() {
        match next {
            Some(word) => words.push(word.text),
            None => break,
        }
    }
    if words.first().is_some_and(|word| matches!(word.to_lowercase().as_str(), "/mayday" | "@mayday" | "@mayday:")) {
        words.remove(0);
    }
    let Some((first, before)) = words.split_first() else {
        let typed = typed.strip_prefix('/').filter(|_| stem.is_empty()).unwrap_or(typed);
        let candidates = commands(may);
        return pick(stem, typed, candidates, limit);
    };
    let Some(verb) = Verb::find(first).filter(|verb| may(*verb)) else { return Vec::new() };
    let spec = verb.spec();
    let mut candidates = Vec::new();
    for kind in expected(spec, before) {
        match kind {
            Kind::Command => candidates.extend(commands(may)),
            Kind::Choice(words) | Kind::Span(words) => {
                candidates.extend(words.iter().map(|word| Candidate { text: (*word).to_owned(), hint: String::new() }));
            }
            Kind::Text => {}
            kind => candidates.extend(values.of(&Wanted { verb, kind, before: before.to_vec() }).await),
        }
    }
    if typed.starts_with('-') {
        let flags = spec.flags.iter().filter(|flag| !before.iter().any(|word| word == flag.name));
        candidates.extend(flags.map(|flag| Candidate { text: flag.name.to_owned(), hint: flag.value.to_owned() }));
    }
    pick(stem, typed, candidates, limit)
}

fn commands(may: &(dyn Fn(Verb) -> bool + Sync)) -> Vec<Candidate> {
    let allowed = SPECS.iter().filter(|spec| may(spec.verb));
    allowed.map(|spec| Candidate { text: spec.name.to_owned(), hint: spec.about() }).collect()
}

/// What may come after these words.
fn expected(spec: &Spec, before: &[String]) -> Vec<Kind> {
    if let Some(last) = before.last()
        && let Some(flag) = spec.flags.iter().find(|flag| flag.name == last)
    {
        return vec![flag.kind];
    }
    let mut args = spec.args;
    let mut skip_value = false;
    for word in before {
        if std::mem::take(&mut skip_value) {
            continue;
        }
        if word.starts_with("--") {
            skip_value = !word.contains('=');
            continue;
        }
        // The first place that takes this word; optional ones before it were left out.
        let Some(taken) = args.iter().position(|arg| accepts(arg, word)) else { return Vec::new() };
        let stays = matches!(args[taken].need, Need::Some | Need::Any);
        args = &args[if stays { taken } else { taken + 1 }..];
        if stays && args[0].need == Need::Some && args.len() > 1 {
            // It stood there once; from now on the next place may come as well.
            return args.iter().map(|arg| arg.kind).collect();
        }
    }
    let mut kinds = Vec::new();
    for arg in args {
        kinds.push(arg.kind);
        if matches!(arg.need, Need::One | Need::Some) {
            break;
        }
    }
    kinds
}

fn accepts(arg: &Arg, word: &str) -> bool {
    match arg.kind {
        Kind::Incident => word.parse::<IncidentId>().is_ok(),
        Kind::Run => word.parse::<RunId>().is_ok(),
        Kind::Span(_) => word.parse::<Span>().is_ok(),
        Kind::Choice(words) => words.iter().any(|choice| choice.eq_ignore_ascii_case(word)),
        Kind::Matcher | Kind::Parameter => word.contains('='),
        _ => true,
    }
}

/// Those that begin as typed, then those that have it somewhere.
fn pick(stem: &str, typed: &str, candidates: Vec<Candidate>, limit: usize) -> Vec<Completion> {
    let typed = typed.to_lowercase();
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for candidate in candidates {
        let text = candidate.text.to_lowercase();
        let bare = text.trim_start_matches('@');
        let completion =
            |candidate: Candidate| Completion { line: format!("{stem}{}", candidate.text), hint: candidate.hint };
        if text.starts_with(&typed) || bare.starts_with(&typed) {
            first.push(completion(candidate));
        } else if typed.len() >= 2 && text.contains(&typed) {
            second.push(completion(candidate));
        }
    }
    first.append(&mut second);
    let mut seen = std::collections::HashSet::new();
    first.retain(|completion| seen.insert(completion.line.clone()));
    first.truncate(limit);
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Known;
    impl Values for Known {
        fn of<'a>(&'a self, wanted: &'a Wanted) -> BoxFuture<'a, Vec<Candidate>> {
            let words: &[&str] = match wanted.kind {
                Kind::Incident => &["INC-7", "INC-12"],
                Kind::Service => &["order-service", "payment-gateway"],
                Kind::Person => &["@ana", "@bo"],
                Kind::Playbook => &["PB-Disk-Cleanup"],
                Kind::Parameter if wanted.before == ["PB-Disk-Cleanup"] => &["service="],
                _ => &[],
            };
            let candidates = words.iter().map(|word| Candidate { text: (*word).to_owned(), hint: String::new() });
            Box::pin(std::future::ready(candidates.collect()))
        }
    }

    async fn lines(line: &str) -> Vec<String> {
        let may = |verb: Verb| verb != Verb::Approve;
        complete(line, &Known, &may, 5).await.into_iter().map(|completion| completion.line).collect()
    }

    #[tokio::test]
    async fn a_command_is_completed_and_one_that_is_not_allowed_is_not_offered() {
        assert_eq!(lines("inc").await, ["incidents"]);
        assert_eq!(lines("/mayday tim").await, ["/mayday timeline"]);
        assert!(lines("appr").await.is_empty());
        assert!(lines("approve ").await.is_empty());
        assert_eq!(lines("").await.len(), 5);
    }

    #[tokio::test]
    async fn what_exists_is_offered_where_it_fits() {
        assert_eq!(lines("show ").await, ["show INC-7", "show INC-12"]);
        assert_eq!(lines("show INC-1").await, ["show INC-12"]);
        assert_eq!(lines("logs pay").await, ["logs payment-gateway"]);
        assert_eq!(lines("logs order-service 3").await, ["logs order-service 30m"]);
        assert_eq!(lines("assign INC-7 an").await, ["assign INC-7 @ana"]);
        assert_eq!(lines("assign @").await, ["assign @ana", "assign @bo"]);
        assert_eq!(lines("severity c").await, ["severity Critical"]);
        assert_eq!(lines("run disk").await, ["run PB-Disk-Cleanup"]);
        assert_eq!(lines("run PB-Disk-Cleanup s").await, ["run PB-Disk-Cleanup service="]);
        assert_eq!(lines("run PB-Disk-Cleanup -").await, ["run PB-Disk-Cleanup --incident"]);
        assert_eq!(
            lines("run PB-Disk-Cleanup --incident ").await,
            ["run PB-Disk-Cleanup --incident INC-7", "run PB-Disk-Cleanup --incident INC-12"]
        );
        assert_eq!(lines("silence a=b 2").await, ["silence a=b 2h", "silence a=b 24h"]);
        assert!(lines("show INC-7 ").await.is_empty());
    }
}
