//! Real programs under the engine: one that did its work and ended badly has not "not happened".

use std::sync::Arc;

use mayday::access::Role;
use mayday::action::run_command::{self, RunCommand};
use mayday::playbook::view::Order;
use mayday::playbook::{Faults, Runs as _, TaskState};
use serde_json::json;

use super::engine_world::{World, person};

const COPIES: &str = "
playbook_id: PB-Copy
name: copy
max_duration: 23h
tasks:
  - {id: copy, type: Run_Command, parameters: {program: copy}, timeout: 9h, retry: {attempts: 3, on: [any]}, rollback: inverse}
";

/// A program that copies the one file that is there, and fails since another is not; its undo removes the copy.
fn world(folder: &std::path::Path, idempotent: bool) -> World {
    let (from, to, gone) = (folder.join("file"), folder.join("to"), folder.join("gone"));
    std::fs::write(&from, "x").unwrap();
    std::fs::create_dir_all(&to).unwrap();
    let commands: Vec<run_command::Command> = serde_json::from_value(json!([
        {"name": "copy", "path": "/bin/cp", "args": ["-t", to, from, gone], "idempotent": idempotent, "undo": "remove"},
        {"name": "remove", "path": "/bin/rm", "args": ["-f", to.join("file")], "idempotent": true},
    ]))
    .unwrap();
    let mut world = World::of(&[COPIES]);
    world.real.push(Arc::new(RunCommand::new(run_command::check(&commands).unwrap())));
    world
}

#[tokio::test]
async fn a_program_that_ended_badly_is_not_run_again_before_a_person_says_whether_it_did_its_work() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path(), false);
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Copy").await;
    world.until_asked(&engine, run).await;
    world.approve(&engine, run, "ana").await;
    let view = world.until(&engine, run, "in doubt", |view| view.tasks[0].state == TaskState::InDoubt).await;
    let why = view.tasks[0].note.clone().unwrap();
    assert!(why.contains("exit code 1") && why.contains("gone"), "the person sees what it said: {why}");
    assert!(folder.path().join("to/file").exists());
    let answer = Order::Answer { task: "copy".to_owned(), answer: "done".to_owned() };
    engine.order(run, answer, &person("ana", Role::Approver)).await.unwrap();
    let view = world.until_ended(&engine, run).await;
    assert_eq!(view.tasks[0].state, TaskState::Succeeded, "{view:#?}");
}

#[tokio::test]
async fn what_an_idempotent_program_may_have_done_before_it_failed_is_undone() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path(), true);
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Copy").await;
    world.until_asked(&engine, run).await;
    world.approve(&engine, run, "ana").await;
    let view = world.until_ended(&engine, run).await;
    assert_eq!(view.tasks[0].state, TaskState::RolledBack, "{view:#?}");
    assert!(!folder.path().join("to/file").exists(), "what it copied is removed again");
    let why = view.why.unwrap();
    assert!(why.contains("undone: copy") && !why.contains("othing was changed"), "{why}");
}
