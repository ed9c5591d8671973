//! What the audit promises.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::access::PersonId;
use crate::core::clock::ManualClock;
use crate::core::duration::Span;
use crate::store::memory::Memory;
use crate::store::{Range, Write};

struct Desk {
    audit: Audit,
    store: SharedStore,
    clock: ManualClock,
}

fn desk() -> Desk {
    let store = Memory::shared();
    let clock = ManualClock::at("2026-11-21T02:00:00Z".parse().unwrap());
    Desk { audit: Audit::new(store.clone(), Arc::new(clock.clone())), store, clock }
}

fn record(action: &str) -> AuditRecord {
    AuditRecord {
        actor: Actor::Person(PersonId("web:ana".into())),
        action: action.to_owned(),
        subject: "RUN-3".into(),
        detail: json!({"reason": "because"}),
        right: None,
    }
}

async fn written(count: u64) -> Desk {
    let desk = desk();
    for n in 0..count {
        desk.clock.advance(Duration::from_secs(1));
        desk.audit.commit(Batch::new(), record(&format!("a{n}"))).await.unwrap();
    }
    desk
}

async fn tamper(desk: &Desk, writes: Vec<Write>) {
    desk.store.commit(Batch { conditions: vec![], writes }).await.unwrap();
}

async fn bytes(desk: &Desk, key: &Key) -> Vec<u8> {
    desk.store.read(key).await.unwrap().unwrap().value
}

async fn report(desk: &Desk) -> Report {
    verify(&desk.store, &[]).await.unwrap()
}

#[tokio::test]
async fn a_change_and_its_record_are_one_commit() {
    let desk = desk();
    let key = Key::of(["thing"]);
    let mut batch = Batch::new();
    batch.require_absent(key.clone());
    batch.writes.push(Write::Put(key.clone(), b"x".to_vec()));
    desk.audit.commit(batch.clone(), record("make")).await.unwrap();
    assert!(matches!(desk.audit.commit(batch, record("make")).await, Err(store::Error::Conflict(at)) if at == key));
    let report = report(&desk).await;
    assert_eq!((report.records, report.first_bad), (1, None));
    // The chain goes on after a batch that failed.
    desk.audit.commit(Batch::new(), record("next")).await.unwrap();
    assert_eq!(verify(&desk.store, &[]).await.unwrap().records, 2);
}

#[tokio::test]
async fn two_processes_on_one_chain_never_take_the_same_place() {
    let desk = desk();
    let other = Audit::new(desk.store.clone(), Arc::new(desk.clock.clone()));
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..40 {
        let audit = if n % 2 == 0 { desk.audit.clone() } else { other.clone() };
        tasks.spawn(async move { audit.commit(Batch::new(), record("x")).await });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap().unwrap();
    }
    let report = report(&desk).await;
    assert_eq!((report.records, report.first_bad), (40, None));
}

#[tokio::test]
async fn several_records_go_into_one_commit_and_a_dropped_appender_leaves_no_gap() {
    let desk = desk();
    let mut appender = desk.audit.open(MAIN).await.unwrap();
    let mut batch = Batch::new();
    appender.append(&mut batch, record("one")).unwrap();
    appender.append(&mut batch, record("two")).unwrap();
    appender.commit(batch).await.unwrap();

    let mut dropped = desk.audit.open(MAIN).await.unwrap();
    dropped.append(&mut Batch::new(), record("never")).unwrap();
    drop(dropped);
    desk.audit.commit(Batch::new(), record("three")).await.unwrap();
    desk.audit.commit_to("s3f", Batch::new(), record("elsewhere")).await.unwrap();
    let report = report(&desk).await;
    assert_eq!((report.records, report.first_bad), (4, None));
    assert_eq!(report.heads.len(), 2);
}

