//! The audit chain on the real store: durable with what it records, fast enough for many decisions, verified after a restart.

use std::time::Instant;

use mayday::access::{Actor, Audit, AuditRecord, PersonId, audit};
use mayday::core::clock::SystemClock;
use mayday::store::{self, Batch};
use serde_json::json;

fn record(number: u32) -> AuditRecord {
    AuditRecord {
        actor: Actor::Person(PersonId("web:ana".into())),
        action: "approve".into(),
        subject: format!("RUN-{number}"),
        detail: json!({}),
        right: None,
    }
}

#[tokio::test]
async fn records_of_many_chains_survive_a_restart_in_order() {
    let data = tempfile::tempdir().unwrap();
    let store = store::open(data.path(), &store::Options::default()).unwrap();
    let audit = Audit::new(store.clone(), SystemClock::shared());
    let started = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for chain in 0..16_u32 {
        let audit = audit.clone();
        tasks.spawn(async move {
            for number in 0..20 {
                audit.commit_to(&format!("run-{chain:02x}"), Batch::new(), record(number)).await.unwrap();
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    // 320 decisions; without chains in parallel each would wait for its own sync.
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
    drop((audit, store));

    let mut store = store::open(data.path(), &store::Options::default());
    // The closed store gives its lock back a moment later.
    for _ in 0..100 {
        if store.is_ok() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        store = store::open(data.path(), &store::Options::default());
    }
    let store = store.unwrap();
    let report = audit::verify(&store, &[]).await.unwrap();
    assert_eq!((report.records, report.first_bad, report.heads.len()), (320, None, 16));
    let page = Audit::new(store, SystemClock::shared()).list(None, 50).await.unwrap();
    assert_eq!(page.records.len(), 50);
    assert!(page.records.windows(2).all(|pair| pair[0].at >= pair[1].at), "newest first over all chains");
}

/// The binary, away from any other Mayday of this machine.
fn mayday(folder: &std::path::Path, arguments: &[&str]) -> std::process::Output {
    std::process::Command::new(env!("CARGO_BIN_EXE_mayday"))
        .args(arguments)
        .current_dir(folder)
        .env("XDG_RUNTIME_DIR", folder)
        .env_remove("MAYDAY_TOKEN")
        .env("SUDO_USER", "ana")
        .env("USER", "ana")
        .output()
        .unwrap()
}

fn told(output: &std::process::Output) -> (Option<i32>, String) {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

async fn opened(data: &std::path::Path) -> store::SharedStore {
    for _ in 0..250 {
        if let Ok(store) = store::open(&data.join("store"), &store::Options::default()) {
            return store;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the store stays locked");
}

/// Signed by a running bot, kept elsewhere, and held against the store later: online, offline, after an erasure and after
/// the tail was cut.
#[tokio::test]
async fn exported_checkpoints_show_a_cut_tail_and_let_a_record_be_erased() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let store = opened(&data).await;
    let audit = Audit::new(store.clone(), SystemClock::shared());
    for number in 1..=5 {
        audit.commit(Batch::new(), record(number)).await.unwrap();
    }
    let payloads = store.scan(&store::Range::under(&store::Key::of(["audit-payload"]), 2)).await.unwrap();
    let first_two: Vec<Vec<u8>> = payloads.into_iter().map(|entry| entry.value).collect();
    drop((audit, store));
    let config = folder.path().join("mayday.yaml");
    std::fs::write(&config, format!("data: {}\nhttp: {{listen: '127.0.0.1:0'}}\n", data.display())).unwrap();
    let mut bot = std::process::Command::new(env!("CARGO_BIN_EXE_mayday"))
        .args(["run", "--config", config.to_str().unwrap()])
        .current_dir(folder.path())
        .env("XDG_RUNTIME_DIR", folder.path())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let place = data.to_str().unwrap();
    let mut exported = (None, String::new());
    for _ in 0..200 {
        exported = told(&mayday(folder.path(), &["audit", "export", "--checkpoints", "--data", place]));
        if exported.0 == Some(0) && !exported.1.is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let file = folder.path().join("elsewhere.jsonl");
    std::fs::write(&file, &exported.1).unwrap();
    let signed: serde_json::Value =
        serde_json::from_str(exported.1.lines().next().unwrap_or_default()).unwrap_or_else(|_| panic!("{exported:?}"));
    let key = signed["key"].as_str().unwrap();
    let file = file.to_str().unwrap();
    let verify = |more: &[&str]| {
        let words = [&["audit", "verify", "--data", place], more].concat();
        told(&mayday(folder.path(), &words))
    };
    let online = verify(&["--checkpoints", file, "--key", key]);
    assert_eq!(online.0, Some(0), "{online:?}");
    assert!(online.1.contains("5 records") && online.1.contains("at 1 places"), "{online:?}");
    let two = verify(&["--checkpoints", file, "--key", "ed25519:AAAA", "--key", key]);
    assert!(two.0 == Some(0) && two.1.contains("signed checkpoints in the store"), "{two:?}");
    let stored = verify(&["--key", "ed25519:AAAA"]);
    assert!(stored.0 == Some(1) && stored.1.contains("name it too"), "{stored:?}");
    let other = verify(&["--checkpoints", file, "--key", "ed25519:AAAA"]);
    assert!(other.0 == Some(1) && other.1.contains("not with ed25519:AAAA"), "{other:?}");
    assert!(std::process::Command::new("kill").arg(bot.id().to_string()).status().unwrap().success());
    bot.wait().unwrap();

    let words = ["audit", "erase", "main:2", "--reason", "asked for", "--data", place];
    let erased = told(&mayday(folder.path(), &words));
    assert_eq!(erased.0, Some(0), "{erased:?}");
    let offline = verify(&["--checkpoints", file]);
    assert!(offline.0 == Some(0) && offline.1.contains("6 records"), "{offline:?}");

    // The tail is cut and the head set back to match: the chain alone looks whole.
    let store = opened(&data).await;
    let at = |prefix: &str, seq: u64| store::Key::of([prefix, "main", &format!("{seq:012}")]);
    let link = store.read(&at("audit", 3)).await.unwrap().unwrap();
    let link: serde_json::Value = serde_json::from_slice(&link.value).unwrap();
    let head = json!({"v": link["v"], "d": {"seq": 3, "at": link["d"]["at"], "hash": link["d"]["hash"]}});
    let mut writes = vec![store::Write::Put(store::Key::of(["audit-head", "main"]), head.to_string().into_bytes())];
    for seq in 4..=6 {
        writes.extend([store::Write::Delete(at("audit", seq)), store::Write::Delete(at("audit-payload", seq))]);
    }
    store.commit(Batch { conditions: Vec::new(), writes }).await.unwrap();
    drop(store);
    let cut = verify(&[]);
    assert!(cut.0 == Some(1) && cut.1.contains("up to the checkpoint are missing"), "{cut:?}");
    let store = opened(&data).await;
    let payload = first_two.last().unwrap().clone();
    store
        .commit(Batch { conditions: Vec::new(), writes: vec![store::Write::Put(at("audit-payload", 2), payload)] })
        .await
        .unwrap();
    drop(store);
    let cut = verify(&[]);
    assert!(cut.0 == Some(1) && cut.1.contains("up to the checkpoint are missing"), "{cut:?}");
    accepting_says_so_and_is_quiet_but_not_to_a_copy(folder.path(), &data, file);
    let store = opened(&data).await;
    let signed = store.scan(&store::Range::under(&store::Key::of(["audit-checkpoint"]), 10)).await.unwrap();
    let writes = signed.into_iter().map(|entry| store::Write::Delete(entry.key)).collect();
    store.commit(Batch { conditions: Vec::new(), writes }).await.unwrap();
    drop(store);
    let alone = verify(&[]);
    assert!(alone.0 == Some(0) && alone.1.contains("3 records"), "this is what a store alone can't show: {alone:?}");
    let cut = verify(&["--checkpoints", file]);
    assert!(cut.0 == Some(1) && cut.1.contains("checkpoint"), "{cut:?}");
}

/// On a copy of the data folder: a person accepts that records are gone.
fn accepting_says_so_and_is_quiet_but_not_to_a_copy(folder: &std::path::Path, data: &std::path::Path, file: &str) {
    let copied = folder.join("copied");
    let done = std::process::Command::new("cp").arg("-r").args([data, &copied]).status().unwrap();
    assert!(done.success());
    let place = copied.to_str().unwrap();
    let accept = |more: &[&str]| {
        let words = [&["audit", "accept-cut", "--data", place], more].concat();
        told(&mayday(folder, &words))
    };
    let verify = |more: &[&str]| told(&mayday(folder, &[&["audit", "verify", "--data", place], more].concat()));
    let why = accept(&["--reason", " "]);
    assert!(why.0 == Some(1) && why.1.contains("--reason"), "{why:?}");
    let seen = accept(&["--reason", "restored from Friday's backup"]);
    assert!(seen.0 == Some(1) && seen.1.contains("records of main after 0") && seen.1.contains("--yes"), "{seen:?}");
    let accepted = accept(&["--reason", "restored from Friday's backup", "--yes"]);
    assert!(accepted.0 == Some(0) && accepted.1.contains("records of main after 0"), "{accepted:?}");
    let quiet = verify(&[]);
    assert_eq!(quiet.0, Some(0), "{quiet:?}");
    assert!(
        quiet.1.contains("a cut was accepted by cli:ana(") && quiet.1.contains("restored from Friday's backup"),
        "{quiet:?}"
    );
    let nothing = accept(&["--reason", "again"]);
    assert!(nothing.0 == Some(1) && nothing.1.contains("nothing to accept"), "{nothing:?}");
    let elsewhere = verify(&["--checkpoints", file]);
    assert!(elsewhere.0 == Some(1) && elsewhere.1.contains("checkpoint"), "{elsewhere:?}");
    assert!(elsewhere.1.contains("a cut was accepted by cli:ana("), "{elsewhere:?}");
    std::fs::remove_file(copied.join("audit-key")).unwrap();
    let no_key = accept(&["--reason", "again", "--checkpoints", file]);
    assert!(no_key.0 == Some(1) && no_key.1.contains("audit-key"), "{no_key:?}");
}
