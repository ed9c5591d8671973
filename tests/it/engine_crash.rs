//! A crash at any record of the journal changes nothing: the same end, nothing lost, nothing repeated that must not be.

use std::collections::BTreeMap;

use mayday::playbook::engine::Journaled;
use mayday::playbook::run::Event;
use mayday::playbook::view::{Order, RunOutcome};
use mayday::playbook::{Faults, RunState, RunView, Runs as _, TaskState};

use super::engine_world::{Act, Moving, World};

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

/// Two tasks that fail at the same time, and then what was done is undone: by an inverse, by a task that asks a person when
/// it is interrupted, and item by item.
const UNWIND: &str = "
playbook_id: PB-Unwind
name: two failures at once, and everything is undone
tasks:
  - {id: first, type: Traffic_Shift, parameters: {service: a, to: b, percent: 0}, rollback: inverse}
  - {id: each, type: Config_Rollback, depends_on: [first], for_each: {in: [x, y], concurrency: 2}, parameters: {service: '{{ item }}', to: v1}, rollback: inverse}
  - {id: command, type: Run_Command, depends_on: [each], parameters: {program: fix}, rollback: unfix}
  - {id: unfix, type: Run_Command, parameters: {program: unfix}}
  - {id: bad, type: Metric_Query, depends_on: [command], parameters: {expr: up}}
  - {id: worse, type: Metric_Query, depends_on: [command], parameters: {expr: up}}
";

/// What undoes is not what was approved with the changes: people are asked while the run takes back what it did, before
/// each of the steps, by their items too.
const ASKS: &str = "
playbook_id: PB-Asks
name: undone by tasks that move
tasks:
  - {id: first, type: Traffic_Shift, parameters: {service: a, to: b, percent: 0}, rollback: inverse}
  - {id: each, type: Run_Command, depends_on: [first], for_each: {in: [x, y]}, parameters: {program: fix, args: ['{{ item }}']}, rollback: uneach}
  - {id: uneach, type: Run_Command, parameters: {program: unfix, args: ['{{ item }}', '{{ tasks.each.state }}']}}
  - {id: call, type: API_Call, action: POST /fix, depends_on: [each], output_variable: fixed, rollback: unfix}
  - {id: unfix, type: Run_Command, parameters: {program: unfix, args: ['{{ fixed.value }}']}}
  - {id: restart, type: Run_Command, depends_on: [call], parameters: {program: fix}, rollback: back}
  - {id: back, type: Run_Command, parameters: {program: unfix}}
  - {id: bad, type: Metric_Query, depends_on: [restart], parameters: {expr: up}}
";

