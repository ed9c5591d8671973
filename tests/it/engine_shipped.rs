//! Promises of every playbook that Mayday ships, shown with actions that record what they are asked to do: each task may run
//! twice without a second effect, a crash changes nothing, and failures at each task, or at two, unwind to a clean slate.

use std::collections::{BTreeMap, BTreeSet};

use mayday::access::Risk;
use mayday::playbook::model::Task;
use mayday::playbook::tasks;
use mayday::playbook::view::{ProposeRequest, RunOutcome};
use mayday::playbook::{Book, Faults, Proposed, RunView, Runs as _, TaskState};
use serde_json::Value;

use super::engine_world::World;

fn shipped() -> Vec<Book> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks");
    let (books, mistakes) = mayday::playbook::authoring::load(&folder);
    assert!(mistakes.is_empty(), "{mistakes:#?}");
    assert!(books.len() >= 5);
    books
}

/// A world in which everything goes as in the playbook's first test, the one in which its change helps. Through a crash, if
/// the faults say so, after which nothing else is different.
async fn go(book: &Book, faults: Faults) -> (World, RunView) {
    let mut world = World::of(&[&book.text]);
    world.more = vec!["Database_Check", "Dependency_Check", "Kubernetes_Scale"];
    let test = &book.playbook.tests[0];
    for (task, given) in &test.given {
        let readings = match given {
            Value::Array(readings) => readings.as_slice(),
            one => std::slice::from_ref(one),
        };
        let helped = (readings.first().unwrap().clone(), readings.last().unwrap().clone());
        world.target().helped.insert(task.clone(), helped);
    }
    let service = test.alert.as_ref().and_then(|alert| alert.get("service_name")).cloned();
    let parameters: BTreeMap<String, Value> =
        book.playbook.parameters.keys().map(|name| (name.clone(), service.clone().unwrap_or_default())).collect();
    let engine = world.engine(faults.clone()).await;
    let request = ProposeRequest { parameters, ..world.request(&book.playbook.playbook_id, "key") };
    let Proposed::New(run) = engine.propose(request).await.unwrap() else { panic!() };
    let view = match world.finish(&engine, run).await {
        Some(view) => view,
        None => {
            let next = world.engine(Faults { crash_before: None, crash_after: None, ..faults }).await;
            next.resume().await.unwrap();
            world.finish(&next, run).await.expect("nobody dies twice")
        }
    };
    (world, view)
}

/// What a task does outside counts: a reading may be taken as often as one likes.
fn acts(task: &Task) -> bool {
    tasks::risk(task) > Risk::Read || task.kind == "Notification"
}

/// Nothing that acts did so twice.
fn once(world: &World, book: &Book, what: &str) {
    let target = world.target();
    for task in book.playbook.tasks.iter().filter(|task| acts(task)) {
        let effects = target.effects.get(&task.id).copied().unwrap_or_default();
        assert!(effects <= 1, "{}: {what}: {} had {effects} effects", book.playbook.playbook_id, task.id);
    }
}

fn only(task: &str) -> BTreeSet<String> {
    BTreeSet::from([task.to_owned()])
}

#[tokio::test]
async fn each_task_may_run_twice_without_a_second_effect() {
    let mut twice = 0;
    for book in shipped() {
        let id = &book.playbook.playbook_id;
        let (_, undisturbed) = go(&book, Faults::none()).await;
        assert_eq!(undisturbed.outcome, Some(RunOutcome::Fixed), "{id}: {undisturbed:#?}");
        for task in &book.playbook.tasks {
            let (world, view) = go(&book, Faults { repeat: Some(task.id.clone()), ..Faults::none() }).await;
            once(&world, &book, &format!("{} twice", task.id));
            if acts(task) {
                let target = world.target();
                assert_eq!((target.calls[&task.id], target.effects[&task.id]), (2, 1), "{id}: {}", task.id);
                twice += 1;
            }
            assert_eq!(view.outcome, undisturbed.outcome, "{id}: {}", task.id);
            assert_eq!(World::states(&view), World::states(&undisturbed), "{id}: {}", task.id);
        }
    }
    assert!(twice >= 5, "{twice}");
}

#[tokio::test]
async fn a_crash_at_each_record_changes_neither_the_end_nor_what_was_done() {
    for book in shipped() {
        let id = &book.playbook.playbook_id;
        let change = book.playbook.tasks.iter().find(|task| task.undone_by().is_some());
        // As it goes well, and as it is taken back.
        let ways = [Some(Faults::none()), change.map(|task| Faults { unverified: only(&task.id), ..Faults::none() })];
        for faults in ways.into_iter().flatten() {
            let (_, undisturbed) = go(&book, faults.clone()).await;
            for record in 1..undisturbed.journal {
                // Before and after take turns: the one is the other's neighbour.
                let crash = match record % 2 {
                    0 => Faults { crash_before: Some(record), ..faults.clone() },
                    _ => Faults { crash_after: Some(record), ..faults.clone() },
                };
                let what = format!("{crash:?}");
                let (world, view) = go(&book, crash).await;
                once(&world, &book, &what);
                assert_eq!(view.outcome, undisturbed.outcome, "{id}: {what}: {view:#?}");
                assert_eq!(World::states(&view), World::states(&undisturbed), "{id}: {what}");
            }
        }
    }
}

