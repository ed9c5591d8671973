//! `POST /webhook/{format}` and `/webhook/{format}/{integration}`: alerts from outside.
//!
//! 200 once they are durable · 400 nothing understood · 401 · 413 · 415 · 408 the body came too slowly · 503 with
//! Retry-After under overload.

mod auth;
mod body;

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;

pub(super) use auth::Keys;

use super::App;
use super::doors::{Incoming, Receipt, Refusal};
use super::options::Format;
use super::problem::Problem;

/// `POST /webhook/{format}`
pub(super) async fn by_format(
    State(app): State<Arc<App>>,
    Path(format): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Receipt>, Problem> {
    counted(take(&app, &format, None, &headers, body).await)
}

/// `POST /webhook/{format}/{integration}`
pub(super) async fn by_integration(
    State(app): State<Arc<App>>,
    Path((format, integration)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Receipt>, Problem> {
    counted(take(&app, &format, Some(&integration), &headers, body).await)
}

async fn take(
    app: &App,
    format: &str,
    integration: Option<&str>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Json<Receipt>, Problem> {
    let Some(format) = Format::named(format) else {
        let known = Format::ALL.map(|(name, _)| name).join(", ");
        return Err(Problem::not_found(
            format!("`{}` is not a format this Mayday reads", crate::core::text::capped(format, 60)),
            format!("post to /webhook/ and one of: {known} (`alert` finds the format out)"),
        ));
    };
    // Who can't be right is turned away before a byte of the body is read.
    let candidates = app.keys.candidates(format, integration, headers, app.open_webhooks)?;
    body::check_type(headers)?;
    let _room = body::room(app, headers).await?;
    let wire = body::read(app, body).await?;
    let sender = candidates.verify(headers, &wire)?;
    let body = body::decode(app, headers, wire).await?;
    let incoming = Incoming {
        format,
        integration: sender.map(|sender| sender.name.clone()),
        team: sender.and_then(|sender| sender.team.clone()),
        body,
    };
    app.doors.intake.accept(incoming).await.map(Json).map_err(|refusal| match refusal {
        Refusal::NotUnderstood { why, fix } => Problem::bad_request(why, fix),
        Refusal::Busy { why, after_secs } => Problem::busy(why, after_secs),
    })
}

fn counted(answer: Result<Json<Receipt>, Problem>) -> Result<Json<Receipt>, Problem> {
    let status = answer.as_ref().map_or_else(|problem| problem.status.as_u16(), |_| 200);
    metrics::counter!("mayday_http_webhooks_total", "status" => status.to_string()).increment(1);
    if let Err(problem) = &answer {
        tracing::info!(status, error = problem.error(), "webhook refused");
    }
    answer
}
