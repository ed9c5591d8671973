//! Calling another service of the shop, with a limit on how long.

use std::time::Duration;

use super::part::Part;

/// A service and its address, as an argument: `store=http://127.0.0.1:4711`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Its name.
    pub name: String,
    /// Its base URL, without a slash at the end.
    pub url: String,
}

impl std::str::FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, url) = text.split_once('=').ok_or("write NAME=URL")?;
        if !url.starts_with("http://127.0.0.1:") {
            return Err("the shop lives on http://127.0.0.1 only".to_owned());
        }
        Ok(Self { name: name.to_owned(), url: url.trim_end_matches('/').to_owned() })
    }
}

/// Whoever is called.
#[derive(Debug, Clone)]
pub struct Upstreams {
    client: reqwest::Client,
    all: Vec<Address>,
    patience: Duration,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Well.
    Fine,
    /// With this status.
    Refused(u16),
    /// Not in time.
    Late,
    /// Nobody listens.
    Unreachable,
}

impl Upstreams {
    /// The services `part` calls. The deeper a service, the less patience its callers have, so that the one that
    /// waits for a hung service is the one that says so.
    ///
    /// # Errors
    /// The HTTP client can't be built.
    pub fn new(part: Part, all: Vec<Address>) -> Result<Self, reqwest::Error> {
        let patience = Duration::from_millis(match part {
            Part::Load => 4_000,
            Part::Gateway => 3_000,
            Part::OrderService => 1_500,
            _ => 800,
        });
        let client = reqwest::Client::builder().no_proxy().timeout(patience).pool_max_idle_per_host(8).build()?;
        Ok(Self { client, all, patience })
    }

    /// Everyone.
    #[must_use]
    pub fn all(&self) -> &[Address] {
        &self.all
    }

    /// How long a call may take.
    #[must_use]
    pub const fn patience(&self) -> Duration {
        self.patience
    }

    /// Asks one to do its work.
    pub async fn work(&self, address: &Address, path: &str) -> Answer {
        answer(self.client.post(format!("{}{path}", address.url)).send().await)
    }

    /// Asks one whether it is well.
    pub async fn health(&self, address: &Address) -> Answer {
        answer(self.client.get(format!("{}/health", address.url)).timeout(Duration::from_millis(700)).send().await)
    }
}

fn answer(result: Result<reqwest::Response, reqwest::Error>) -> Answer {
    match result {
        Ok(response) if response.status().is_success() => Answer::Fine,
        Ok(response) => Answer::Refused(response.status().as_u16()),
        Err(error) if error.is_timeout() => Answer::Late,
        Err(_) => Answer::Unreachable,
    }
}