/// What a playbook leaves when something went wrong: how many of its changes were taken back, and how many stayed.
fn slate(book: &Book, world: &World, view: &RunView, what: &str) -> (usize, usize) {
    let id = &book.playbook.playbook_id;
    assert_ne!(view.outcome, Some(RunOutcome::Stuck), "{id}: {what}: {view:#?}");
    once(world, book, what);
    let why = view.why.clone().unwrap_or_default();
    let states = World::states(view);
    // The run stopped before its end, so that it took back what it could.
    let stopped = view.outcome != Some(RunOutcome::Fixed)
        && book.playbook.tasks.iter().any(|task| states[&task.id] == TaskState::Failed && !task.on_failure.continues());
    let target = world.target();
    for changed in &target.slate {
        let declared = book.playbook.tasks.iter().find(|declared| declared.id == *changed).unwrap();
        assert!(!stopped || declared.undone_by().is_none(), "{id}: {what}: {changed} stays");
        // What stays is not passed over in silence.
        assert!(!stopped || why.contains(&declared.name), "{id}: {what}: {changed} stays unsaid: {why}");
    }
    assert!(!why.is_empty(), "{id}: {what}");
    let undone = states.values().filter(|state| **state == TaskState::RolledBack).count();
    (undone, target.slate.len())
}

#[tokio::test]
async fn a_failure_at_each_task_or_at_two_unwinds_to_a_clean_slate() {
    let (mut undone, mut stayed) = (0, 0);
    for book in shipped() {
        let tasks = &book.playbook.tasks;
        let mut cases = Vec::new();
        for task in tasks {
            cases.push(Faults { unheard: only(&task.id), ..Faults::none() });
            cases.push(Faults { unverified: only(&task.id), ..Faults::none() });
            for other in tasks.iter().skip_while(|other| other.id != task.id) {
                cases
                    .push(Faults { fail: only(&task.id).union(&only(&other.id)).cloned().collect(), ..Faults::none() });
                cases.push(Faults { fail: only(&other.id), unheard: only(&task.id), ..Faults::none() });
            }
        }
        for faults in cases {
            let what = format!("{faults:?}");
            let (world, view) = go(&book, faults.clone()).await;
            let states = World::states(&view);
            // Both of two fail only where the first lets the run go on.
            let failed = faults
                .fail
                .union(&faults.unheard)
                .filter(|task| matches!(states[*task], TaskState::Failed | TaskState::RolledBack))
                .count();
            assert!(failed > 0 || faults.fail.is_empty(), "{}: {what}: {states:?}", book.playbook.playbook_id);
            let (back, stays) = slate(&book, &world, &view, &what);
            undone += back;
            stayed += stays;
        }
    }
    assert!(undone > 0 && stayed > 0, "nothing was there to take back or to stay: {undone} {stayed}");
}

#[tokio::test]
async fn an_undo_that_fails_leaves_the_change_and_says_so() {
    let mut stuck = 0;
    for book in shipped() {
        for task in book.playbook.tasks.iter().filter(|task| task.undone_by().is_some()) {
            for other in &book.playbook.tasks {
                let fail = BTreeSet::from([format!("undo:{}", task.id), other.id.clone()]);
                if other.id == task.id {
                    continue;
                }
                let (world, view) = go(&book, Faults { fail, unverified: only(&task.id), ..Faults::none() }).await;
                if !world.target().effects.contains_key(&task.id) {
                    continue;
                }
                stuck += 1;
                assert_eq!(view.outcome, Some(RunOutcome::Stuck), "{}: {view:#?}", task.id);
                assert!(view.undo_failed() && world.target().slate.contains(&task.id), "{view:#?}");
                assert!(view.why.as_ref().unwrap().contains(&task.name), "{:?}", view.why);
            }
        }
    }
    assert!(stuck > 0);
}

#[tokio::test]
async fn a_change_that_does_not_help_is_taken_back_where_its_playbook_can() {
    for book in shipped() {
        let id = &book.playbook.playbook_id;
        let can: Vec<&str> =
            book.playbook.tasks.iter().filter(|task| task.undone_by().is_some()).map(|task| task.id.as_str()).collect();
        // What a reading gave before the change is all it ever gives: nothing helps.
        let text = book.text.clone();
        let mut book = Book::read(&book.file, text.as_bytes()).unwrap();
        let readers: Vec<String> = book
            .playbook
            .tasks
            .iter()
            .filter(|task| task.output_variable.is_some())
            .map(|task| task.id.clone())
            .collect();
        for (task, given) in &mut book.playbook.tests[0].given {
            if let (true, Value::Array(readings)) = (readers.contains(task), &mut *given) {
                readings.truncate(1);
            }
        }
        let (world, view) = go(&book, Faults::none()).await;
        assert_ne!(view.outcome, Some(RunOutcome::Fixed), "{id}: {view:#?}");
        for task in can {
            assert_eq!(World::states(&view)[task], TaskState::RolledBack, "{id}");
            assert!(!world.target().slate.contains(task), "{id}");
        }
    }
}
