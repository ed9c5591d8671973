//! What was taken is carried out: a playbook is proposed, or a job is done.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Options, Scheduler, say};
use crate::access::Actor;
use crate::chat::{Content, Post};
use crate::core::{BoxFuture, Timestamp};
use crate::playbook::{self, ProposeRequest, Proposed};
use crate::store::{self, Batch, Record};
use crate::work::{Handler, Lease, Queued, Shard};

/// A job: what it came to in a sentence, or why it failed. May be done twice after a crash.
pub type Job = Arc<dyn Fn() -> BoxFuture<'static, Result<String, String>> + Send + Sync>;

/// Jobs by the name a schedule gives.
pub type Jobs = BTreeMap<&'static str, Job>;

/// A tick that was taken, with what its schedule said then; an item of the `schedule` queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tick {
    /// The schedule's name.
    pub schedule: String,
    /// When it was due.
    pub at: Timestamp,
    /// The playbook to propose.
    pub playbook: Option<String>,
    /// Its parameters.
    pub parameters: BTreeMap<String, Value>,
    /// Or the job to do.
    pub job: Option<String>,
}
impl Record for Tick {}

impl Tick {
    pub(super) fn of(options: &Options, at: Timestamp) -> Self {
        Self {
            schedule: options.id.clone(),
            at,
            playbook: options.playbook.clone(),
            parameters: options.parameters.clone(),
            job: options.job.clone(),
        }
    }
}

impl Scheduler {
    /// Carries a tick out; gives what people should read of it.
    async fn carry_out(&self, tick: &Tick) -> Result<Option<String>, store::Error> {
        if let Some(job) = &tick.job {
            let Some(work) = self.deps.jobs.get(job.as_str()) else { return Ok(Some(say::gone(&tick.schedule, job))) };
            return Ok(match work().await {
                Ok(says) => {
                    tracing::info!(schedule = tick.schedule, job, says, "a scheduled job is done");
                    None
                }
                Err(why) => Some(say::job_failed(&tick.schedule, job, &why)),
            });
        }
        let playbook = tick.playbook.clone().unwrap_or_default();
        let request = ProposeRequest {
            playbook: playbook.clone(),
            parameters: tick.parameters.clone(),
            incident: None,
            alert: None,
            by: Actor::Mayday(format!("schedule {}", tick.schedule)),
            key: format!("schedule/{}/{}", tick.schedule, tick.at),
        };
        match self.deps.runs.propose(request).await {
            // Its card says what waits, and that the schedule asked for it.
            Ok(Proposed::New(_) | Proposed::Already(_)) => Ok(None),
            Err(playbook::Error::Store(error)) => Err(error),
            Err(why) => Ok(Some(say::not_proposed(&tick.schedule, &playbook, &why.to_string()))),
        }
    }

    fn post(&self, tick: &Tick, says: String) -> Post {
        Post {
            channel: self.deps.channel.clone(),
            slot: format!("schedule-{}-{}", tick.schedule, tick.at.as_second()),
            thread: None,
            version: 1,
            author: "Mayday".to_owned(),
            at: self.deps.clock.now(),
            content: Content::Text(says),
        }
    }
}

impl Handler<Tick> for Scheduler {
    fn handle<'a>(&'a self, lease: &'a Lease, items: Vec<Queued<Tick>>) -> BoxFuture<'a, Result<(), store::Error>> {
        Box::pin(async move {
            for item in &items {
                let said = self.carry_out(&item.record).await?;
                let mut batch = Batch::new();
                lease.guard(&mut batch);
                self.queue.done(&mut batch, item);
                if let Some(says) = said {
                    let post = self.post(&item.record, says);
                    let shard = Shard::of(&format!("{}/{}", post.channel.chat, post.channel.name));
                    self.posts.push(&mut batch, shard, &post)?;
                }
                self.deps.store.commit(batch).await?;
            }
            Ok(())
        })
    }
}
