//! `mayday playbook`: what authors need.

use super::args::{PlaybookCommand, PlaybookRun};
use super::client::Client;
use super::{Doors, Exit, Problem, later, say, wait};

/// Carries one out.
pub(super) fn carry_out(command: PlaybookCommand, doors: &dyn Doors) -> Result<Exit, Problem> {
    match command {
        PlaybookCommand::Plan(run) => wait(tell(run, "plan", doors)),
        PlaybookCommand::Run(run) => wait(tell(run, "run", doors)),
        PlaybookCommand::Check { .. } => Err(later::named("playbook check")),
        PlaybookCommand::Test { .. } => Err(later::named("playbook test")),
        PlaybookCommand::Schema => Err(later::named("playbook schema")),
    }
}

/// `plan` and `run` are the chat's commands: only the running bot sees the live system.
async fn tell(run: PlaybookRun, verb: &str, doors: &dyn Doors) -> Result<Exit, Problem> {
    let client = Client::find(&run.bot, doors)?;
    let text = [verb, &run.playbook]
        .into_iter()
        .chain(run.parameters.iter().map(String::as_str))
        .collect::<Vec<_>>()
        .join(" ");
    let reply = client.ask(client.post("/api/v1/say").json(&serde_json::json!({ "text": text }))).await?;
    say(reply["text"].as_str().unwrap_or_default());
    Ok(if reply["ok"] == true { Exit::Done } else { Exit::Refused })
}