#[tokio::test]
async fn an_edit_a_gap_and_another_order_are_found_where_they_are() {
    for (at, what, writes) in [
        (3, "changed", 0),
        (3, "missing", 1),
        (2, "number", 2),
        (3, "removed", 3),
        (5, "chain ends at 4", 4),
        (1, "all 5 records are missing", 5),
        (5, "head is missing", 6),
    ] {
        let desk = written(5).await;
        let writes = match writes {
            0 => {
                let text = String::from_utf8(bytes(&desk, &payload_key(MAIN, 3)).await).unwrap();
                vec![Write::Put(payload_key(MAIN, 3), text.replace("web:ana", "web:eve").into_bytes())]
            }
            1 => vec![Write::Delete(link_key(MAIN, 3))],
            2 => vec![
                Write::Put(link_key(MAIN, 2), bytes(&desk, &link_key(MAIN, 3)).await),
                Write::Put(link_key(MAIN, 3), bytes(&desk, &link_key(MAIN, 2)).await),
            ],
            3 => vec![Write::Delete(payload_key(MAIN, 3))],
            4 => vec![Write::Delete(link_key(MAIN, 5))],
            5 => (1..=5).map(|seq| Write::Delete(link_key(MAIN, seq))).collect(),
            _ => vec![Write::Delete(head_key(MAIN))],
        };
        tamper(&desk, writes).await;
        let bad = report(&desk).await.first_bad.unwrap();
        assert_eq!(bad.seq, at, "{bad}");
        assert!(bad.to_string().contains(what), "{bad}");
    }
}

#[tokio::test]
async fn a_cut_tail_with_its_head_set_back_shows_only_against_a_checkpoint() {
    let desk = written(5).await;
    let checkpoints = report(&desk).await.heads;
    cut(&desk, 4).await;
    assert_eq!(report(&desk).await.first_bad, None, "this is what a chain alone can't show");
    let bad = verify(&desk.store, &checkpoints).await.unwrap().first_bad.unwrap();
    assert_eq!(bad.seq, 5);
}

/// Cuts a chain after a place, so that it looks whole.
async fn cut(desk: &Desk, last: u64) {
    let link: Link = desk.store.read(&link_key(MAIN, last)).await.unwrap().unwrap().decode().unwrap();
    let head = store::record::encode(&Head { seq: last, at: link.at, hash: link.hash }).unwrap();
    let mut writes = vec![Write::Put(head_key(MAIN), head)];
    for prefix in ["audit", "audit-payload"] {
        let range = Range::under(&Key::of([prefix, MAIN]), 100).past(&Key::of([prefix, MAIN, &number(last)]));
        let after = desk.store.scan(&range).await.unwrap();
        writes.extend(after.into_iter().map(|entry| Write::Delete(entry.key)));
    }
    tamper(desk, writes).await;
}

#[tokio::test]
async fn a_cut_chain_is_not_signed_as_whole_and_verifying_shows_it_by_the_stores_own_checkpoints() {
    let desk = written(5).await;
    let (_data, signing) = signing(&desk);
    let every = Span::from_secs(0);
    signing.make(every).await.unwrap().unwrap();
    cut(&desk, 3).await;
    let fresh = Audit::new(desk.store.clone(), Arc::new(desk.clock.clone()));
    for _ in 0..4 {
        fresh.commit(Batch::new(), record("invented")).await.unwrap();
        let why = signing.make(every).await.unwrap_err();
        assert!(matches!(&why, checkpoint::CantSign::Cut { seq: 5, number: 1, .. }), "{why}");
    }
    let report = report(&desk).await;
    assert_eq!((report.checkpoints, report.keys.len()), (1, 1));
    assert_eq!(report.first_bad.map(|bad| bad.seq), Some(5));
}

fn signer(data: &tempfile::TempDir) -> Signer {
    Signer::open(&data.path().join(KEY_NAME)).unwrap()
}

fn you() -> Actor {
    Actor::Person(PersonId("web:you".into()))
}

/// Five records, signed at 3 and 5, and those after `last` gone.
async fn lost(last: u64) -> (Desk, tempfile::TempDir, checkpoint::Service) {
    let desk = written(3).await;
    let (data, signing) = signing(&desk);
    signing.make(Span::from_secs(0)).await.unwrap().unwrap();
    desk.audit.commit(Batch::new(), record("a")).await.unwrap();
    desk.audit.commit(Batch::new(), record("b")).await.unwrap();
    signing.make(Span::from_secs(0)).await.unwrap().unwrap();
    cut(&desk, last).await;
    let audit = Audit::new(desk.store.clone(), Arc::new(desk.clock.clone()));
    (Desk { audit, ..desk }, data, signing)
}

