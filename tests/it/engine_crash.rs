//! A crash at any record of the journal changes nothing: the same end, nothing lost, nothing repeated that must not be.

use std::collections::BTreeMap;

use mayday::playbook::{Faults, RunState, TaskState};

use super::engine_world::{Act, World};

const RESTART: &str = "
playbook_id: PB-Restart
name: restart and verify
tasks:
  - {id: read, type: Metric_Query, parameters: {expr: up}, output_variable: up}
  - {id: logs, type: Log_Aggregation, parameters: {service: a}, output_variable: logs}
  - {id: restart, type: Service_Restart, depends_on: [read, logs], parameters: {service: a}, on_success: send_notification}
  - {id: check, type: Verify, depends_on: [restart], parameters: {condition: up.value == 1, within: 60s}}
  - {id: tell, type: Notification, depends_on: [check], parameters: {message: done}}
";

const PARALLEL: &str = "
playbook_id: PB-Parallel
name: parallel changes of three kinds, with a join
tasks:
  - {id: read, type: API_Call, action: GET /x, output_variable: x}
  - {id: clean, type: Disk_Cleanup, depends_on: [read], parameters: {service: a}}
  - {id: restart, type: Service_Restart, depends_on: [read], parameters: {service: a}, verify: {condition: x.value == 1}}
  - {id: command, type: Run_Command, depends_on: [read], parameters: {program: fix}}
  - {id: skipped, type: Run_Command, depends_on: [read], conditions: [x.value > 5], parameters: {program: fix}}
  - {id: second, type: Run_Command, depends_on: [clean, restart, command, skipped], parameters: {program: fix}}
  - {id: tell, type: Notification, depends_on: [second], parameters: {message: done}}
";

const RETRIES: &str = "
playbook_id: PB-Retries
name: failures that are tried again, and one that goes on
tasks:
  - {id: flaky, type: Metric_Query, parameters: {expr: up}, retry: {attempts: 3, backoff: 2s}}
  - {id: broken, type: Metric_Query, parameters: {expr: up}, on_failure: continue_with_notification}
  - {id: restart, type: Service_Restart, depends_on: [flaky, broken], parameters: {service: a}, retry: {attempts: 3, backoff: 1s}}
  - {id: wait, type: Wait, depends_on: [restart], parameters: {for: 5s}}
  - {id: tell, type: Notification, depends_on: [wait], parameters: {message: done}}
";

const DOUBTS: &str = "
playbook_id: PB-Doubts
name: answers that are lost
tasks:
  - {id: probed, type: Service_Restart, parameters: {service: a}}
  - {id: asked, type: Run_Command, depends_on: [probed], parameters: {program: fix}}
  - {id: tell, type: Notification, depends_on: [asked], parameters: {message: done}}
";

fn script(world: &World, name: &str) {
    let mut target = world.target();
    match name {
        "PB-Retries" => {
            target.script.insert("flaky".to_owned(), [Act::Transient].into());
            target.script.insert("broken".to_owned(), vec![Act::Permanent; 40].into());
            target.script.insert("restart".to_owned(), [Act::Transient].into());
        }
        "PB-Doubts" => {
            target.script.insert("probed".to_owned(), [Act::DoUnsaid].into());
            target.script.insert("asked".to_owned(), [Act::DoUnsaid].into());
        }
        _ => {}
    }
}

type End = (Option<mayday::playbook::view::RunOutcome>, BTreeMap<String, TaskState>, BTreeMap<String, u32>);

/// Runs a playbook to its end, through a crash if the faults say so; how often each change happened is part of the end.
async fn run(text: &str, name: &str, faults: Faults) -> (End, u64) {
    let world = World::of(&[text]);
    script(&world, name);
    let engine = world.engine(faults.clone()).await;
    let run = world.propose(&engine, name).await;
    let view = match world.finish(&engine, run).await {
        Some(view) => view,
        None => {
            let next = world.engine(Faults::none()).await;
            // Nothing is left to go on with when it died right after the last record.
            assert!(next.resume().await.unwrap() <= 1);
            world.finish(&next, run).await.expect("the second process does not die")
        }
    };
    let target = world.target();
    let changes = ["restart", "command", "second", "probed", "asked"];
    let happened = changes
        .iter()
        .filter_map(|task| {
            let keys = target.keys.get(*task)?;
            Some(((*task).to_owned(), keys.iter().map(|key| target.happened[key]).sum()))
        })
        .collect();
    ((view.outcome, World::states(&view), happened), view.journal)
}

#[tokio::test]
async fn a_crash_at_every_record_ends_the_same_and_repeats_nothing() {
    for (text, name) in
        [(RESTART, "PB-Restart"), (PARALLEL, "PB-Parallel"), (RETRIES, "PB-Retries"), (DOUBTS, "PB-Doubts")]
    {
        let (end, records) = run(text, name, Faults::none()).await;
        assert!(records > 8, "{name} {records}");
        assert!(end.2.values().all(|times| *times == 1), "{name}: {:?}", end.2);
        for record in 1..records {
            let before = Faults { crash_before: Some(record), ..Faults::none() };
            let after = Faults { crash_after: Some(record), ..Faults::none() };
            assert_eq!(run(text, name, before).await.0, end, "{name}: crash before record {record}");
            assert_eq!(run(text, name, after).await.0, end, "{name}: crash after record {record}");
        }
    }
}

