//! `mayday say`: one chat command to a running bot.

use serde_json::json;

use super::args::SayArgs;
use super::client::Client;
use super::{Doors, Exit, Problem, say};

/// Says it; the exit code tells whether the command did what it says.
pub(super) async fn carry_out(args: SayArgs, doors: &dyn Doors) -> Result<Exit, Problem> {
    let client = Client::find(&args.bot, doors)?;
    let mut line = json!({ "text": args.text });
    if let Some(person) = &args.as_user {
        line["as"] = json!(person);
    }
    let reply = client.ask(client.post("/api/v1/say").json(&line)).await?;
    if args.json {
        say(&reply.to_string());
    } else {
        say(reply["text"].as_str().unwrap_or_default());
    }
    Ok(if reply["ok"] == true { Exit::Done } else { Exit::Refused })
}
