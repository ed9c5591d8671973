//! A run that this binary can't carry on waits for one that can: visibly, told once, and nothing is lost meanwhile.

use mayday::access::Role;
use mayday::core::RunId;
use mayday::playbook::view::{Decided, Order, RunOutcome};
use mayday::playbook::{Engine, Faults, NoticeKind, RunState, Runs as _, TaskState};
use mayday::store::{Batch, Key, Range};

use super::engine_world::{Act, World, notices, person};

const SHIFT: &str = "
playbook_id: PB-Shift
name: shift and tell
max_duration: 100h
tasks:
  - {id: first, type: Wait, parameters: {for: 1h}}
  - {id: read, type: Metric_Query, depends_on: [first], parameters: {expr: up}, output_variable: up}
  - {id: shift, type: Traffic_Shift, depends_on: [read], parameters: {service: a, to: b, percent: 0}, rollback: inverse}
  - {id: tell, type: Notification, depends_on: [shift], parameters: {message: done}}
";

/// A run that waits in its first task, and whose process has ended.
async fn begun(world: &World) -> RunId {
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Shift").await;
    world.until(&engine, run, "waiting", |view| view.state == RunState::Waiting).await;
    engine.stop().await;
    run
}

async fn held(world: &World, engine: &Engine, run: RunId, words: &str) {
    let view = world
        .until(engine, run, "held", |view| {
            view.why.as_ref().is_some_and(|why| why.contains("the run goes on by itself"))
        })
        .await;
    assert_eq!(view.state, RunState::Waiting);
    let why = view.why.unwrap();
    assert!(why.contains(words) && why.contains("cancel the run"), "{why}");
}

async fn loud(world: &World) -> usize {
    let of_wait = |notice: &mayday::playbook::Notice| {
        notice.kind == NoticeKind::Escalation && notice.says.starts_with("it waits: ")
    };
    notices(world).await.into_iter().filter(of_wait).count()
}

#[tokio::test]
async fn a_run_whose_action_is_gone_waits_is_told_once_and_goes_on_with_a_binary_that_has_it() {
    for (gone, kind) in [("Metric_Query", "Metric_Query"), ("Traffic_Shift", "Traffic_Shift"), ("Wait", "")] {
        let mut world = World::of(&[SHIFT]);
        let run = begun(&world).await;
        if kind.is_empty() {
            // Here, but not in the version that the run was started with.
            world.versions.insert("Traffic_Shift", 2);
        } else {
            world.gone = vec![kind];
        }
        let words = if kind.is_empty() {
            "version 1 of Traffic_Shift, and this Mayday has version 2".to_owned()
        } else {
            format!("version 1 of {gone}, and this Mayday has none")
        };
        let second = world.engine(Faults::none()).await;
        assert_eq!(second.resume().await.unwrap(), 1);
        held(&world, &second, run, &words).await;
        world.clock.advance(std::time::Duration::from_secs(2 * 3600));
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        assert!(world.target().calls.is_empty(), "{gone}: nothing starts: {:?}", world.target().calls);
        second.stop().await;
        // The same binary again says nothing new.
        let third = world.engine(Faults::none()).await;
        third.resume().await.unwrap();
        held(&world, &third, run, &words).await;
        third.stop().await;
        assert_eq!(loud(&world).await, 1, "{gone}");

        (world.gone, world.versions) = (Vec::new(), std::collections::HashMap::new());
        let able = world.engine(Faults::none()).await;
        assert_eq!(able.resume().await.unwrap(), 1);
        let view = world.finish(&able, run).await.unwrap();
        assert!(view.tasks.iter().all(|task| task.state == TaskState::Succeeded), "{gone}: {view:#?}");
        assert_eq!(world.target().calls["shift"], 1);
    }
}

#[tokio::test]
async fn a_run_that_waits_for_an_action_can_be_cancelled_and_what_it_did_is_undone() {
    for also in [false, true] {
        let mut world = World::of(&[&SHIFT.replace("message: done}", "message: done}, pause: true")]);
        let engine = world.engine(Faults::none()).await;
        let run = world.propose(&engine, "PB-Shift").await;
        world.until(&engine, run, "waiting", |view| view.state == RunState::Waiting).await;
        world.clock.advance(std::time::Duration::from_secs(3600));
        world.until_asked(&engine, run).await;
        world.approve(&engine, run, "ana").await;
        let ana = person("ana", Role::Approver);
        world.until(&engine, run, "paused", |view| view.state == RunState::Paused).await;
        engine.stop().await;
        world.gone = if also { vec!["Notification", "Traffic_Shift"] } else { vec!["Notification"] };
        let second = world.engine(Faults::none()).await;
        second.resume().await.unwrap();
        // Paused for two reasons: `resume` ends one of them.
        second.order(run, Order::Resume, &ana).await.unwrap();
        held(&world, &second, run, "version 1 of Notification").await;
        second.order(run, Order::Cancel, &ana).await.unwrap();
        if also {
            // How the shift is undone nobody here knows: that waits too, and is not given up.
            let view = world.until(&second, run, "undoing", |view| view.state == RunState::RollingBack).await;
            let why = view.why.unwrap();
            assert!(why.contains("version 1 of Traffic_Shift") && why.contains("it is taken back"), "{why}");
            assert!(!why.contains("cancel the run"), "{why}");
            second.stop().await;
            world.gone = vec!["Notification"];
            let third = world.engine(Faults::none()).await;
            third.resume().await.unwrap();
            let view = world.until_ended(&third, run).await;
            assert_eq!(
                (view.outcome, World::states(&view)["shift"]),
                (Some(RunOutcome::Cancelled), TaskState::RolledBack)
            );
        } else {
            let view = world.until_ended(&second, run).await;
            assert_eq!(
                (view.outcome, World::states(&view)["shift"]),
                (Some(RunOutcome::Cancelled), TaskState::RolledBack)
            );
        }
        assert!(world.target().slate.is_empty());
    }
}

