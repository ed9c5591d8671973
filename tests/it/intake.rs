//! Alerts come in through the intake: durable, recognised again, set aside, refused.

use std::sync::Arc;

use mayday::alert::Format;
use mayday::catalog::Catalog;
use mayday::core::clock::ManualClock;
use mayday::core::{SharedClock, Timestamp};
use mayday::incident::{Accepted, Incidents, Intake, Options, Refused};
use mayday::store::SharedStore;
use mayday::store::memory::Memory;

struct House {
    store: SharedStore,
    clock: SharedClock,
    manual: ManualClock,
    intake: Intake,
}

impl House {
    fn new(options: Options) -> Self {
        let manual = ManualClock::at("2026-11-21T00:10:00Z".parse::<Timestamp>().unwrap());
        let clock: SharedClock = Arc::new(manual.clone());
        let store = Memory::shared();
        let intake = Intake::new(store.clone(), clock.clone(), Arc::new(Catalog::default()), options);
        Self { store, clock, manual, intake }
    }

    async fn send(&self, body: &str) -> Accepted {
        self.intake.accept(Format::Alert, "test", body.as_bytes()).await.unwrap()
    }

    fn incidents(&self) -> Incidents {
        Incidents::new(self.store.clone(), self.clock.clone())
    }
}

fn batch(first: usize, count: usize) -> String {
    let alert = |number: usize| {
        format!(
            r#"{{"alert_name":"A{number}","severity":"Critical","service_name":"s{}","timestamp":"2026-11-21T00:09:00Z","metric_value":{number}}}"#,
            number % 7
        )
    };
    format!("[{}]", (first..first + count).map(alert).collect::<Vec<_>>().join(","))
}

#[tokio::test]
async fn the_same_batch_again_is_duplicates_and_nothing_more() {
    let house = House::new(Options::default());
    let first = house.send(&batch(0, 20)).await;
    assert_eq!((first.accepted, first.duplicates, first.alert_ids.len()), (20, 0, 20));
    let again = house.send(&batch(0, 20)).await;
    assert_eq!((again.accepted, again.duplicates), (20, 20));
    assert_eq!(again.alert_ids, first.alert_ids);
    assert_eq!(house.incidents().alerts(None, 100).await.unwrap().len(), 20);
}

#[tokio::test]
async fn identical_batches_at_the_same_time_count_each_alert_once() {
    let house = Arc::new(House::new(Options::default()));
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let house = house.clone();
            tokio::spawn(async move { house.send(&batch(0, 50)).await })
        })
        .collect();
    let mut new = 0;
    for task in tasks {
        let accepted = task.await.unwrap();
        assert_eq!(accepted.accepted, 50);
        new += accepted.accepted - accepted.duplicates;
    }
    assert_eq!(new, 50);
    assert_eq!(house.incidents().alerts(None, 100).await.unwrap().len(), 50);
}

