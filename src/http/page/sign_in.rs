//! The sign-in page: uses a one-time link up when a person is there, or asks for name and password.

use maud::{Markup, html};

use super::layout::document;
use crate::core::message::web as say;
use crate::http::assets;
use crate::http::doors::SignInWays;

/// The page. `why` says why the last try failed.
pub(in crate::http) fn page(ways: SignInWays, token: Option<&str>, next: &str, why: Option<&str>) -> Markup {
    let head = html! {
        @if token.is_some() { script type="module" src=(assets::path("sign-in.js")) {} }
    };
    let body = html! {
        body.sign-in {
            main id="main" {
                h1 { "Mayday" }
                @if let Some(why) = why { p.wrong role="alert" { (why) } }
                @match token {
                    Some(token) => {
                        p { (say::link_works_once()) }
                        form method="post" action="/sign-in" id="redeem" {
                            input type="hidden" name="token" value=(token);
                            input type="hidden" name="next" value=(next);
                            button.go type="submit" { "Sign in" }
                        }
                    }
                    None => {
                        p { (say::how_to_sign_in(ways.link, ways.password)) }
                        @if ways.password {
                            form method="post" action="/sign-in" {
                                input type="hidden" name="next" value=(next);
                                label for="name" { "Name" }
                                input id="name" name="name" autocomplete="username" autocapitalize="off" required autofocus;
                                label for="password" { "Password" }
                                input id="password" name="password" type="password" autocomplete="current-password" required;
                                button.go type="submit" { "Sign in" }
                            }
                        }
                    }
                }
            }
        }
    };
    document("Sign in · Mayday", &head, &body)
}
