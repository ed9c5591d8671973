//! The PostgreSQL adapter beyond the conformance suite: several processes on one database, a server that goes away and
//! comes back, plain SQL, layouts of other versions, and what `mayday check` says of a server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mayday::core::clock::ManualClock;
use mayday::core::duration::Span;
use mayday::core::stop::Stopper;
use mayday::core::{Clock as _, SharedClock, Timestamp};
use mayday::store::clock::StoreClock;
use mayday::store::postgres::{Options, probe};
use mayday::store::{Batch, Error, Key, Range, Revision, SharedStore, Write};

use crate::postgres_world::{Server, database, open, open_with, shared, sql};

fn key(text: &str) -> Key {
    Key::of(text.split('/'))
}

fn put(text: &str, value: &str) -> Batch {
    Batch { conditions: Vec::new(), writes: vec![Write::Put(key(text), value.into())] }
}

async fn count(store: &SharedStore, at: &Key) -> (u64, Option<Revision>) {
    let entry = store.read(at).await.unwrap();
    let number = entry.as_ref().map_or(0, |entry| std::str::from_utf8(&entry.value).unwrap().parse().unwrap());
    (number, entry.map(|entry| entry.revision))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_lose_no_update_and_share_no_revision() {
    let url = database();
    let replicas = [open(&url), open(&url), open(&url)];
    let tasks: Vec<_> = (0..12)
        .map(|number| {
            let store = replicas[number % 3].clone();
            tokio::spawn(async move {
                let mut revisions = Vec::new();
                while revisions.len() < 25 {
                    let at = key("counter");
                    let (before, revision) = count(&store, &at).await;
                    let mut batch = put("counter", &(before + 1).to_string());
                    batch.writes.push(Write::Put(key(&format!("by/{number}/{}", revisions.len())), b"1".to_vec()));
                    batch.require_as_read(at, revision);
                    match store.commit(batch).await {
                        Ok(revision) => revisions.push(revision),
                        Err(Error::Conflict(_)) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
                revisions
            })
        })
        .collect();
    let mut revisions = Vec::new();
    for task in tasks {
        let own = task.await.unwrap();
        assert!(own.is_sorted());
        revisions.extend(own);
    }
    revisions.sort_unstable();
    revisions.dedup();
    assert_eq!(revisions.len(), 300);
    assert_eq!(count(&replicas[0], &key("counter")).await.0, 300);
    assert_eq!(replicas[1].scan(&Range::under(&key("by"), 1000)).await.unwrap().len(), 300);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_commits_wake_by_looking_alone_and_at_once_by_notification() {
    let url = database();
    let writer = open(&url);
    for (listen, poll, soon) in [(false, 200, 2_000), (true, 5_000, 2_500)] {
        let options = Options { listen, poll: format!("{poll}ms").parse().unwrap(), ..Options::new(url.as_str()) };
        let reader = open_with(&options).unwrap();
        // The listener needs a moment to be there; looking at once covers what came before.
        tokio::time::sleep(Duration::from_millis(700)).await;
        for round in 0..3 {
            let (mut near, mut far) = (reader.watch(&key("queue/post")), reader.watch(&key("queue/signal")));
            let started = Instant::now();
            writer.commit(put(&format!("queue/post/{listen}/{round}"), "1")).await.unwrap();
            tokio::time::timeout(Duration::from_millis(soon), near.changed()).await.expect("it wakes");
            assert!(started.elapsed() < Duration::from_millis(soon));
            assert!(futures_util::FutureExt::now_or_never(far.changed()).is_none());
            let mut gone = Batch::new();
            gone.delete(key(&format!("queue/post/{listen}/{round}")));
            writer.commit(gone).await.unwrap();
            tokio::time::timeout(Duration::from_millis(soon), near.changed()).await.expect("a deletion wakes too");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_and_reads_wait_for_a_server_that_restarts() {
    let mut server = tokio::task::block_in_place(|| Server::start(true));
    let store = open(&server.database());
    let (stopper, stop) = Stopper::new();
    let tasks: Vec<_> = (0..8)
        .map(|number| {
            let (store, stop) = (store.clone(), stop.clone());
            tokio::spawn(async move {
                let at = key(&format!("task/{number}"));
                let mut done = 0;
                while !stop.is_set() {
                    // Unconditional on the count, so that a commit that was done twice would show in the revision.
                    let (before, revision) = count(&store, &at).await;
                    assert_eq!(before, done, "what was acknowledged is there");
                    let mut batch = put(&format!("task/{number}"), &(before + 1).to_string());
                    batch.require_as_read(at.clone(), revision);
                    store.commit(batch).await.unwrap();
                    done += 1;
                }
                done
            })
        })
        .collect();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        tokio::task::block_in_place(|| server.start_again());
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    stopper.stop();
    for (number, task) in tasks.into_iter().enumerate() {
        let done = task.await.unwrap();
        assert!(done > 0);
        assert_eq!(count(&store, &key(&format!("task/{number}"))).await.0, done);
    }
    assert_eq!(store.failed(), None);
}

/// Stands between a store and its server. What is connected when it falls silent hears nothing any more, not even an end;
/// who connects later is served.
async fn proxy(server: std::net::SocketAddr, silent: tokio::sync::watch::Receiver<u32>) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut silent = silent.clone();
            silent.mark_unchanged();
            tokio::spawn(async move {
                let mut server = tokio::net::TcpStream::connect(server).await.unwrap();
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                    // Both ends stay open and say nothing.
                    _ = silent.changed() => std::future::pending::<()>().await,
                }
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_fall_silent_are_replaced() {
    let url = reqwest::Url::parse(&database()).unwrap();
    let at = |url: &reqwest::Url| format!("127.0.0.1:{}", url.port().unwrap()).parse().unwrap();
    let (silence, silent) = tokio::sync::watch::channel(0);
    let mut through = url.clone();
    through.set_host(Some("127.0.0.1")).unwrap();
    through.set_port(Some(proxy(at(&url), silent).await)).unwrap();
    let store = open(through.as_str());
    let ask_all = || async {
        let asked = (0..32).map(|number| {
            let store = store.clone();
            tokio::spawn(async move { store.read(&key(&format!("a/{number}"))).await })
        });
        for answer in asked.collect::<Vec<_>>() {
            answer.await.unwrap().unwrap();
        }
    };
    for round in 1..=2 {
        ask_all().await;
        store.commit(put("a", "1")).await.unwrap();
        silence.send(round).unwrap();
        let began = Instant::now();
        // More than once, and by many: each connection of the pool has been asked.
        ask_all().await;
        store.commit(put("a", "2")).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(45), "{:?}", began.elapsed());
    }
    let began = Instant::now();
    ask_all().await;
    assert!(began.elapsed() < Duration::from_secs(5), "all work again: {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stays_away_is_said_to_and_its_return_is_noticed() {
    let mut server = tokio::task::block_in_place(|| Server::start(false));
    let options = Options { patience: "1s".parse().unwrap(), ..Options::new(server.database()) };
    let store = open_with(&options).unwrap();
    store.commit(put("a", "1")).await.unwrap();
    server.stop();
    let started = Instant::now();
    let (read, write) = tokio::join!(async { store.read(&key("a")).await }, store.commit(put("a", "2")));
    for error in [read.unwrap_err(), write.unwrap_err()] {
        let said = error.to_string();
        assert!(matches!(error, Error::Unavailable(_)), "{said}");
        assert!(said.contains("127.0.0.1") && said.contains("start it, or correct `store.postgres.url`"), "{said}");
    }
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert!(store.commit(put("a", "3")).await.is_err());
    tokio::task::block_in_place(|| server.start_again());
    store.commit(put("a", "4")).await.unwrap();
    assert_eq!(store.read(&key("a")).await.unwrap().unwrap().value, b"4");
    assert_eq!(store.failed(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_plain_json_and_other_bytes_come_back_as_they_were() {
    let url = database();
    let store = open(&url);
    let nested = "[".repeat(20_000) + &"]".repeat(20_000);
    let values: [&[u8]; 8] = [
        b"{\"v\":1,\"d\":{\"b\": 2,  \"a\":1, \"a\":3}}",
        b"{\"v\":1,\"d\":\"nothing \\u0000 and half \\ud800\"}",
        b"{\"v\":1,\"d\":1e999}",
        b"\"\xff\"",
        b"",
        b"\0",
        b"not json",
        nested.as_bytes(),
    ];
    let mut batch = Batch::new();
    for (number, value) in values.iter().enumerate() {
        batch.writes.push(Write::Put(key(&format!("value/{number}")), value.to_vec()));
    }
    store.commit(batch).await.unwrap();
    for (number, value) in values.iter().enumerate() {
        let read = store.read(&key(&format!("value/{number}"))).await.unwrap().unwrap();
        assert!(read.value == *value, "{number}");
    }
    let said = sql(&url, "SELECT key, version, data ->> 'b' FROM mayday_records WHERE key = 'value/0'");
    assert_eq!(said, ["value/0|1|2"]);
    assert_eq!(sql(&url, "SELECT count(*) FROM mayday_entries WHERE json IS NULL"), ["6"]);
    // One text with a zero makes no view unreadable.
    for view in ["mayday_records", "mayday_incidents", "mayday_runs", "mayday_audit"] {
        sql(&url, &format!("SELECT count(*) FROM (SELECT * FROM {view}) AS every"));
    }
}

/// Another process changes the tables and does not come to an end, or a table is locked: a start says so instead of waiting, and
/// waits if that is over soon.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_gives_up_waiting_for_a_lock_and_tries_again() {
    let url = database();
    let lock = i64::from_str_radix("6d617964617931", 16).unwrap();
    let holder = |seconds: u32| {
        let url = url.clone();
        let holds = format!("SELECT pg_advisory_lock({lock}), pg_sleep({seconds})");
        let holder = std::thread::spawn(move || sql(&url, &holds));
        let held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted";
        (holder, held)
    };
    let wait = |held: &str| while sql(&url, held) == ["0"] {};
    let impatient = Options { patience: Span::from_secs(1), ..Options::new(url.as_str()) };
    let (holding, held) = holder(12);
    wait(held);
    let started = Instant::now();
    let wrong = open_with(&impatient).err().unwrap().to_string();
    assert!(wrong.contains("lock timeout") && started.elapsed() < Duration::from_secs(10), "{wrong}");
    holding.join().unwrap();
    let (holding, held) = holder(3);
    wait(held);
    open_with(&Options::new(url.as_str())).unwrap().commit(put("a", "1")).await.unwrap();
    holding.join().unwrap();
    assert_eq!(sql(&url, "SELECT layout FROM mayday_head"), ["1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_batch_may_be_is_said_before_the_server_is_asked() {
    let store = open(&database());
    assert!(matches!(store.commit(put("a", &"x".repeat(9_000_000))).await, Err(Error::TooLarge { .. })));
    assert!(matches!(store.commit(put(&"k".repeat(2000), "x")).await, Err(Error::Encode(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_layout_further_is_written_to_and_two_are_not() {
    let url = database();
    let store = open(&url);
    store.commit(put("a", "1")).await.unwrap();
    sql(&url, "UPDATE mayday_head SET layout = layout + 1");
    store.commit(put("a", "2")).await.unwrap();
    open(&url).commit(put("a", "3")).await.unwrap();
    sql(&url, "UPDATE mayday_head SET layout = layout + 1");
    let wrong = store.commit(put("a", "4")).await.unwrap_err();
    assert!(matches!(wrong, Error::NewerLayout { .. }), "{wrong}");
    assert!(store.failed().unwrap().contains("start the newer version"));
    assert_eq!(store.read(&key("a")).await.unwrap().unwrap().value, b"3");
    assert!(matches!(open_with(&Options::new(url.as_str())), Err(Error::NewerLayout { .. })));
    assert!(probe(&Options::new(url)).await.unwrap_err().to_string().contains("start the newer version"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_start_at_once_make_the_tables_once() {
    let url = database();
    let opened: Vec<_> = (0..6)
        .map(|_| {
            let options = Options::new(url.as_str());
            tokio::spawn(
                async move { mayday::store::postgres::open(&options, &mayday::store::Options::default()).await },
            )
        })
        .collect();
    for store in opened {
        store.await.unwrap().unwrap().commit(put("a", "1")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_looked_at_and_said_what_to_do_about() {
    let probed = probe(&Options::new(database())).await.unwrap();
    let said = probed.warnings.join("\n");
    assert!(said.contains("fsync off") && said.contains("full_page_writes off") && said.contains("= on"), "{said}");
    assert!(!said.contains("synchronous_commit"), "{said}");

    let nothing = probe(&Options::new(shared().url("nothing_there"))).await.unwrap_err().to_string();
    assert!(nothing.contains("createdb nothing_there"), "{nothing}");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nobody =
        probe(&Options::new(format!("postgres://me:hunter2@127.0.0.1:{free}/x"))).await.unwrap_err().to_string();
    assert!(nobody.contains("does not answer") && !nobody.contains("hunter2"), "{nobody}");
    let stranger = probe(&Options::new(shared().url("postgres").replace("postgres@", "nobody:hunter2@"))).await;
    let stranger = stranger.unwrap_err().to_string();
    assert!(stranger.contains("correct user and password") && !stranger.contains("hunter2"), "{stranger}");
}

/// A loop that looks at one question while others of its own wait must get its answer: nobody may keep a connection
/// without using it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_is_not_polled_holds_nobody_up() {
    let store = open(&database());
    store.commit(put("a", "1")).await.unwrap();
    let at = key("a");
    for _ in 0..3 {
        let mut waiting: Vec<_> = (0..60).map(|_| store.read(&at)).collect();
        for question in &mut waiting {
            let _ = futures_util::FutureExt::now_or_never(question);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        let answer = tokio::time::timeout(Duration::from_secs(2), store.read(&at)).await;
        assert!(answer.expect("an answer in time").unwrap().is_some());
    }
}

/// A machine whose clock stands years back goes by the server's, between its answers by its own steady count.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn time_is_the_servers_whatever_the_machines_clock_says() {
    let url = database();
    let store = open(&url);
    let machine = ManualClock::at("2001-02-03T04:05:06Z".parse().unwrap());
    let shared: SharedClock = Arc::new(machine.clone());
    let clock = StoreClock::of(&store, &shared).await.unwrap().unwrap();
    let millis = |at: Timestamp| at.as_millisecond();
    let server = || {
        let said = sql(&url, "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint");
        said[0].parse::<i64>().unwrap()
    };
    let off = server() - millis(clock.now());
    assert!((0..5_000).contains(&off), "{off} ms");
    let before = clock.now();
    machine.advance(Duration::from_secs(3));
    assert_eq!(clock.now().duration_since(before).as_secs(), 3);
    // The machine has slept through an hour, and has counted none of it; the server is asked again.
    let (stopper, stop) = Stopper::new();
    let keeping = tokio::spawn(clock.clone().keep(store.clone(), stop));
    machine.advance(Duration::from_secs(3_600));
    let begun = Instant::now();
    while (millis(clock.now()) - server()).abs() > 5_000 {
        assert!(begun.elapsed() < Duration::from_secs(20), "{} against {}", clock.now(), server());
        machine.advance(Duration::from_secs(11));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stopper.stop();
    keeping.await.unwrap();
    let embedded: SharedStore = Arc::new(mayday::store::memory::Memory::default());
    assert!(StoreClock::of(&embedded, &shared).await.unwrap().is_none());
}
