//! `GET /events?channel=…&after=…`: the live feed of a page (server-sent events); with `slot=…` that of a page that shows this
//! one message of the channel, however far back it stands.
//!
//! A page says after which revision it wants news, so that nothing is lost between drawing it and listening, or while the
//! connection was away. A page that fell too far behind is told to load its state again; it is never silently stale.
//!
//! An event's id is the revision up to which everything has been told, not that of the event: a page that comes back after it
//! must miss nothing. What this process writes is told at once; what others write comes with the looks that all pages of this
//! process share (`chat::web::Elsewhere`), so only a look moves the id where there are others.
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
use crate::chat::web::{CATCH_UP, Change, Elsewhere, Head, Look, Message, Page, Stored};
use crate::store::Revision;

/// The page takes a longer silence as a lost connection.
const BEAT: Duration = Duration::from_secs(15);

#[derive(Deserialize)]
pub(super) struct Wanted {
    channel: String,
    slot: Option<String>,
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
    let elsewhere = app.doors.chat.elsewhere(&wanted.channel, wanted.slot.as_deref()).await;
    let elsewhere = elsewhere.map_err(|error| Problem::failed(error.to_string()))?;
    let mut after = wanted.after.map(Revision);
    if let Some(known) = after {
        after = Some(catch_up(&app, &wanted, known, &mut queue).await.map_err(Problem::failed)?);
    }
    let elsewhere = elsewhere.map(|looks| Others { looks, after: after.unwrap_or_default(), numbers: Arc::default() });
    let mut beat = interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let live = Live {
        app,
        channel: wanted.channel,
        slot: wanted.slot,
        secret: viewer.secret,
        feed,
        elsewhere,
        queue,
        beat,
        _place: place,
    };
    let response = Sse::new(stream(live)).into_response();
    // Proxies must pass each event on at once.
    Ok(([("x-accel-buffering", "no")], response).into_response())
}

/// Adds what changed after a commit; gives the one after which it has to be looked for next.
async fn catch_up(
    app: &App,
    wanted: &Wanted,
    after: Revision,
    queue: &mut VecDeque<Event>,
) -> Result<Revision, String> {
    let (chat, channel) = (&app.doors.chat, wanted.channel.as_str());
    let after = match &wanted.slot {
        Some(slot) => {
            let found = chat.stored(channel, slot).await.map_err(|error| error.to_string())?;
            news_of_one(channel, found.as_ref(), after, queue)?
        }
        None => {
            let page = chat.page(channel, None, CATCH_UP).await.map_err(|error| error.to_string())?;
            news(channel, &page, after, queue)?
        }
    };
    for head in app.doors.chat.channels().await.map_err(|error| error.to_string())? {
        queue.push_back(numbers(&head)?);
    }
    Ok(after)
}

/// Adds what of a channel's newest piece was written after a commit; gives the one after which it has to be looked for next.
fn news(channel: &str, page: &Page, after: Revision, queue: &mut VecDeque<Event>) -> Result<Revision, String> {
    // A look that was begun before the page was read says less than the page knows.
    let upto = page.revision.max(after);
    let is_new = |stored: &&Stored| stored.revision > after;
    let all_new = !page.threads.is_empty() && page.threads.iter().all(|thread| is_new(&&thread.root));
    let cut = page.threads.iter().any(|thread| thread.earlier && thread.replies.iter().all(|reply| is_new(&reply)));
    if (page.older && all_new) || cut {
        queue.push_back(reload());
        return Ok(upto);
    }
    let stored = page.threads.iter().flat_map(|thread| std::iter::once(&thread.root).chain(&thread.replies));
    let new: Vec<_> = stored.filter(is_new).collect();
    for (left, stored) in (0..new.len()).rev().zip(new) {
        // They are in the order of the page, so only with the last of them everything has been told.
        queue.push_back(drawn(channel, &stored.message, (left == 0).then_some(upto))?);
    }
    Ok(upto)
}

/// The same of one message.
fn news_of_one(
    channel: &str,
    found: Option<&Stored>,
    after: Revision,
    queue: &mut VecDeque<Event>,
) -> Result<Revision, String> {
    let Some(stored) = found.filter(|stored| stored.revision > after) else { return Ok(after) };
    queue.push_back(drawn(channel, &stored.message, Some(stored.revision))?);
    Ok(stored.revision)
}

/// How what other processes write is followed.
struct Others {
    looks: Elsewhere,
    after: Revision,
    /// What the last look said.
    numbers: Arc<Vec<Head>>,
}

/// Waits for the next look; for ever where no other process can be.
async fn look(elsewhere: &mut Option<Others>) -> Option<Look> {
    match elsewhere {
        Some(others) => others.looks.next().await,
        None => std::future::pending().await,
    }
}

struct Live {
    app: Arc<App>,
    channel: String,
    /// The only message that it shows.
    slot: Option<String>,
    secret: String,
    /// What this process writes, at once.
    feed: Receiver<Arc<Change>>,
    elsewhere: Option<Others>,
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
                look = look(&mut self.elsewhere) => match look {
                    Some(look) => self.follow(look),
                    None => return Some((reload(), true)),
                },
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

    /// Tells what other processes wrote; what this one wrote comes twice, which does no harm.
    fn follow(&mut self, look: Look) {
        let Some(others) = &mut self.elsewhere else { return };
        let told = match look {
            Look::Messages(page) => {
                news(&self.channel, &page, others.after, &mut self.queue).map(|after| others.after = after)
            }
            Look::One(found) => news_of_one(&self.channel, Option::as_ref(&found), others.after, &mut self.queue)
                .map(|after| others.after = after),
            Look::Numbers(heads) => {
                let before = std::mem::replace(&mut others.numbers, heads);
                let changed = others.numbers.iter().filter(|head| !before.contains(head));
                changed.map(numbers).try_for_each(|event| event.map(|event| self.queue.push_back(event)))
            }
        };
        if let Err(why) = told {
            tracing::warn!(why, "what other processes wrote can't be sent to a page; it loads again");
            self.queue.push_back(reload());
        }
    }

    fn take(&mut self, change: &Change) {
        let shown = self.slot.as_ref().is_none_or(|slot| *slot == change.message.slot);
        if change.head.name == self.channel && shown {
            // Others may have written other messages before it that have not been looked at.
            let upto = (self.elsewhere.is_none() || self.slot.is_some()).then_some(change.revision);
            match drawn(&self.channel, &change.message, upto) {
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

fn drawn(channel: &str, message: &Message, upto: Option<Revision>) -> Result<Event, String> {
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
    let event = Event::default().event("message").json_data(drawn).map_err(|error| error.to_string())?;
    Ok(match upto {
        Some(upto) => event.id(upto.0.to_string()),
        None => event,
    })
}

fn numbers(head: &Head) -> Result<Event, String> {
    Event::default().event("channel").json_data(head).map_err(|error| error.to_string())
}

fn reload() -> Event {
    Event::default().event("reload").data("-")
}
