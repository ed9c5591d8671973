//! Finding a body's format out from the fields that only one of them has. `/webhook/alert` uses it.

use serde_json::{Map, Value};

use super::json::{self, Body};
use super::{Format, generic};

/// The format of a body; none when it has the marks of none.
///
/// Decided by the first alert that is an object, so that one bad alert at the front does not hide the rest.
pub(super) fn format(body: &Body<'_>) -> Option<Format> {
    if ["groupKey", "groupLabels", "truncatedAlerts"].into_iter().any(|mark| body.around.contains_key(mark)) {
        return Some(Format::Alertmanager);
    }
    let mut of_first = None;
    for raw in body.alerts.iter().take(20) {
        let Ok(object) = json::object(raw, "") else { continue };
        of_first = of_object(&object);
        if of_first.is_some() {
            break;
        }
    }
    // An empty list of alerts is a body of our own with nothing in it.
    of_first.or_else(|| body.alerts.is_empty().then_some(Format::Generic))
}

fn of_object(object: &Map<String, Value>) -> Option<Format> {
    let has = |name: &str| object.contains_key(name);
    if object.get("labels").and_then(|labels| labels.get("alertname")).is_some() && has("startsAt") {
        return Some(Format::Alertmanager);
    }
    if (has("event_value") || has("event_status") || has("event_nseverity")) && (has("trigger_id") || has("event_name"))
    {
        return Some(Format::Zabbix);
    }
    let named_by_label = object.get("labels").and_then(|labels| labels.get("alertname")).is_some();
    (named_by_label || generic::looks_like_one(object)).then_some(Format::Generic)
}
