//! Which sender it is, by its secret. A token in the address (`?token=`) is never looked at: addresses end up in logs.

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};

use crate::alert::Format;
use crate::http::options::{Auth, Integration};
use crate::http::problem::Problem;
use crate::http::secret;
use crate::http::session::bearer_token;

/// One sender, with its secret loaded.
pub(in crate::http) struct Sender {
    pub(super) name: String,
    format: Option<Format>,
    key: Key,
}

enum Key {
    Bearer(SecretString),
    Basic { user: String, password: SecretString },
    Hmac { secret: SecretString, header: String },
}

/// All senders.
pub(in crate::http) struct Keys(Vec<Sender>);

/// What stands in the example configuration, so that it passes `check` as it is; a bot does not start with it.
const EXAMPLE_SECRET: &str = "change-me";

impl Keys {
    /// Loads every secret.
    ///
    /// # Errors
    /// Which integration's can't be loaded, and why.
    pub(in crate::http) fn load(integrations: &[Integration]) -> Result<Self, String> {
        let load = |integration: &Integration| {
            if integration.auth.secret().expose_secret().is_empty() {
                let why = "a sender without a secret can't be told from anybody else";
                return Err(format!("integration `{}`: the secret is empty; {why}", integration.name));
            }
            if integration.auth.secret().expose_secret() == EXAMPLE_SECRET {
                let why = "everybody can read it; set the variable it names, or write a secret of your own";
                return Err(format!("integration `{}` still has the example's secret; {why}", integration.name));
            }
            let key = match integration.auth.clone() {
                Auth::Bearer { token } => Key::Bearer(token),
                Auth::Basic { user, password } => Key::Basic { user, password },
                Auth::Hmac { secret, header } => Key::Hmac { secret, header },
            };
            Ok(Sender { name: integration.name.clone(), format: integration.format, key })
        };
        integrations.iter().map(load).collect::<Result<_, _>>().map(Self)
    }

    /// The senders a request may be from, by its path and by which credentials it carries at all.
    pub(super) fn candidates<'a>(
        &'a self,
        format: Format,
        integration: Option<&str>,
        headers: &HeaderMap,
        open: bool,
    ) -> Result<Candidates<'a>, Problem> {
        let fits = |sender: &&Sender| {
            integration.is_none_or(|name| name == sender.name)
                && (sender.format.is_none_or(|only| only == format || only == Format::Alert))
        };
        let senders: Vec<&Sender> = self.0.iter().filter(fits).collect();
        if open && (integration.is_none() || senders.is_empty()) {
            return Ok(Candidates { senders: Vec::new() });
        }
        let senders: Vec<&Sender> = senders.into_iter().filter(|sender| sender.carries(headers)).collect();
        if senders.is_empty() { Err(refused()) } else { Ok(Candidates { senders }) }
    }
}

/// Senders whose secret the request may carry; empty only where no secret is asked for.
pub(super) struct Candidates<'a> {
    senders: Vec<&'a Sender>,
}

impl<'a> Candidates<'a> {
    /// The one whose secret fits; none where no secret is asked for.
    pub(super) fn verify(&self, headers: &HeaderMap, body: &[u8]) -> Result<Option<&'a Sender>, Problem> {
        if self.senders.is_empty() {
            return Ok(None);
        }
        self.senders.iter().find(|sender| sender.proven(headers, body)).map(|sender| Some(*sender)).ok_or_else(refused)
    }
}

impl Sender {
    /// Whether the request carries this kind of credentials; for those without the body already whether they are right.
    fn carries(&self, headers: &HeaderMap) -> bool {
        match &self.key {
            Key::Bearer(_) | Key::Basic { .. } => self.proven(headers, &[]),
            Key::Hmac { header, .. } => headers.contains_key(header.as_str()),
        }
    }

    fn proven(&self, headers: &HeaderMap, body: &[u8]) -> bool {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        match &self.key {
            Key::Bearer(token) => text(header::AUTHORIZATION.as_str())
                .and_then(bearer_token)
                .is_some_and(|given| secret::same(given.as_bytes(), token.expose_secret().as_bytes())),
            Key::Basic { user, password } => {
                let wanted = format!("{user}:{}", password.expose_secret());
                text(header::AUTHORIZATION.as_str())
                    .and_then(basic_credentials)
                    .is_some_and(|given| secret::same(&given, wanted.as_bytes()))
            }
            Key::Hmac { secret, header } => text(header)
                .map(|value| value.strip_prefix("sha256=").unwrap_or(value).trim())
                .is_some_and(|tag| secret::signed(secret.expose_secret().as_bytes(), body, tag)),
        }
    }
}

fn basic_credentials(value: &str) -> Option<Vec<u8>> {
    let (scheme, encoded) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("basic").then(|| STANDARD.decode(encoded.trim()).ok()).flatten()
}

/// The same words whatever was wrong, so that nobody learns which integrations there are.
fn refused() -> Problem {
    Problem::unauthorized(
        "no integration for this path has the secret that was sent",
        "send the integration's secret: `Authorization: Bearer …`, `Authorization: Basic …`, or the HMAC header; a token in the address is not read",
    )
}
