//! Finding the running bot, and talking to it.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::{RequestBuilder, Response, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::args::Bot;
use super::{Doors, Exit, Problem, say};
use crate::access::token_file::TokenFile;
use crate::core::message::cli as message;

/// An answer may take this long: a command waits until its change is durable.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running bot.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    url: String,
    token: Option<SecretString>,
}

impl Client {
    /// Finds the bot: by `--url`, or by the token file of `--data`, or of the folders where one usually is.
    pub(super) fn find(bot: &Bot, doors: &dyn Doors) -> Result<Self, Problem> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(Duration::from_secs(3))
            .timeout(PATIENCE)
            .build()
            .map_err(|error| Problem::refused(error.to_string()))?;
        let wanted = bot.url.as_deref().map(|url| url.trim_end_matches('/').to_owned());
        if let Some(url) = &wanted
            && !(url.starts_with("http://") || url.starts_with("https://"))
        {
            return Err(Problem::refused(message::bad_url(url)));
        }
        let given = bot.token.clone().filter(|token| !token.is_empty()).map(SecretString::from);
        if let Some(data) = &bot.data {
            let file =
                TokenFile::read(data).map_err(|error| Problem { exit: Exit::Nobody, says: error.to_string() })?;
            let url = wanted.unwrap_or(file.url);
            return Ok(Self { http, url, token: Some(given.unwrap_or(file.token)) });
        }
        let file = doors
            .data_folders()
            .iter()
            .filter_map(|data: &PathBuf| TokenFile::read(data).ok())
            .find(|file| wanted.as_deref().is_none_or(|url| same(url, &file.url)));
        match (wanted, file) {
            (Some(url), file) => Ok(Self { http, url, token: given.or(file.map(|file| file.token)) }),
            (None, Some(file)) => Ok(Self { http, url: file.url, token: Some(given.unwrap_or(file.token)) }),
            (None, None) => Err(Problem { exit: Exit::Nobody, says: message::no_bot() }),
        }
    }

    /// Where it is.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn get(&self, path: &str) -> RequestBuilder {
        self.with_token(self.http.get(format!("{}{path}", self.url)))
    }

    pub(super) fn post(&self, path: &str) -> RequestBuilder {
        self.with_token(self.http.post(format!("{}{path}", self.url)))
    }

    /// Without the token of the token file: for doors that have their own secrets.
    pub(super) fn post_open(&self, path: &str) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.url))
    }

    fn with_token(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.token {
            Some(token) => request.bearer_auth(token.expose_secret()),
            None => request,
        }
    }

    /// Sends a request; an answer with an error is a problem with the bot's own words.
    pub(super) async fn ask(&self, request: RequestBuilder) -> Result<Value, Problem> {
        let response = self.send(request).await?;
        let status = response.status();
        let body = response.bytes().await.map_err(|error| self.nobody(&error))?;
        let value: Value = serde_json::from_slice(&body).unwrap_or_else(|_| Value::String(text_of(&body)));
        if status.is_success() { Ok(value) } else { Err(self.refusal(status, &value)) }
    }

    /// Sends a request; whatever the status, that is the answer.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Response, Problem> {
        request.send().await.map_err(|error| self.nobody(&error))
    }

    fn nobody(&self, error: &reqwest::Error) -> Problem {
        let says = if error.is_timeout() && !error.is_connect() {
            message::slow(&self.url, PATIENCE)
        } else {
            message::nobody_answers(&self.url)
        };
        Problem { exit: Exit::Nobody, says }
    }

    fn refusal(&self, status: StatusCode, value: &Value) -> Problem {
        if status == StatusCode::UNAUTHORIZED && self.token.is_none() {
            return Problem::refused(message::no_token(&self.url));
        }
        let why = value["error"].as_str().map(str::to_owned).or_else(|| value.as_str().map(str::to_owned));
        let why = why.filter(|why| !why.trim().is_empty()).unwrap_or_else(|| format!("status {}", status.as_u16()));
        Problem::refused(message::refused(why.trim(), value["fix"].as_str()))
    }
}

/// Whether two addresses are the same bot: `localhost` and `127.0.0.1` are one host here.
fn same(a: &str, b: &str) -> bool {
    let plain = |url: &str| url.trim_end_matches('/').replace("//localhost:", "//127.0.0.1:").to_lowercase();
    plain(a) == plain(b)
}

fn text_of(body: &[u8]) -> String {
    crate::core::text::capped(&String::from_utf8_lossy(body), 2_000)
}

/// `mayday demo break FAULT`
pub(super) async fn break_demo(bot: &Bot, doors: &dyn Doors, fault: &str) -> Result<Exit, Problem> {
    let names: Vec<String> = doors.faults().into_iter().map(|(name, _)| name).collect();
    if !names.iter().any(|name| name == fault) {
        let near = crate::core::nearest::nearest(fault, names.iter().map(String::as_str));
        return Err(Problem::refused(message::no_fault(fault, near, &names)));
    }
    let client = Client::find(bot, doors)?;
    let answer = client.ask(client.post("/demo/faults").json(&json!({ "fault": fault }))).await?;
    say(answer["says"].as_str().unwrap_or("done"));
    Ok(Exit::Done)
}
