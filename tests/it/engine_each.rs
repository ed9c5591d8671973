//! `for_each`: the list once, an intent for each item, as many at a time as allowed, one approval for all.

use mayday::access::Role;
use mayday::core::BoxFuture;
use mayday::playbook::view::{Order, RunOutcome};
use mayday::playbook::{Faults, RunState, Runs as _, TaskState};
use mayday::store::{Batch, Entry, Error, Key, Range, Revision, SharedStore, Store, Watch, Write};
use serde_json::json;

use super::engine_world::{Act, World, person};

const CLEAN: &str = "
playbook_id: PB-Clean
name: clean hosts
tasks:
  - {id: find, type: API_Call, action: GET /hosts, output_variable: found}
  - id: clean
    type: Service_Restart
    depends_on: [find]
    for_each: {in: found.hosts, concurrency: 2}
    parameters: {service: '{{ item.name }}'}
    output_variable: cleaned
    rollback: undo_it
  - {id: undo_it, type: API_Call, action: POST /undo, parameters: {undoes: 'clean[{{ item.number }}]'}}
  - {id: tell, type: Notification, depends_on: [clean], parameters: {message: '{{ cleaned|length }} of {{ found.hosts|length }}'}}
";

fn hosts(world: &World, count: u32) {
    let hosts: Vec<_> = (0..count).map(|number| json!({"name": format!("h{number}"), "number": number})).collect();
    world.target().outputs.insert("find".to_owned(), [json!({"hosts": hosts}), json!({"hosts": []})].into());
}

fn happened(world: &World, task: &str) -> u32 {
    let target = world.target();
    target.keys.get(task).map_or(0, |keys| keys.iter().map(|key| target.happened[key]).sum())
}

#[tokio::test]
async fn one_approval_covers_all_items_each_with_an_intent_of_its_own() {
    let world = World::of(&[CLEAN]);
    hosts(&world, 5);
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Clean").await;
    let asked = world.until_asked(&engine, run).await.approval.unwrap();
    let names: Vec<&str> = asked.frontier.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["clean: h0", "clean: h1", "clean: h2", "clean: h3", "clean: h4"]);
    assert!(asked.frontier[0].1.undo.as_ref().unwrap().contains("undo_it"));
    world.approve(&engine, run, "ana").await;
    let view = world.until_ended(&engine, run).await;
    let task = view.tasks.iter().find(|task| task.id == "clean").unwrap();
    assert_eq!((task.state, task.note.as_deref()), (TaskState::Succeeded, Some("5 items")), "{view:#?}");
    assert_eq!(task.output.as_ref().unwrap().as_array().unwrap().len(), 5);
    for item in 0..5 {
        assert_eq!(happened(&world, &format!("clean[{item}]")), 1);
    }
    assert_eq!(world.target().said, ["5 of 5"], "the list was worked out once");
}

#[tokio::test]
async fn no_more_items_are_under_way_than_allowed() {
    let world = World::of(&[CLEAN]);
    hosts(&world, 5);
    for item in 0..5 {
        world.target().script.insert(format!("clean[{item}]"), [Act::Hang].into());
    }
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Clean").await;
    world.until_asked(&engine, run).await;
    world.approve(&engine, run, "ana").await;
    let running = |view: &mayday::playbook::RunView| {
        view.tasks.iter().filter(|task| task.id.starts_with("clean[") && task.state == TaskState::Running).count()
    };
    let view = world.until(&engine, run, "two run", |view| running(view) == 2).await;
    assert_eq!(World::states(&view)["clean"], TaskState::Running);
    for _ in 0..200 {
        tokio::task::yield_now().await;
        assert!(running(&engine.get(run).await.unwrap().unwrap()) <= 2);
    }
    engine.order(run, Order::Cancel, &person("ana", Role::Approver)).await.unwrap();
    world.until_ended(&engine, run).await;
}

