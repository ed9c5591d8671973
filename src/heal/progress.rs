//! A run moved: tell its incident how it stands, as the card shows it. One without an incident has a card of its own.

use std::collections::BTreeSet;

use super::{Deps, brief, inbox, run_card, run_queue};
use crate::chat::{Content, Post};
use crate::core::{BoxFuture, RunId};
use crate::incident::Input;
use crate::playbook::{self, RunChanged, RunView};
use crate::store::{self, Batch};
use crate::work::{Handler, Lease, Queue, Queued, Shard};

pub(super) struct Progress {
    deps: Deps,
    queue: Queue<RunChanged>,
    inbox: Queue<Input>,
    posts: Queue<Post>,
}

impl Progress {
    pub fn new(deps: Deps) -> Self {
        let posts = Queue::new("post", deps.store.clone(), deps.clock.clone());
        Self { queue: run_queue(&deps.store, &deps.clock), inbox: inbox(&deps.store, &deps.clock), posts, deps }
    }

    async fn one(&self, batch: &mut Batch, run: RunId) -> Result<(), store::Error> {
        let view = match self.deps.runs.get(run).await {
            Ok(Some(view)) => view,
            Err(playbook::Error::Store(error)) => return Err(error),
            other => {
                tracing::warn!(%run, ?other, "a changed run can't be shown");
                return Ok(());
            }
        };
        let Some(id) = view.incident else { return self.own_card(batch, &view) };
        let Some(incident) = self.deps.incidents.incident(id).await? else { return Ok(()) };
        let input = Input::Run { incident: id, brief: Box::new(brief(&view, &incident.team)) };
        self.inbox.push(batch, Shard::of(&incident.group_key), &input).map(|_| ())
    }

    /// Its plan must be seen by those who may approve it.
    fn own_card(&self, batch: &mut Batch, view: &RunView) -> Result<(), store::Error> {
        let (team, channel) = self.deps.place(Some(view));
        // In order per channel, as incidents' cards.
        let shard = Shard::of(&format!("{}/{}", channel.chat, channel.name));
        let post = Post {
            channel,
            slot: view.run.to_string(),
            thread: None,
            version: view.journal,
            author: "Mayday".to_owned(),
            at: self.deps.clock.now(),
            content: Content::Card(Box::new(run_card::card(view, &team))),
        };
        self.posts.push(batch, shard, &post).map(|_| ())
    }
}

impl Handler<RunChanged> for Progress {
    fn handle<'a>(
        &'a self,
        lease: &'a Lease,
        items: Vec<Queued<RunChanged>>,
    ) -> BoxFuture<'a, Result<(), store::Error>> {
        Box::pin(async move {
            let mut batch = Batch::new();
            lease.guard(&mut batch);
            // The newest state says it all; in between nobody was waiting for it.
            let mut runs = BTreeSet::new();
            for item in &items {
                self.queue.done(&mut batch, item);
                runs.insert(item.record.run);
            }
            for run in runs {
                self.one(&mut batch, run).await?;
            }
            self.deps.store.commit(batch).await.map(|_| ())
        })
    }
}
