//! `schedule`: what is planned, and when next.

use serde_json::json;

use super::speaker::Speaker;
use super::{Answer, data_of, done};
use crate::core::message::schedule as say;

pub(super) async fn schedule(speaker: &Speaker<'_>) -> Answer {
    let all = speaker.deps.schedules.list().await?;
    if all.is_empty() {
        return Ok(done(say::nothing_scheduled(), json!({ "schedules": [] })));
    }
    let line = |listed: &crate::ops::schedule::Listed| {
        let last = listed.last.map(|at| speaker.when(at));
        say::line(&listed.id, &listed.what, &listed.cron, &listed.zone, &listed.next_local, last.as_deref())
    };
    let lines: Vec<String> = all.iter().map(line).collect();
    Ok(done(lines.join("\n"), json!({ "schedules": data_of(&all)? })))
}
