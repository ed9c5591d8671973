//! `mayday audit`: the chain of who did what, verified and exported.

use serde_json::Value;

use super::args::Bot;
use super::client::Client;
use super::{Doors, Exit, Problem, say};
use crate::access::audit;
use crate::core::message::cli as message;

/// Items asked for at once.
const PAGE: usize = 500;

/// Recomputes every link: by the running bot, or in the data folder if none runs on it.
pub(super) async fn verify(bot: &Bot, doors: &dyn Doors) -> Result<Exit, Problem> {
    let report = match Client::find(bot, doors) {
        Ok(client) => client.ask(client.get("/api/v1/audit/verify")).await?,
        Err(problem) => match &bot.data {
            Some(data) if data.join("store").is_dir() => offline(data, doors).await?,
            _ => return Err(problem),
        },
    };
    let records = report["records"].as_u64().unwrap_or(0);
    match report.get("first_bad").filter(|bad| !bad.is_null()) {
        None => {
            say(&message::audit_whole(records));
            Ok(Exit::Done)
        }
        Some(bad) => Err(Problem::refused(message::audit_broken(&bad.to_string()))),
    }
}

async fn offline(data: &std::path::Path, doors: &dyn Doors) -> Result<Value, Problem> {
    let store = doors.open_store(data).await.map_err(Problem::refused)?;
    let report = audit::verify(&store, &[]).await.map_err(|error| Problem::refused(error.to_string()))?;
    serde_json::to_value(report).map_err(|error| Problem::refused(error.to_string()))
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
