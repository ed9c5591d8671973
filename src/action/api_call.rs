//! `API_Call`: one HTTP request. `action` is `METHOD /path` (default API), `METHOD service:/path` (a catalogue entry's base
//! URL) or `GET service:health` (its health path); parameters are the query of a GET and the JSON body otherwise.
//!
//! The output is the answer's JSON object (`{body: …}` for anything else) with `http_status` and `duration_ms`, and with
//! `status`, `latency_ms` and `is_healthy` where the answer has no such field of its own.
//!
//! A GET is repeated after a crash; anything else tells the target its idempotency key and is left to a person.
//!
//! A PATCH has an inverse where a GET of the same address shows every field that it sets: these fields are set back.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, Url};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::fetch::{Answer, Call, Failure, Fetcher};
use super::{json as to_json, parameters, reading};
use crate::catalog::Catalog;
use crate::core::message::action as say;
use crate::core::redact::{redact, redact_json};
use crate::core::{BoxFuture, text};
use crate::playbook::Action;
use crate::playbook::action::{Change, Context, Error, Intent, Perform, Planned, Settle};

const KIND: &str = "API_Call";

/// The executor.
pub struct ApiCall {
    fetcher: Fetcher,
    catalog: Arc<Catalog>,
    default_api: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    action: String,
    #[serde(default)]
    service: Option<String>,
    #[serde(default)]
    parameters: Map<String, Value>,
    /// Of an undo: what the call that is taken back had set. Fields that are something else now are somebody else's.
    #[serde(default)]
    #[expect(dead_code, reason = "read where it is planned, from the parameters as they stand")]
    expects: Option<Map<String, Value>>,
}

/// The whole request; nothing in it depends on when it is made.
#[derive(Debug, Serialize, Deserialize)]
struct Target {
    /// The catalogue's name, where one is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    service: Option<String>,
    method: String,
    url: Url,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<Value>,
    /// The call that sets back what a PATCH sets, to what it was when this was planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    undo: Option<Value>,
}

impl ApiCall {
    /// Calls through this fetcher.
    #[must_use]
    pub fn new(fetcher: Fetcher, catalog: Arc<Catalog>, default_api: Option<String>) -> Self {
        Self { fetcher, catalog, default_api }
    }

    fn resolve(&self, value: &Value) -> Result<Target, Error> {
        let Parameters { action, service, parameters, .. } = parameters(KIND, value)?;
        let permanent = |why: String| Error::Permanent(format!("{KIND} `{}`: {why}", text::capped(&action, 120)));
        let (method, rest) = action
            .trim()
            .split_once(char::is_whitespace)
            .ok_or_else(|| permanent("write `METHOD /path`, for instance `GET /api/v1/health`".to_owned()))?;
        let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
        if !known.contains(&method) {
            return Err(permanent(format!("`{method}` is not one of {}", known.join(", "))));
        }
        let rest = rest.trim();
        let (service, path) = match rest.split_once(':') {
            Some((name, path)) if !name.contains('/') => (Some(name.to_owned()), path),
            _ => (service, rest),
        };
        let (base, path) = self.base(service.as_deref(), path).map_err(permanent)?;
        // As the catalogue calls it, whatever it is called here: a standing policy goes by that.
        let service = service.map(|name| self.catalog.find(&name).map_or(name, |found| found.name.clone()));
        let mut url = join(&base, &path).map_err(permanent)?;
        let reads = matches!(method, "GET" | "HEAD");
        if reads {
            query(&mut url, &parameters).map_err(permanent)?;
        }
        let body = (!reads && !parameters.is_empty()).then_some(Value::Object(parameters));
        Ok(Target { service, method: method.to_owned(), url, body, undo: None })
    }

    fn base(&self, service: Option<&str>, path: &str) -> Result<(String, String), String> {
        let Some(name) = service else {
            let base = self.default_api.clone();
            let base =
                base.ok_or("no default API is configured; set actions.default_api, or write `METHOD service:/path`")?;
            return Ok((base, path.to_owned()));
        };
        let service = self.catalog.find(name).ok_or_else(|| say::no_service(name))?;
        let base = service.base_url.clone().ok_or_else(|| format!("the catalogue has no base_url for {name}"))?;
        if path == "health" {
            let health = service.health_path.clone();
            return Ok((base, health.ok_or_else(|| format!("the catalogue has no health_path for {name}"))?));
        }
        Ok((base, path.to_owned()))
    }

    /// The fields that a PATCH sets, as they are now; none where a GET does not show all of them, or one is an object, into
    /// which a PATCH may merge.
    async fn before(&self, target: &Target) -> Option<Map<String, Value>> {
        let fields = target.body.as_ref().filter(|_| target.method == "PATCH")?.as_object()?;
        if fields.values().any(Value::is_object) {
            return None;
        }
        let call = Call { method: Method::GET, url: target.url.clone(), body: None, idempotency_key: None };
        let answer = self.fetcher.send(call).await.ok().filter(|answer| (200..300).contains(&answer.status))?;
        let before: Option<Map<String, Value>> =
            fields.keys().map(|name| Some((name.clone(), answer.body.get(name)?.clone()))).collect();
        // A secret is neither kept to be set back, nor is what an API shows in its place.
        let mut open = Value::Object(before.clone()?);
        redact_json(&mut open);
        before.filter(|before| open.as_object() == Some(before))
    }

