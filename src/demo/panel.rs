//! The demo's switches: makes faults in the shop over HTTP, and looks which ones are in force.

use std::time::Duration;

use reqwest::StatusCode;
use secrecy::{ExposeSecret as _, SecretString};

use super::fault::{FAULTS, Fault, Seen, named};
use super::shop::part::Part;
use super::town::Town;
use crate::core::BoxFuture;
use crate::core::message::demo as message;
use crate::core::nearest::nearest;
use crate::http::doors;

/// A service of the shop answers within this time, or it is sick.
const PATIENCE: Duration = Duration::from_millis(500);
/// Filling a folder takes longer than an answer.
const MAKING: Duration = Duration::from_secs(5);

/// Makes faults.
#[derive(Debug)]
pub struct Panel {
    http: reqwest::Client,
    control: SecretString,
    urls: Vec<(Part, String)>,
}

impl Panel {
    /// For this demo's shop.
    ///
    /// # Errors
    /// The HTTP client can't be built.
    pub fn new(town: &Town) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
        let urls = Part::SERVICES.iter().map(|part| (*part, town.url(*part))).collect();
        Ok(Self { http, control: town.control.clone(), urls })
    }

    fn url(&self, part: Part) -> &str {
        self.urls.iter().find(|(known, _)| *known == part).map_or("", |(_, url)| url)
    }

    async fn is_active(&self, fault: &Fault) -> bool {
        let path = match fault.seen {
            Seen::Unwell => "/health",
            Seen::Answer(path, _) => path,
        };
        let answer = self.http.get(format!("{}{path}", self.url(fault.part))).send().await;
        match (fault.seen, answer) {
            (Seen::Unwell, answer) => !answer.is_ok_and(|answer| answer.status().is_success()),
            (Seen::Answer(_, words), Ok(answer)) => answer.text().await.is_ok_and(|text| text.contains(words)),
            (Seen::Answer(..), Err(_)) => false,
        }
    }

    async fn break_it(&self, name: &str) -> Result<String, String> {
        let Some(fault) = named(name) else {
            return Err(message::no_fault(name, nearest(name, FAULTS.iter().map(|fault| fault.name))));
        };
        let service = fault.part.name();
        let request = self
            .http
            .post(format!("{}/control/{}", self.url(fault.part), fault.name))
            .header("x-control", self.control.expose_secret())
            .timeout(MAKING);
        match request.send().await {
            Ok(answer) if answer.status() == StatusCode::ACCEPTED => Ok(message::broken(service, fault.now)),
            Ok(answer) => Err(message::not_broken(service, &format!("it answered {}", answer.status().as_u16()))),
            Err(error) if error.is_timeout() => {
                Err(message::not_broken(service, "it does not answer; it is hung already"))
            }
            Err(_) => Err(message::not_broken(service, "it is down already")),
        }
    }
}

impl doors::DemoPanel for Panel {
    fn faults(&self) -> BoxFuture<'_, Vec<doors::Fault>> {
        Box::pin(async move {
            let looks = FAULTS.iter().map(|fault| async move {
                let active = self.is_active(fault).await;
                doors::Fault { name: fault.name.to_owned(), does: fault.does.to_owned(), active }
            });
            futures_util::future::join_all(looks).await
        })
    }

    fn make<'a>(&'a self, fault: &'a str) -> BoxFuture<'a, Result<String, String>> {
        Box::pin(self.break_it(fault))
    }
}
