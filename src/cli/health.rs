//! `mayday health`: how a running bot is, for people and for scripts.

use super::args::HealthArgs;
use super::client::Client;
use super::{Doors, Exit, Problem, say};
use crate::core::message::cli as message;

/// Prints its parts; 0 if all are well, 1 if not.
pub(super) async fn carry_out(args: HealthArgs, doors: &dyn Doors) -> Result<Exit, Problem> {
    let client = Client::find(&args.bot, doors)?;
    let health = client.ask(client.get("/health")).await?;
    let well = health["status"] == "ok";
    if args.json {
        say(&health.to_string());
    } else {
        say(&message::health(client.url(), well, health["version"].as_str().unwrap_or("?")));
        for part in health["parts"].as_array().into_iter().flatten() {
            let mark = if part["ok"] == true { "ok" } else { "not ok" };
            say(&format!(
                "  {:12} {mark:7} {}",
                part["name"].as_str().unwrap_or("?"),
                part["says"].as_str().unwrap_or("")
            ));
        }
    }
    Ok(if well { Exit::Done } else { Exit::Refused })
}
