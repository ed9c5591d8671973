//! One HTTP call, bounded in time, size and where it may go.

use std::error::Error as _;
use std::time::{Duration, Instant};

use reqwest::redirect::Policy;
use reqwest::{Client, Method, Url};
use serde_json::Value;

use super::gate::{Gate, Refused};

/// Redirects of a GET that are followed, each checked against the gate.
const REDIRECTS: usize = 3;

/// Calls through a [`Gate`]. Cheap to clone.
#[derive(Clone)]
pub struct Fetcher {
    gate: Gate,
    /// For GET and HEAD.
    reading: Client,
    /// For everything else: a redirect would repeat the effect elsewhere, so none is followed.
    writing: Client,
    max_bytes: usize,
}

/// One call.
#[derive(Debug, Clone)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// The whole URL.
    pub url: Url,
    /// JSON body.
    pub body: Option<Value>,
    /// Told to the target in the `Idempotency-Key` header.
    pub idempotency_key: Option<String>,
}

/// What came back.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The body: JSON if it is, else a string.
    pub body: Value,
    /// How long it took, milliseconds.
    pub duration_ms: f64,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It may not be called, or never answers in a usable way.
    Refused(String),
    /// It was not reached: the request was not sent.
    NotSent(String),
    /// It was sent, and then something broke: it is not known whether it took effect.
    Broken(String),
}

impl Fetcher {
    /// A fetcher with these limits for each call.
    ///
    /// # Errors
    /// Why TLS can't be set up.
    pub fn new(gate: Gate, timeout: Duration, max_bytes: usize) -> Result<Self, String> {
        // One crypto provider for the process; whoever is first installs it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let base = || {
            Client::builder()
                // A proxy would resolve names itself, past the gate.
                .no_proxy()
                .dns_resolver(std::sync::Arc::new(gate.clone()))
                .timeout(timeout)
                .connect_timeout(timeout.min(Duration::from_secs(5)))
                .pool_max_idle_per_host(1)
                .pool_idle_timeout(Duration::from_secs(15))
                .user_agent("mayday")
        };
        let at_hop = gate.clone();
        let follow = Policy::custom(move |attempt| {
            if attempt.previous().len() > REDIRECTS {
                return attempt.error(Refused(format!("more than {REDIRECTS} redirects")));
            }
            match at_hop.check(attempt.url()) {
                Ok(()) => attempt.follow(),
                Err(why) => attempt.error(Refused(format!("redirected, but {why}"))),
            }
        });
        let build = |builder: reqwest::ClientBuilder| builder.build().map_err(|error| format!("HTTP client: {error}"));
        Ok(Self {
            reading: build(base().redirect(follow))?,
            writing: build(base().redirect(Policy::none()))?,
            gate,
            max_bytes,
        })
    }

    /// Makes the call.
    ///
    /// # Errors
    /// [`Failure`]; an answer with any status is an answer.
    pub async fn send(&self, call: Call) -> Result<Answer, Failure> {
        self.gate.check(&call.url).map_err(|why| Failure::Refused(why.0))?;
        let reads = matches!(call.method, Method::GET | Method::HEAD);
        let client = if reads { &self.reading } else { &self.writing };
        let mut request = client.request(call.method, call.url).header("accept", "application/json, */*;q=0.5");
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        if let Some(key) = &call.idempotency_key {
            request = request.header("idempotency-key", key);
        }
        let started = Instant::now();
        let mut response = request.send().await.map_err(|error| failure(&error))?;
        let status = response.status().as_u16();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failure(&error))? {
            if bytes.len() + chunk.len() > self.max_bytes {
                return Err(Failure::Broken(format!("the answer is larger than {} bytes", self.max_bytes)));
            }
            bytes.extend_from_slice(&chunk);
        }
        let duration_ms = started.elapsed().as_secs_f64() * 1000.0;
        metrics::histogram!("mayday_action_http_call_seconds").record(duration_ms / 1000.0);
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Ok(Answer { status, body, duration_ms })
    }
}

fn failure(error: &reqwest::Error) -> Failure {
    let mut cause = error.source();
    let mut last = error.to_string();
    while let Some(inner) = cause {
        if let Some(refused) = inner.downcast_ref::<Refused>() {
            return Failure::Refused(refused.0.clone());
        }
        last = inner.to_string();
        cause = inner.source();
    }
    // The innermost cause says it best; the outer text repeats the URL with its query, where secrets may stand.
    let why = if error.is_timeout() { "no answer in time".to_owned() } else { last };
    if error.is_builder() {
        // The request can't be written at all (a key that is no header, for instance).
        return Failure::Refused(why);
    }
    if error.is_connect() { Failure::NotSent(why) } else { Failure::Broken(why) }
}
