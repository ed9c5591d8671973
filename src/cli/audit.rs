//! `mayday audit`: the chain of who did what, verified and exported.

use serde_json::Value;

use super::args::Bot;
use super::client::Client;
use super::{Doors, Exit, Problem, say};

/// Items asked for at once.
const PAGE: usize = 500;

/// The bot recomputes its chain: the command is the same as in a chat.
pub(super) async fn verify(bot: &Bot, doors: &dyn Doors) -> Result<Exit, Problem> {
    let client = Client::find(bot, doors)?;
    let reply = client.ask(client.post("/api/v1/say").json(&serde_json::json!({ "text": "audit verify" }))).await?;
    say(reply["text"].as_str().unwrap_or_default());
    Ok(if reply["ok"] == true { Exit::Done } else { Exit::Refused })
}

/// Every record, newest first.
pub(super) async fn export(bot: &Bot, doors: &dyn Doors) -> Result<Exit, Problem> {
    let client = Client::find(bot, doors)?;
    let mut cursor: Option<String> = None;
    loop {
        let mut query = vec![("limit", PAGE.to_string())];
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        let page = client.ask(client.get("/api/v1/audit").query(&query)).await?;
        for item in page["items"].as_array().into_iter().flatten() {
            say(&item.to_string());
        }
        match page.get("next_cursor").and_then(Value::as_str) {
            Some(next) => cursor = Some(next.to_owned()),
            None => return Ok(Exit::Done),
        }
    }
}