#[tokio::test]
async fn a_task_that_fails_on_purpose_ends_the_run_and_one_performed_twice_is_recorded_once() {
    for task in ["read", "restart", "tell"] {
        let ((outcome, states, _), _) =
            run(RESTART, "PB-Restart", Faults { fail: Some(task.to_owned()), ..Faults::none() }).await;
        assert_eq!(states[task], TaskState::Failed);
        assert_eq!(outcome, Some(mayday::playbook::view::RunOutcome::Failed), "{task}");
        let ((_, states, _), _) =
            run(RESTART, "PB-Restart", Faults { repeat: Some(task.to_owned()), ..Faults::none() }).await;
        assert_eq!(states[task], TaskState::Succeeded);
    }
}

/// A small generator, so that a seed reproduces a failure anywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// A random playbook and how its target behaves.
fn random(dice: &mut Dice) -> (String, Vec<(String, Vec<Act>)>) {
    let mut text = "playbook_id: PB-Random\nname: random\ntasks:\n".to_owned();
    let mut scripts = Vec::new();
    let count = 2 + dice.roll(7);
    for number in 0..count {
        let id = format!("t{number}");
        let what = match dice.roll(4) {
            0 => "type: Metric_Query, parameters: {expr: up}",
            1 => "type: Disk_Cleanup, parameters: {service: a}",
            2 => "type: Service_Restart, parameters: {service: a}",
            _ => "type: Run_Command, parameters: {program: fix}",
        };
        let before: Vec<String> =
            (0..number).filter(|_| dice.roll(3) == 0).map(|before| format!("t{before}")).collect();
        let on_failure = ["abort", "continue", "continue", "escalate_with_notification"][dice.roll(4) as usize];
        let retry = if dice.roll(2) == 0 { ", retry: {attempts: 3, backoff: 1s}" } else { "" };
        text.push_str(&format!(
            "  - {{id: {id}, {what}, depends_on: [{}], on_failure: {on_failure}{retry}}}\n",
            before.join(", ")
        ));
        let acts = (0..dice.roll(4)).map(|_| match dice.roll(9) {
            0 | 1 => Act::Transient,
            2 => Act::Permanent,
            3 => Act::DoUnsaid,
            4 => Act::Lost,
            5 => Act::Hang,
            6 => Act::Panic,
            _ => Act::Do,
        });
        scripts.push((id, acts.collect()));
    }
    (text, scripts)
}

#[tokio::test]
async fn random_playbooks_with_random_failures_and_crashes_lose_nothing_and_repeat_nothing() {
    // Actions that break off say so on stderr otherwise.
    std::panic::set_hook(Box::new(|info| {
        if !info.to_string().contains("on purpose") {
            eprintln!("{info}");
        }
    }));
    let first: u64 = std::env::var("MAYDAY_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    for seed in first..first + 120 {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let (text, scripts) = random(&mut dice);
        let world = World::of(&[&text]);
        for (task, acts) in scripts {
            world.target().script.insert(task, acts.into());
        }
        let mut crashes = dice.roll(4);
        let mut run = None;
        let view = loop {
            let at = Some(1 + dice.roll(30));
            let faults = match (crashes > 0, dice.roll(2)) {
                (false, _) => Faults::none(),
                (true, 0) => Faults { crash_before: at, ..Faults::none() },
                (true, _) => Faults { crash_after: at, ..Faults::none() },
            };
            crashes = crashes.saturating_sub(1);
            let engine = world.engine(faults).await;
            let id = match run {
                None => world.propose(&engine, "PB-Random").await,
                Some(id) => {
                    engine.resume().await.unwrap();
                    id
                }
            };
            run = Some(id);
            if let Some(view) = world.finish(&engine, id).await {
                let journal = engine.journal(id).await.unwrap();
                assert_eq!(journal.len() as u64, view.journal, "seed {seed}: the journal has a hole");
                break view;
            }
        };
        assert_eq!(view.state, RunState::Ended, "seed {seed}");
        let target = world.target();
        for task in &view.tasks {
            let times: Vec<u32> = target
                .keys
                .get(&task.id)
                .map(|keys| keys.iter().map(|key| target.happened[key]).collect())
                .unwrap_or_default();
            if matches!(task.kind.as_str(), "Service_Restart" | "Run_Command") {
                assert!(times.iter().sum::<u32>() <= 1, "seed {seed}: {} happened {times:?} times\n{text}", task.id);
            }
            if task.state == TaskState::Succeeded {
                assert!(!times.is_empty(), "seed {seed}: {} never happened\n{text}", task.id);
            }
            assert!(
                matches!(
                    task.state,
                    TaskState::Succeeded
                        | TaskState::Failed
                        | TaskState::Skipped
                        | TaskState::Pending
                        | TaskState::Waiting
                ),
                "seed {seed}: {} is left {:?}",
                task.id,
                task.state
            );
        }
    }
}
