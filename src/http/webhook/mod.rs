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
use axum::http::{HeaderMap, StatusCode};

pub(super) use auth::Keys;

use super::App;
use super::problem::Problem;
use crate::alert::Format;
use crate::incident::{Accepted, Refused};

/// What alerts come through where no integration is asked for.
const OPEN: &str = "open";

/// `POST /webhook/{format}`
pub(super) async fn by_format(
    State(app): State<Arc<App>>,
    Path(format): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Accepted>, Problem> {
    counted(take(&app, &format, None, &headers, body).await)
}

/// `POST /webhook/{format}/{integration}`
pub(super) async fn by_integration(
    State(app): State<Arc<App>>,
    Path((format, integration)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Accepted>, Problem> {
    counted(take(&app, &format, Some(&integration), &headers, body).await)
}

async fn take(
    app: &App,
    format: &str,
    integration: Option<&str>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Json<Accepted>, Problem> {
    let format: Format = format.parse().map_err(|error: crate::alert::parse::UnknownFormat| {
        Problem::not_found(error.to_string(), "post to /webhook/ and one of them")
    })?;
    // Who can't be right is turned away before a byte of the body is read.
    let candidates = app.keys.candidates(format, integration, headers, app.open_webhooks)?;
    body::check_type(headers)?;
    let _room = body::room(app, headers).await?;
    let wire = body::read(app, body).await?;
    let sender = candidates.verify(headers, &wire)?;
    let body = body::decode(app, headers, wire).await?;
    let integration = sender.map_or(OPEN, |sender| sender.name.as_str());
    app.doors.intake.accept(format, integration, &body).await.map(Json).map_err(problem)
}

fn problem(refused: Refused) -> Problem {
    match (&refused, refused.retry_after_secs()) {
        (Refused::NotUnderstood(wrong), _) => Problem::bad_request(&wrong.why, format!("send {}", wrong.looked_for)),
        (Refused::TooLarge { .. }, _) => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            refused.to_string(),
            "send fewer alerts at once (Alertmanager: `max_alerts`), or raise `incidents.max_body`",
        ),
        (Refused::TooMany { .. }, _) => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            refused.to_string(),
            "send fewer alerts at once (Alertmanager: `max_alerts`), or raise `incidents.alerts.max_alerts`",
        ),
        (Refused::Overloaded { .. } | Refused::Store(_), after) => {
            Problem::busy(refused.to_string(), after.unwrap_or(5))
        }
    }
}

fn counted(answer: Result<Json<Accepted>, Problem>) -> Result<Json<Accepted>, Problem> {
    let status = answer.as_ref().map_or_else(|problem| problem.status.as_u16(), |_| 200);
    metrics::counter!("mayday_http_webhooks_total", "status" => status.to_string()).increment(1);
    if let Err(problem) = &answer {
        tracing::info!(status, error = problem.error(), "webhook refused");
    }
    answer
}
