//! What an approval covers when the live system has moved before the effect.

use mayday::playbook::run::Event;
use mayday::playbook::view::RunOutcome;
use mayday::playbook::{Faults, RunState, TaskState};

use super::engine_world::World;

#[tokio::test]
async fn when_the_object_moved_after_the_approval_people_are_asked_again_with_the_difference() {
    let text = "
playbook_id: PB-A
name: a
tasks:
  - {id: first, type: Service_Restart, parameters: {service: a}}
  - {id: second, type: Service_Restart, parameters: {service: b}}
";
    let mut world = World::of(&[text]);
    // One at a time, so that the second is looked at again after the first.
    world.options.parallel_tasks = 1;
    world.target().objects.insert("second".to_owned(), "pid 1".to_owned());
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-A").await;
    let view = world.until_asked(&engine, run).await;
    assert_eq!(view.approval.unwrap().frontier.len(), 2);
    world.target().objects.insert("second".to_owned(), "pid 2".to_owned());
    world.approve(&engine, run, "ana").await;
    let view = world.until_asked(&engine, run).await;
    let ask = view.approval.unwrap();
    assert_eq!(ask.frontier.len(), 1);
    assert!(ask.difference[0].contains("pid 1 → pid 2"), "{:?}", ask.difference);
    assert_eq!(view.state, RunState::Waiting);
    assert!(!world.target().keys.contains_key("second"));
    world.approve(&engine, run, "ana").await;
    let view = world.until_ended(&engine, run).await;
    assert!(view.tasks.iter().all(|task| task.state == TaskState::Succeeded), "{view:#?}");
    assert_eq!(view.outcome, Some(RunOutcome::NoEffect), "nothing verified it");
}

#[tokio::test]
async fn what_its_action_says_can_still_be_done_as_it_was_seen_is_not_asked_again() {
    let world = World::of(&[
        "{playbook_id: PB-A, name: a, tasks: [{id: one, type: Service_Restart, parameters: {service: a}}]}",
    ]);
    world.target().still_holds = true;
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-A").await;
    world.until_asked(&engine, run).await;
    world.target().objects.insert("one".to_owned(), "more of it".to_owned());
    world.approve(&engine, run, "ana").await;
    let view = world.until_ended(&engine, run).await;
    assert_eq!(view.tasks[0].state, TaskState::Succeeded, "{view:#?}");
    assert!(!engine.journal(run).await.unwrap().iter().any(|entry| matches!(entry.event, Event::Moved { .. })));
}