#[tokio::test]
async fn a_reading_that_was_under_way_waits_and_a_change_asks_a_person() {
    let text = "{playbook_id: PB-Shift, name: a, max_duration: 100h, tasks: [{id: read, type: Metric_Query, parameters: {expr: up}}]}";
    let mut world = World::of(&[text]);
    world.target().script.insert("read".to_owned(), [Act::Hang].into());
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Shift").await;
    world.until(&engine, run, "running", |view| view.tasks[0].state == TaskState::Running).await;
    world.gone = vec!["Metric_Query"];
    let second = world.engine(Faults::none()).await;
    second.resume().await.unwrap();
    held(&world, &second, run, "Metric_Query").await;
    world.gone = Vec::new();
    let third = world.engine(Faults::none()).await;
    third.resume().await.unwrap();
    assert_eq!(world.until_ended(&third, run).await.tasks[0].state, TaskState::Succeeded);

    let text = "{playbook_id: PB-Shift, name: a, max_duration: 100h, tasks: [{id: fix, type: Service_Restart, parameters: {service: a}}]}";
    let mut world = World::of(&[text]);
    world.target().script.insert("fix".to_owned(), [Act::Hang].into());
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Shift").await;
    world.until_asked(&engine, run).await;
    world.approve(&engine, run, "ana").await;
    world.until(&engine, run, "running", |view| view.tasks[0].state == TaskState::Running).await;
    world.gone = vec!["Service_Restart"];
    let second = world.engine(Faults::none()).await;
    second.resume().await.unwrap();
    let view = world.until(&second, run, "in doubt", |view| view.tasks[0].state == TaskState::InDoubt).await;
    assert!(view.tasks[0].note.as_ref().unwrap().contains("nothing that carries out"), "{view:#?}");
}

/// As if another Mayday had written the run, whose playbook has other words.
async fn with_other_words(world: &World, run: RunId, words: &str, other: &str) {
    let mut batch = Batch::new();
    for under in [Key::of(["playbook"]), Key::of(["run"]), Key::of(["run-event", &run.key()])] {
        for entry in world.store.scan(&Range::under(&under, 10)).await.unwrap() {
            let text = String::from_utf8(entry.value.to_vec()).unwrap();
            let old = mayday::core::digest::hex(SHIFT.as_bytes());
            let newer = SHIFT.replace(words, other);
            let (old_text, new_text) = (serde_json::to_string(SHIFT).unwrap(), serde_json::to_string(&newer).unwrap());
            let text = text.replace(&old_text, &new_text).replace(&old, &mayday::core::digest::hex(newer.as_bytes()));
            let key = if under == Key::of(["playbook"]) {
                batch.delete(entry.key.clone());
                Key::of(["playbook", "PB-Shift", &mayday::core::digest::hex(newer.as_bytes())])
            } else {
                entry.key.clone()
            };
            batch.writes.push(mayday::store::Write::Put(key, text.into_bytes()));
        }
    }
    world.store.commit(batch).await.unwrap();
}

/// What was changed only a Mayday that can read the playbook can take back, so nobody is told to cancel.
#[tokio::test]
async fn a_run_that_has_changed_something_and_can_t_be_read_here_waits_for_who_can() {
    let world = World::of(&[SHIFT]);
    let run = begun(&world).await;
    let engine = world.engine(Faults::none()).await;
    engine.resume().await.unwrap();
    world.clock.advance(std::time::Duration::from_secs(2 * 3600));
    world.until_asked(&engine, run).await;
    world.target().script.insert("tell".to_owned(), [Act::Hang].into());
    world.approve(&engine, run, "ana").await;
    world.until(&engine, run, "telling", |view| view.tasks[3].state == TaskState::Running).await;
    engine.stop().await;
    with_other_words(&world, run, "Metric_Query", "Tea_Leaves").await;
    let older = world.engine(Faults::none()).await;
    assert_eq!(older.resume().await.unwrap(), 0);
    let why = older.get(run).await.unwrap().unwrap().why.unwrap();
    assert!(why.contains("the run goes on by itself") && !why.contains("cancel"), "{why}");
    let refused = older.order(run, Order::Cancel, &person("ana", Role::Approver)).await.unwrap();
    assert!(matches!(&refused, Decided::Nothing(says) if says.contains("it has changed something")), "{refused:?}");
}