#[tokio::test]
async fn an_accepted_cut_is_said_and_not_held_against_the_chains_but_a_later_one_is() {
    let (desk, data, signing) = lost(4).await;
    let copy = checkpoint::trusted(&exported(&desk).await, &[]).unwrap();
    desk.audit.commit(Batch::new(), record("since")).await.unwrap();
    desk.audit.commit(Batch::new(), record("then")).await.unwrap();
    assert_eq!(report(&desk).await.first_bad.map(|bad| bad.seq), Some(5));
    let said = desk.audit.accept_cut(&signer(&data), you(), "an old backup", &[], true).await.unwrap();
    let cut_of_main = Cut { chain: MAIN.into(), kept: 3, signed: 5, replaced: true };
    assert_eq!((said.checkpoint, &said.cut[..]), (3, &[cut_of_main][..]));
    let told = report(&desk).await;
    assert_eq!((told.first_bad, told.records), (None, 7));
    assert_eq!((told.accepted[0].by.clone(), told.accepted[0].said.clone()), (you(), said));
    // A copy that was kept elsewhere goes on to show it, and the acceptance with it.
    let elsewhere = verify(&desk.store, &copy).await.unwrap();
    assert_eq!((elsewhere.first_bad.map(|bad| bad.seq), elsewhere.accepted.len()), (Some(5), 1));
    // Signing goes on; the record of it stays.
    desk.audit.commit(Batch::new(), record("later")).await.unwrap();
    assert_eq!(signing.make(Span::from_secs(0)).await.unwrap().unwrap().number, 4);
    let erased = desk.audit.erase(MAIN, 7, you(), "").await;
    assert!(matches!(erased, Err(CantErase::Acceptance(_))), "{erased:?}");
    let nothing = desk.audit.accept_cut(&signer(&data), you(), "again", &[], true).await;
    assert!(matches!(nothing, Err(CantAccept::Nothing)), "{nothing:?}");
    // What is cut after that is another cut, also of the acceptance itself.
    for last in [7, 6] {
        cut(&desk, last).await;
        assert!(report(&desk).await.first_bad.is_some(), "cut after {last}");
        assert!(signing.make(Span::from_secs(0)).await.is_err());
    }
}

#[tokio::test]
async fn a_cut_that_only_a_copy_shows_is_accepted_with_the_copy() {
    let (desk, data, _) = lost(5).await;
    let copy = checkpoint::trusted(&exported(&desk).await, &[]).unwrap();
    // The whole store is an older one.
    cut(&desk, 3).await;
    tamper(&desk, vec![Write::Delete(Key::of(["audit-checkpoint", &number(2)]))]).await;
    let desk = Desk { audit: Audit::new(desk.store.clone(), Arc::new(desk.clock.clone())), ..desk };
    let alone = desk.audit.accept_cut(&signer(&data), you(), "x", &[], true).await;
    assert!(matches!(alone, Err(CantAccept::Nothing)), "{alone:?}");
    let said = desk.audit.accept_cut(&signer(&data), you(), "x", &copy, true).await.unwrap();
    assert_eq!(said.cut, [Cut { chain: MAIN.into(), kept: 3, signed: 5, replaced: false }]);
    assert_eq!((report(&desk).await.first_bad, report(&desk).await.accepted.len()), (None, 1));
    let twice = desk.audit.accept_cut(&signer(&data), you(), "x", &copy, true).await;
    assert!(matches!(twice, Err(CantAccept::Already)), "{twice:?}");
}

#[tokio::test]
async fn who_has_not_the_key_accepts_nothing_and_neither_does_a_record_alone() {
    let (desk, data, signing) = lost(4).await;
    let other = tempfile::tempdir().unwrap();
    let why = desk.audit.accept_cut(&signer(&other), you(), "x", &[], true).await.unwrap_err();
    assert!(matches!(&why, CantAccept::OtherKey(_)), "{why}");
    // A hand in the store writes the record, and a checkpoint with a key of its own.
    let detail = json!({"reason": "x", "checkpoint": 3, "cut": []});
    let forged = AuditRecord { action: "accept_cut".into(), detail, ..record("") };
    desk.audit.commit(Batch::new(), forged).await.unwrap();
    assert!(signing.make(Span::from_secs(0)).await.is_err());
    let told = report(&desk).await;
    assert!(told.first_bad.is_some() && told.accepted.is_empty());
    let ends = checkpoint::ends(&desk.store).await.unwrap();
    sign(&desk, &other, ends).await;
    let told = report(&desk).await;
    assert!(told.first_bad.is_some() && told.accepted.is_empty(), "{told:?}");
    // Nor with two: the first makes the key one that has signed before.
    let detail = json!({"reason": "x", "checkpoint": 4, "cut": []});
    let forged = AuditRecord { action: "accept_cut".into(), detail, ..record("") };
    desk.audit.commit(Batch::new(), forged).await.unwrap();
    let ends = checkpoint::ends(&desk.store).await.unwrap();
    sign(&desk, &other, ends).await;
    let told = report(&desk).await;
    assert!(told.first_bad.is_some() && told.accepted.is_empty(), "{told:?}");
    // More than a cut is wrong: that can't be accepted with the right key either.
    tamper(&desk, vec![Write::Delete(payload_key(MAIN, 2))]).await;
    let why = desk.audit.accept_cut(&signer(&data), you(), "x", &[], true).await.unwrap_err();
    assert!(matches!(&why, CantAccept::Broken(_)), "{why}");
}

