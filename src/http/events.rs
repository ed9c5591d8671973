//! `GET /events?channel=…&after=…`: the live feed of a page (server-sent events).
//!
//! A page says after which revision it wants news, so that nothing is lost between drawing it and listening, or while the
//! connection was away. A page that fell too far behind is told to load its state again; it is never silently stale.
//!
//! Events: `hello` (build), `message` (one message drawn again), `channel` (numbers of another channel), `reload`,
//! `signed-out`, `beat` every [`BEAT`].

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::page::message;
use super::problem::Problem;
use super::session::session_of;
use super::{App, assets};
use crate::chat::web::{Change, Head, Message};
use crate::store::{Revision, Watch};

/// The page takes a longer silence as a lost connection.
const BEAT: Duration = Duration::from_secs(15);
/// What another process wrote is looked for this long after the wake-up, so that a burst is one look.
const GATHER: Duration = Duration::from_millis(500);
/// How far back missed changes are looked for.
const CATCH_UP: usize = 60;

#[derive(Deserialize)]
pub(super) struct Wanted {
    channel: String,
    after: Option<u64>,
}

/// One message as the page puts it in its place.
#[derive(Serialize)]
struct Drawn<'a> {
    channel: &'a str,
    seq: u64,
    root: Option<u64>,
    html: String,
    /// For screen readers, one sentence.
    said: String,
}

/// The handler.
pub(super) async fn events(
    State(app): State<Arc<App>>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let viewer = session_of(&headers, &app)
        .await?
        .ok_or_else(|| Problem::unauthorized("nobody is signed in", "sign in at /sign-in"))?;
    let place = app
        .live_pages
        .clone()
        .try_acquire_owned()
        .map_err(|_| Problem::busy(format!("{} pages are live already", app.options.max_live_pages), 10))?;
    // Listen first, then look back: what falls between comes twice, which does no harm.
    let feed = app.doors.chat.subscribe();
    let mut queue = VecDeque::from([Event::default().event("hello").data(assets::build())]);
    let watch = app.doors.chat.elsewhere(&wanted.channel).await.map_err(|error| Problem::failed(error.to_string()))?;
    let mut after = wanted.after.map(Revision);
    if let Some(known) = after {
        after = Some(catch_up(&app, &wanted.channel, known, &mut queue).await.map_err(Problem::failed)?);
    }
    let elsewhere = watch.map(|watch| Elsewhere { watch, after: after.unwrap_or_default() });
    let mut beat = interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let live =
        Live { app, channel: wanted.channel, secret: viewer.secret, feed, elsewhere, queue, beat, _place: place };
    let response = Sse::new(stream(live)).into_response();
    // Proxies must pass each event on at once.
    Ok(([("x-accel-buffering", "no")], response).into_response())
}

/// Adds what changed after a commit; gives the one after which it has to be looked for next.
async fn catch_up(app: &App, channel: &str, after: Revision, queue: &mut VecDeque<Event>) -> Result<Revision, String> {
    let page = app.doors.chat.page(channel, None, CATCH_UP).await.map_err(|error| error.to_string())?;
    let news = |stored: &&crate::chat::web::Stored| stored.revision > after;
    let all_new = !page.threads.is_empty() && page.threads.iter().all(|thread| news(&&thread.root));
    let cut = page.threads.iter().any(|thread| thread.earlier && thread.replies.iter().all(|reply| news(&reply)));
    if (page.older && all_new) || cut {
        queue.push_back(reload());
        return Ok(page.revision);
    }
    let stored = page.threads.iter().flat_map(|thread| std::iter::once(&thread.root).chain(&thread.replies));
    for stored in stored.filter(news) {
        queue.push_back(drawn(channel, &stored.message, stored.revision)?);
    }
    for head in app.doors.chat.channels().await.map_err(|error| error.to_string())? {
        queue.push_back(numbers(&head)?);
    }
    Ok(page.revision)
}

