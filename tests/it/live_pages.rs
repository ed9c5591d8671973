//! Live pages of one replica while another one writes to the same store: how often they look, and that they miss nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mayday::chat::web::{Options, WebChat};
use mayday::chat::{Chat as _, Content};
use mayday::core::clock::SystemClock;
use mayday::core::{BoxFuture, Clock as _, Timestamp};
use mayday::store::memory::Memory;
use mayday::store::{Batch, Entry, Error, Key, Range, Revision, SharedStore, Store, Watch};
use reqwest::Response;

use crate::web_world::{World, post};

/// One replica's door to the store that it shares with others.
struct Door {
    behind: SharedStore,
    asked: AtomicUsize,
    /// So many scans fail next.
    fail: AtomicUsize,
}

impl Store for Door {
    fn read<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>, Error>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.behind.read(key)
    }
    fn scan<'a>(&'a self, range: &'a Range) -> BoxFuture<'a, Result<Vec<Entry>, Error>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.fail.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
            return Box::pin(std::future::ready(Err(Error::Unavailable("the database restarts".into()))));
        }
        self.behind.scan(range)
    }
    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Revision, Error>> {
        self.behind.commit(batch)
    }
    fn now(&self) -> BoxFuture<'_, Result<Option<Timestamp>, Error>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Box::pin(std::future::ready(Ok(Some(SystemClock.now()))))
    }
    fn watch(&self, prefix: &Key) -> Watch {
        self.behind.watch(prefix)
    }
}

/// A replica with a listener, what it asks its store, and another replica.
struct Two {
    world: World,
    door: Arc<Door>,
    other: WebChat,
    cookie: String,
}

/// A page's connection and what has come over it.
struct Page {
    feed: Response,
    text: String,
}

impl Two {
    async fn start() -> Self {
        let behind = Memory::shared();
        let door = Arc::new(Door { behind: behind.clone(), asked: AtomicUsize::new(0), fail: AtomicUsize::new(0) });
        let world = World::start_on(door.clone(), |_| {}, Vec::new()).await;
        let other = WebChat::new(behind, SystemClock::shared(), Options::default());
        let cookie = world.sign_in().await;
        say(&other, "the first line").await;
        Self { world, door, other, cookie }
    }

    async fn page(&self, after: u64) -> Page {
        self.page_of("", after).await
    }

    async fn page_of(&self, slot: &str, after: u64) -> Page {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let asked = client.get(self.world.url(&format!("/events?channel=orders&after={after}{slot}")));
        let feed = asked.header("cookie", &self.cookie).send().await.unwrap();
        assert!(feed.status().is_success(), "{}", feed.status());
        let mut page = Page { feed, text: String::new() };
        page.until("event: beat").await;
        page
    }

    async fn newest(&self) -> u64 {
        self.other.page("orders", None, 10).await.unwrap().revision.0
    }

    /// What the replica asks its store until all pages have a line that the other one says, and a while after.
    async fn cost_of(&self, line: &str, pages: &mut [Page]) -> usize {
        let before = self.door.asked.load(Ordering::Relaxed);
        say(&self.other, line).await;
        for page in pages {
            page.until(line).await;
        }
        tokio::time::sleep(Duration::from_millis(700)).await;
        self.door.asked.load(Ordering::Relaxed) - before
    }
}

impl Page {
    async fn until(&mut self, wanted: &str) {
        while !self.text.contains(wanted) {
            let chunk = tokio::time::timeout(Duration::from_secs(10), self.feed.chunk()).await;
            let chunk = chunk.unwrap_or_else(|_| panic!("no {wanted} in {}", self.text));
            self.text.push_str(&String::from_utf8_lossy(&chunk.unwrap().expect("the feed goes on")));
        }
    }

    /// What the browser comes back with after a lost connection.
    fn last_id(&self) -> Option<u64> {
        self.text.lines().filter_map(|line| line.strip_prefix("id: ")?.parse().ok()).max()
    }
}

async fn say(chat: &WebChat, line: &str) {
    chat.say("orders", None, "ana", Content::Text(line.into())).await.unwrap();
}