/// Signs these ends with a key, as whoever can write the store could.
async fn sign(desk: &Desk, key: &tempfile::TempDir, heads: Vec<Checkpoint>) {
    let mut batch = Batch::new();
    let last = checkpoint::recent(&desk.store).await.unwrap().remove(0).1;
    checkpoint::sign_next(&mut batch, last.as_ref(), heads, Timestamp::UNIX_EPOCH, &signer(key)).unwrap();
    desk.store.commit(batch).await.unwrap();
}

#[tokio::test]
async fn a_key_that_signed_the_old_ends_once_more_before_the_cut_accepts_nothing() {
    let (desk, _data, _) = lost(5).await;
    let other = tempfile::tempdir().unwrap();
    let before = checkpoint::ends(&desk.store).await.unwrap();
    sign(&desk, &other, before).await;
    cut(&desk, 4).await;
    let desk = Desk { audit: Audit::new(desk.store.clone(), Arc::new(desk.clock.clone())), ..desk };
    let detail = json!({"reason": "x", "checkpoint": 4, "cut": []});
    let forged = AuditRecord { action: "accept_cut".into(), detail, ..record("") };
    desk.audit.commit(Batch::new(), forged).await.unwrap();
    let after = checkpoint::ends(&desk.store).await.unwrap();
    sign(&desk, &other, after).await;
    let told = report(&desk).await;
    assert!(told.first_bad.is_some() && told.accepted.is_empty(), "{told:?}");
}

#[tokio::test]
async fn however_many_checkpoints_another_key_signs_the_own_ones_before_them_are_not_forgotten() {
    use checkpoint::{CantSign, Wrong};
    let (desk, data, signing) = lost(5).await;
    let other = tempfile::tempdir().unwrap();
    for _ in 0..2 * checkpoint::RECENT {
        let ends = checkpoint::ends(&desk.store).await.unwrap();
        sign(&desk, &other, ends).await;
    }
    let why = signing.make(Span::from_secs(0)).await.unwrap_err();
    assert!(matches!(&why, CantSign::Checkpoint { wrong: Wrong::OtherKey, .. }), "{why}");
    let own = signer(&data);
    let judged = checkpoint::judged(&desk.store, Some(own.public())).await.unwrap();
    assert_eq!((judged.wrong.len(), judged.trusted), (checkpoint::RECENT, None));
    // A key that begins finds those of the one before it.
    let new = Signer::open(&data.path().join("new")).unwrap();
    let judged = checkpoint::judged(&desk.store, Some(new.public())).await.unwrap();
    assert_eq!((judged.wrong, judged.trusted.map(|signed| signed.number)), (Vec::new(), Some(14)));
}

#[tokio::test]
async fn a_second_cut_is_accepted_with_the_key_that_signs_by_then() {
    let (desk, data, _) = lost(4).await;
    desk.audit.accept_cut(&signer(&data), you(), "an old backup", &[], true).await.unwrap();
    let later = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        desk.audit.commit(Batch::new(), record("later")).await.unwrap();
        let ends = checkpoint::ends(&desk.store).await.unwrap();
        sign(&desk, &later, ends).await;
    }
    cut(&desk, 6).await;
    let desk = Desk { audit: Audit::new(desk.store.clone(), Arc::new(desk.clock.clone())), ..desk };
    assert!(report(&desk).await.first_bad.is_some());
    desk.audit.accept_cut(&signer(&later), you(), "another one", &[], true).await.unwrap();
    let told = report(&desk).await;
    assert_eq!((told.first_bad, told.accepted.len()), (None, 2));
}

/// More checkpoints than are kept, with this chain as it was.
async fn a_week(desk: &Desk, key: &tempfile::TempDir) {
    let signer = signer(key);
    let mut last = checkpoint::recent(&desk.store).await.unwrap().remove(0).1;
    for _ in 0..=checkpoint::KEPT {
        let mut batch = Batch::new();
        let heads = checkpoint::ends(&desk.store).await.unwrap();
        let made = checkpoint::sign_next(&mut batch, last.as_ref(), heads, Timestamp::UNIX_EPOCH, &signer).unwrap();
        desk.store.commit(batch).await.unwrap();
        last = Some(made);
    }
}