#[tokio::test]
async fn a_bad_alert_is_set_aside_named_and_bounded() {
    let house = House::new(Options { set_aside_limit: 3, ..Options::default() });
    for number in 0..5 {
        house.manual.advance(std::time::Duration::from_secs(1));
        let body = format!(r#"[{{"alert_name":"Good"}},{{"alert_name":"Bad{number}","metric_value":{{}}}}]"#);
        let accepted = house.send(&body).await;
        assert_eq!(accepted.accepted, 1);
        assert_eq!(accepted.rejected[0].index, 1);
        assert_eq!(accepted.rejected[0].why, "[1].metric_value: an object where a number was expected");
    }
    let kept = house.incidents().set_aside(10).await.unwrap();
    assert_eq!(kept.len(), 3);
    assert!(kept[0].text.as_data().contains("Bad4"), "the newest is kept");
    let hostile =
        "[{\"alert_name\":\"G\"},{\"alert_name\":\"x\u{202e}y\",\"note\":\"password=hunter2 z\",\"metric_value\":{}}]";
    house.manual.advance(std::time::Duration::from_secs(1));
    house.send(hostile).await;
    let text = house.incidents().set_aside(1).await.unwrap().remove(0).text;
    assert!(text.as_data().contains("xy") && !text.as_data().contains("hunter2"), "{text:?}");
    let answer = serde_json::to_value(house.send(r#"[{"alert_name":"G"},7]"#).await).unwrap();
    assert_eq!(answer["rejected"], serde_json::json!([{"index":1,"why":"[1]: a number where an object was expected"}]));
}

#[tokio::test]
async fn an_end_without_a_start_ends_the_occurrence_that_fires() {
    let house = House::new(Options::default());
    let fire = |start: &str| {
        format!(r#"{{"alert_name":"Cron","service_name":"s","severity":"Critical","timestamp":"{start}"}}"#)
    };
    let first = house.send(&fire("2026-11-21T00:00:00Z")).await.alert_ids.remove(0);
    let end = house.send(r#"{"alert_name":"Cron","service_name":"s","status":"Resolved"}"#).await;
    assert_eq!((end.alert_ids[0].clone(), end.duplicates), (first.clone(), 0));
    let view = house.incidents().alert(&first).await.unwrap().unwrap();
    assert_eq!(view.alert.severity, mayday::alert::Severity::Critical, "an end keeps the severity");
    assert_eq!(house.send(r#"{"alert_name":"Cron","service_name":"s","status":"Resolved"}"#).await.duplicates, 1);
    assert_eq!(house.send(&fire("2026-11-21T00:00:00Z")).await.duplicates, 1, "a beginning that comes late");
    let second = house.send(&fire("2026-11-21T00:20:00Z")).await.alert_ids.remove(0);
    let third = house.send(&fire("2026-11-21T00:30:00Z")).await.alert_ids.remove(0);
    assert!(second != first && third != second);
    let view = house.incidents().alert(&second).await.unwrap().unwrap();
    assert_eq!(view.alert.status, mayday::alert::Status::Resolved, "a series can't fire twice at once");
}

#[tokio::test]
async fn alerts_without_a_time_are_one_occurrence_until_they_end() {
    let house = House::new(Options::default());
    let body = r#"{"alert_name":"Cron","severity":"Critical"}"#;
    let first = house.send(body).await.alert_ids.remove(0);
    house.manual.advance(std::time::Duration::from_secs(60));
    let again = house.send(body).await;
    assert_eq!((again.alert_ids[0].clone(), again.duplicates), (first.clone(), 1));
    house.send(r#"{"alert_name":"Cron","status":"ok"}"#).await;
    house.manual.advance(std::time::Duration::from_secs(60));
    let next = house.send(body).await;
    assert_eq!(next.duplicates, 0);
    assert_ne!(next.alert_ids[0], first);
}

#[tokio::test]
async fn what_alertmanager_left_out_is_said() {
    let sample = include_str!("../samples/alertmanager-11.json");
    let sample: serde_json::Value = serde_json::from_str(sample).unwrap();
    let house = House::new(Options::default());
    let accepted = house.send(sample["raw_body"].as_str().unwrap()).await;
    assert!(accepted.notes[0].contains("left 6 alerts out"), "{:?}", accepted.notes);
}

#[tokio::test]
async fn too_much_is_refused_with_a_time_to_come_again() {
    let house = House::new(Options { inbox_limit: 3, max_body: 5000, ..Options::default() });
    house.send(&batch(0, 7)).await;
    let refused = house.intake.accept(Format::Generic, "test", batch(7, 1).as_bytes()).await.unwrap_err();
    assert!(matches!(refused, Refused::Overloaded { .. }));
    assert!(refused.retry_after_secs().is_some());
    let large = vec![b' '; 5001];
    assert!(matches!(
        house.intake.accept(Format::Generic, "test", &large).await,
        Err(Refused::TooLarge { bytes: 5001, limit: 5000 })
    ));
    let nothing = house.intake.accept(Format::Alert, "test", b"{}").await;
    assert!(matches!(nothing, Err(Refused::Overloaded { .. })), "an overloaded house does not even read");
}

#[tokio::test]
async fn a_body_that_says_nothing_is_refused_with_what_was_looked_for() {
    let house = House::new(Options::default());
    let refused = house.intake.accept(Format::Alert, "test", b"{\"hello\":1}").await.unwrap_err();
    assert!(matches!(refused, Refused::NotUnderstood(_)));
    assert!(refused.to_string().contains("looked for Alertmanager"), "{refused}");
    assert!(house.incidents().set_aside(10).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_body_is_taken_by_the_real_store() {
    let folder = tempfile::tempdir().unwrap();
    let store = mayday::store::open(folder.path(), &mayday::store::Options::default()).unwrap();
    let clock: SharedClock = Arc::new(ManualClock::at("2026-11-21T00:10:00Z".parse::<Timestamp>().unwrap()));
    let intake = Intake::new(store.clone(), clock.clone(), Arc::new(Catalog::default()), Options::default());
    let text = "x".repeat(300);
    let alert = |number: usize| {
        format!(
            r#"{{"alert_name":"A{number}","service_name":"s{}","timestamp":"2026-11-21T00:09:00Z","description":"{text}"}}"#,
            number % 50
        )
    };
    let body = format!("[{}]", (0..10_000).map(alert).collect::<Vec<_>>().join(","));
    assert!(body.len() > 3_900_000 && body.len() < Options::default().max_body, "{} bytes", body.len());
    let accepted = intake.accept(Format::Generic, "test", body.as_bytes()).await.unwrap();
    assert_eq!((accepted.accepted, accepted.duplicates, accepted.rejected.len()), (10_000, 0, 0));
    assert_eq!(accepted.alert_ids.len(), 10_000);
    let again = intake.accept(Format::Generic, "test", body.as_bytes()).await.unwrap();
    assert_eq!((again.duplicates, again.alert_ids), (10_000, accepted.alert_ids));
}

#[tokio::test]
async fn a_body_with_too_many_alerts_is_refused_whole() {
    let alerts = mayday::alert::Options { max_alerts: 10, ..mayday::alert::Options::default() };
    let house = House::new(Options { alerts, ..Options::default() });
    let refused = house.intake.accept(Format::Generic, "test", batch(0, 11).as_bytes()).await.unwrap_err();
    assert!(matches!(refused, Refused::TooMany { alerts: 11, limit: 10 }), "{refused}");
    assert_eq!(refused.retry_after_secs(), None);
    assert!(house.incidents().alerts(None, 100).await.unwrap().is_empty());
    assert!(house.incidents().set_aside(100).await.unwrap().is_empty());
    assert_eq!(house.send(&batch(0, 10)).await.accepted, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_can_not_be_stored_is_set_aside_and_the_others_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let options = mayday::store::Options { batch_bytes: 20_000, ..mayday::store::Options::default() };
    let store = mayday::store::open(folder.path(), &options).unwrap();
    let clock: SharedClock = Arc::new(ManualClock::at("2026-11-21T00:10:00Z".parse::<Timestamp>().unwrap()));
    let intake = Intake::new(store.clone(), clock.clone(), Arc::new(Catalog::default()), Options::default());
    let label = |letter: &str| letter.repeat(4000);
    let labels =
        serde_json::json!({"a": label("a"), "b": label("b"), "c": label("c"), "d": label("d"), "e": label("e")});
    let mut alerts: Vec<_> = (0..60).map(|number| serde_json::json!({"alert_name": format!("A{number}")})).collect();
    alerts[33]["labels"] = labels;
    let body = serde_json::Value::from(alerts).to_string();
    let accepted = intake.accept(Format::Generic, "test", body.as_bytes()).await.unwrap();
    assert_eq!((accepted.accepted, accepted.rejected.len()), (59, 1));
    assert_eq!(accepted.rejected[0].index, 33);
    assert_eq!(Incidents::new(store, clock).set_aside(10).await.unwrap().len(), 1);
}

/// What is known of an alert can't be read: that one is set aside, and its body is not refused for ever.
#[tokio::test]
async fn a_damaged_record_does_not_refuse_its_body_for_ever() {
    let house = House::new(Options::default());
    let first = house.send(&batch(0, 3)).await;
    let key = mayday::store::Key::of(["alert", &first.alert_ids[1].0]);
    let damage = mayday::store::Write::Put(key, b"{".to_vec());
    house.store.commit(mayday::store::Batch { conditions: Vec::new(), writes: vec![damage] }).await.unwrap();
    let again = house.send(&batch(0, 4)).await;
    assert_eq!((again.accepted, again.duplicates, again.rejected.len()), (3, 2, 1));
    assert!(again.rejected[0].why.contains("restore it from a backup"), "{}", again.rejected[0].why);
}
