//! Carries out what the grammar says: [`Desk`] takes a line from any chat, looks whether the person may, writes changes
//! into the audit, and hands it to one small file per command.
//!
//! Architecture Invariant: a command that changes something stands in the audit before it is done; if it can't be written
//! there, it is not done.
//! Architecture Invariant: a decision about a run is a person's own word: nobody, not even an admin, gives it as another.
//! Architecture Invariant: nothing here decides what an approval needs; that is the engine's and the policy's.

mod ack;
mod answer;
mod assign;
mod health;
mod help;
mod incidents;
mod logs;
mod metrics;
mod missing;
mod order;
mod permission;
mod plan;
mod playbooks;
pub mod ports;
mod run;
mod runs;
mod schedule;
mod severity;
mod show;
mod speaker;
mod timeline;
mod topology;
mod values;
mod why;
pub mod wire;

use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use ports::No;
use speaker::Speaker;

use crate::access::Person;
use crate::catalog::Catalog;
use crate::chat::grammar::{self, Command, Verb};
use crate::chat::{Card, Commands, Completion, Inbound, Reply};
use crate::core::duration::Span;
use crate::core::message::command as say;
use crate::core::redact::shown_json;
use crate::core::{BoxFuture, SharedClock};
use crate::playbook::Runs;
use crate::playbook::view::Order;
use crate::source;

/// How commands behave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// A command that has no answer after this long says so; what it started may still happen.
    pub deadline: Span,
    /// How far back `logs` looks when not told.
    pub logs_window: Span,
    /// How far back `metrics` looks when not told.
    pub metrics_window: Span,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            deadline: Span::from_secs(20),
            logs_window: Span::from_secs(1800),
            metrics_window: Span::from_secs(3600),
        }
    }
}

/// What the desk needs from other rooms.
#[derive(Clone)]
pub struct Deps {
    /// Incidents.
    pub incidents: Arc<dyn ports::Incidents>,
    /// The engine.
    pub runs: Arc<dyn Runs>,
    /// The loaded playbooks.
    pub playbooks: Arc<dyn ports::Playbooks>,
    /// What they would do.
    pub plans: Arc<dyn ports::Plans>,
    /// Logs.
    pub logs: Arc<dyn source::Logs>,
    /// Metrics.
    pub metrics: Arc<dyn source::Metrics>,
    /// Looks for causes.
    pub causes: Arc<dyn ports::Causes>,
    /// The service catalogue.
    pub catalog: Arc<Catalog>,
    /// Who is known.
    pub people: Arc<dyn ports::People>,
    /// Where changes are written down.
    pub audits: Arc<dyn ports::Audits>,
    /// What is planned.
    pub schedules: Arc<dyn ports::Schedules>,
    /// How Mayday itself is.
    pub health: Arc<dyn ports::Healths>,
    /// Time.
    pub clock: SharedClock,
}

/// Takes commands from every chat. Cheap to clone.
#[derive(Clone)]
pub struct Desk {
    deps: Deps,
    options: Options,
}

/// What a command came to: an answer, or why not.
type Answer = Result<Reply, No>;

impl Desk {
    /// A desk over these rooms.
    #[must_use]
    pub fn new(deps: Deps, options: Options) -> Self {
        Self { deps, options }
    }

    async fn answer(&self, inbound: &Inbound) -> (&'static str, Answer) {
        let command = match grammar::parse(&inbound.text) {
            Ok(command) => command,
            Err(error) => {
                let data = json!({
                    "error": "grammar", "what": error.what, "near": error.near,
                    "at": [error.at.start, error.at.end], "usage": error.usage,
                });
                let mut text = error.to_string();
                let usage = error.usage.as_deref().unwrap_or_default();
                // Nobody was named: whom to name is what the speaker does not know.
                if usage.starts_with("assign") && error.at.is_empty() {
                    text = format!("{text}\n{}", assign::people(&self.deps));
                }
                return ("none", Ok(Reply { ok: false, text, card: None, data }));
            }
        };
        let verb = command.verb();
        let speaker = Speaker::new(&self.deps, &self.options, inbound);
        let needed = permission::role_for(&command);
        if speaker.person.role < needed {
            let (needed, has) = (permission::role_word(needed), permission::role_word(speaker.person.role));
            return (verb.as_str(), Err(No::Refused(say::needs_role(verb.as_str(), needed, has))));
        }
        if let Some(admin) = &inbound.impersonated_by
            && permission::own_word(verb)
        {
            let text = say::own_word(verb.as_str(), &speaker.person.name, &admin.name);
            return (verb.as_str(), Err(No::Refused(text)));
        }
        if missing::is_missing(verb) {
            let text = say::not_there_yet(verb.as_str(), &say::instead(verb.as_str()));
            let data = json!({ "error": "not_there_yet", "command": verb.as_str() });
            return (verb.as_str(), Ok(Reply { ok: false, text, card: None, data }));
        }
        let deadline = self.options.deadline.0;
        let answer = tokio::time::timeout(deadline, dispatch(&speaker, command)).await;
        (verb.as_str(), answer.unwrap_or_else(|_| Err(No::Broken(say::too_slow(deadline)))))
    }
}

