//! The real binary and real programs: what `Run_Command` started ends with a killed Mayday, and with its time though Mayday
//! stands still.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::soak_world::{House, lock};

const PLAYBOOK: &str = "
playbook_id: PB-Program
name: run it
tasks:
  - {id: run, type: Run_Command, parameters: {program: script}}
";

/// A bot whose one program is this script; in it `note NAME` writes down the pid of what was started last.
fn house(script: &str, timeout: &str) -> House {
    let house = House::new("http://127.0.0.1:9");
    let folder = house.folder.path();
    std::fs::write(folder.join("playbooks/program.yaml"), PLAYBOOK).unwrap();
    let program = folder.join("script");
    let note = format!("note() {{ echo \"$2\" > {0}/part && mv {0}/part {0}/$1; }}", folder.display());
    std::fs::write(&program, format!("#!/bin/sh\n{note}\n{script}\n")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let config = folder.join("mayday.yaml");
    let text = std::fs::read_to_string(&config).unwrap();
    let command = json!([{"name": "script", "path": program, "timeout": timeout}]);
    std::fs::write(config, format!("{text}  commands: {command}\n")).unwrap();
    house
}

async fn say(house: &House, line: &str) {
    let (url, token) = lock(&house.address).clone().unwrap();
    let asked = reqwest::Client::new().post(format!("{url}/api/v1/say")).bearer_auth(token);
    let answer = asked.json(&json!({ "text": line })).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
}

async fn run(house: &House) -> Value {
    let (url, token) = lock(&house.address).clone().unwrap();
    let asked = reqwest::Client::new().get(format!("{url}/api/v1/runs")).bearer_auth(token);
    let page: Value = asked.send().await.unwrap().json().await.unwrap();
    page["items"][0].clone()
}

async fn until(what: &str, house: &House, mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < Duration::from_secs(30), "never {what}:\n{}", house.logs());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Starts it, and has the program run.
async fn begins(house: &mut House) {
    // A second installation in the same process is refused, which is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    house.start();
    house.listens().await;
    say(house, "run PB-Program").await;
    until("asked", house, async || !run(house).await["approval"].is_null()).await;
    say(house, "approve RUN-1").await;
}

fn noted(folder: &Path, name: &str) -> Option<u32> {
    std::fs::read_to_string(folder.join(name)).ok()?.trim().parse().ok()
}

/// What stands in `/proc` of a process that lives: its parent and its group. A zombie does not live.
fn lives(pid: u32) -> Option<(u32, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    (!matches!(fields[0], "Z" | "X")).then(|| (fields[1].parse().unwrap(), fields[2].parse().unwrap()))
}

/// The groups of the processes that Mayday has started and that live.
fn groups(of: u32) -> Vec<u32> {
    let pids = std::fs::read_dir("/proc").unwrap().flatten();
    let found = pids.filter_map(|entry| lives(entry.file_name().to_str()?.parse().ok()?));
    found.filter(|(parent, _)| *parent == of).map(|(_, group)| group).collect()
}

const LONG: &str = "note own $$\nsleep 600 &\nnote child $!\nsleep 600";

#[tokio::test(flavor = "multi_thread")]
async fn a_program_and_all_that_it_started_ends_with_a_killed_mayday() {
    let mut house = house(LONG, "5m");
    let folder = house.folder.path().to_owned();
    begins(&mut house).await;
    until("begun", &house, async || noted(&folder, "child").is_some()).await;
    let pids = ["own", "child"].map(|name| noted(&folder, name).unwrap());
    let of = groups(house.pid());
    assert!(of.len() == 2 && of[0] == of[1], "the guard and the program are one group: {of:?}");
    assert!(pids.iter().all(|pid| lives(*pid).unwrap().1 == of[0]), "it was born into it");
    house.kill();
    until("ended", &house, async || pids.iter().all(|pid| lives(*pid).is_none())).await;
    // Nobody else can be running it, so a person is asked at once, not when the program's five minutes are over.
    house.start();
    house.listens().await;
    until("in doubt", &house, async || run(&house).await["tasks"][0]["state"] == "in_doubt").await;
}

/// A file, a terminal or nothing at its input: then nobody of ours has started it.
#[test]
fn a_person_can_not_start_a_guard() {
    for words in [&["guard-group", "1000"][..], &["guard-group"]] {
        let mut said = std::process::Command::new(env!("CARGO_BIN_EXE_mayday"));
        let said = said.args(words).stdin(std::process::Stdio::null()).output().unwrap();
        let told = String::from_utf8_lossy(&said.stderr);
        assert!(said.status.code() == Some(2) && told.contains("is no command"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_with_its_time_though_mayday_stands_still() {
    let mut house = house(LONG, "2s");
    let folder = house.folder.path().to_owned();
    begins(&mut house).await;
    until("begun", &house, async || noted(&folder, "child").is_some()).await;
    house.signal("-STOP");
    let pids = ["own", "child"].map(|name| noted(&folder, name).unwrap());
    until("ended", &house, async || pids.iter().all(|pid| lives(*pid).is_none())).await;
    house.signal("-CONT");
    until("in doubt", &house, async || run(&house).await["tasks"][0]["state"] == "in_doubt").await;
}

/// Whoever takes over settles the step at its deadline, which may come long before the program's own time.
#[tokio::test(flavor = "multi_thread")]
async fn it_has_ended_by_the_deadline_of_its_step_though_mayday_stands_still() {
    let mut house = house(LONG, "5m");
    let folder = house.folder.path().to_owned();
    let step = PLAYBOOK.replace("{program: script}", "{program: script}, timeout: 4s");
    std::fs::write(folder.join("playbooks/program.yaml"), step).unwrap();
    begins(&mut house).await;
    until("begun", &house, async || noted(&folder, "child").is_some()).await;
    let begun = Instant::now();
    house.signal("-STOP");
    let pids = ["own", "child"].map(|name| noted(&folder, name).unwrap());
    until("ended", &house, async || pids.iter().all(|pid| lives(*pid).is_none())).await;
    // The deadline was written down before the program began.
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    house.signal("-CONT");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guard_goes_with_the_program_and_leaves_alone_what_that_left_behind() {
    let mut house = house("sleep 600 > /dev/null 2>&1 &\nnote child $!", "5m");
    let folder = house.folder.path().to_owned();
    begins(&mut house).await;
    until("done", &house, async || run(&house).await["state"] == "ended").await;
    let child = noted(&folder, "child").unwrap();
    assert_eq!(groups(house.pid()), [0; 0], "no guard is left");
    house.kill();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(lives(child).is_some(), "what a program starts for good goes on");
    std::process::Command::new("kill").arg(child.to_string()).status().unwrap();
}
