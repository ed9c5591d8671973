//! Signing in and out. The one-time link opens a page that redeems it with a POST, so that a chat's link preview, which
//! only reads, does not use it up.

use std::sync::Arc;

use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::App;
use super::doors::SignInError;
use super::page;
use super::problem::Problem;
use super::session::{self, Writer};
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
pub(super) async fn sign_in(State(app): State<Arc<App>>, given: Result<Form<Given>, FormRejection>) -> Response {
    let Ok(Form(given)) = given else {
        return Problem::bad_request("this is not what the sign-in page sends", "open /sign-in in a browser")
            .into_response();
    };
    let next = local(given.next.as_deref());
    let signed_in = match (&given.token, &given.name, &given.password) {
        (Some(token), ..) => app.doors.gate.redeem(token).await,
        (None, Some(name), Some(password)) => {
            // Checking a password costs memory and time on purpose; two at once are plenty for people.
            let Ok(_turn) = app.password_checks.acquire().await else {
                return Problem::failed("the listener is stopping").into_response();
            };
            app.doors.gate.sign_in(name.trim(), password).await
        }
        _ => Err(SignInError::Wrong),
    };
    let (status, why) = match signed_in {
        Ok(signed_in) => {
            metrics::counter!("mayday_http_sign_ins_total", "outcome" => "in").increment(1);
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
        Err(SignInError::LinkVoid) => (StatusCode::UNAUTHORIZED, say::link_is_void()),
        Err(SignInError::Wrong) => (StatusCode::UNAUTHORIZED, say::wrong_password()),
        Err(SignInError::TooMany { after_secs }) => (StatusCode::TOO_MANY_REQUESTS, say::too_many_tries(after_secs)),
        Err(SignInError::Failed(why)) => (StatusCode::SERVICE_UNAVAILABLE, say::cannot_sign_in(&why)),
    };
    metrics::counter!("mayday_http_sign_ins_total", "outcome" => "refused").increment(1);
    answer(status, &app, None, &next, Some(&why))
}

/// `POST /sign-out`
pub(super) async fn sign_out(State(app): State<Arc<App>>, writer: Writer) -> Result<Response, Problem> {
    if let Some(session) = &writer.session {
        app.doors.gate.sign_out(session).await.map_err(Problem::failed)?;
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