    /// An undo sets back only what still is as the call had set it.
    async fn still_ours(&self, target: &Target, asked: &Value) -> Result<(), Error> {
        let Some(expects) = asked.get("expects").and_then(Value::as_object) else { return Ok(()) };
        let call = Call { method: Method::GET, url: target.url.clone(), body: None, idempotency_key: None };
        let answer = match self.fetcher.send(call).await {
            Ok(answer) if (200..300).contains(&answer.status) => answer.body,
            Ok(answer) => return Err(Error::Transient(say::not_shown(answer.status))),
            Err(Failure::Refused(why)) => return Err(Error::Permanent(why)),
            Err(Failure::NotSent(why) | Failure::Broken(why)) => return Err(Error::Transient(why)),
        };
        for (name, set) in expects {
            let now = answer.get(name).unwrap_or(&Value::Null);
            if now != set && Some(now) != asked["parameters"].get(name) {
                return Err(Error::Permanent(say::changed_since(name, &text::capped(&now.to_string(), 80))));
            }
        }
        Ok(())
    }

    fn target(&self, value: &Value) -> Result<Target, Error> {
        if value.get("url").is_some() { super::target(KIND, value) } else { self.resolve(value) }
    }
}

/// The URL of a path below a base. The path may not leave the base, whatever it is made of.
fn join(base: &str, path: &str) -> Result<Url, String> {
    let wrong = |why: &str| Err(format!("the path `{}` {why}", text::capped(path, 120)));
    if !path.starts_with('/') || path.starts_with("//") {
        return wrong("must begin with one `/`");
    }
    if path.chars().any(|c| c.is_control() || c.is_whitespace() || matches!(c, '\\' | '#')) {
        return wrong("has a character that a path can't have");
    }
    let plain = path.split('?').next().unwrap_or_default().to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/");
    if plain.split('/').any(|segment| matches!(segment, "." | "..")) {
        return wrong("may not go up with `..`");
    }
    let base = Url::parse(base).map_err(|error| format!("the base URL is not valid: {error}"))?;
    let whole = format!("{}{path}", base.as_str().trim_end_matches('/'));
    let url = Url::parse(&whole).map_err(|error| format!("no URL: {error}"))?;
    if url.origin() == base.origin() && url.path().starts_with(base.path().trim_end_matches('/')) {
        Ok(url)
    } else {
        wrong("leaves the base URL")
    }
}

fn query(url: &mut Url, parameters: &Map<String, Value>) -> Result<(), String> {
    let scalar = |name: &str, value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
        _ => Err(format!("the query parameter `{name}` must be text, a number, true, false, or a list of those")),
    };
    let mut pairs = Vec::new();
    for (name, value) in parameters {
        match value {
            Value::Null => {}
            Value::Array(items) => {
                for item in items {
                    pairs.push((name, scalar(name, item)?));
                }
            }
            value => pairs.push((name, scalar(name, value)?)),
        }
    }
    if !pairs.is_empty() {
        url.query_pairs_mut().extend_pairs(pairs);
    }
    Ok(())
}

fn output(answer: Answer) -> Value {
    let Answer { status, body, duration_ms } = answer;
    let healthy = is_healthy(status, &body);
    let mut fields = match body {
        Value::Object(fields) => fields,
        other => Map::from_iter([("body".to_owned(), other)]),
    };
    for (name, value) in [("http_status", json!(status)), ("duration_ms", json!(duration_ms))] {
        fields.insert(name.to_owned(), value);
    }
    for (name, value) in [("status", json!(status)), ("latency_ms", json!(duration_ms)), ("is_healthy", json!(healthy))]
    {
        fields.entry(name).or_insert(value);
    }
    Value::Object(fields)
}

/// What an answer says of health: its own word if it has one, else its status.
#[must_use]
pub fn is_healthy(status: u16, body: &Value) -> bool {
    if !(200..300).contains(&status) {
        return false;
    }
    let says =
        ["is_healthy", "healthy", "ok", "status", "state", "health"].iter().find_map(|name| match body.get(name) {
            Some(Value::Bool(yes)) => Some(*yes),
            Some(Value::String(word)) => match word.to_ascii_lowercase().as_str() {
                "up" | "ok" | "healthy" | "pass" | "green" | "ready" | "running" | "alive" | "serving" => Some(true),
                "down" | "unhealthy" | "fail" | "failed" | "red" | "error" | "critical" | "degraded"
                | "not_serving" | "out_of_service" | "warn" | "warning" | "yellow" => Some(false),
                _ => None,
            },
            _ => None,
        });
    says.unwrap_or(true)
}

