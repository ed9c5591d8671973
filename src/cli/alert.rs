//! `mayday alert send`: posts a file of alerts to a running bot.

use std::io::Read as _;
use std::path::Path;

use super::args::Bot;
use super::client::Client;
use super::{Doors, Exit, Problem, say};
use crate::core::message::cli as message;

/// Largest file that is sent, bytes; the bot has a limit of its own and says so.
const MOST: u64 = 32 * 1024 * 1024;

/// Posts it and prints what became of it; exit 1 if some of it was rejected.
pub(super) async fn send(
    file: &Path,
    format: &str,
    integration: Option<&str>,
    bot: &Bot,
    doors: &dyn Doors,
) -> Result<Exit, Problem> {
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if let Some(name) = [Some(format), integration].into_iter().flatten().find(|name| !plain(name)) {
        return Err(Problem::refused(message::not_a_name(name)));
    }
    let body = read(file)
        .map_err(|error| Problem::refused(message::no_file(&file.display().to_string(), &error.to_string())))?;
    if body.len() as u64 > MOST {
        return Err(Problem::refused(message::file_too_large(&file.display().to_string(), MOST)));
    }
    let client = Client::find(bot, doors)?;
    let path = match integration {
        Some(name) => format!("/webhook/{format}/{name}"),
        None => format!("/webhook/{format}"),
    };
    // A webhook has its integration's secret, never the admin's token.
    let mut request = client.post_open(&path).header("content-type", "application/json").body(body);
    if let (Some(_), Some(token)) = (integration, &bot.token) {
        request = request.bearer_auth(token);
    }
    let receipt = client.ask(request).await?;
    let count = |name: &str| receipt[name].as_u64().unwrap_or(0);
    let rejected = receipt["rejected"].as_array().cloned().unwrap_or_default();
    say(&message::receipt(count("accepted"), count("duplicates"), rejected.len()));
    for one in &rejected {
        say(&message::rejected(one["index"].as_u64().unwrap_or(0), one["why"].as_str().unwrap_or("")));
    }
    for id in receipt["alert_ids"].as_array().into_iter().flatten().filter_map(|id| id.as_str()) {
        say(&format!("  {id}"));
    }
    Ok(if rejected.is_empty() { Exit::Done } else { Exit::Refused })
}

fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if file == Path::new("-") {
        std::io::stdin().lock().take(MOST + 1).read_to_end(&mut body)?;
    } else {
        std::fs::File::open(file)?.take(MOST + 1).read_to_end(&mut body)?;
    }
    Ok(body)
}
