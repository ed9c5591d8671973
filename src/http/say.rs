//! A command from the page or a terminal: carried out, and shown in the channel for everyone, answer below.
//!
//! Help and refusals are shown only to the one who asked: they are noise to everybody else.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};

use super::App;
use super::api::bad_json;
use super::page;
use super::problem::Problem;
use super::session::{Reader, Writer};
use crate::chat::{ChannelId, Completion, Content, Inbound, Reply};
use crate::core::person::Person;
use crate::core::text::capped;

/// Longest command, bytes.
const LONGEST: usize = 4_000;
/// Longest answer that is kept in a channel, bytes.
const LONGEST_ANSWER: usize = 32 << 10;
/// Completions at once.
const COMPLETIONS: usize = 8;

/// What someone said, and where.
pub(super) struct Said {
    pub(super) person: Person,
    pub(super) impersonated_by: Option<Person>,
    pub(super) channel: Option<String>,
    pub(super) thread: Option<String>,
    pub(super) text: String,
    /// The label of the button it was said with.
    pub(super) label: Option<String>,
}

/// What came of it.
pub(super) struct Answer {
    pub(super) reply: Reply,
    /// Whether the channel shows it.
    pub(super) shown: bool,
}

/// Carries out a command and shows it in its channel.
pub(super) async fn carry_out(app: &App, said: Said) -> Result<Answer, Problem> {
    let text = said.text.trim();
    let text = text.strip_prefix("/mayday").filter(|rest| rest.starts_with(' ')).unwrap_or(text).trim().to_owned();
    if text.is_empty() {
        return Err(Problem::bad_request("there is no command", "say for instance `help`"));
    }
    if text.len() > LONGEST {
        return Err(Problem::bad_request(format!("the command has more than {LONGEST} bytes"), "shorten it"));
    }
    let thread = match (&said.thread, &said.channel) {
        (None, Some(channel)) => mentioned(app, channel, &text).await,
        (thread, _) => thread.clone(),
    };
    let speaker = match &said.impersonated_by {
        Some(admin) => format!("{} (by {})", said.person.name, admin.name),
        None => said.person.name.clone(),
    };
    let inbound = Inbound {
        person: said.person,
        impersonated_by: said.impersonated_by,
        channel: said.channel.clone().map(ChannelId::web),
        thread: thread.clone(),
        text: text.clone(),
    };
    let reply = app.doors.commands.say(inbound).await;
    let noise = !reply.ok || text.split_whitespace().next().is_some_and(|word| word.eq_ignore_ascii_case("help"));
    let shown = match said.channel {
        Some(channel) if !noise => show(app, &channel, thread.as_deref(), &speaker, &text, said.label, &reply).await,
        _ => false,
    };
    Ok(Answer { reply, shown })
}

async fn show(
    app: &App,
    channel: &str,
    thread: Option<&str>,
    speaker: &str,
    text: &str,
    label: Option<String>,
    reply: &Reply,
) -> bool {
    let line = match label {
        Some(label) => format!("{}\n{}", capped(&label, 200), without_hash(text)),
        None => without_hash(text),
    };
    let answer = match &reply.card {
        Some(card) => Content::Card(card.clone()),
        None => Content::Text(capped(&reply.text, LONGEST_ANSWER)),
    };
    let chat = &app.doors.chat;
    let shown = async {
        let slot = chat.say(channel, thread, speaker, Content::Text(line)).await?;
        chat.say(channel, Some(thread.unwrap_or(&slot)), "Mayday", answer).await
    };
    match shown.await {
        Ok(_) => true,
        Err(error) => {
            // The command is done and its effect is durable; only its echo is missing.
            tracing::warn!(%error, channel, "a command is not shown in its channel");
            false
        }
    }
}

/// The message whose thread a command belongs to because it names it: `ack INC-7`.
async fn mentioned(app: &App, channel: &str, text: &str) -> Option<String> {
    let named = text.split_whitespace().take(8).map(str::to_uppercase);
    for slot in named.filter(|word| word.strip_prefix("INC-").is_some_and(|number| number.parse::<u64>().is_ok())) {
        if let Ok(Some(_)) = app.doors.chat.find(channel, &slot).await {
            return Some(slot);
        }
    }
    None
}

/// A plan's hash is for machines; people read its beginning.
fn without_hash(text: &str) -> String {
    let short = |word: &str| {
        let hash = word.len() > 16 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        if hash { format!("{}…", &word[..8]) } else { word.to_owned() }
    };
    text.split(' ').map(short).collect::<Vec<_>>().join(" ")
}

/// What the page sends.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FromPage {
    text: String,
    channel: String,
    thread: Option<String>,
    label: Option<String>,
}

/// What the page gets.
#[derive(Serialize)]
pub(super) struct ForPage {
    ok: bool,
    text: String,
    /// Whether the channel shows it too.
    shown: bool,
    /// The answer, drawn, when only this person sees it.
    html: Option<String>,
}

/// `POST /say`
pub(super) async fn from_page(
    State(app): State<Arc<App>>,
    writer: Writer,
    said: Result<Json<FromPage>, JsonRejection>,
) -> Result<Json<ForPage>, Problem> {
    let Json(said) = said.map_err(|error| bad_json(&error, r#"{"text": "ack INC-7", "channel": "orders"}"#))?;
    let said = Said {
        person: writer.person,
        impersonated_by: None,
        channel: Some(said.channel),
        thread: said.thread,
        text: said.text,
        label: said.label,
    };
    let Answer { reply, shown } = carry_out(&app, said).await?;
    let html = (!shown).then(|| page::message::answer(&reply, app.doors.clock.now()).into_string());
    Ok(Json(ForPage { ok: reply.ok, text: reply.text, shown, html }))
}

#[derive(Deserialize)]
pub(super) struct HalfLine {
    line: String,
}

/// `GET /complete?line=`
pub(super) async fn complete(
    State(app): State<Arc<App>>,
    Reader(person): Reader,
    half: Result<Query<HalfLine>, QueryRejection>,
) -> Result<Json<Vec<Completion>>, Problem> {
    let Query(half) = half.map_err(|error| Problem::bad_request(error.body_text(), "ask with `?line=`"))?;
    if half.line.len() > LONGEST {
        return Ok(Json(Vec::new()));
    }
    Ok(Json(app.doors.commands.complete(&person, &half.line, COMPLETIONS).await))
}

#[cfg(test)]
mod tests {
    use super::without_hash;

    #[test]
    fn a_plan_hash_is_shortened_for_people_and_nothing_else_is() {
        let hash = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        assert_eq!(without_hash(&format!("approve RUN-3 --plan {hash}")), "approve RUN-3 --plan 9f86d081…");
        assert_eq!(without_hash("ack  INC-7"), "ack  INC-7");
    }
}