#[tokio::test]
async fn a_cut_of_what_was_signed_longer_ago_than_is_kept_is_accepted_with_any_key_that_signs() {
    let (desk, data, _) = lost(5).await;
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    a_week(&desk, &one).await;
    cut(&desk, 4).await;
    let desk = Desk { audit: Audit::new(desk.store.clone(), Arc::new(desk.clock.clone())), ..desk };
    assert!(report(&desk).await.first_bad.is_some());
    desk.audit.accept_cut(&signer(&two), you(), "an old backup", &[], true).await.unwrap();
    let told = report(&desk).await;
    assert_eq!((told.first_bad, told.accepted.len()), (None, 1));
    // And it stays accepted until nothing of what it covers is kept.
    a_week(&desk, &data).await;
    assert_eq!(report(&desk).await.first_bad, None);
}

#[tokio::test]
async fn a_cut_that_is_accepted_with_the_key_of_before_keeps_nobody_from_signing() {
    let (desk, data, _) = lost(5).await;
    let new = tempfile::tempdir().unwrap();
    let ends = checkpoint::ends(&desk.store).await.unwrap();
    sign(&desk, &new, ends).await;
    cut(&desk, 4).await;
    let desk = Desk { audit: Audit::new(desk.store.clone(), Arc::new(desk.clock.clone())), ..desk };
    let refused = desk.audit.accept_cut(&signer(&new), you(), "x", &[], true).await.unwrap_err();
    assert!(matches!(&refused, CantAccept::OtherKey(_)), "{refused}");
    desk.audit.accept_cut(&signer(&data), you(), "x", &[], true).await.unwrap();
    let options = checkpoint::Options::default();
    let signing = checkpoint::Service::new(desk.store.clone(), Arc::new(desk.clock.clone()), signer(&new), &options);
    desk.audit.commit(Batch::new(), record("later")).await.unwrap();
    assert_eq!(signing.make(Span::from_secs(0)).await.unwrap().unwrap().number, 5);
    // What the key of before signs beside that is foreign.
    let ends = checkpoint::ends(&desk.store).await.unwrap();
    desk.audit.commit(Batch::new(), record("more")).await.unwrap();
    sign(&desk, &data, ends).await;
    assert!(signing.make(Span::from_secs(0)).await.is_err());
}

#[tokio::test]
async fn a_forged_number_in_a_long_chain_is_found_and_leads_nobody_in_circles() {
    let desk = written(1_200).await;
    let mut link: serde_json::Value = serde_json::from_slice(&bytes(&desk, &link_key(MAIN, 1_200)).await).unwrap();
    link["d"]["seq"] = json!(1);
    tamper(&desk, vec![Write::Put(link_key(MAIN, 1_200), link.to_string().into_bytes())]).await;
    let told = tokio::time::timeout(Duration::from_secs(20), report(&desk)).await.unwrap();
    assert_eq!((told.first_bad.map(|bad| bad.seq), told.records), (Some(1_200), 1_200));
}

/// A store whose chains grow right after their links were read.
struct Grows {
    store: SharedStore,
    audit: Audit,
    left: std::sync::atomic::AtomicU32,
}

impl store::Store for Grows {
    fn read<'a>(&'a self, key: &'a Key) -> crate::core::BoxFuture<'a, Result<Option<store::Entry>, store::Error>> {
        self.store.read(key)
    }

    fn scan<'a>(&'a self, range: &'a Range) -> crate::core::BoxFuture<'a, Result<Vec<store::Entry>, store::Error>> {
        Box::pin(async move {
            if range.from.as_str().starts_with("audit-head") {
                for number in 0..self.left.swap(0, std::sync::atomic::Ordering::SeqCst) {
                    let chain = if number % 3 == 0 { "run-new" } else { MAIN };
                    self.audit.commit_to(chain, Batch::new(), record("meanwhile")).await?;
                }
            }
            self.store.scan(range).await
        })
    }

    fn commit(&self, batch: Batch) -> crate::core::BoxFuture<'_, Result<Revision, store::Error>> {
        self.store.commit(batch)
    }

    fn watch(&self, prefix: &Key) -> store::Watch {
        self.store.watch(prefix)
    }
}

