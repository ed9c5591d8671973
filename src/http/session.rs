//! Who is asking: a browser's session (cookie) or a tool's token (`Authorization: Bearer`), each with a person and a role.
//!
//! The cookie is `HttpOnly` and `SameSite=Lax`: a link to an incident from a chat must open signed in, and Lax sends the
//! cookie only when a person follows such a link. Whatever changes something needs the page's CSRF token beside it, so a
//! foreign page gains nothing from it.

use std::sync::Arc;

use axum::extract::{FromRequestParts, OriginalUri};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse as _, Redirect, Response};

use secrecy::ExposeSecret as _;

use super::App;
use super::problem::Problem;
use crate::access::sessions::SignedIn;
use crate::access::{Person, Session};

/// The header that carries the page's token.
pub(super) const CSRF: &str = "x-mayday-csrf";

/// Someone who looks at a page; who is not signed in is sent to do so.
pub(super) struct Viewer {
    pub(super) session: Session,
    /// The cookie's secret.
    pub(super) secret: String,
}

impl FromRequestParts<Arc<App>> for Viewer {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        match session_of(&parts.headers, app).await {
            Ok(Some(viewer)) => Ok(viewer),
            Ok(None) => {
                let wanted = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |original| &original.0);
                let next = wanted.path_and_query().map_or("/", |path| path.as_str());
                let page = if next == "/" { "/sign-in".to_owned() } else { format!("/sign-in?next={}", encoded(next)) };
                Err(Redirect::to(&page).into_response())
            }
            Err(problem) => Err(problem.into_response()),
        }
    }
}

/// Someone who reads through the API: a token or a session.
pub(super) struct Reader(pub(super) Person);

impl FromRequestParts<Arc<App>> for Reader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        if let Some(person) = bearer_of(&parts.headers, app)? {
            return Ok(Self(person));
        }
        session_of(&parts.headers, app).await?.map(|viewer| Self(viewer.session.person)).ok_or_else(nobody)
    }
}

/// Someone who may change something: a token, or a session together with the page's CSRF token.
pub(super) struct Writer {
    pub(super) person: Person,
    /// The cookie's secret, if it was a browser.
    pub(super) secret: Option<String>,
}

impl FromRequestParts<Arc<App>> for Writer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        if let Some(person) = bearer_of(&parts.headers, app)? {
            return Ok(Self { person, secret: None });
        }
        let viewer = session_of(&parts.headers, app).await?.ok_or_else(nobody)?;
        let given = parts.headers.get(CSRF).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !viewer.session.csrf_is(given) {
            return Err(Problem::forbidden(
                "the request does not carry this page's token",
                "load the page again and press the button there",
            ));
        }
        Ok(Self { person: viewer.session.person, secret: Some(viewer.secret) })
    }
}

fn nobody() -> Problem {
    Problem::unauthorized(
        "nobody is signed in",
        "send `Authorization: Bearer <token>` (the token file lies in the data folder), or sign in with a browser",
    )
}

fn bearer_of(headers: &HeaderMap, app: &App) -> Result<Option<Person>, Problem> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let person = value.to_str().ok().and_then(bearer_token).and_then(|token| app.doors.gate.bearer(token));
    person.map(Some).ok_or_else(|| {
        Problem::unauthorized(
            "the token is not known",
            "use the token of this Mayday's data folder, as `Bearer <token>`",
        )
    })
}

/// The token of `Bearer <token>`.
pub(super) fn bearer_token(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty()).then(|| token.trim())
}

pub(super) async fn session_of(headers: &HeaderMap, app: &App) -> Result<Option<Viewer>, Problem> {
    let Some(secret) = cookie(headers, &app.cookie) else { return Ok(None) };
    let session = app.doors.gate.session(secret).await.map_err(|error| Problem::failed(error.to_string()))?;
    Ok(session.map(|session| Viewer { session, secret: secret.to_owned() }))
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, value)| *key == name && !value.is_empty())
        .map(|(_, value)| value)
}

/// The header that gives the browser its session.
pub(super) fn set_cookie(app: &App, signed_in: &SignedIn) -> Result<HeaderValue, Problem> {
    let secure = if app.https { "; Secure" } else { "" };
    let (secret, valid) = (signed_in.secret.expose_secret(), signed_in.valid.as_secs());
    let cookie = format!("{}={secret}; Path=/; HttpOnly; SameSite=Lax; Max-Age={valid}{secure}", app.cookie);
    HeaderValue::from_str(&cookie).map_err(|_| Problem::failed("the session's secret does not fit into a cookie"))
}

/// The header that makes the browser forget the session.
pub(super) fn drop_cookie(app: &App) -> Result<HeaderValue, Problem> {
    let secure = if app.https { "; Secure" } else { "" };
    let cookie = format!("{}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0{secure}", app.cookie);
    HeaderValue::from_str(&cookie).map_err(|_| Problem::failed("the cookie's name is not a name"))
}

/// Percent-encodes what is not plain in a query's value.
pub(super) fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
