//! A channel: its messages, its command box, and what stands there while it is empty.

use maud::{Markup, html};

use super::layout::{Frame, Live, page as framed};
use super::message;
use crate::chat::web::Page;
use crate::core::message::web as say;

/// The whole page.
pub(in crate::http) fn page(frame: &Frame<'_>, name: &str, page: &Page) -> Markup {
    let open = frame.channels.iter().find(|head| head.name == name).map_or(0, |head| head.open);
    let title = if open > 0 { format!("({open}) #{name} · Mayday") } else { format!("#{name} · Mayday") };
    let main = html! {
        h2.unseen { "Channel " (name) }
        div id="messages" { (messages(page)) }
        div.empty id="empty" hidden[!page.threads.is_empty()] { (empty(frame, name)) }
        p id="moved" hidden {}
    };
    framed(frame, &title, Live::Channel(name, page.revision), &main, &command_box(name))
}

/// Messages with the way to earlier ones; also what "earlier messages" loads.
pub(in crate::http) fn messages(page: &Page) -> Markup {
    html! {
        @if page.older {
            @if let Some(first) = page.threads.first() {
                button.earlier type="button" data-before=(first.root.message.seq) { "Earlier messages" }
            }
        } @else if page.threads.first().is_some_and(|first| first.root.message.seq > 1) {
            p.day { (say::beginning()) }
        }
        @for thread in &page.threads { (message::thread(thread)) }
    }
}

/// What to do in a channel where nothing has happened.
fn empty(frame: &Frame<'_>, name: &str) -> Markup {
    html! {
        h2 { "# " (name) }
        p { (say::no_messages()) }
        @match frame.faults.first() {
            Some(fault) => {
                p { (say::try_a_fault()) }
                pre { "mayday demo break " (fault.name) }
            }
            None => {
                p { (say::send_an_alert()) }
                pre { "mayday alert send alert.json" }
            }
        }
    }
}

fn command_box(name: &str) -> Markup {
    html! {
        form id="command" autocomplete="off" {
            div.box {
                section id="answer" aria-label="Answer" role="status" hidden {
                    div.answer-body {}
                    button.link type="button" data-close-answer { "Close" }
                }
                ul id="completions" role="listbox" aria-label="Completions" hidden {}
                label.unseen for="line" { "Command in " (name) }
                input id="line" name="line" type="text" role="combobox" aria-expanded="false" aria-controls="completions"
                    aria-autocomplete="list" autocapitalize="off" autocorrect="off" spellcheck="false" maxlength="4000"
                    placeholder=(say::command_placeholder());
                button.go type="submit" { "Send" }
            }
        }
    }
}

/// A channel that is not there.
pub(in crate::http) fn missing(frame: &Frame<'_>) -> Markup {
    let main = html! { div.empty { h2 { "No such channel" } p { (say::no_such_channel()) } } };
    framed(frame, "No such channel · Mayday", Live::No, &main, &html! {})
}