#[tokio::test]
async fn what_is_written_while_it_is_verified_is_verified_too() {
    for meanwhile in [1, 2, 1_500] {
        let desk = written(5).await;
        let (store, audit) = (desk.store.clone(), desk.audit.clone());
        let grows: SharedStore = Arc::new(Grows { store, audit, left: meanwhile.into() });
        let told = verify(&grows, &[]).await.unwrap();
        assert_eq!((told.first_bad, told.records), (None, u64::from(5 + meanwhile)));
    }
}

#[tokio::test]
async fn checkpoints_that_were_replaced_removed_or_forged_show() {
    use checkpoint::{CantSign, Wrong};
    for damage in 0..3 {
        let desk = written(2).await;
        let (data, signing) = signing(&desk);
        for _ in 0..3 {
            desk.audit.commit(Batch::new(), record("more")).await.unwrap();
            signing.make(Span::from_secs(0)).await.unwrap().unwrap();
        }
        let file = exported(&desk).await;
        let key = |number: u64| Key::of(["audit-checkpoint", &format!("{number:012}")]);
        match damage {
            0 => tamper(&desk, vec![Write::Delete(key(2))]).await,
            1 => tamper(&desk, vec![Write::Delete(key(1))]).await,
            _ => {
                // The last two are removed, the records of theirs cut, and another key signs what is left.
                tamper(&desk, vec![Write::Delete(key(3)), Write::Delete(key(2))]).await;
                desk.audit.commit(Batch::new(), record("more")).await.unwrap();
                let signer = Signer::open(&data.path().join("foreign")).unwrap();
                let (store, clock) = (desk.store.clone(), Arc::new(desk.clock.clone()));
                let foreign = checkpoint::Service::new(store, clock, signer, &checkpoint::Options::default());
                foreign.make(Span::from_secs(0)).await.unwrap().unwrap();
                desk.audit.commit(Batch::new(), record("more")).await.unwrap();
            }
        }
        let bad = report(&desk).await.first_bad.map(|bad| bad.seq);
        let why = signing.make(Span::from_secs(0)).await.unwrap_err();
        let CantSign::Checkpoint { number, wrong } = why else { panic!("{why}") };
        let wanted = [(Some(3), 3, Wrong::Replaced), (Some(2), 2, Wrong::Replaced), (None, 2, Wrong::OtherKey)];
        assert_eq!((bad, number, wrong), wanted[damage], "damage {damage}");
        // Against the copy: another one of the same number.
        if damage == 2 {
            assert_eq!(report(&desk).await.keys.len(), 2, "whoever verifies sees that two keys signed");
            let both = file + &exported(&desk).await;
            let keys = report(&desk).await.keys;
            assert!(matches!(
                checkpoint::trusted(&both, &keys),
                Err(checkpoint::Untrusted::Replaced { number: 2, .. })
            ));
        }
    }
}

#[tokio::test]
async fn what_is_said_without_a_record_shows() {
    let desk = written(3).await;
    let text = bytes(&desk, &payload_key(MAIN, 2)).await;
    for place in [payload_key(MAIN, 9), payload_key("a", 1), payload_key("zz", 1)] {
        tamper(&desk, vec![Write::Put(place.clone(), text.clone())]).await;
        let bad = report(&desk).await.first_bad.unwrap();
        assert!(bad.what.contains("no record of it"), "{bad}");
        tamper(&desk, vec![Write::Delete(place)]).await;
    }
    assert_eq!(report(&desk).await.first_bad, None);
}

fn signing(desk: &Desk) -> (tempfile::TempDir, checkpoint::Service) {
    let data = tempfile::tempdir().unwrap();
    let signer = Signer::open(&data.path().join(KEY_NAME)).unwrap();
    let options = checkpoint::Options::default();
    let service = checkpoint::Service::new(desk.store.clone(), Arc::new(desk.clock.clone()), signer, &options);
    (data, service)
}

async fn exported(desk: &Desk) -> String {
    let all = checkpoint::list(&desk.store, 0, 10_000).await.unwrap();
    all.iter().map(|signed| serde_json::to_string(signed).unwrap() + "\n").collect()
}

