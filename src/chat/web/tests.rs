//! The web chat as its users see it.

use std::sync::Arc;

use super::{Options, WebChat};
use crate::alert::Severity;
use crate::chat::{Card, ChannelId, Chat, Content, Error, Post};
use crate::core::Timestamp;
use crate::core::clock::ManualClock;
use crate::store::memory::Memory;

fn chat(history: usize, thread: usize) -> WebChat {
    WebChat::new(Memory::shared(), Arc::new(ManualClock::at(Timestamp::UNIX_EPOCH)), Options { history, thread })
}

fn text(slot: &str, version: u64, text: &str) -> Post {
    Post {
        channel: ChannelId::web("orders"),
        slot: slot.into(),
        thread: None,
        version,
        author: "Mayday".into(),
        at: Timestamp::UNIX_EPOCH,
        content: Content::Text(text.into()),
    }
}

fn reply(slot: &str, to: &str) -> Post {
    Post { thread: Some(to.into()), ..text(slot, 1, slot) }
}

fn card(slot: &str, version: u64, over: bool) -> Post {
    let card = Card { severity: Some(Severity::Critical), over, title: slot.into(), ..Card::default() };
    Post { content: Content::Card(Box::new(card)), ..text(slot, version, "") }
}

async fn slots(chat: &WebChat) -> Vec<String> {
    chat.page("orders", None, 100)
        .await
        .unwrap()
        .threads
        .iter()
        .map(|thread| thread.root.message.slot.clone())
        .collect()
}

#[tokio::test]
async fn an_edit_stays_in_its_place_and_an_older_version_changes_nothing() {
    let chat = chat(10, 10);
    for post in [text("a", 1, "first"), text("b", 1, "second"), text("a", 3, "edited"), text("a", 2, "late")] {
        chat.show(&post).await.unwrap();
    }
    let page = chat.page("orders", None, 10).await.unwrap();
    assert_eq!(page.threads.len(), 2);
    assert_eq!(page.threads[0].root.message.content, Content::Text("edited".into()));
    assert_eq!((page.threads[0].root.message.seq, page.threads[0].root.message.version), (1, 3));
}

#[tokio::test]
async fn a_reply_stands_in_its_thread_and_one_to_an_unknown_message_in_the_channel() {
    let chat = chat(10, 2);
    for post in [text("INC-1", 1, "root"), reply("r1", "INC-1"), reply("r2", "r1"), reply("lost", "INC-9")] {
        chat.show(&post).await.unwrap();
    }
    let page = chat.page("orders", None, 10).await.unwrap();
    let replies: Vec<_> = page.threads[0].replies.iter().map(|reply| reply.message.slot.as_str()).collect();
    assert_eq!(replies, ["r1", "r2"]);
    assert_eq!(slots(&chat).await, ["INC-1", "lost"]);
}

#[tokio::test]
async fn a_full_thread_and_a_full_channel_let_their_oldest_go() {
    let chat = chat(2, 2);
    chat.show(&card("INC-1", 1, false)).await.unwrap();
    for slot in ["r1", "r2", "r3"] {
        chat.show(&reply(slot, "INC-1")).await.unwrap();
    }
    let thread = chat.thread("orders", 1).await.unwrap().unwrap();
    assert_eq!(thread.replies.iter().map(|reply| reply.message.slot.as_str()).collect::<Vec<_>>(), ["r2", "r3"]);
    assert_eq!(chat.channels().await.unwrap()[0].open, 1);
    chat.show(&text("b", 1, "b")).await.unwrap();
    chat.show(&text("c", 1, "c")).await.unwrap();
    assert_eq!(slots(&chat).await, ["b", "c"]);
    let head = chat.channels().await.unwrap().remove(0);
    assert_eq!((head.open, head.kept), (0, 2));
    chat.show(&card("INC-1", 9, false)).await.unwrap();
    assert_eq!(slots(&chat).await, ["c", "INC-1"], "an incident that moves again comes back as a new message");
}

#[tokio::test]
async fn open_cards_are_counted_until_they_are_over() {
    let chat = chat(10, 10);
    for (post, open) in [(card("INC-1", 1, false), 1), (card("INC-2", 1, false), 2), (card("INC-1", 2, true), 1)] {
        chat.show(&post).await.unwrap();
        assert_eq!(chat.channels().await.unwrap()[0].open, open);
    }
}

#[tokio::test]
async fn pages_go_backwards_without_a_gap() {
    let chat = chat(100, 10);
    for number in 1..=25 {
        chat.show(&text(&format!("m{number}"), 1, "x")).await.unwrap();
    }
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let page = chat.page("orders", before, 10).await.unwrap();
        seen.splice(0..0, page.threads.iter().map(|thread| thread.root.message.seq));
        before = page.threads.first().map(|thread| thread.root.message.seq);
        if !page.older {
            break;
        }
    }
    assert_eq!(seen, (1..=25).collect::<Vec<u64>>());
}

#[tokio::test]
async fn the_feed_tells_each_change_with_growing_revisions_and_a_slow_reader_that_it_missed_some() {
    let chat = chat(2_000, 10);
    let mut feed = chat.subscribe();
    chat.show(&card("INC-1", 1, false)).await.unwrap();
    chat.show(&card("INC-1", 2, true)).await.unwrap();
    let first = feed.recv().await.unwrap();
    let second = feed.recv().await.unwrap();
    assert!(first.revision < second.revision);
    assert_eq!((first.head.open, second.head.open, second.message.version), (1, 0, 2));
    for number in 0..600 {
        chat.show(&text(&format!("m{number}"), 1, "x")).await.unwrap();
    }
    assert!(matches!(feed.recv().await, Err(tokio::sync::broadcast::error::RecvError::Lagged(_))));
}

/// Else who listens from there would be told to load the page again, and again.
#[tokio::test]
async fn a_page_says_a_revision_that_its_newest_replies_do_not_pass() {
    let chat = chat(100, 100);
    chat.show(&text("root", 1, "root")).await.unwrap();
    for number in 0..20 {
        chat.show(&reply(&format!("r{number}"), "root")).await.unwrap();
    }
    let page = chat.page("orders", None, 10).await.unwrap();
    let newest = page.threads[0].replies.iter().map(|reply| reply.revision).max().unwrap();
    assert_eq!(page.revision, newest);
}

#[tokio::test]
async fn many_writers_of_one_channel_lose_nothing() {
    let chat = chat(1_000, 10);
    let posts: Vec<Post> = (0..100).map(|number| text(&format!("m{number}"), 1, "x")).collect();
    let shown = futures_util::future::join_all(posts.iter().map(|post| chat.show(post))).await;
    assert!(shown.iter().all(Result::is_ok));
    assert_eq!(slots(&chat).await.len(), 100);
}

#[tokio::test]
async fn a_post_for_another_chat_or_with_an_impossible_channel_is_refused() {
    let chat = chat(10, 10);
    let mut post = text("a", 1, "x");
    post.channel.name = String::new();
    assert!(matches!(chat.show(&post).await, Err(Error::Refused(_))));
    post.channel = ChannelId { chat: "slack".into(), name: "orders".into() };
    assert!(matches!(chat.show(&post).await, Err(Error::Refused(_))));
}
