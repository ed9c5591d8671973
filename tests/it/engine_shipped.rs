//! Two promises of every playbook that Mayday ships, shown with actions that record what they are asked to do: each task may
//! run twice without a second effect, and a failure at each task unwinds to a clean slate.

use std::collections::{BTreeMap, VecDeque};

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

/// A world in which everything goes as in the playbook's first test, the one in which its change helps.
async fn go(book: &Book, faults: Faults) -> (World, RunView) {
    let mut world = World::of(&[&book.text]);
    world.more = vec!["Database_Check", "Dependency_Check", "Kubernetes_Scale"];
    let test = &book.playbook.tests[0];
    for (task, given) in &test.given {
        let readings = match given {
            // What it was at first it still is right before the change, when it may be read again.
            Value::Array(readings) => readings.first().into_iter().chain(readings).cloned().collect(),
            one => VecDeque::from([one.clone()]),
        };
        // A reading that is taken twice at once finds the same both times.
        let twice = usize::from(faults.repeat.as_ref() == Some(task));
        let readings: VecDeque<Value> =
            readings.into_iter().flat_map(|reading: Value| vec![reading; 1 + twice]).collect();
        world.target().outputs.insert(task.clone(), readings);
    }
    let service = test.alert.as_ref().and_then(|alert| alert.get("service_name")).cloned();
    let parameters: BTreeMap<String, Value> =
        book.playbook.parameters.keys().map(|name| (name.clone(), service.clone().unwrap_or_default())).collect();
    let engine = world.engine(faults).await;
    let request = ProposeRequest { parameters, ..world.request(&book.playbook.playbook_id, "key") };
    let Proposed::New(run) = engine.propose(request).await.unwrap() else { panic!() };
    let view = world.finish(&engine, run).await.expect("nobody dies");
    (world, view)
}

#[tokio::test]
async fn each_task_may_run_twice_without_a_second_effect() {
    for book in shipped() {
        let id = &book.playbook.playbook_id;
        let (_, undisturbed) = go(&book, Faults::none()).await;
        assert_eq!(undisturbed.outcome, Some(RunOutcome::Fixed), "{id}: {undisturbed:#?}");
        for task in &book.playbook.tasks {
            let (world, view) = go(&book, Faults { repeat: Some(task.id.clone()), ..Faults::none() }).await;
            let target = world.target();
            // The target is told the same key both times, and is brought to the same state: for it there is one effect.
            if let Some(keys) = target.keys.get(&task.id).filter(|_| view.tasks.iter().any(|seen| seen.id == task.id)) {
                let reads = target.calls[&task.id] > 2;
                assert!(keys.len() == 1 || reads, "{id}: {} has two effects: {keys:?}", task.id);
            }
            assert_eq!(view.outcome, undisturbed.outcome, "{id}: {}", task.id);
            let states = |view: &RunView| World::states(view);
            assert_eq!(states(&view), states(&undisturbed), "{id}: {}", task.id);
        }
    }
}

#[tokio::test]
async fn a_failure_at_each_task_unwinds_to_a_clean_slate() {
    for book in shipped() {
        let id = &book.playbook.playbook_id;
        for task in &book.playbook.tasks {
            let (world, view) = go(&book, Faults { fail: Some(task.id.clone()), ..Faults::none() }).await;
            let states = World::states(&view);
            assert_eq!(states[&task.id], TaskState::Failed, "{id}: {}", task.id);
            assert_ne!(view.outcome, Some(RunOutcome::Stuck), "{id}: {}: {view:#?}", task.id);
            let stopped = !task.on_failure.continues();
            let target = world.target();
            for changed in &target.slate {
                let declared = book.playbook.tasks.iter().find(|declared| declared.id == *changed).unwrap();
                // What can be undone is; of the rest people are told that it stays, or the run went on to its end.
                assert!(!stopped || declared.undone_by().is_none(), "{id}: {} fails, {changed} stays", task.id);
            }
            assert!(!view.why.clone().unwrap_or_default().is_empty());
        }
    }
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
