//! The pages about incidents: all of them, one with its timeline, one piece of evidence.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::App;
use super::channel::frame;
use super::doors::ReadError;
use super::page;
use super::problem::Problem;
use super::session::Viewer;
use crate::core::IncidentId;
use crate::core::message::web as say;

/// Incidents on the list.
const LIST: usize = 100;

/// `GET /incidents`
pub(super) async fn list(State(app): State<Arc<App>>, viewer: Viewer) -> Result<Response, Problem> {
    let incidents = app.doors.reads.incidents(false, LIST).await.map_err(failed)?;
    let channels = app.doors.chat.channels().await.map_err(|error| Problem::failed(error.to_string()))?;
    let frame = frame(&app, &viewer, &channels, None).await;
    Ok(page::incident::list(&frame, &incidents, LIST).into_response())
}

/// `GET /incidents/{id}`
pub(super) async fn one(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let channels = app.doors.chat.channels().await.map_err(|error| Problem::failed(error.to_string()))?;
    let frame = frame(&app, &viewer, &channels, None).await;
    let found = match id.parse::<IncidentId>() {
        Ok(id) => app.doors.reads.incident(id).await.map_err(failed)?,
        Err(_) => None,
    };
    let Some(incident) = found else {
        return Ok(
            (StatusCode::NOT_FOUND, page::incident::missing(&frame, &say::no_such_incident(&id))).into_response()
        );
    };
    // Before anything is read: what changes meanwhile comes through the live feed.
    let newest = app.doors.chat.page(&incident.channel.name, None, 1).await;
    let revision = newest.map_err(|error| Problem::failed(error.to_string()))?.revision;
    let timeline = app.doors.reads.timeline(incident.id).await.map_err(failed)?;
    let card = app.doors.chat.find(&incident.channel.name, &incident.id.to_string()).await;
    let card = card.map_err(|error| Problem::failed(error.to_string()))?;
    Ok(page::incident::one(&frame, &incident, card.as_ref(), &timeline, revision).into_response())
}

/// `GET /incidents/{id}/evidence/{evidence}`
pub(super) async fn evidence(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    Path((id, evidence)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let channels = app.doors.chat.channels().await.map_err(|error| Problem::failed(error.to_string()))?;
    let frame = frame(&app, &viewer, &channels, None).await;
    let found = match id.parse::<IncidentId>() {
        Ok(id) => app.doors.reads.incident(id).await.map_err(failed)?,
        Err(_) => None,
    };
    let Some(incident) = found else {
        return Ok(
            (StatusCode::NOT_FOUND, page::incident::missing(&frame, &say::no_such_incident(&id))).into_response()
        );
    };
    match incident.evidence.iter().find(|known| known.id.0.eq_ignore_ascii_case(&evidence)) {
        Some(evidence) => Ok(page::incident::evidence(&frame, &incident, evidence).into_response()),
        None => {
            let says = say::no_such_evidence(&evidence, &incident.id.to_string());
            Ok((StatusCode::NOT_FOUND, page::incident::missing(&frame, &says)).into_response())
        }
    }
}

fn failed(error: ReadError) -> Problem {
    match error {
        ReadError::BadCursor => Problem::failed("a page of incidents could not be read"),
        ReadError::Failed(why) => Problem::failed(why),
    }
}