#[tokio::test]
async fn what_another_replica_writes_costs_one_look_however_many_pages_are_open() {
    let two = Two::start().await;
    let after = two.newest().await;
    let mut pages = vec![two.page(after).await];
    let alone = two.cost_of("said to one", &mut pages).await;
    assert!(alone > 0);
    while pages.len() < 50 {
        pages.push(two.page(after).await);
    }
    let together = two.cost_of("said to fifty", &mut pages).await;
    // A message more than before is a thread more to read; the numbers may be looked at once more.
    assert!(together <= alone + 4, "{alone} reads for one page, {together} for fifty");

    let quiet = two.door.asked.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(two.door.asked.load(Ordering::Relaxed), quiet, "nothing was written, nothing is looked for");
    assert!(pages.iter().all(|page| !page.text.contains("event: reload")));

    drop(pages);
    // The listener notices that they are gone when it next writes to them.
    say(&two.world.chat, "nobody listens").await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(two.cost_of("and nobody looks", &mut []).await, 0, "the last page took the looking along");
}

#[tokio::test]
async fn a_look_that_failed_is_tried_again_and_no_page_has_to_load() {
    let two = Two::start().await;
    let mut page = two.page(two.newest().await).await;
    two.door.fail.store(4, Ordering::Relaxed);
    say(&two.other, "said while the store was away").await;
    page.until("said while the store was away").await;
    assert_eq!(two.door.fail.load(Ordering::Relaxed), 0);
    assert!(!page.text.contains("event: reload"), "{}", page.text);
}

#[tokio::test]
async fn a_page_that_comes_back_misses_nothing_that_others_wrote_before_what_it_had_heard() {
    let two = Two::start().await;
    let after = two.newest().await;
    let mut page = two.page(after).await;
    say(&two.other, "from elsewhere").await;
    say(&two.world.chat, "from here").await;
    page.until("from here").await;
    assert!(!page.text.contains("from elsewhere"), "what others write takes a look");
    let mut again = two.page(page.last_id().unwrap_or(after)).await;
    again.until("from elsewhere").await;
    // Once it has been looked at it does not come again.
    again.until("from here").await;
    say(&two.other, "later").await;
    again.until("later").await;
    let third = two.page(again.last_id().unwrap()).await;
    assert!(!third.text.contains("from elsewhere") && !third.text.contains("later"), "{}", third.text);
}

#[tokio::test]
async fn a_page_is_told_to_load_again_when_others_wrote_more_than_a_look_shows() {
    let two = Two::start().await;
    let mut page = two.page(two.newest().await).await;
    let lines: Vec<String> = (0..100).map(|number| format!("line {number}")).collect();
    for line in &lines {
        say(&two.other, line).await;
    }
    page.until("event: reload").await;
    // Replies alone, as many as they are, are no reason to.
    let mut fresh = two.page(two.newest().await).await;
    let thread = two.other.say("orders", None, "ana", Content::Text("a thread".into())).await.unwrap();
    fresh.until("a thread").await;
    for number in 0..8 {
        let reply = Content::Text(format!("reply {number}"));
        two.other.say("orders", Some(&thread), "ana", reply).await.unwrap();
    }
    fresh.until("reply 7").await;
    assert!(!fresh.text.contains("event: reload"), "{}", fresh.text);
}

#[tokio::test]
async fn a_page_hears_the_numbers_of_channels_that_only_others_write_to() {
    let two = Two::start().await;
    let mut page = two.page(two.newest().await).await;
    two.other.say("payments", None, "ana", Content::Text("hello".into())).await.unwrap();
    page.until("\"name\":\"payments\"").await;
}

#[tokio::test]
async fn an_incidents_own_page_hears_of_its_card_however_far_back_it_stands() {
    let two = Two::start().await;
    let card = async |chat: &WebChat, version: u64, text: &str| {
        chat.show(&post("INC-7", version, Content::Text(text.into()))).await.unwrap();
    };
    card(&two.other, 1, "it began").await;
    let many = async |chat: &WebChat| {
        for number in 0..70 {
            say(chat, &format!("line {number}")).await;
        }
    };
    many(&two.other).await;
    let after = two.newest().await;
    let mut page = two.page_of("&slot=INC-7", after).await;
    card(&two.other, 2, "another replica saw more").await;
    page.until("another replica saw more").await;
    card(&two.world.chat, 3, "this replica saw more").await;
    page.until("this replica saw more").await;
    many(&two.other).await;
    many(&two.world.chat).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    card(&two.other, 4, "it goes on").await;
    page.until("it goes on").await;
    assert!(!page.text.contains("event: reload") && !page.text.contains("line "), "{}", page.text);
    let heard = page.last_id().unwrap();
    drop(page);
    card(&two.other, 5, "it is over").await;
    let again = two.page_of("&slot=INC-7", heard).await;
    assert!(again.text.contains("it is over"), "{}", again.text);
    let third = two.page_of("&slot=INC-7", again.last_id().unwrap()).await;
    assert!(!third.text.contains("event: message"), "{}", third.text);
}
