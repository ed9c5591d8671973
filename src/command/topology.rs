//! `topology`: what a service calls and who calls it, as the catalogue says.

use serde_json::json;

use super::speaker::Speaker;
use super::{Answer, done};
use crate::core::message::command as say;

pub(super) fn topology(speaker: &Speaker<'_>, service: &str) -> Answer {
    let service = speaker.service(service)?;
    let catalog = &speaker.deps.catalog;
    let is_it = |name: &String| catalog.find(name).is_some_and(|found| found.name == service.name);
    let callers: Vec<String> = catalog
        .services()
        .iter()
        .filter(|other| other.depends_on.iter().any(is_it))
        .map(|other| other.name.clone())
        .collect();
    let data =
        json!({ "service": service.name, "team": service.team, "calls": service.depends_on, "called_by": callers });
    Ok(done(say::topology(&service.name, &service.team, &service.depends_on, &callers), data))
}
