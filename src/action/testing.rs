//! What tests of actions share: a context, an intent, a service, a real HTTP server on a free port.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::catalog::{Catalog, Service};
use crate::core::{Actor, RunId, Timestamp};
use crate::playbook::action::{Action, Context, Error, Intent, Perform};

pub fn now() -> Timestamp {
    "2026-11-21T02:00:00Z".parse().unwrap()
}

pub fn context() -> Context {
    Context {
        run: RunId::new(3),
        task: "step".into(),
        task_name: "Step".into(),
        incident: None,
        by: Actor::Mayday("test".into()),
        now: now(),
    }
}

pub fn intent(target: Value) -> Intent {
    Intent {
        idempotency_key: "RUN-3/step".into(),
        target,
        deadline: now() + std::time::Duration::from_secs(60),
        attempt: 1,
    }
}

pub fn service(name: &str, change: impl FnOnce(&mut Service)) -> Service {
    let mut service = Service {
        name: name.into(),
        aliases: vec![],
        team: "shop".into(),
        channel: None,
        base_url: None,
        health_path: None,
        depends_on: vec![],
        metrics: BTreeMap::new(),
        restart: None,
        cleanup: vec![],
        journey: None,
        cost_per_minute: None,
        runbook: None,
    };
    change(&mut service);
    service
}

pub fn catalog(services: Vec<Service>) -> Arc<Catalog> {
    Arc::new(Catalog::new(services).unwrap())
}

/// Plans, performs, gives the output.
pub async fn carry_out(action: &dyn Action, parameters: Value) -> Result<Value, Error> {
    let planned = action.plan(&context(), &parameters).await?;
    match action.perform(&context(), &intent(planned.target)).await? {
        Perform::Done(output) => Ok(output),
        Perform::Wait { why, .. } => panic!("waits: {why}"),
    }
}

/// Serves until the test's runtime ends; gives `http://127.0.0.1:port`.
pub async fn serve(router: axum::Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    format!("http://{address}")
}
