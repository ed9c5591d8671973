//! `/api/v1`: collections with cursor pages, single items, and `say` for terminals; and how Mayday itself is.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::App;
use super::doors::{Collection, Listing, ReadError};
use super::problem::Problem;
use super::say::Said;
use super::session::{Reader, Writer};
use crate::access::Role;
use crate::chat::Reply;
use crate::ops::health::State as How;

/// Items of a page when nothing is asked.
const PAGE: usize = 50;
/// Items of a page at most.
const MOST: usize = 500;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Paging {
    cursor: Option<String>,
    limit: Option<usize>,
}

/// `GET /api/v1/{collection}`
pub(super) async fn list(
    State(app): State<Arc<App>>,
    _reader: Reader,
    Path(collection): Path<String>,
    paging: Result<Query<Paging>, QueryRejection>,
) -> Result<Json<Listing>, Problem> {
    let collection = named(&collection)?;
    let Query(paging) = paging.map_err(|error| {
        Problem::bad_request(
            error.body_text(),
            format!("ask with `?limit=` (1 to {MOST}) and `?cursor=` of the page before"),
        )
    })?;
    let limit = paging.limit.unwrap_or(PAGE).clamp(1, MOST);
    app.doors.reads.list(collection, paging.cursor.as_deref(), limit).await.map(Json).map_err(problem)
}

/// `GET /api/v1/{collection}/{id}`
pub(super) async fn item(
    State(app): State<Arc<App>>,
    _reader: Reader,
    Path((collection, id)): Path<(String, String)>,
) -> Result<Json<Value>, Problem> {
    let found = app.doors.reads.item(named(&collection)?, &id).await.map_err(problem)?;
    found.map(Json).ok_or_else(|| {
        let id = crate::core::text::capped(&id, 80);
        Problem::not_found(
            format!("there is no `{id}` in {collection}"),
            format!("list them with GET /api/v1/{collection}"),
        )
    })
}

fn named(collection: &str) -> Result<Collection, Problem> {
    Collection::named(collection).ok_or_else(|| {
        Problem::not_found(
            format!("there is no collection `{}`", crate::core::text::capped(collection, 60)),
            "there are alerts, incidents, runs and audit",
        )
    })
}

fn problem(error: ReadError) -> Problem {
    match error {
        ReadError::BadCursor => {
            Problem::bad_request("the cursor is not one that a page gave", "start again without `cursor`")
        }
        ReadError::Failed(why) => Problem::failed(why),
    }
}

/// What a terminal says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    text: String,
    channel: Option<String>,
    thread: Option<String>,
    #[serde(rename = "as")]
    as_person: Option<String>,
}

/// `POST /api/v1/say`
pub(super) async fn say(
    State(app): State<Arc<App>>,
    writer: Writer,
    line: Result<Json<Line>, JsonRejection>,
) -> Result<Json<Reply>, Problem> {
    let Json(line) = line.map_err(|error| bad_json(&error, r#"{"text": "incidents open"}"#))?;
    let (person, impersonated_by) = match line.as_person {
        None => (writer.person, None),
        Some(_) if writer.person.role < Role::Admin => {
            return Err(Problem::forbidden("only an admin speaks as someone else", "leave `as` out"));
        }
        Some(name) => {
            let person = app.doors.gate.find(&name).ok_or_else(|| {
                let name = crate::core::text::capped(&name, 80);
                Problem::bad_request(format!("nobody is called `{name}`"), "use an id like `web:ana`")
            })?;
            (person, Some(writer.person))
        }
    };
    let said =
        Said { person, impersonated_by, channel: line.channel, thread: line.thread, text: line.text, label: None };
    super::say::carry_out(&app, said).await.map(|answer| Json(answer.reply))
}

pub(super) fn bad_json(error: &JsonRejection, example: &str) -> Problem {
    Problem::new(
        error.status(),
        error.body_text(),
        format!("send JSON like {example} with `Content-Type: application/json`"),
    )
}

/// `GET /health`: Mayday answers; how its parts are. 503 only when a part is down: a degraded Mayday still takes alerts,
/// and must not be restarted for it.
pub(super) async fn health(State(app): State<Arc<App>>) -> Response {
    let report = app.doors.health.report().await;
    let (status, word) = match report.state {
        How::Well => (StatusCode::OK, "ok"),
        How::Degraded => (StatusCode::OK, "degraded"),
        How::Down => (StatusCode::SERVICE_UNAVAILABLE, "down"),
    };
    let parts: Vec<Value> = report
        .parts
        .iter()
        .map(|part| json!({"name": part.name, "ok": part.state == How::Well, "state": part.state, "says": part.says}))
        .collect();
    let mut body = json!({"status": word, "version": env!("CARGO_PKG_VERSION"), "at": report.at, "parts": parts});
    if !report.is_up() {
        let down = report.parts.iter().filter(|part| part.state == How::Down);
        let down: Vec<String> = down.map(|part| format!("{}: {}", part.name, part.says)).collect();
        body["error"] = json!(down.join("; "));
        body["fix"] = json!("look at the log of the part that is down");
    }
    (status, Json(body)).into_response()
}

/// `GET /ready`: whether alerts can be taken now.
pub(super) async fn ready(State(app): State<Arc<App>>) -> Response {
    match app.doors.health.ready().await {
        Ok(()) => Json(json!({"ready": true})).into_response(),
        Err(why) => (
            StatusCode::SERVICE_UNAVAILABLE,
            [(header::RETRY_AFTER, "1")],
            Json(json!({"ready": false, "error": why, "fix": "wait; `/health` says what is missing"})),
        )
            .into_response(),
    }
}

/// `GET /metrics`
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let text = (app.doors.metrics)();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}
