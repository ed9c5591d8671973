//! The pages of the web channel: a channel, older messages of it, a whole thread.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use maud::Markup;
use serde::Deserialize;

use super::App;
use super::page::{self, layout::Frame};
use super::problem::Problem;
use super::session::{Reader, Viewer};
use crate::chat::web::Head;

/// Messages of one page.
const PAGE: usize = 30;

/// `GET /`: the channel with the most open trouble, else the one with the most messages, else the one where cards come
/// by default, so that who waits for the first card waits in the right place.
pub(super) async fn home(State(app): State<Arc<App>>, viewer: Viewer) -> Response {
    let home = app.doors.home_channel.as_str();
    if let Err(error) = app.doors.chat.open_channel(home).await {
        return Problem::failed(error.to_string()).into_response();
    }
    let channels = match app.doors.chat.channels().await {
        Ok(channels) => channels,
        Err(error) => return Problem::failed(error.to_string()).into_response(),
    };
    let first = channels.iter().max_by_key(|head| (head.open, head.last, head.name == home));
    let first = first.map_or(home, |head| head.name.as_str()).to_owned();
    show(&app, &viewer, channels, &first).await
}

/// `GET /channels/{channel}`
pub(super) async fn channel(State(app): State<Arc<App>>, viewer: Viewer, Path(name): Path<String>) -> Response {
    match app.doors.chat.channels().await {
        Ok(channels) if channels.iter().any(|head| head.name == name) => show(&app, &viewer, channels, &name).await,
        Ok(channels) => {
            let frame = frame(&app, &viewer, &channels, None).await;
            (axum::http::StatusCode::NOT_FOUND, page::channel::missing(&frame)).into_response()
        }
        Err(error) => Problem::failed(error.to_string()).into_response(),
    }
}

async fn show(app: &App, viewer: &Viewer, channels: Vec<Head>, name: &str) -> Response {
    match app.doors.chat.page(name, None, PAGE).await {
        Ok(messages) => {
            let frame = frame(app, viewer, &channels, Some(name)).await;
            page::channel::page(&frame, name, &messages).into_response()
        }
        Err(error) => Problem::failed(error.to_string()).into_response(),
    }
}

/// What every page has around it.
pub(super) async fn frame<'a>(app: &App, viewer: &'a Viewer, channels: &'a [Head], here: Option<&'a str>) -> Frame<'a> {
    let faults = match &app.doors.demo {
        Some(demo) => demo.faults().await,
        None => Vec::new(),
    };
    Frame {
        person: &viewer.session.person,
        csrf: &viewer.session.csrf,
        channels,
        here,
        faults,
        now: app.doors.clock.now(),
    }
}

#[derive(Deserialize)]
pub(super) struct Before {
    before: Option<u64>,
}

/// `GET /channels/{channel}/messages?before=`: a piece of HTML.
pub(super) async fn older(
    State(app): State<Arc<App>>,
    _reader: Reader,
    Path(name): Path<String>,
    Query(Before { before }): Query<Before>,
) -> Result<Markup, Problem> {
    let messages =
        app.doors.chat.page(&name, before, PAGE).await.map_err(|error| Problem::failed(error.to_string()))?;
    Ok(page::channel::messages(&messages))
}

/// `GET /channels/{channel}/threads/{seq}`: all replies, a piece of HTML.
pub(super) async fn thread(
    State(app): State<Arc<App>>,
    _reader: Reader,
    Path((name, seq)): Path<(String, u64)>,
) -> Result<Markup, Problem> {
    let thread = app.doors.chat.thread(&name, seq).await.map_err(|error| Problem::failed(error.to_string()))?;
    thread
        .map(|thread| page::message::replies(&thread))
        .ok_or_else(|| Problem::not_found("the channel does not keep this message any more", "look at /incidents"))
}
