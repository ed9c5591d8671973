//! Messages: a card or a text of the channel, replies below it.

use maud::{Markup, html};

use super::card::{card, severity_word};
use super::words::{clock, linked};
use crate::chat::web::{Message, Thread};
use crate::chat::{Content, Reply};
use crate::core::Timestamp;
use crate::core::message::web as say;

/// A message of the channel with its thread.
pub(in crate::http) fn thread(thread: &Thread) -> Markup {
    block(&thread.root.message, &replies(thread))
}

/// A message of the channel alone: the page puts it where its thread is, or makes a new one.
pub(in crate::http) fn root(message: &Message) -> Markup {
    block(message, &html! {})
}

fn block(message: &Message, replies: &Markup) -> Markup {
    let seq = message.seq;
    html! {
        section.block id={ "m-" (seq) } data-seq=(seq) data-slot=(message.slot) data-at=(message.at) tabindex="-1" {
            div.root { (content(message)) }
            div.thread data-thread=(seq) { (replies) }
        }
    }
}

/// The replies of a thread.
pub(in crate::http) fn replies(thread: &Thread) -> Markup {
    html! {
        @if thread.earlier {
            button.earlier type="button" data-earlier=(thread.root.message.seq) { "Earlier replies" }
        }
        @for stored in &thread.replies { (reply(&stored.message)) }
    }
}

/// One reply.
pub(in crate::http) fn reply(message: &Message) -> Markup {
    html! {
        div.reply id={ "m-" (message.seq) } data-seq=(message.seq) { (content(message)) }
    }
}

fn content(message: &Message) -> Markup {
    match &message.content {
        Content::Card(shown) => html! {
            (card(shown, &message.seq.to_string()))
        },
        Content::Text(text) => html! {
            div.msg {
                span.who { (message.author) } " " span.at { (clock(message.at)) }
                @if message.author == "Mayday" { (words(text)) } @else { (command(text)) }
            }
        },
    }
}

/// What someone said: a button's label above its command line, or the command line alone.
fn command(text: &str) -> Markup {
    html! {
        @match text.split_once('\n') {
            Some((label, line)) => p.text.inline { (label.trim_end_matches('…')) " " code.line { (line) } },
            None => p.text.inline { code.line { (text) } },
        }
    }
}

/// An answer; one that is a table keeps its columns.
fn words(text: &str) -> Markup {
    let table = text.lines().any(|line| line.trim_start().contains("  ") || line.contains('\t'));
    // A short answer stands on the line of its author.
    let class = match text {
        _ if table => "text table",
        _ if text.len() < 160 && !text.contains('\n') => "text inline",
        _ => "text",
    };
    html! { p class=(class) { (linked(text)) } }
}

/// An answer that only the one who asked sees.
pub(in crate::http) fn answer(reply: &Reply, now: Timestamp) -> Markup {
    html! {
        @match &reply.card {
            Some(shown) => (card(shown, &format!("answer-{}", now.as_millisecond()))),
            None => (words(&reply.text)),
        }
    }
}

/// A message in one sentence, for screen readers.
pub(in crate::http) fn in_a_sentence(message: &Message) -> String {
    match &message.content {
        Content::Card(card) => say::card_sentence(&card.id, card.severity.map(severity_word), &card.state, &card.title),
        Content::Text(text) => {
            format!("{}: {}", message.author, crate::core::text::capped(text.lines().next().unwrap_or_default(), 200))
        }
    }
}
