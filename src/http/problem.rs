//! Errors over HTTP: a status, what is wrong, and what to do, as `{"error": "…", "fix": "…"}`.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::core::text::capped;

/// An answer that is not what was asked for.
#[derive(Debug, Clone)]
pub struct Problem {
    /// The status.
    pub status: StatusCode,
    body: Body,
    retry_after_secs: Option<u64>,
    challenge: bool,
}

#[derive(Debug, Clone, Serialize)]
struct Body {
    error: String,
    fix: String,
}

/// Longest text of an error that is sent, bytes: it may quote what came in.
const LONGEST: usize = 2_000;

impl Problem {
    /// A problem with what is wrong and what to do.
    pub fn new(status: StatusCode, error: impl AsRef<str>, fix: impl AsRef<str>) -> Self {
        let body = Body { error: capped(error.as_ref(), LONGEST), fix: capped(fix.as_ref(), LONGEST) };
        Self { status, body, retry_after_secs: None, challenge: false }
    }

    /// 503 with `Retry-After`.
    pub fn busy(error: impl AsRef<str>, after_secs: u64) -> Self {
        let fix =
            format!("send the same again in {after_secs} s; what was accepted before is recognised as a duplicate");
        Self { retry_after_secs: Some(after_secs), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, error, fix) }
    }

    /// 401 with a challenge.
    pub fn unauthorized(error: impl AsRef<str>, fix: impl AsRef<str>) -> Self {
        Self { challenge: true, ..Self::new(StatusCode::UNAUTHORIZED, error, fix) }
    }

    /// 403.
    pub fn forbidden(error: impl AsRef<str>, fix: impl AsRef<str>) -> Self {
        Self::new(StatusCode::FORBIDDEN, error, fix)
    }

    /// 404.
    pub fn not_found(error: impl AsRef<str>, fix: impl AsRef<str>) -> Self {
        Self::new(StatusCode::NOT_FOUND, error, fix)
    }

    /// 400.
    pub fn bad_request(error: impl AsRef<str>, fix: impl AsRef<str>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error, fix)
    }

    /// 503 since something behind the listener failed; the reason goes to the log too.
    pub fn failed(why: impl AsRef<str>) -> Self {
        tracing::warn!(why = why.as_ref(), "a request failed");
        Self {
            retry_after_secs: Some(2),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, why, "try again; `/health` says how Mayday is")
        }
    }

    /// What is wrong.
    #[must_use]
    pub fn error(&self) -> &str {
        &self.body.error
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(&self.body)).into_response();
        if let Some(secs) = self.retry_after_secs {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        if self.challenge {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"mayday\""));
        }
        response
    }
}