async fn dispatch(speaker: &Speaker<'_>, command: Command) -> Answer {
    match command {
        Command::Help { about } => Ok(help::help(speaker, about)),
        Command::Incidents { filter } => incidents::incidents(speaker, filter).await,
        Command::Show { incident } => show::show(speaker, incident).await,
        Command::Ack { incident } => ack::ack(speaker, incident).await,
        Command::Assign { incident, to } => assign::assign(speaker, incident, to).await,
        Command::Severity { incident, severity } => severity::severity(speaker, incident, severity).await,
        Command::Resolve { incident } => ack::resolve(speaker, incident).await,
        Command::Reopen { incident } => ack::reopen(speaker, incident).await,
        Command::Why { incident } => why::why(speaker, incident).await,
        Command::Logs { service, span, words } => logs::logs(speaker, &service, span, words).await,
        Command::Metrics { expression, span } => metrics::metrics(speaker, expression, span).await,
        Command::Topology { service } => topology::topology(speaker, &service),
        Command::Playbooks { playbook, act } => playbooks::playbooks(speaker, playbook.as_deref(), act).await,
        Command::Plan { playbook, parameters, incident } => plan::plan(speaker, &playbook, &parameters, incident).await,
        Command::Run { playbook, parameters, incident } => run::run(speaker, &playbook, parameters, incident).await,
        Command::Runs { run: None } => runs::list(speaker).await,
        Command::Runs { run: Some(run) } => runs::one(speaker, run).await,
        Command::Pause { run } => order::order(speaker, Verb::Pause, run, Order::Pause).await,
        Command::Resume { run } => order::order(speaker, Verb::Resume, run, Order::Resume).await,
        Command::Cancel { run } => order::order(speaker, Verb::Cancel, run, Order::Cancel).await,
        Command::Retry { run } => order::order(speaker, Verb::Retry, run, Order::Retry).await,
        Command::BreakGlass { run, plan, reason } => {
            order::order(speaker, Verb::Approve, run, Order::BreakGlass { plan_hash: plan, reason }).await
        }
        Command::Approve { run, plan, reason } => {
            order::order(speaker, Verb::Approve, run, Order::Approve { plan_hash: plan, reason }).await
        }
        Command::Reject { run, plan, reason } => order::reject(speaker, run, plan.as_deref(), reason).await,
        Command::Answer { run, task, answer } => answer::answer(speaker, run, task, answer).await,
        Command::Timeline { incident } => timeline::timeline(speaker, incident).await,
        Command::Schedule => schedule::schedule(speaker).await,
        Command::Health => health::health(speaker).await,
        Command::Silence { .. }
        | Command::Ask { .. }
        | Command::Trace { .. }
        | Command::Anomalies { .. }
        | Command::Forecast { .. }
        | Command::Capacity { .. }
        | Command::Oncall { .. }
        | Command::Postmortem { .. }
        | Command::Report { .. }
        | Command::Feedback { .. }
        | Command::Usage => Err(No::Broken(UNHANDLED.to_owned())),
    }
}

/// Said by a command that is neither handled nor in the table of those that are not there yet; a test sees to it that no
/// one ever reads it.
const UNHANDLED: &str = "nobody carries it out";

impl Commands for Desk {
    fn say<'a>(&'a self, inbound: Inbound) -> BoxFuture<'a, Reply> {
        Box::pin(async move {
            let began = Instant::now();
            let (verb, answer) = self.answer(&inbound).await;
            let reply = match answer {
                Ok(reply) => reply,
                Err(No::Refused(text)) => Reply { ok: false, text, card: None, data: json!({ "error": "refused" }) },
                Err(No::Broken(why)) => {
                    tracing::error!(command = verb, person = %inbound.person.id.0, %why, "a command failed");
                    Reply { ok: false, text: say::broken(verb, &why), card: None, data: json!({ "error": "broken" }) }
                }
            };
            ::metrics::counter!("mayday_command_said_total", "command" => verb, "ok" => if reply.ok { "yes" } else { "no" })
                .increment(1);
            ::metrics::histogram!("mayday_command_answer_seconds").record(began.elapsed().as_secs_f64());
            reply
        })
    }

    fn complete<'a>(&'a self, person: &'a Person, line: &'a str, limit: usize) -> BoxFuture<'a, Vec<Completion>> {
        Box::pin(async move {
            let may = |verb: Verb| person.role >= permission::least_role(verb) && !missing::is_missing(verb);
            let values = values::Existing { deps: &self.deps };
            // A box that waits for completions is worse than one without: slow rooms offer nothing.
            let deadline = std::time::Duration::from_secs(2);
            tokio::time::timeout(deadline, grammar::complete(line, &values, &may, limit)).await.unwrap_or_default()
        })
    }
}

/// A plain answer.
fn done(text: impl Into<String>, data: Value) -> Reply {
    Reply { ok: true, text: text.into(), card: None, data }
}

/// An answer that reads better as a card.
fn with_card(text: impl Into<String>, card: Card, data: Value) -> Reply {
    Reply { ok: true, text: text.into(), card: Some(Box::new(card)), data }
}

/// What `--json` shows of a record: without secrets and characters that drive a terminal.
fn data_of<T: Serialize>(record: &T) -> Result<Value, No> {
    let mut value = serde_json::to_value(record).map_err(|error| No::Broken(error.to_string()))?;
    shown_json(&mut value);
    Ok(value)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