/// What a check of today advises against was perhaps fine for the Mayday that started the run: it goes on.
#[tokio::test]
async fn a_stricter_check_holds_up_no_run_that_was_started_before_it() {
    for (words, other, code) in [
        ("tasks:", "parameters: {unused: {type: string, default: x}}\ntasks:", "PB036"),
        ("for: 1h}", "for: 1h}, timeout: 200h", "PB035"),
        ("depends_on: [read],", "depends_on: [read], conditions: ['up.value == \"x\" || true'],", "PB033"),
    ] {
        let now = SHIFT.replace(words, other);
        let refused = mayday::playbook::Book::read("t.yaml", now.as_bytes()).unwrap_err();
        assert_eq!(refused.iter().map(|found| found.code.to_string()).collect::<Vec<_>>(), [code], "{refused:?}");
        let world = World::of(&[SHIFT]);
        let run = begun(&world).await;
        with_other_words(&world, run, words, other).await;
        let engine = world.engine(Faults::none()).await;
        assert_eq!(engine.resume().await.unwrap(), 1, "{code}");
        world.clock.advance(std::time::Duration::from_secs(2 * 3600));
        let view = world.until(&engine, run, "asking", |view| view.approval.is_some() || view.outcome.is_some()).await;
        assert!(view.approval.is_some(), "{code}: {view:?}");
        assert_eq!(loud(&world).await, 0);
    }
}

#[tokio::test]
async fn a_run_with_a_task_type_that_this_binary_does_not_know_waits_and_may_be_cancelled() {
    let world = World::of(&[SHIFT]);
    let run = begun(&world).await;
    // A newer one, with a task type that this one does not declare.
    with_other_words(&world, run, "Metric_Query", "Tea_Leaves").await;
    let older = world.engine(Faults::none()).await;
    for _ in 0..3 {
        assert_eq!(older.resume().await.unwrap(), 0);
    }
    held(&world, &older, run, "this Mayday can't read the run's playbook").await;
    assert!(older.get(run).await.unwrap().unwrap().why.unwrap().contains("Tea_Leaves"));
    assert_eq!(loud(&world).await, 1);
    let ana = person("ana", Role::Approver);
    let decided = older.order(run, Order::Pause, &ana).await.unwrap();
    assert!(matches!(&decided, Decided::Nothing(says) if says.contains("Tea_Leaves")), "{decided:?}");
    let refused = older.order(run, Order::Cancel, &person("cy", Role::Viewer)).await.unwrap();
    assert!(matches!(refused, Decided::Refused(_)), "{refused:?}");
    assert!(matches!(older.order(run, Order::Cancel, &ana).await.unwrap(), Decided::Done(_)));
    let view = older.get(run).await.unwrap().unwrap();
    assert_eq!((view.state, view.outcome), (RunState::Ended, Some(RunOutcome::Cancelled)));
    assert_eq!(older.resume().await.unwrap(), 0);
    let audit = mayday::access::Audit::new(world.store.clone(), world.clock()).list(None, 10).await.unwrap();
    assert!(audit.records.iter().any(|record| record.action == "cancel"));
}

#[tokio::test]
async fn the_list_of_runs_goes_on_past_those_of_a_later_mayday() {
    let world = World::of(&[SHIFT]);
    let engine = world.engine(Faults::none()).await;
    for number in 1..=6 {
        engine.propose(world.request("PB-Shift", &number.to_string())).await.unwrap();
    }
    let later = async |key: Key| {
        let mut value: serde_json::Value =
            serde_json::from_slice(&world.store.read(&key).await.unwrap().unwrap().value).unwrap();
        value["v"] = serde_json::json!(9_999);
        let mut batch = Batch::new();
        batch.writes.push(mayday::store::Write::Put(key, value.to_string().into_bytes()));
        world.store.commit(batch).await.unwrap();
    };
    for number in 1..=6 {
        world.until(&engine, RunId::new(number), "waiting", |view| view.state == RunState::Waiting).await;
    }
    engine.stop().await;
    for number in [3, 4] {
        later(Key::of(["run", &RunId::new(number).key()])).await;
    }
    // Of one only the journal: what is folded is written now and then.
    let of_five = Range::under(&Key::of(["run-event", &RunId::new(5).key()]), 100).backward();
    later(world.store.scan(&of_five).await.unwrap().remove(0).key).await;
    let listed = |views: Vec<mayday::playbook::RunView>| views.iter().map(|view| view.run.number()).collect::<Vec<_>>();
    assert_eq!(listed(engine.list(None, 2).await.unwrap()), [6, 2], "a page that is full says that there may be more");
    assert_eq!(listed(engine.list(Some(RunId::new(2)), 2).await.unwrap()), [1]);
    assert_eq!(listed(engine.list(None, 10).await.unwrap()), [6, 2, 1]);
}
