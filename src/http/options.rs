//! What can be set about the listener, the web page's sign-in, and who may post alerts.

use std::net::SocketAddr;

use secrecy::SecretString;
use serde::Deserialize;

use crate::alert::Format;
use crate::core::duration::Span;

/// Options of the one listener.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How people reach it (`https://mayday.example.com`), when that is not the address above: behind a proxy. With
    /// `https` the session cookie is `Secure`.
    pub public_url: Option<String>,
    /// Names in the `Host` header that are served, beside `localhost`, IP addresses and the one of `public_url`. Any
    /// other name is refused, so that a web page can't reach Mayday under a name of its own (DNS rebinding).
    pub allowed_hosts: Vec<String>,
    /// Largest body of a webhook, bytes, after decompression.
    pub max_body_bytes: usize,
    /// Bytes of webhook bodies that may be in memory at once; more are answered 503.
    pub max_inflight_bytes: usize,
    /// A body must have arrived within this time.
    pub body_timeout: Span,
    /// A request must have been answered within this time (the live feed excepted).
    pub request_timeout: Span,
    /// Connections at once; more wait for one to end.
    pub max_connections: usize,
    /// Browsers with a live page at once; more are answered 503.
    pub max_live_pages: usize,
    /// Who may post alerts, and with which secret.
    pub integrations: Vec<Integration>,
    /// Takes webhooks without a secret while the listener is on loopback: for the demo.
    pub open_webhooks_on_loopback: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7007)),
            public_url: None,
            allowed_hosts: Vec::new(),
            max_body_bytes: 4 << 20,
            max_inflight_bytes: 64 << 20,
            body_timeout: Span::from_secs(10),
            request_timeout: Span::from_secs(30),
            max_connections: 1_024,
            max_live_pages: 256,
            integrations: Vec::new(),
            open_webhooks_on_loopback: false,
        }
    }
}

/// One sender of alerts.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Integration {
    /// Its name, the last part of `/webhook/{format}/{integration}`.
    pub name: String,
    /// The only format it may send; any if missing.
    #[serde(default)]
    pub format: Option<Format>,
    /// How it proves who it is.
    pub auth: Auth,
}

/// How a sender proves who it is.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Auth {
    /// `Authorization: Bearer <token>`.
    Bearer {
        /// The token.
        token: SecretString,
    },
    /// `Authorization: Basic …` with this user and password.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: SecretString,
    },
    /// HMAC-SHA256 of the body as it came over the wire, as hex, after `sha256=`.
    Hmac {
        /// The shared key.
        secret: SecretString,
        /// The header that carries it.
        #[serde(default = "default_header")]
        header: String,
    },
}

fn default_header() -> String {
    "X-Mayday-Signature".to_owned()
}

impl Auth {
    /// What must not be known to others.
    #[must_use]
    pub fn secret(&self) -> &SecretString {
        match self {
            Self::Bearer { token } => token,
            Self::Basic { password, .. } => password,
            Self::Hmac { secret, .. } => secret,
        }
    }
}
