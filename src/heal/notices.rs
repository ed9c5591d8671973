//! What the engine has to tell people goes to the incident's thread (without one, to the channel of the run's card): once, however often the process dies, since the
//! post is written by the commit that takes the notice away.

use super::{Deps, notice_queue};
use crate::chat::{Content, Post};
use crate::core::BoxFuture;
use crate::core::message::heal as say;
use crate::core::text::capped;
use crate::playbook;
use crate::playbook::notices::{Notice, NoticeKind};
use crate::store::{self, Batch};
use crate::work::{Handler, Lease, Queue, Queued, Shard};

/// A notice in a thread; bytes.
const LONGEST: usize = 1_000;

pub(super) struct Tell {
    deps: Deps,
    queue: Queue<Notice>,
    posts: Queue<Post>,
}

impl Tell {
    pub fn new(deps: Deps) -> Self {
        let posts = Queue::new("post", deps.store.clone(), deps.clock.clone());
        Self { queue: notice_queue(&deps.store, &deps.clock), posts, deps }
    }

    async fn one(&self, batch: &mut Batch, item: &Queued<Notice>) -> Result<(), store::Error> {
        let notice = &item.record;
        let says = capped(&notice.says, LONGEST);
        let Some(id) = notice.incident else {
            return self.without_incident(batch, item, &says).await;
        };
        let Some(incident) = self.deps.incidents.incident(id).await? else { return Ok(()) };
        let text = match notice.kind {
            NoticeKind::Success | NoticeKind::Failure => say::notice(notice.run, &says),
            NoticeKind::Escalation => {
                let leader = incident.commander.as_ref().map(|person| person.0.rsplit(':').next().unwrap_or(&person.0));
                say::escalation(notice.run, &says, leader, &incident.team)
            }
        };
        let post = Post {
            channel: incident.channel.clone(),
            // The item's own name: another notice of the same task is another message.
            slot: format!("{id}/{}/{}", notice.run, item.key.last()),
            thread: Some(id.to_string()),
            version: 1,
            author: "Mayday".to_owned(),
            at: self.deps.clock.now(),
            content: Content::Text(text),
        };
        self.posts.push(batch, Shard::of(&incident.group_key), &post).map(|_| ())
    }

    /// A run outside an incident has no thread: it is told where everybody looks.
    async fn without_incident(&self, batch: &mut Batch, item: &Queued<Notice>, says: &str) -> Result<(), store::Error> {
        let notice = &item.record;
        let view = match self.deps.runs.get(notice.run).await {
            Err(playbook::Error::Store(error)) => return Err(error),
            view => view.ok().flatten(),
        };
        let text = match notice.kind {
            NoticeKind::Success | NoticeKind::Failure => say::notice(notice.run, says),
            NoticeKind::Escalation => say::escalation_to_all(notice.run, says),
        };
        let post = Post {
            channel: self.deps.place(view.as_ref()).1,
            slot: format!("{}/{}", notice.run, item.key.last()),
            thread: None,
            version: 1,
            author: "Mayday".to_owned(),
            at: self.deps.clock.now(),
            content: Content::Text(text),
        };
        self.posts.push(batch, Shard::of(&notice.run.to_string()), &post).map(|_| ())
    }
}

impl Handler<Notice> for Tell {
    fn handle<'a>(&'a self, lease: &'a Lease, items: Vec<Queued<Notice>>) -> BoxFuture<'a, Result<(), store::Error>> {
        Box::pin(async move {
            let mut batch = Batch::new();
            lease.guard(&mut batch);
            for item in &items {
                self.queue.done(&mut batch, item);
                self.one(&mut batch, item).await?;
            }
            self.deps.store.commit(batch).await.map(|_| ())
        })
    }
}