#[tokio::test]
async fn an_item_that_fails_ends_the_run_and_takes_the_others_back() {
    let world = World::of(&[CLEAN]);
    hosts(&world, 5);
    world.target().script.insert("clean[2]".to_owned(), [Act::Permanent].into());
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Clean").await;
    let view = world.finish(&engine, run).await.unwrap();
    assert_eq!(view.outcome, Some(RunOutcome::Failed), "{view:#?}");
    assert!(world.target().slate.is_empty(), "{:?}", world.target().slate);
    assert_eq!(happened(&world, "clean[4]"), 0, "no further item starts");
    let states = World::states(&view);
    assert_eq!((states["clean"], states["clean[0]"]), (TaskState::RolledBack, TaskState::RolledBack));
    assert_eq!(states["undo_it[0]"], TaskState::Succeeded);
}

#[tokio::test]
async fn where_the_run_goes_on_the_other_items_are_done_and_the_failed_one_can_be_tried_again() {
    let text = CLEAN
        .replace("    output_variable: cleaned", "    on_failure: continue\n    output_variable: cleaned")
        .replace("depends_on: [clean],", "depends_on: [clean], pause: true,");
    let world = World::of(&[&text]);
    hosts(&world, 3);
    world.target().script.insert("clean[1]".to_owned(), [Act::Permanent].into());
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Clean").await;
    world.until_asked(&engine, run).await;
    world.approve(&engine, run, "ana").await;
    let view = world.until(&engine, run, "paused", |view| view.state == RunState::Paused).await;
    let task = view.tasks.iter().find(|task| task.id == "clean").unwrap();
    assert_eq!((task.state, task.note.as_deref()), (TaskState::Failed, Some("1 of 3 items failed")));
    assert!(task.output.as_ref().unwrap()[1].is_null());
    let ana = person("ana", Role::Approver);
    engine.order(run, Order::Retry, &ana).await.unwrap();
    engine.order(run, Order::Resume, &ana).await.unwrap();
    let view = world.finish(&engine, run).await.unwrap();
    assert_eq!(World::states(&view)["clean"], TaskState::Succeeded, "{view:#?}");
    assert_eq!((happened(&world, "clean[0]"), happened(&world, "clean[1]")), (1, 1));
}

#[tokio::test]
async fn a_list_that_is_too_long_or_none_at_all_fails_the_task_and_an_empty_one_does_nothing() {
    for (count, state) in [(101, TaskState::Failed), (0, TaskState::Succeeded)] {
        let world = World::of(&[CLEAN]);
        hosts(&world, count);
        let engine = world.engine(Faults::none()).await;
        let run = world.propose(&engine, "PB-Clean").await;
        let view = world.finish(&engine, run).await.unwrap();
        assert_eq!(World::states(&view)["clean"], state, "{count}");
    }
}

#[tokio::test]
async fn a_crash_at_any_record_changes_nothing_with_items_and_their_undoing() {
    async fn go(faults: Faults) -> (Option<RunOutcome>, Vec<String>, Vec<u32>, u64) {
        let world = World::of(&[CLEAN]);
        hosts(&world, 3);
        // A reading whose answer was lost is taken again, and the hosts are still there.
        drop(world.target().outputs.get_mut("find").and_then(std::collections::VecDeque::pop_back));
        world.target().script.insert("clean[2]".to_owned(), vec![Act::Permanent; 3].into());
        let engine = world.engine(faults).await;
        let run = world.propose(&engine, "PB-Clean").await;
        let view = match world.finish(&engine, run).await {
            Some(view) => view,
            None => {
                let next = world.engine(Faults::none()).await;
                next.resume().await.unwrap();
                world.finish(&next, run).await.unwrap()
            }
        };
        let slate = world.target().slate.iter().cloned().collect();
        let times = (0..3).map(|item| happened(&world, &format!("clean[{item}]"))).collect();
        (view.outcome, slate, times, view.journal)
    }
    let (outcome, slate, times, records) = go(Faults::none()).await;
    assert_eq!((outcome, slate.len(), times.as_slice()), (Some(RunOutcome::Failed), 0, &[1, 1, 0][..]));
    for record in 1..records {
        for faults in [
            Faults { crash_before: Some(record), ..Faults::none() },
            Faults { crash_after: Some(record), ..Faults::none() },
        ] {
            let (outcome, slate, times, _) = go(faults.clone()).await;
            assert_eq!((outcome, slate.len()), (Some(RunOutcome::Failed), 0), "{faults:?}");
            assert!(times.iter().all(|times| *times <= 1), "{faults:?} {times:?}");
        }
    }
}

