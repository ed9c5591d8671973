//! `mayday audit`: the chain of who did what, verified, exported, and erased where it must be.

use std::path::Path;

use serde_json::Value;

use super::args::{Bot, Place};
use super::client::Client;
use super::{Doors, Exit, Opened, Problem, say};
use crate::access::audit::{self, Accepted, Audit, CantAccept, Checkpoint, Signer, checkpoint};
use crate::access::{Actor, Persons};
use crate::core::clock::SystemClock;
use crate::core::message::cli as message;

/// Items asked for at once.
const PAGE: usize = 500;

/// Recomputes every link: by the running bot, or in the data folder if none runs on it. Then looks whether the records at
/// the checkpoints, those in the store and those handed in, are still those that were signed.
pub(super) async fn verify(
    checkpoints: Option<&Path>,
    keys: &[String],
    bot: &Bot,
    doors: &dyn Doors,
) -> Result<Exit, Problem> {
    let known = match checkpoints {
        Some(file) => read_checkpoints(file, keys)?,
        None => Vec::new(),
    };
    let report = match Client::find(bot, doors) {
        Ok(client) => online(&client, &known).await?,
        Err(problem) => match &bot.data {
            Some(data) if data.join("store").is_dir() => offline(data, doors, &known).await?,
            _ => return Err(problem),
        },
    };
    let records = report["records"].as_u64().unwrap_or(0);
    let signed_with: Vec<&str> = report["keys"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let foreign = |found: &&&str| !keys.is_empty() && !keys.iter().any(|key| key == **found);
    if let Some(found) = signed_with.iter().find(foreign) {
        return Err(Problem::refused(message::checkpoint_of_another(found)));
    }
    let accepted = serde_json::from_value::<Vec<Accepted>>(report["accepted"].clone()).unwrap_or_default();
    for Accepted { by, at, said, place } in &accepted {
        let by = by.person().map_or("Mayday", |person| person.0.as_str());
        say(&message::cut_was_accepted(by, *at, &said.reason, &gone(&said.cut), place.seq));
    }
    match report.get("first_bad").filter(|bad| !bad.is_null()) {
        None => {
            say(&message::audit_whole(records));
            if let Some(count @ 1..) = report["checkpoints"].as_u64() {
                say(&message::stored_checkpoints_hold(count, &signed_with));
            }
            if !known.is_empty() {
                say(&message::checkpoints_hold(known.len()));
            }
            Ok(Exit::Done)
        }
        Some(bad) => Err(Problem::refused(message::audit_broken(&bad.to_string()))),
    }
}

fn read_checkpoints(file: &Path, keys: &[String]) -> Result<Vec<Checkpoint>, Problem> {
    let named = |why: String| Problem::refused(format!("{}: {why}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| named(error.to_string()))?;
    checkpoint::trusted(&text, keys).map_err(|error| named(error.to_string()))
}

/// The chains are whole by the bot's word; with the hash at each checkpoint's place, all before it is what it was.
async fn online(client: &Client, known: &[Checkpoint]) -> Result<Value, Problem> {
    let mut report = client.ask(client.get("/api/v1/audit/verify")).await?;
    if report.get("first_bad").is_some_and(|bad| !bad.is_null()) {
        return Ok(report);
    }
    for checkpoint in known {
        let path = format!("/api/v1/audit/{}:{}", checkpoint.chain, checkpoint.seq);
        let what = match client.ask(client.get(&path)).await {
            Ok(record) if record["hash"] == checkpoint.hash.as_str() => continue,
            Ok(_) => "the record is not the one of the checkpoint",
            Err(problem) if problem.exit == Exit::Nobody => return Err(problem),
            Err(_) => "records up to the checkpoint are missing",
        };
        let bad = audit::Bad { chain: checkpoint.chain.clone(), seq: checkpoint.seq, what: what.to_owned() };
        report["first_bad"] = serde_json::to_value(bad).map_err(|error| Problem::refused(error.to_string()))?;
        break;
    }
    Ok(report)
}

async fn offline(data: &Path, doors: &dyn Doors, known: &[Checkpoint]) -> Result<Value, Problem> {
    let store = doors.open_store(data).await.map_err(Problem::refused)?;
    let report = audit::verify(&store, known).await.map_err(|error| Problem::refused(error.to_string()))?;
    serde_json::to_value(report).map_err(|error| Problem::refused(error.to_string()))
}

/// The signed checkpoints, oldest first.
pub(super) async fn export_checkpoints(bot: &Bot, doors: &dyn Doors) -> Result<Exit, Problem> {
    let client = Client::find(bot, doors)?;
    let mut after = 0;
    loop {
        let page = client.ask(client.get(&format!("/api/v1/audit/checkpoints-after-{after}"))).await?;
        let Some(last) = page["items"].as_array().and_then(|items| items.last()) else { return Ok(Exit::Done) };
        after = last["number"].as_u64().unwrap_or(u64::MAX);
        for item in page["items"].as_array().into_iter().flatten() {
            say(&item.to_string());
        }
    }
}

/// The store that is named, and what belongs to it.
async fn opened(place: &Place, doors: &dyn Doors) -> Result<Opened, Problem> {
    if let Some(config) = &place.config {
        return doors.open_configured(config).await.map_err(Problem::refused);
    }
    let data = place.data.as_deref().unwrap_or_else(|| Path::new("."));
    if !data.join("store").is_dir() {
        return Err(Problem::refused(message::no_store(&data.display().to_string())));
    }
    let store = doors.open_store(data).await.map_err(Problem::refused)?;
    Ok(Opened { store, clock: SystemClock::shared(), key: data.join(audit::KEY_NAME) })
}

/// Erases what a record says.
pub(super) async fn erase(record: &str, reason: &str, place: &Place, doors: &dyn Doors) -> Result<Exit, Problem> {
    if reason.trim().is_empty() {
        return Err(Problem::refused(message::erasure_needs_reason()));
    }
    let named = record.rsplit_once(':').and_then(|(chain, seq)| Some((chain, seq.parse::<u64>().ok()?)));
    let (chain, seq) = named.ok_or_else(|| Problem::refused(message::no_audit_place(record)))?;
    let Opened { store, clock, .. } = opened(place, doors).await?;
    let audit = Audit::new(store, clock);
    let by = Actor::Person(Persons::at_terminal().id);
    audit.erase(chain, seq, by, reason).await.map_err(|error| Problem::refused(error.to_string()))?;
    say(&message::audit_erased(record));
    Ok(Exit::Done)
}

/// Accepts that records are gone, with the key that signs.
pub(super) async fn accept_cut(
    reason: &str,
    checkpoints: Option<&Path>,
    keys: &[String],
    agreed: bool,
    place: &Place,
    doors: &dyn Doors,
) -> Result<Exit, Problem> {
    if reason.trim().is_empty() {
        return Err(Problem::refused(message::cut_needs_reason()));
    }
    let handed = checkpoints.map(|file| read_checkpoints(file, keys)).transpose()?.unwrap_or_default();
    let Opened { store, clock, key } = opened(place, doors).await?;
    let signer = Signer::existing(&key).map_err(|error| {
        let error = error.to_string();
        Problem::refused(if place.config.is_some() { error } else { message::key_elsewhere(&error) })
    })?;
    let by = Actor::Person(Persons::at_terminal().id);
    let accepted = Audit::new(store, clock).accept_cut(&signer, by, reason, &handed, agreed).await;
    let said = accepted.map_err(|error| match error {
        CantAccept::Unseen(cut) => Problem::refused(message::would_accept(&gone(&cut))),
        other => Problem::refused(other.to_string()),
    })?;
    say(&message::cut_accepted(&gone(&said.cut), said.checkpoint));
    Ok(Exit::Done)
}

/// In words which records are gone.
fn gone(cuts: &[audit::Cut]) -> String {
    let each = cuts.iter().map(|cut| message::cut_of(&cut.chain, cut.kept, cut.signed, cut.replaced));
    each.collect::<Vec<_>>().join(", ")
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