/// The query of a call as people see it before they approve: whole, but without secrets.
fn shown_query(url: &Url) -> Option<String> {
    url.query().filter(|query| !query.is_empty())?;
    let pair = |(name, value): (std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)| {
        let mut pair = Value::Object(Map::from_iter([(name.to_string(), json!(value))]));
        redact_json(&mut pair);
        format!("{name}={}", pair[&*name].as_str().unwrap_or_default())
    };
    Some(redact(&url.query_pairs().map(pair).collect::<Vec<_>>().join("&")).into_owned())
}

/// What an answer that is not 2xx means for the effect. Only 429 and the other 4xx say that nothing was done; a redirect
/// may follow the work (Post/Redirect/Get), and a gateway's 503 may come after it. Sending a PUT or DELETE again is the
/// same as sending it once.
fn refusal(method: &Method, answer: &Answer) -> Error {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    let again = reads || matches!(*method, Method::PUT | Method::DELETE);
    let body = match &answer.body {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let why = format!("it answered {}: {}", answer.status, text::capped(&redact(&body), 200));
    match answer.status {
        429 => Error::Transient(why),
        503 if again => Error::Transient(why),
        500.. if reads => Error::Transient(why),
        500.. => Error::InDoubt(why),
        400.. => Error::Permanent(why),
        _ if again => Error::Permanent(why),
        _ => Error::InDoubt(why),
    }
}

impl Action for ApiCall {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn settle(&self, target: &Value) -> Settle {
        let method = self.target(target).map(|target| target.method);
        if method.is_ok_and(|method| matches!(method.as_str(), "GET" | "HEAD")) {
            Settle::Repeat
        } else {
            Settle::AskPerson
        }
    }

    fn default_timeout(&self) -> Duration {
        Duration::from_secs(15)
    }

    fn plan<'a>(&'a self, _: &'a Context, parameters: &'a Value) -> BoxFuture<'a, Result<Planned, Error>> {
        Box::pin(async move {
            let mut target = self.resolve(parameters)?;
            self.still_ours(&target, parameters).await?;
            let mut shown = target.url.clone();
            shown.set_query(None);
            let object = match &target.service {
                Some(service) => format!("{service} {} {}", target.method, shown.path()),
                None => format!("{} {shown}", target.method),
            };
            if matches!(target.method.as_str(), "GET" | "HEAD") {
                return Ok(reading(object, to_json(&target)));
            }
            let mut body = target.body.clone().unwrap_or(Value::Null);
            redact_json(&mut body);
            let mut changes = vec![Change {
                field: "request".to_owned(),
                before: "not sent".to_owned(),
                after: if body.is_null() { "sent".to_owned() } else { format!("sent with {body}") },
            }];
            let query = shown_query(&target.url);
            if let Some(before) = self.before(&target).await {
                let mut was = Value::Object(before.clone());
                redact_json(&mut was);
                let field = |name: &String| Change {
                    field: name.clone(),
                    before: was[name].to_string(),
                    after: body[name].to_string(),
                };
                changes = before.keys().map(field).collect();
                let mut undo = parameters.clone();
                undo["parameters"] = Value::Object(before);
                undo["expects"] = target.body.clone().unwrap_or_default();
                target.undo = Some(undo);
            }
            if let Some(query) = query {
                changes.push(Change { field: "query".to_owned(), before: "not sent".to_owned(), after: query });
            }
            let host = target.url.host_str().unwrap_or_default();
            Ok(Planned {
                changes,
                radius: say::call_radius(&target.method, host),
                undo: target.undo.is_some().then(say::fields_set_back),
                details: vec![text::capped(&format!("to {shown}"), 400)],
                target: to_json(&target),
                object,
            })
        })
    }

    fn perform<'a>(&'a self, _: &'a Context, intent: &'a Intent) -> BoxFuture<'a, Result<Perform, Error>> {
        Box::pin(async move {
            let Target { method, url, body, .. } = self.target(&intent.target)?;
            let reads = matches!(method.as_str(), "GET" | "HEAD");
            let method: Method =
                method.parse().map_err(|_| Error::Permanent(format!("`{method}` is no HTTP method")))?;
            let idempotency_key = (!reads).then(|| intent.idempotency_key.clone());
            match self.fetcher.send(Call { method: method.clone(), url, body, idempotency_key }).await {
                Ok(answer) if (200..300).contains(&answer.status) => Ok(Perform::Done(output(answer))),
                Ok(answer) => Err(refusal(&method, &answer)),
                Err(Failure::Refused(why)) => Err(Error::Permanent(why)),
                Err(Failure::NotSent(why)) => Err(Error::Transient(why)),
                Err(Failure::Broken(why)) if reads => Err(Error::Transient(why)),
                Err(Failure::Broken(why)) => Err(Error::InDoubt(why)),
            }
        })
    }

    fn inverse(&self, target: &Value, _: &Value) -> Option<Value> {
        self.target(target).ok()?.undo
    }
}

#[cfg(test)]
#[path = "api_call_tests.rs"]
mod tests;