#[tokio::test]
async fn a_cut_tail_an_edit_and_a_gap_show_against_exported_signed_checkpoints() {
    for damage in 0..4 {
        let desk = written(5).await;
        let (_data, signing) = signing(&desk);
        signing.make(Span::from_secs(600)).await.unwrap().unwrap();
        let file = exported(&desk).await;
        let known = checkpoint::trusted(&file, &[]).unwrap();
        assert_eq!(verify(&desk.store, &known).await.unwrap().first_bad, None);
        match damage {
            0 => cut(&desk, 4).await,
            // Cut, and as many other records written in its place.
            1 => {
                cut(&desk, 4).await;
                let fresh = Audit::new(desk.store.clone(), Arc::new(desk.clock.clone()));
                for _ in 0..3 {
                    fresh.commit(Batch::new(), record("invented")).await.unwrap();
                }
                tamper(&desk, vec![Write::Delete(Key::of(["audit-checkpoint", "000000000001"]))]).await;
                assert_eq!(report(&desk).await.first_bad, None, "the store alone looks whole");
            }
            2 => tamper(&desk, vec![Write::Delete(link_key(MAIN, 2))]).await,
            _ => {
                let text = String::from_utf8(bytes(&desk, &payload_key(MAIN, 2)).await).unwrap();
                let text = text.replace("web:ana", "web:eve").into_bytes();
                tamper(&desk, vec![Write::Put(payload_key(MAIN, 2), text)]).await;
            }
        }
        let bad = verify(&desk.store, &known).await.unwrap().first_bad;
        assert_eq!(bad.map(|bad| bad.seq), Some([5, 5, 2, 2][damage]), "damage {damage}");
    }
}

#[tokio::test]
async fn checkpoints_are_made_when_something_was_written_and_it_is_time() {
    let desk = written(3).await;
    let (_data, signing) = signing(&desk);
    let every = Span::from_secs(600);
    assert_eq!(signing.make(every).await.unwrap().unwrap().number, 1);
    desk.clock.advance(Duration::from_secs(900));
    assert!(signing.make(every).await.unwrap().is_none(), "nothing was written since");
    desk.audit.commit_to("s01", Batch::new(), record("x")).await.unwrap();
    let second = signing.make(every).await.unwrap().unwrap();
    assert_eq!((second.number, second.heads.len()), (2, 2));
    desk.audit.commit(Batch::new(), record("y")).await.unwrap();
    assert!(signing.make(every).await.unwrap().is_none(), "it is too early");
    let known = checkpoint::trusted(&exported(&desk).await, std::slice::from_ref(&second.key)).unwrap();
    assert_eq!(known.len(), 2, "the same place of the same chain once");
}

#[tokio::test]
async fn a_file_of_checkpoints_that_was_changed_or_signed_by_another_is_not_trusted() {
    use checkpoint::Untrusted;
    let desk = written(3).await;
    let (_data, signing) = signing(&desk);
    let made = signing.make(Span::from_secs(600)).await.unwrap().unwrap();
    let file = exported(&desk).await;
    let edited = file.replace("\"seq\":3", "\"seq\":2");
    assert_eq!(checkpoint::trusted(&edited, &[]), Err(Untrusted::Changed { line: 1, number: 1 }));
    let other = Signer::open(&_data.path().join("other")).unwrap();
    let wanted = checkpoint::trusted(&file, &[other.public().to_owned()]);
    assert!(matches!(wanted, Err(Untrusted::OtherKey { found, .. }) if found == made.key));
    assert_eq!(checkpoint::trusted("{}", &[]), Err(Untrusted::NoCheckpoint(1)));
    assert_eq!(checkpoint::trusted("\n", &[]), Err(Untrusted::Empty));
}

#[tokio::test]
async fn what_a_record_says_can_be_erased_and_the_chain_stays_whole() {
    let desk = written(4).await;
    let (_data, signing) = signing(&desk);
    signing.make(Span::from_secs(600)).await.unwrap();
    let known = checkpoint::trusted(&exported(&desk).await, &[]).unwrap();
    let by = Actor::Person(PersonId("web:dpo".into()));
    desk.audit.erase(MAIN, 2, by.clone(), "asked for by the person").await.unwrap();
    let text = String::from_utf8(bytes(&desk, &payload_key(MAIN, 2)).await).unwrap();
    assert!(!text.contains("ana") && !text.contains("because"), "{text}");
    let report = verify(&desk.store, &known).await.unwrap();
    assert_eq!((report.records, report.first_bad), (5, None));
    let listed = desk.audit.list(None, 10).await.unwrap().records;
    assert!(listed[3].erased && listed[3].actor.is_none(), "{:?}", listed[3]);
    assert_eq!((listed[0].action.as_str(), listed[0].subject.as_str()), ("erase_audit", "main:2"));
    let again = desk.audit.erase(MAIN, 2, by.clone(), "x").await.unwrap_err();
    assert!(matches!(again, CantErase::Already(_)), "{again}");
    assert!(matches!(desk.audit.erase(MAIN, 5, by.clone(), "x").await.unwrap_err(), CantErase::Trace(_)));
    assert!(matches!(desk.audit.erase(MAIN, 99, by, "x").await.unwrap_err(), CantErase::NoRecord(_)));
}