fn script(world: &World, name: &str) {
    let mut target = world.target();
    match name {
        "PB-Retries" => {
            target.script.insert("flaky".to_owned(), [Act::Transient].into());
            target.script.insert("broken".to_owned(), vec![Act::Permanent; 40].into());
            target.script.insert("restart".to_owned(), [Act::Transient].into());
        }
        "PB-Unwind" | "PB-Stuck" => {
            target.script.insert("bad".to_owned(), vec![Act::Permanent; 40].into());
            target.script.insert("worse".to_owned(), vec![Act::Permanent; 40].into());
            if name == "PB-Stuck" {
                target.script.insert("unfix".to_owned(), vec![Act::Permanent; 40].into());
            }
        }
        "PB-Asks" => {
            target.script.insert("bad".to_owned(), vec![Act::Permanent; 40].into());
            target.moving.insert("back".to_owned(), Moving::Value("restart".to_owned()));
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
    let changes = [
        "restart",
        "command",
        "second",
        "probed",
        "asked",
        "unfix",
        "each[0]",
        "each[1]",
        "uneach[0]",
        "uneach[1]",
        "back",
    ];
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
    every_record(&[(RESTART, "PB-Restart"), (PARALLEL, "PB-Parallel"), (RETRIES, "PB-Retries"), (DOUBTS, "PB-Doubts")])
        .await;
}

#[tokio::test]
async fn nor_does_one_while_a_run_takes_back_what_it_did_or_can_not() {
    let stuck = UNWIND.replace("PB-Unwind", "PB-Stuck");
    every_record(&[(UNWIND, "PB-Unwind"), (stuck.as_str(), "PB-Stuck")]).await;
}

#[tokio::test]
async fn nor_does_one_while_people_are_asked_before_something_is_undone() {
    every_record(&[(ASKS, "PB-Asks")]).await;
}

async fn every_record(playbooks: &[(&str, &str)]) {
    for (text, name) in playbooks.iter().copied() {
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
            run(RESTART, "PB-Restart", Faults { fail: [task.to_owned()].into(), ..Faults::none() }).await;
        assert_eq!(states[task], TaskState::Failed);
        assert_eq!(outcome, Some(mayday::playbook::view::RunOutcome::Failed), "{task}");
        let ((_, states, _), _) =
            run(RESTART, "PB-Restart", Faults { repeat: Some(task.to_owned()), ..Faults::none() }).await;
        assert_eq!(states[task], TaskState::Succeeded);
    }
}

/// A small generator, so that a seed reproduces a failure anywhere.
pub struct Dice(u64);

impl Dice {
    pub fn of(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// What some tasks of a random playbook run as a part of it.
const PART: &str = "
playbook_id: PB-Part
name: a part
tasks:
  - {id: p_read, type: Metric_Query, parameters: {expr: up}, output_variable: up}
  - {id: p_fix, type: Run_Command, depends_on: [p_read], parameters: {program: fix}, rollback: p_back}
  - {id: p_back, type: API_Call, action: POST /undo, parameters: {undoes: p_fix}}
  - {id: p_check, type: Metric_Query, depends_on: [p_fix], parameters: {expr: up}}
";

/// Makes some of the tasks that undo a change come out otherwise once that is made: by what they see outside, and by what
/// their parameters speak of. By dice of its own, so that a seed's playbook stays what it was.
pub fn moves(seed: u64, text: &mut String) -> Vec<(String, Moving)> {
    let mut dice = Dice::of(seed + 1_000_000);
    let mut moving = Vec::new();
    for number in 0..10 {
        let (undo, change) = (format!("u{number}"), format!("t{number}"));
        let Some(at) = text.find(&format!("{{id: {undo},")) else { continue };
        moving.extend(Moving::by(dice.roll(5), &change).map(|moving| (undo, moving)));
        if dice.roll(3) == 0 {
            let line = text[at..].lines().next().unwrap_or_default();
            let end = at + line.rfind("}}").unwrap_or_default();
            text.insert_str(end, &format!(", was: '{{{{ tasks.{change}.state }}}}'"));
        }
    }
    moving
}

/// A random playbook (lists, parts, conditions, undoing) and how its target behaves.
fn random(dice: &mut Dice) -> (String, Vec<(String, Vec<Act>)>) {
    let mut text = "playbook_id: PB-Random\nname: random\ntasks:\n".to_owned();
    let mut scripts = Vec::new();
    let count = 2 + dice.roll(7);
    for number in 0..count {
        let id = format!("t{number}");
        let kind = dice.roll(8);
        let each = dice.roll(4) == 0 && kind != 7;
        let what = match kind {
            0 if each => "type: Metric_Query, parameters: {expr: up}".to_owned(),
            0 => format!("type: Metric_Query, parameters: {{expr: up}}, output_variable: v{number}"),
            7 => {
                let rollback = ["", ", rollback: inverse"][dice.roll(2) as usize];
                format!("type: Sub_Playbook, parameters: {{playbook: PB-Part}}{rollback}")
            }
            1 => "type: Disk_Cleanup, parameters: {service: a}".to_owned(),
            2 => "type: Service_Restart, parameters: {service: a}".to_owned(),
            3 => "type: Run_Command, parameters: {program: fix}".to_owned(),
            4 => "type: Traffic_Shift, parameters: {service: a, to: b, percent: 0}, rollback: inverse".to_owned(),
            5 => "type: Config_Rollback, parameters: {service: a, to: v1}, rollback: inverse".to_owned(),
            _ => {
                let undoes = if each { format!("{id}[{{{{ item }}}}]") } else { id.clone() };
                text.push_str(&format!(
                    "  - {{id: u{number}, type: API_Call, action: POST /undo, parameters: {{undoes: '{undoes}'}}}}\n"
                ));
                format!("type: Run_Command, parameters: {{program: fix}}, rollback: u{number}")
            }
        };
        let what = if each { format!("{what}, for_each: {{in: [0, 1, 2], concurrency: 2}}") } else { what };
        let before: Vec<String> =
            (0..number).filter(|_| dice.roll(3) == 0).map(|before| format!("t{before}")).collect();
        // A reading that came before decides: it holds, it does not, or it can't be told since the reading failed.
        let mut read = before.iter().map(|task| task.replace('t', "v"));
        let read = read.rfind(|variable| text.contains(&format!("output_variable: {variable}")));
        let condition = match (read, dice.roll(3)) {
            (Some(read), 0) => format!(", conditions: [{read}.value > 5]"),
            (Some(read), _) => format!(", conditions: [{read}.value == 1]"),
            (None, _) => String::new(),
        };
        let on_failure = ["abort", "continue", "continue", "escalate_with_notification"][dice.roll(4) as usize];
        let retry = if dice.roll(2) == 0 { ", retry: {attempts: 3, backoff: 1s}" } else { "" };
        text.push_str(&format!(
            "  - {{id: {id}, {what}, depends_on: [{}], on_failure: {on_failure}{retry}{condition}}}\n",
            before.join(", ")
        ));
        let mut acts = |most: u64| -> Vec<Act> {
            let count = dice.roll(most);
            (0..count)
                .map(|_| match dice.roll(9) {
                    0 | 1 => Act::Transient,
                    2 => Act::Permanent,
                    3 => Act::DoUnsaid,
                    4 => Act::Lost,
                    5 => Act::Hang,
                    6 => Act::Panic,
                    _ => Act::Do,
                })
                .collect()
        };
        // What undoes it may fail as well.
        for step in [id.clone(), format!("{id}[0]"), format!("{id}[1]"), format!("{id}[2]")] {
            scripts.push((step, acts(4)));
        }
        for undo in [format!("undo:{id}"), format!("undo:{id}[1]"), format!("u{number}"), format!("u{number}[1]")] {
            scripts.push((undo, acts(3)));
        }
    }
    for step in ["p_fix", "p_back", "p_check"] {
        let fails = [Act::Do, Act::Do, Act::Permanent, Act::DoUnsaid, Act::Lost];
        scripts.push((step.to_owned(), (0..2).map(|_| fails[dice.roll(5) as usize]).collect()));
    }
    (text, scripts)
}

/// A world in which a seed's playbook runs against its target.
fn of_seed(seed: u64) -> (World, String, Dice) {
    let mut dice = Dice::of(seed);
    let (mut text, scripts) = random(&mut dice);
    let moving = moves(seed, &mut text);
    let mut world = World::of(&[&text, PART]);
    world.target().moving.extend(moving);
    world.label = format!("seed {seed}");
    for (task, acts) in scripts {
        world.target().script.insert(task, acts.into());
    }
    (world, text, dice)
}

#[tokio::test]
async fn a_crash_at_each_record_of_a_random_playbook_loses_nothing_and_repeats_nothing() {
    quiet();
    let first = number("MAYDAY_SEED").unwrap_or(1);
    let mut crashes = 0;
    for seed in first..first + number("MAYDAY_CASES").map_or(2, |cases| cases.div_ceil(20)) {
        for record in 1.. {
            let (world, text, _) = of_seed(seed);
            // Before and after take turns: the one is the other's neighbour.
            let faults = match (record + seed) % 2 {
                0 => Faults { crash_before: Some(record), ..Faults::none() },
                _ => Faults { crash_after: Some(record), ..Faults::none() },
            };
            let engine = world.engine(faults).await;
            let run = world.propose(&engine, "PB-Random").await;
            if let Some(view) = world.finish(&engine, run).await {
                // It ended before that record: all are done.
                assert!(record > 3, "seed {seed}");
                check(&world, &view, &text, seed);
                break;
            }
            crashes += 1;
            let engine = world.engine(Faults::none()).await;
            engine.resume().await.unwrap();
            let view = world.finish(&engine, run).await.unwrap();
            let journal = engine.journal(run).await.unwrap();
            assert_eq!(journal.len() as u64, view.journal, "seed {seed}, record {record}: the journal has a hole");
            check(&world, &view, &text, seed);
        }
    }
    assert!(crashes > 10, "{crashes}");
}

/// A number from the environment.
pub fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|number| number.parse().ok())
}

/// Actions that break off say so on stderr otherwise.
pub fn quiet() {
    std::panic::set_hook(Box::new(|info| {
        if !info.to_string().contains("on purpose") {
            eprintln!("{info}");
        }
    }));
}

#[tokio::test]
async fn random_playbooks_with_random_failures_and_crashes_lose_nothing_and_repeat_nothing() {
    quiet();
    // `MAYDAY_SEED=n` begins at a seed (and reproduces it), `MAYDAY_CASES=n` looks at so many, for a soak.
    let (first, cases) = (number("MAYDAY_SEED").unwrap_or(1), number("MAYDAY_CASES").unwrap_or(150));
    // Without them, as many as a few seconds allow; the first fifty in any case.
    let (begun, soak) = (std::time::Instant::now(), number("MAYDAY_CASES").is_some());
    let (mut looked, mut seen) = (0, std::collections::BTreeSet::new());
    for seed in first..first + cases {
        if !soak && seed >= first + 50 && begun.elapsed() > std::time::Duration::from_secs(12) {
            break;
        }
        looked += 1;
        let (world, text, mut dice) = of_seed(seed);
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
        check(&world, &view, &text, seed);
        seen.extend(view.tasks.iter().map(|task| format!("{} {:?}", task.kind, task.state)));
        let journal = world.engine(Faults::none()).await.journal(view.run).await.unwrap();
        let asked = |entry: &Journaled| matches!(&entry.event, Event::Asked { ask } if ask.tasks[0].starts_with('u'));
        seen.extend(journal.iter().any(asked).then(|| "asked to undo".to_owned()));
        if view.undo_failed() {
            // People try until it works: the scripts are over some time.
            let engine = world.engine(Faults::none()).await;
            let mut view = view;
            for _ in 0..20 {
                if !view.undo_failed() {
                    break;
                }
                let ana = super::engine_world::person("ana", mayday::access::Role::Approver);
                engine.order(view.run, Order::Retry, &ana).await.unwrap();
                view = world.finish(&engine, view.run).await.unwrap();
            }
            assert_ne!(view.outcome, Some(RunOutcome::Stuck), "seed {seed}: {view:#?}");
            check(&world, &view, &text, seed);
        }
    }
    // That chance has made what this is about.
    let kinds = [
        "Sub_Playbook Succeeded",
        "Sub_Playbook Failed",
        "Sub_Playbook RolledBack",
        "Run_Command Skipped",
        "Traffic_Shift RolledBack",
        "asked to undo",
    ];
    for kind in kinds.iter().filter(|_| looked >= 100) {
        assert!(seen.contains(*kind), "no {kind} in {looked} playbooks: {seen:?}");
    }
}

/// What must be true of every run that has ended, whatever went wrong on the way.
fn check(world: &World, view: &RunView, text: &str, seed: u64) {
    assert_eq!(view.state, RunState::Ended, "seed {seed}");
    let target = world.target();
    // Of the parts too: each of their runs has keys of its own.
    let repeated = |(key, times): &(&String, &u32)| key.contains(".p_fix.") && **times > 1;
    assert_eq!(target.happened.iter().find(repeated), None, "seed {seed}: a part did something twice\n{text}");
    let stopped = view.tasks.iter().any(|task| task.state == TaskState::RolledBack || task.undo)
        || view.outcome == Some(RunOutcome::Failed);
    for task in &view.tasks {
        let times: Vec<u32> = target
            .keys
            .get(&task.id)
            .map(|keys| keys.iter().map(|key| target.happened[key]).collect())
            .unwrap_or_default();
        if matches!(task.kind.as_str(), "Service_Restart" | "Run_Command" | "Config_Rollback") {
            assert!(times.iter().all(|times| *times <= 1), "seed {seed}: {} happened {times:?} times\n{text}", task.id);
            assert!(times.len() <= 1, "seed {seed}: {} happened {times:?} times\n{text}", task.id);
        }
        let whole = view.tasks.iter().any(|item| item.id.starts_with(&format!("{}[", task.id)));
        let declared = format!("id: {},", task.id.split('[').next().unwrap_or_default());
        let line = text.lines().find(|line| line.contains(&declared)).unwrap_or_default();
        let empty = line.contains("for_each") && !task.id.contains('[');
        match task.state {
            TaskState::Succeeded if !whole && !empty && task.kind != "Sub_Playbook" => {
                assert!(!times.is_empty(), "seed {seed}: {} never happened\n{text}", task.id);
            }
            TaskState::RolledBack => {
                // What another part of the same playbook did is not this one's.
                let alone = task.kind == "Sub_Playbook" && text.matches("playbook: PB-Part").count() == 1;
                assert!(!(alone && target.slate.contains("p_fix")), "seed {seed}: {} is not undone\n{text}", task.id);
                assert!(!target.slate.contains(&task.id), "seed {seed}: {} is not undone\n{text}", task.id);
            }
            TaskState::Running | TaskState::InDoubt => {
                panic!("seed {seed}: {} is left {:?}\n{text}", task.id, task.state);
            }
            _ => {}
        }
        // A run that stopped, and could undo what it did, leaves nothing that says how it is undone.
        if stopped && view.outcome != Some(RunOutcome::Stuck) && line.contains("rollback:") && !task.undo {
            assert!(!target.slate.contains(&task.id), "seed {seed}: {} stays\n{text}\n{view:#?}", task.id);
        }
    }
}
