//! Random playbooks with people in the way: who approve late or not at all, pause, cancel, reject, start again what failed, and
//! say what they know; with verifications, checkpoints, time limits, and processes that die.

use std::time::Duration;

use mayday::access::Role;
use mayday::core::RunId;
use mayday::playbook::run::Event;
use mayday::playbook::view::{Order, RunOutcome};
use mayday::playbook::{Engine, Faults, RunState, RunView, Runs as _, TaskState};
use serde_json::json;

use super::engine_crash::{Dice, moves, number, quiet};
use super::engine_world::{Act, World, person};

/// Odd things that people do to one run at most; then they do their duty.
const ODD: u64 = 8;

/// What the target does at each try of a task, by the task's id.
type Scripts = Vec<(String, Vec<Act>)>;

/// A random playbook over one reading, and how its target behaves.
fn random(dice: &mut Dice) -> (String, Scripts, Vec<u64>) {
    let mut text = "playbook_id: PB-Random\nname: random\nmax_duration: 2h\ntasks:\n".to_owned();
    text.push_str(
        "  - {id: read, type: Metric_Query, parameters: {expr: up}, output_variable: m, on_failure: continue}\n",
    );
    let mut scripts = Vec::new();
    let count = 1 + dice.roll(5);
    for number in 0..count {
        let id = format!("t{number}");
        let what = match dice.roll(5) {
            0 => "type: Service_Restart, parameters: {service: a}".to_owned(),
            1 => "type: Run_Command, parameters: {program: fix}".to_owned(),
            2 => {
                text.push_str(&format!(
                    "  - {{id: u{number}, type: API_Call, action: POST /undo, parameters: {{undoes: {id}}}}}\n"
                ));
                format!("type: Run_Command, parameters: {{program: fix}}, rollback: u{number}")
            }
            _ => "type: Traffic_Shift, parameters: {service: a, to: b, percent: 0}, rollback: inverse".to_owned(),
        };
        let mut more = String::new();
        let mut maybe = |dice: &mut Dice, sides: u64, words: &str| {
            if dice.roll(sides) == 0 {
                more.push_str(words);
            }
        };
        // Only what says how it is undone can be rolled back by its verification.
        let otherwise =
            ["fail", "escalate", "rollback"][dice.roll(if what.contains("rollback:") { 3 } else { 2 }) as usize];
        let verify = format!(", verify: {{condition: m.value > 5, within: 2s, otherwise: {otherwise}}}");
        maybe(dice, 2, &verify);
        maybe(dice, 6, ", pause: true");
        maybe(dice, 3, ", timeout: 5s");
        maybe(dice, 3, ", retry: {attempts: 3, backoff: 1m}");
        maybe(dice, 4, ", conditions: [m.value > 2]");
        let before: Vec<String> =
            (0..number).filter(|_| dice.roll(2) == 0).map(|before| format!(", t{before}")).collect();
        let on_failure = ["abort", "continue", "continue", "escalate"][dice.roll(4) as usize];
        text.push_str(&format!(
            "  - {{id: {id}, {what}, depends_on: [read{}], on_failure: {on_failure}{more}}}\n",
            before.join("")
        ));
        let mut acts = |most: u64| -> Vec<Act> {
            let act = |roll| match roll {
                0 => Act::Transient,
                1 => Act::Permanent,
                2 => Act::DoUnsaid,
                3 => Act::Lost,
                4 => Act::Hang,
                _ => Act::Do,
            };
            (0..dice.roll(most)).map(|_| act(dice.roll(8))).collect()
        };
        scripts.push((id.clone(), acts(5)));
        scripts.push((format!("undo:{id}"), acts(3)));
        scripts.push((format!("u{number}"), acts(3)));
    }
    if dice.roll(2) == 0 {
        let all: Vec<String> = (0..count).map(|number| format!("t{number}")).collect();
        text.push_str(&format!(
            "  - {{id: check, type: Verify, depends_on: [{}], parameters: {{condition: m.value > 5, within: 2s}}}}\n",
            all.join(", ")
        ));
    }
    let readings = (0..6).map(|_| dice.roll(10)).chain([9]).collect();
    (text, scripts, readings)
}

