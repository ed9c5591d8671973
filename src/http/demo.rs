//! `/demo/faults`: the demo's faults, for its panel and for `mayday demo break`. Not there outside the demo.
//!
//! Open to whoever reaches the loopback listener, as the demo's webhooks are: the guard refuses foreign pages and names.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use serde::{Deserialize, Serialize};

use super::App;
use super::api::bad_json;
use super::doors::{DemoPanel, Fault};
use super::problem::Problem;

/// `GET /demo/faults`
pub(super) async fn list(State(app): State<Arc<App>>) -> Result<Json<Vec<Fault>>, Problem> {
    Ok(Json(panel(&app)?.faults().await))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    fault: String,
}

#[derive(Serialize)]
pub(super) struct Made {
    says: String,
}

/// `POST /demo/faults` with `{"fault": "hang"}`; needs `Content-Type: application/json`, which a foreign page can't
/// send without being asked first.
pub(super) async fn make(
    State(app): State<Arc<App>>,
    wanted: Result<Json<Wanted>, JsonRejection>,
) -> Result<Json<Made>, Problem> {
    let panel = panel(&app)?;
    let Json(wanted) = wanted.map_err(|error| bad_json(&error, r#"{"fault": "hang"}"#))?;
    match panel.make(&wanted.fault).await {
        Ok(says) => Ok(Json(Made { says })),
        Err(why) => Err(Problem::bad_request(why, "`mayday demo faults` lists them")),
    }
}

fn panel(app: &App) -> Result<&Arc<dyn DemoPanel>, Problem> {
    app.doors.demo.as_ref().ok_or_else(|| Problem::not_found("this is not a demo", "start one with `mayday demo`"))
}
