//! What diagnosis asks beside logs and metrics: the machine, and services themselves.

use std::time::{Duration, Instant};

use crate::core::{BoxFuture, text};
use crate::watch::process::Status;
use crate::watch::scrape::TargetStatus;

/// Knows processes and scrape targets.
pub trait Machine: Send + Sync + 'static {
    /// The processes of a service that Mayday started.
    fn processes(&self, service: &str) -> Vec<Status>;
    /// The pages of a service that are scraped, and how they answered.
    fn targets(&self, service: &str) -> Vec<TargetStatus>;
}

impl Machine for crate::watch::Handle {
    fn processes(&self, service: &str) -> Vec<Status> {
        self.processes.of(service)
    }

    fn targets(&self, service: &str) -> Vec<TargetStatus> {
        self.targets.of(service)
    }
}

/// Asks services whether they are well.
pub trait Health: Send + Sync + 'static {
    /// One question; takes no longer than `limit`.
    fn ask<'a>(&'a self, url: &'a str, limit: Duration) -> BoxFuture<'a, HealthAnswer>;
}

/// What a health check came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthAnswer {
    /// 2xx, after this time.
    Well(Duration),
    /// Another status.
    Unwell(String),
    /// A connection, and no answer in time.
    Silent,
    /// No connection.
    Unreachable(String),
}

/// Health checks over HTTP.
#[derive(Debug, Clone)]
pub struct HttpHealth(reqwest::Client);

impl HttpHealth {
    /// A client without redirects and proxies, since both would answer for someone else.
    ///
    /// # Errors
    /// No TLS provider is installed.
    pub fn new() -> Result<Self, crate::watch::Error> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            // A check on an old connection would not tell whether new ones are taken.
            .pool_max_idle_per_host(0)
            .user_agent(concat!("mayday/", env!("CARGO_PKG_VERSION")))
            .build();
        client.map(Self).map_err(|error| crate::watch::Error::Http(format!("{error:?}")))
    }
}

impl Health for HttpHealth {
    fn ask<'a>(&'a self, url: &'a str, limit: Duration) -> BoxFuture<'a, HealthAnswer> {
        Box::pin(async move {
            let began = Instant::now();
            match self.0.get(url).timeout(limit).send().await {
                Ok(answer) if answer.status().is_success() => HealthAnswer::Well(began.elapsed()),
                Ok(answer) => HealthAnswer::Unwell(format!("HTTP {}", answer.status().as_u16())),
                Err(error) if error.is_timeout() => HealthAnswer::Silent,
                Err(error) => {
                    let mut cause: &dyn std::error::Error = &error;
                    while let Some(deeper) = cause.source() {
                        cause = deeper;
                    }
                    HealthAnswer::Unreachable(text::capped(&cause.to_string(), 120))
                }
            }
        })
    }
}