/// How what other processes write is followed.
struct Elsewhere {
    watch: Watch,
    after: Revision,
}

/// Waits until something was written; for ever where no other process can be.
async fn written(elsewhere: &mut Option<Elsewhere>) {
    match elsewhere {
        Some(elsewhere) => elsewhere.watch.changed().await,
        None => std::future::pending().await,
    }
}

struct Live {
    app: Arc<App>,
    channel: String,
    secret: String,
    /// What this process writes, at once.
    feed: Receiver<Arc<Change>>,
    elsewhere: Option<Elsewhere>,
    queue: VecDeque<Event>,
    beat: Interval,
    /// Gives the place back when the browser goes.
    _place: OwnedSemaphorePermit,
}

fn stream(live: Live) -> impl Stream<Item = Result<Event, Infallible>> {
    futures_util::stream::unfold(Some(live), |live| async move {
        let mut live = live?;
        let (event, last) = live.next().await?;
        Some((Ok(event), if last { None } else { Some(live) }))
    })
}

impl Live {
    /// The next event, and whether it is the last one; none when the listener stops.
    async fn next(&mut self) -> Option<(Event, bool)> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Some((event, false));
            }
            tokio::select! {
                () = self.app.stop.wait() => return None,
                _ = self.beat.tick() => return Some(self.still_signed_in().await),
                () = written(&mut self.elsewhere) => self.follow().await,
                change = self.feed.recv() => match change {
                    Ok(change) => self.take(&change),
                    Err(RecvError::Lagged(missed)) => {
                        tracing::info!(missed, "a page fell behind and loads again");
                        metrics::counter!("mayday_http_live_pages_behind_total").increment(1);
                        return Some((reload(), true));
                    }
                    Err(RecvError::Closed) => return None,
                },
            }
        }
    }

    /// Looks for what other processes wrote; what this one wrote comes twice, which does no harm.
    async fn follow(&mut self) {
        tokio::time::sleep(GATHER).await;
        let Some(elsewhere) = &mut self.elsewhere else { return };
        elsewhere.watch.0.mark_unchanged();
        match catch_up(&self.app, &self.channel, elsewhere.after, &mut self.queue).await {
            Ok(after) => elsewhere.after = after,
            Err(why) => {
                tracing::warn!(why, "what other processes wrote can't be read for a page; it loads again");
                self.queue.push_back(reload());
            }
        }
    }

    fn take(&mut self, change: &Change) {
        if change.head.name == self.channel {
            match drawn(&self.channel, &change.message, change.revision) {
                Ok(event) => self.queue.push_back(event),
                Err(why) => {
                    tracing::warn!(why, "a message can't be sent to a page");
                    self.queue.push_back(reload());
                }
            }
        }
        match numbers(&change.head) {
            Ok(event) => self.queue.push_back(event),
            Err(why) => tracing::warn!(why, "a channel's numbers can't be sent to a page"),
        }
    }

    async fn still_signed_in(&self) -> (Event, bool) {
        match self.app.doors.gate.session(&self.secret).await {
            Ok(None) => (Event::default().event("signed-out").data("-"), true),
            // An unreachable store is no reason to take the page away.
            Ok(Some(_)) | Err(_) => (Event::default().event("beat").data("-"), false),
        }
    }
}

fn drawn(channel: &str, message: &Message, revision: Revision) -> Result<Event, String> {
    let html = match message.root {
        None => message::root(message),
        Some(_) => message::reply(message),
    };
    let drawn = Drawn {
        channel,
        seq: message.seq,
        root: message.root,
        html: html.into_string(),
        said: message::in_a_sentence(message),
    };
    Event::default().event("message").id(revision.0.to_string()).json_data(drawn).map_err(|error| error.to_string())
}

fn numbers(head: &Head) -> Result<Event, String> {
    Event::default().event("channel").json_data(head).map_err(|error| error.to_string())
}

fn reload() -> Event {
    Event::default().event("reload").data("-")
}
