//! Signing in and out. The one-time link opens a page that redeems it with a POST, so that a chat's link preview, which
//! only reads, does not use it up.

use std::sync::Arc;

use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{ConnectInfo, Form, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::App;
use super::listener::Peer;
use super::page;
use super::problem::Problem;
use super::session::{self, Writer};
use crate::access;
use crate::core::message::web as say;

/// What the address of the page carries.
#[derive(Deserialize)]
pub(super) struct Asked {
    token: Option<String>,
    next: Option<String>,
}

/// `GET /sign-in`
pub(super) async fn form(State(app): State<Arc<App>>, asked: Result<Query<Asked>, QueryRejection>) -> Response {
    let asked = asked.map_or(Asked { token: None, next: None }, |Query(asked)| asked);
    let token = asked.token.filter(|token| token.len() <= 200);
    answer(StatusCode::OK, &app, token.as_deref(), &local(asked.next.as_deref()), None)
}

/// What the form sends.
#[derive(Deserialize)]
pub(super) struct Given {
    token: Option<String>,
    name: Option<String>,
    password: Option<String>,
    next: Option<String>,
}

/// `POST /sign-in`
pub(super) async fn sign_in(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    given: Result<Form<Given>, FormRejection>,
) -> Response {
    let Ok(Form(given)) = given else {
        return Problem::bad_request("this is not what the sign-in page sends", "open /sign-in in a browser")
            .into_response();
    };
    let next = local(given.next.as_deref());
    let gate = &app.doors.gate;
    let signed_in = match (&given.token, &given.name, given.password) {
        (Some(token), ..) => gate.redeem(token).await,
        (None, Some(name), Some(password)) => gate.sign_in(name.trim(), password.into(), peer.0.ip()).await,
        _ => return answer(StatusCode::BAD_REQUEST, &app, None, &next, None),
    };
    let (status, why) = match signed_in {
        Ok(signed_in) => {
            tracing::info!(person = %signed_in.person.id.0, "signed in");
            let mut response = Redirect::to(&next).into_response();
            return match session::set_cookie(&app, &signed_in) {
                Ok(cookie) => {
                    response.headers_mut().insert(header::SET_COOKIE, cookie);
                    response
                }
                Err(problem) => problem.into_response(),
            };
        }
        Err(access::Error::SignIn(why)) => (StatusCode::UNAUTHORIZED, why),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, say::cannot_sign_in(&error.to_string())),
    };
    answer(status, &app, None, &next, Some(&why))
}

/// `POST /sign-out`
pub(super) async fn sign_out(State(app): State<Arc<App>>, writer: Writer) -> Result<Response, Problem> {
    if let Some(secret) = &writer.secret {
        app.doors.gate.sign_out(secret).await.map_err(|error| Problem::failed(error.to_string()))?;
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.headers_mut().insert(header::SET_COOKIE, session::drop_cookie(&app)?);
    Ok(response)
}

fn answer(status: StatusCode, app: &App, token: Option<&str>, next: &str, why: Option<&str>) -> Response {
    let page = page::sign_in::page(app.doors.gate.ways(), token, next, why);
    let mut response = (status, page).into_response();
    // With `no-referrer` a browser sends this form with `Origin: null`, which nobody could tell from a foreign page.
    response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    response
}

/// A path of ours; anything else becomes `/`, so that the form can't send people elsewhere.
fn local(next: Option<&str>) -> String {
    let ours = |next: &&str| {
        next.starts_with('/')
            && !next.starts_with("//")
            && next.len() <= 300
            && next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
    };
    next.filter(ours).unwrap_or("/").to_owned()
}

#[cfg(test)]
mod tests {
    use super::local;

    #[test]
    fn after_signing_in_one_stays_here() {
        assert_eq!(local(Some("/incidents/INC-7?x=1")), "/incidents/INC-7?x=1");
        for other in
            ["//evil.example", "https://evil.example", "/\\evil.example", "", "/a\r\nX: y", "javascript:alert(1)"]
        {
            assert_eq!(local(Some(other)), "/", "{other}");
        }
    }
}
