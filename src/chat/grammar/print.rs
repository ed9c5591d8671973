//! Writes a command as a line that parses back to it.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use super::command::{BookAct, Command, Filter, Verdict, Who};
use super::parse::split_span;
use super::spec::NEWEST;
use super::token::is_double;
use crate::core::IncidentId;
use crate::core::duration::Span;

impl Display for Command {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.verb())?;
        match self {
            Self::Help { about: Some(verb) } => write!(f, " {verb}"),
            Self::Incidents { filter: Filter::All } => f.write_str(" all"),
            Self::Help { about: None }
            | Self::Incidents { filter: Filter::Open }
            | Self::Schedule
            | Self::Usage
            | Self::Health => Ok(()),
            Self::Show { incident }
            | Self::Ack { incident }
            | Self::Resolve { incident }
            | Self::Reopen { incident }
            | Self::Why { incident }
            | Self::Timeline { incident }
            | Self::Postmortem { incident } => write!(f, "{}", Maybe(incident.as_ref())),
            Self::Assign { incident, to } => match to {
                Who::Me => write!(f, "{} me", Maybe(incident.as_ref())),
                Who::Name(name) => write!(f, "{} @{}", Maybe(incident.as_ref()), Word(name)),
            },
            Self::Severity { incident, severity } => write!(f, "{} {severity:?}", Maybe(incident.as_ref())),
            Self::Silence { matchers, span } => {
                for (index, matcher) in matchers.iter().enumerate() {
                    let join = if index == 0 { ' ' } else { ',' };
                    write!(f, "{join}{}{}{}", matcher.label, matcher.operator.as_str(), Quoted(&matcher.value))?;
                }
                write!(f, " {span}")
            }
            Self::Ask { question } => write!(f, " {}", Text(question)),
            Self::Logs { service, span, words } => {
                write!(f, " {}{}", Word(service), Maybe(span.as_ref()))?;
                for word in words {
                    // `10m` among the words is a word.
                    if word.parse::<Span>().is_ok() {
                        write!(f, " {}", Quoted(word))?;
                    } else {
                        write!(f, " {}", Word(word))?;
                    }
                }
                Ok(())
            }
            Self::Metrics { expression, span } | Self::Forecast { expression, span } => {
                write!(f, " {}{}", Expression(expression, *span), Maybe(span.as_ref()))
            }
            Self::Trace { id } => write!(f, " {}", Word(id)),
            Self::Topology { service } => write!(f, " {}", Word(service)),
            Self::Anomalies { service: word } | Self::Capacity { service: word } | Self::Oncall { team: word } => {
                write!(f, "{}", Maybe(word.as_deref().map(Word).as_ref()))
            }
            Self::Playbooks { playbook, act } => {
                write!(f, "{}", Maybe(playbook.as_deref().map(Word).as_ref()))?;
                match act {
                    BookAct::Show => Ok(()),
                    BookAct::History => f.write_str(" history"),
                    BookAct::Diff { from, to } => write!(f, " diff{}{}", Maybe(from.as_ref()), Maybe(to.as_ref())),
                    BookAct::Use { version: None } => write!(f, " use {NEWEST}"),
                    BookAct::Use { version: Some(version) } => write!(f, " use {version}"),
                }
            }
            Self::Plan { playbook, parameters, incident } | Self::Run { playbook, parameters, incident } => {
                playbook_line(f, playbook, parameters, *incident)
            }
            Self::Runs { run } => write!(f, "{}", Maybe(run.as_ref())),
            Self::Pause { run } | Self::Resume { run } | Self::Cancel { run } | Self::Retry { run } => {
                write!(f, " {run}")
            }
            Self::Approve { run, plan, reason } | Self::Reject { run, plan, reason } => {
                write!(f, " {run}")?;
                if let Some(plan) = plan {
                    write!(f, " --plan {}", Word(plan))?;
                }
                write!(f, "{}", Maybe(reason.as_deref().map(Text).as_ref()))
            }
            Self::BreakGlass { run, plan, reason } => {
                write!(f, " {run}")?;
                if let Some(plan) = plan {
                    write!(f, " --plan {}", Word(plan))?;
                }
                write!(f, " --break-glass {}", Word(reason))
            }
            Self::Answer { run, task, answer } => {
                write!(f, " {run}")?;
                if let Some(task) = task {
                    write!(f, " --task {}", Word(task))?;
                }
                write!(f, " {}", Text(answer))
            }
            Self::Report { span } => write!(f, "{}", Maybe(span.as_ref())),
            Self::Feedback { incident, verdict, text } => {
                let verdict = match verdict {
                    Verdict::Good => "good",
                    Verdict::Bad => "bad",
                };
                write!(f, "{} {verdict}{}", Maybe(incident.as_ref()), Maybe(text.as_deref().map(Text).as_ref()))
            }
        }
    }
}

fn playbook_line(
    f: &mut Formatter<'_>,
    playbook: &str,
    parameters: &BTreeMap<String, String>,
    incident: Option<IncidentId>,
) -> fmt::Result {
    write!(f, " {}", Word(playbook))?;
    for (name, value) in parameters {
        write!(f, " {name}={}", Word(value))?;
    }
    match incident {
        Some(incident) => write!(f, " --incident {incident}"),
        None => Ok(()),
    }
}

/// With a blank before it, or nothing.
struct Maybe<'a, T>(Option<&'a T>);

impl<T: Display> Display for Maybe<'_, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(value) => write!(f, " {value}"),
            None => Ok(()),
        }
    }
}

/// One word: bare if it reads as itself, else quoted.
struct Word<'a>(&'a str);

impl Display for Word<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let bare = self.0.starts_with(char::is_alphanumeric)
            && self.0.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '/' | '+' | '%'));
        if bare { f.write_str(self.0) } else { Quoted(self.0).fmt(f) }
    }
}

/// In quotes, always.
struct Quoted<'a>(&'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for c in self.0.chars() {
            if is_double(c) || matches!(c, '\\' | '\'') {
                f.write_str("\\")?;
            }
            write!(f, "{c}")?;
        }
        f.write_str("\"")
    }
}

/// The rest of a line: as it stands if it reads as itself, else quoted.
struct Text<'a>(&'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let plain = self.0.trim() == self.0 && !self.0.starts_with(is_double) && !self.0.contains("--");
        if plain { f.write_str(self.0) } else { Quoted(self.0).fmt(f) }
    }
}

/// An expression before its span.
struct Expression<'a>(&'a str, Option<Span>);

impl Display for Expression<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(text, span) = *self;
        let line = match span {
            Some(span) => format!("{text} {span}"),
            None => text.to_owned(),
        };
        let plain = text.trim() == text && !text.starts_with(is_double) && split_span(&line) == (text.to_owned(), span);
        if plain { f.write_str(text) } else { Quoted(text).fmt(f) }
    }
}
