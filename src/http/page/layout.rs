//! What stands around every page: head, channels, the demo's panel, help for the keys.

use maud::{DOCTYPE, Markup, html};

use crate::chat::web::Head;
use crate::core::Timestamp;
use crate::core::message::web as say;
use crate::core::person::{Person, Role};
use crate::http::assets;
use crate::http::doors::Fault;
use crate::http::session::encoded;
use crate::store::Revision;

/// What every page has around it.
pub(in crate::http) struct Frame<'a> {
    pub(in crate::http) person: &'a Person,
    pub(in crate::http) csrf: &'a str,
    pub(in crate::http) channels: &'a [Head],
    pub(in crate::http) here: Option<&'a str>,
    pub(in crate::http) faults: Vec<Fault>,
    pub(in crate::http) now: Timestamp,
}

/// A whole document.
pub(super) fn document(title: &str, head: &Markup, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="icon" href=(assets::path("icon.svg")) type="image/svg+xml";
                link rel="stylesheet" href=(assets::path("app.css"));
                (head)
            }
            (body)
        }
    }
}

/// What a page listens to.
#[derive(Clone, Copy)]
pub(super) enum Live<'a> {
    /// Nothing: it shows what was.
    No,
    /// A channel, from this revision on.
    Channel(&'a str, Revision),
    /// One incident's card, which says itself where it stands, from this revision on.
    Card(Revision),
}

/// A page for someone who is signed in.
pub(super) fn page(frame: &Frame<'_>, title: &str, live: Live<'_>, main: &Markup, foot: &Markup) -> Markup {
    let head = html! {
        meta name="mayday-csrf" content=(frame.csrf);
        script type="module" src=(assets::path("app.js")) {}
    };
    let (channel, after) = match live {
        Live::No => (None, None),
        Live::Channel(channel, after) => (Some(channel), Some(after.0)),
        Live::Card(after) => (None, Some(after.0)),
    };
    let body = html! {
        body data-channel=[channel] data-after=[after] data-build=(assets::build()) data-now=(frame.now) {
            a.skip href="#main" { "Skip to messages" }
            div.app {
                (navigation(frame))
                main id="main" tabindex="-1" { (main) }
            }
            (foot)
            p id="connection" role="status" hidden {}
            div id="news" class="unseen" role="log" aria-live="polite" {}
            (help())
        }
    };
    document(title, &head, &body)
}

fn navigation(frame: &Frame<'_>) -> Markup {
    html! {
        nav aria-label="Channels" {
            h1 { a href="/" { "Mayday" } }
            ul.channels {
                @for head in frame.channels {
                    li {
                        a href={ "/channels/" (encoded(&head.name)) } data-channel-link=(head.name) data-last=(head.last)
                            aria-current=[(frame.here == Some(head.name.as_str())).then_some("page")] {
                            span.name { "# " (head.name) }
                            span.unread hidden {}
                            span.count hidden[head.open == 0] title="open incidents" {
                                b { (head.open) } span.unseen { " open" }
                            }
                        }
                    }
                }
            }
            ul.links {
                li { a href="/incidents" aria-current=[frame.here.is_none().then_some("page")] { "Incidents" } }
            }
            @if !frame.faults.is_empty() { (demo_panel(&frame.faults)) }
            div.me {
                span title=(frame.person.id.0) { (frame.person.name) }
                span.role { (role(frame.person.role)) }
                button.link type="button" data-open-help { "Keys" }
                button.link type="button" data-sign-out { "Sign out" }
            }
        }
    }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Responder => "responder",
        Role::Approver => "approver",
        Role::Admin => "admin",
    }
}

fn demo_panel(faults: &[Fault]) -> Markup {
    html! {
        details.faults id="faults" {
            summary { (say::break_something()) }
            @for fault in faults {
                button.fault type="button" data-fault=(fault.name) {
                    span.fault-name { (fault.name) }
                    span.fault-state { @if fault.active { "broken" } }
                    span.fault-does { (fault.does) }
                }
            }
            p.said role="status" hidden {}
        }
    }
}

fn help() -> Markup {
    let keys = [
        ("/", "to the command box"),
        ("j  k", "next and previous message"),
        ("Tab", "completes a command; next button elsewhere"),
        ("↑  ↓", "choose a completion, or go through what you said before"),
        ("Esc", "closes a list, a field, this help"),
        ("?", "this help"),
    ];
    html! {
        dialog id="help" aria-labelledby="help-title" {
            h2 id="help-title" { "Keys" }
            dl.keys { @for (key, does) in keys { dt { kbd { (key) } } dd { (does) } } }
            p.quiet { "Type " code { "help" } " in the command box for what you can say." }
            form method="dialog" { button.plain { "Close" } }
        }
    }
}