const LARGE: &str = "
playbook_id: PB-Large
name: readings and a change that may be large
concurrency_key: one
tasks:
  - {id: read, type: Metric_Query, for_each: {in: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40], concurrency: 8}, parameters: {expr: up}, output_variable: read}
  - {id: clean, type: Disk_Cleanup, depends_on: [read], parameters: {service: a}}
  - {id: tell, type: Notification, depends_on: [clean], parameters: {message: '{{ read|length }} items'}}
";

/// A store that takes no batch of any size.
struct Limited(SharedStore);

impl Store for Limited {
    fn read<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>, Error>> {
        self.0.read(key)
    }
    fn scan<'a>(&'a self, range: &'a Range) -> BoxFuture<'a, Result<Vec<Entry>, Error>> {
        self.0.scan(range)
    }
    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Revision, Error>> {
        let size = |write: &Write| if let Write::Put(_, value) = write { value.len() } else { 0 };
        let (bytes, most) = (batch.writes.iter().map(size).sum(), 2 * 1024 * 1024);
        if bytes > most {
            return Box::pin(std::future::ready(Err(Error::TooLarge { bytes, most })));
        }
        self.0.commit(batch)
    }
    fn watch(&self, prefix: &Key) -> Watch {
        self.0.watch(prefix)
    }
}

fn limited(text: &str) -> World {
    let mut world = World::of(&[text]);
    world.store = std::sync::Arc::new(Limited(world.store.clone()));
    world
}

#[tokio::test]
async fn a_run_that_outgrows_a_commit_ends_and_its_list_keeps_a_place_for_each_item() {
    let world = limited(LARGE);
    for item in 0..40 {
        let large = json!({"value": 1, "body": "x".repeat(60_000)});
        world.target().outputs.insert(format!("read[{item}]"), [large].into());
    }
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Large").await;
    let view = world.finish(&engine, run).await.unwrap();
    assert_eq!(World::states(&view)["tell"], TaskState::Succeeded, "{:?}", view.why);
    assert_eq!(world.target().said, ["40 items"]);
    let task = view.tasks.iter().find(|task| task.id == "read").unwrap();
    let output = task.output.as_ref().unwrap();
    assert!(output.to_string().len() < 80_000, "{}", output.to_string().len());
    assert_eq!(output[39]["value"], 1);
    // As another process reads it.
    let listed = engine.list(None, 10).await.unwrap();
    assert_eq!((listed[0].run, listed[0].outcome), (run, view.outcome));
}

#[tokio::test]
async fn a_plan_that_is_too_large_fails_its_task_and_a_step_that_can_not_be_written_ends_the_run() {
    let mut world = limited(LARGE);
    world.target().objects.insert("clean".to_owned(), "x".repeat(3_000_000));
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Large").await;
    let view = world.finish(&engine, run).await.unwrap();
    assert_eq!(view.outcome, Some(RunOutcome::Failed), "{:?}", view.why);
    assert!(view.why.as_ref().unwrap().contains("to write down"), "{:?}", view.why);
    engine.stop().await;

    // Who allows outputs that the store does not take has them end the run.
    world.options.output_bytes = 8_000_000;
    world.target().objects.clear();
    world.target().outputs.insert("clean".to_owned(), [json!({"body": "x".repeat(3_000_000)})].into());
    let engine = world.engine(Faults::none()).await;
    let request = world.request("PB-Large", "another");
    let mayday::playbook::Proposed::New(run) = engine.propose(request).await.unwrap() else { panic!() };
    let view = world.finish(&engine, run).await.unwrap();
    assert_eq!(view.outcome, Some(RunOutcome::Stuck), "{:?}", view.why);
    assert!(view.why.as_ref().unwrap().contains("larger than the store takes"), "{:?}", view.why);
    assert_eq!(World::states(&view)["clean"], TaskState::InDoubt, "a person can say what happened");
    let request = world.request("PB-Large", "once more");
    assert!(engine.propose(request).await.is_ok(), "nothing is held any more");
}