#[tokio::test]
async fn a_marker_that_no_record_speaks_of_is_a_removal() {
    let desk = written(4).await;
    let marker = b"{\"v\":1,\"d\":{\"erased_at\":\"2026-11-21T02:00:00Z\"}}".to_vec();
    assert!(store::record::decode::<erase::Erased>(&payload_key(MAIN, 2), &marker).is_ok());
    tamper(&desk, vec![Write::Put(payload_key(MAIN, 2), marker)]).await;
    let bad = report(&desk).await.first_bad.unwrap();
    assert!(bad.seq == 2 && bad.what.contains("no record says"), "{bad}");
}

#[tokio::test]
async fn the_records_since_a_moment_come_newest_first_up_to_a_limit() {
    let desk = written(450).await;
    let since = "2026-11-21T02:00:00Z".parse::<Timestamp>().unwrap() + Duration::from_secs(101);
    let found = desk.audit.since(MAIN, since, 10_000).await.unwrap().records;
    assert_eq!((found.len(), found[0].seq, found[349].seq), (350, 450, 101));
    assert_eq!(desk.audit.since(MAIN, since, 7).await.unwrap().records.len(), 7);
    assert!(desk.audit.since("none", since, 7).await.unwrap().records.is_empty());
}

#[tokio::test]
async fn secrets_in_the_detail_are_not_kept() {
    let desk = desk();
    let detail = json!({"command": "curl -H 'Authorization: Bearer abc123def'", "password": "hunter2"});
    desk.audit.commit(Batch::new(), AuditRecord { detail, ..record("run") }).await.unwrap();
    let text = String::from_utf8(bytes(&desk, &payload_key(MAIN, 1)).await).unwrap();
    assert!(!text.contains("abc123def") && !text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn the_list_is_newest_first_and_pages_meet_without_gap_or_repeat() {
    let desk = desk();
    for n in 0..25 {
        desk.clock.advance(Duration::from_secs(1));
        let chain = if n % 3 == 0 { "s01" } else { MAIN };
        desk.audit.commit_to(chain, Batch::new(), record(&format!("a{n}"))).await.unwrap();
    }
    let mut seen = Vec::new();
    let mut cursor: Option<Cursor> = None;
    loop {
        let page = desk.audit.list(cursor.as_ref(), 7).await.unwrap();
        seen.extend(page.records.into_iter().map(|entry| entry.action));
        match page.next {
            Some(next) => cursor = Some(next.parse().unwrap()),
            None => break,
        }
    }
    let wanted: Vec<String> = (0..25).rev().map(|n| format!("a{n}")).collect();
    assert_eq!(seen, wanted);
    assert!("nonsense".parse::<Cursor>().is_err());
}

#[tokio::test]
async fn more_than_one_page_is_verified() {
    let desk = written(1203).await;
    let report = report(&desk).await;
    assert_eq!((report.records, report.first_bad), (1203, None));
    assert_eq!(report.heads[0].seq, 1203);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever byte of whatever record is flipped, it shows.
    #[test]
    fn any_flipped_bit_is_found(which in 0_usize..18, byte in any::<prop::sample::Index>(), bit in 0_u8..7) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let desk = written(6).await;
            let prefix = ["audit", "audit-payload", "audit-head"][which % 3];
            let all = desk.store.scan(&Range::under(&Key::of([prefix]), 100)).await.unwrap();
            let entry = &all[which % all.len()];
            let mut value = entry.value.clone();
            value[byte.index(entry.value.len())] ^= 1 << bit;
            tamper(&desk, vec![Write::Put(entry.key.clone(), value.clone())]).await;
            let found = report(&desk).await.first_bad;
            // The one harmless flip: the time of a head, which nothing is decided by.
            let harmless = prefix == "audit-head"
                && store::record::decode::<Head>(&entry.key, &value).is_ok_and(|head| {
                    let old: Head = entry.decode().unwrap();
                    head.seq == old.seq && head.hash == old.hash
                });
            assert!(found.is_some() || harmless, "{} {}", entry.key, String::from_utf8_lossy(&value));
        });
    }
}