/// What the target knows of the try that is in doubt, said as people say it.
async fn truth(world: &World, engine: &Engine, run: RunId, task: &str) -> Order {
    let journal = engine.journal(run).await.unwrap();
    let key = journal.iter().rev().find_map(|entry| match &entry.event {
        Event::Started { task: started, intent, .. } if started == task => Some(intent.idempotency_key.clone()),
        _ => None,
    });
    let happened = world.target().happened.contains_key(&key.unwrap());
    Order::Answer { task: task.to_owned(), answer: if happened { "done" } else { "not_done" }.to_owned() }
}

/// One thing that people do to a run that waits, odd as long as there are odd things left. False when there is nothing.
async fn act(world: &World, engine: &Engine, view: &RunView, dice: &mut Dice, odd: &mut u64) -> bool {
    let strange = *odd > 0;
    let ana = person("ana", Role::Approver);
    let wait = |minutes: u64| {
        world.clock.advance(Duration::from_secs(60 * minutes));
        true
    };
    let doubt = view.tasks.iter().find(|task| task.state == TaskState::InDoubt).map(|task| task.id.clone());
    let failed = view.tasks.iter().any(|task| task.state == TaskState::Failed);
    let roll = dice.roll(10);
    let order = if let Some(task) = doubt.filter(|_| !strange || roll < 6) {
        truth(world, engine, view.run, &task).await
    } else if view.state == RunState::Paused {
        match roll {
            0 if strange => Order::Cancel,
            3..=6 if strange && failed => Order::Retry,
            2 if strange => return wait(50),
            _ => Order::Resume,
        }
    } else if view.approval.is_some() {
        match roll {
            0 if strange => Order::Reject { reason: None },
            1 if strange => Order::Pause,
            2 if strange => Order::Cancel,
            3 if strange => return wait(40),
            4..=6 if strange && failed => Order::Retry,
            _ => Order::Approve { plan_hash: None, reason: None },
        }
    } else if strange {
        // Most of the time nobody interferes with what runs.
        match dice.roll(60) {
            0 => Order::Pause,
            1 => Order::Cancel,
            2..=9 if failed => Order::Retry,
            10 => return wait(130),
            _ => return false,
        }
    } else {
        return false;
    };
    // The process may die while it is asked.
    let _ = engine.order(view.run, order, &ana).await;
    true
}

async fn until_over(world: &World, engine: &Engine, run: RunId, dice: &mut Dice, odd: &mut u64) -> Option<RunView> {
    let begun = std::time::Instant::now();
    loop {
        if engine.has_crashed() {
            return None;
        }
        let view = engine.get(run).await.unwrap().unwrap();
        if view.state == RunState::Ended {
            return Some(view);
        }
        if act(world, engine, &view, dice, odd).await {
            *odd = odd.saturating_sub(1);
        }
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "{}: never ended: {view:#?}\n{:#?}",
            world.label,
            world.target()
        );
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn whatever_people_do_what_was_done_is_undone_or_spoken_of() {
    quiet();
    let (first, cases) = (number("MAYDAY_SEED").unwrap_or(1), number("MAYDAY_CASES").unwrap_or(300));
    let (begun, soak) = (std::time::Instant::now(), number("MAYDAY_CASES").is_some());
    let (mut looked, mut undos, mut ends) = (0, 0, std::collections::BTreeSet::new());
    for seed in first..first + cases {
        if !soak && seed >= first + 60 && begun.elapsed() > Duration::from_secs(12) {
            break;
        }
        looked += 1;
        let mut dice = Dice::of(seed);
        let (mut text, scripts, readings) = random(&mut dice);
        let moving = moves(seed, &mut text);
        let mut world = World::of(&[&text]);
        world.label = format!("seed {seed}");
        for (task, acts) in scripts {
            world.target().script.insert(task, acts.into());
        }
        world.target().moving.extend(moving);
        let readings = readings.into_iter().map(|value| json!({"value": value}));
        world.target().outputs.insert("read".to_owned(), readings.collect());
        let (mut crashes, mut odd) = (dice.roll(3), ODD);
        let mut run = None;
        let view = loop {
            let at = (crashes > 0).then(|| 1 + dice.roll(25));
            crashes = crashes.saturating_sub(1);
            let engine = world.engine(Faults { crash_after: at, ..Faults::none() }).await;
            let id = match run {
                None => world.propose(&engine, "PB-Random").await,
                Some(id) => {
                    engine.resume().await.unwrap();
                    id
                }
            };
            run = Some(id);
            if let Some(view) = until_over(&world, &engine, id, &mut dice, &mut odd).await {
                break view;
            }
        };
        let why = view.why.as_deref().unwrap_or_default();
        undos += u32::from(why.contains("rejected the undo") || why.contains("nobody approved the undo"));
        ends.insert(format!("{:?}", view.outcome.unwrap()));
        spoken_of(&world, &view, &text, seed);
        let view = unstuck(&world, view, seed).await;
        check(&world, &view, &text, seed);
    }
    for end in ["Fixed", "NoEffect", "Failed", "Cancelled", "Rejected", "Expired", "Stuck"] {
        assert!(looked < 60 || ends.contains(end), "none of {looked} ended as {end}: {ends:?}");
    }
    assert!(looked < 60 || undos > 0, "of {looked} none was kept from undoing");
}

/// People say what they know, and have undone what could not be undone, until nothing is stuck any more.
async fn unstuck(world: &World, mut view: RunView, seed: u64) -> RunView {
    let engine = world.engine(Faults::none()).await;
    let ana = person("ana", Role::Approver);
    for _ in 0..30 {
        if view.outcome != Some(RunOutcome::Stuck) {
            return view;
        }
        let doubt = view.tasks.iter().find(|task| task.state == TaskState::InDoubt).map(|task| task.id.clone());
        let order = match doubt {
            Some(task) => truth(world, &engine, view.run, &task).await,
            None => Order::Retry,
        };
        engine.order(view.run, order, &ana).await.unwrap();
        view = world.finish(&engine, view.run).await.unwrap();
    }
    panic!("seed {seed}: there is no way out: {view:#?}");
}

/// What the end says of what was done.
fn spoken_of(world: &World, view: &RunView, text: &str, seed: u64) {
    let why = view.why.as_deref().unwrap_or_default();
    let target = world.target();
    let changes = |task: &&String| task.starts_with('t');
    if why.contains("nothing was changed") {
        let done: Vec<&String> = target.order.iter().filter(changes).collect();
        assert!(done.is_empty(), "seed {seed}: {why}, and {done:?} were done\n{text}");
    }
    if view.outcome == Some(RunOutcome::Fixed) {
        let last = target.order.iter().rposition(|task| task.starts_with('t'));
        let read = target.order.iter().rposition(|task| task == "read");
        assert!(read > last, "seed {seed}: called fixed by a reading of before\n{text}\n{:?}", target.order);
    }
}

/// What must be true at last.
fn check(world: &World, view: &RunView, text: &str, seed: u64) {
    let target = world.target();
    let stopped = matches!(
        view.outcome,
        Some(RunOutcome::Failed | RunOutcome::Cancelled | RunOutcome::Rejected | RunOutcome::Expired)
    );
    for task in &view.tasks {
        for key in target.keys.get(&task.id).into_iter().flatten() {
            let times = target.happened[key];
            let once = matches!(task.kind.as_str(), "Service_Restart" | "Run_Command");
            assert!(!once || times <= 1, "seed {seed}: {} happened {times} times under {key}\n{text}", task.id);
        }
        let line = text.lines().find(|line| line.contains(&format!("id: {},", task.id))).unwrap_or_default();
        let undone = line.contains("rollback:") && (stopped || task.state == TaskState::RolledBack);
        assert!(!undone || !target.slate.contains(&task.id), "seed {seed}: {} stays\n{text}\n{view:#?}", task.id);
    }
}
