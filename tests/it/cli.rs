//! The command line as scripts see it: what is printed, where, and the exit codes.

use std::path::Path;
use std::process::{Command, Output};

fn mayday(arguments: &[&str]) -> Output {
    // No token file of another Mayday on this machine may be found.
    let empty = tempfile::tempdir().unwrap();
    Command::new(env!("CARGO_BIN_EXE_mayday"))
        .args(arguments)
        .current_dir(empty.path())
        .env("XDG_RUNTIME_DIR", empty.path())
        .env_remove("MAYDAY_TOKEN")
        .output()
        .unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn help_names_every_command_and_the_exit_codes() {
    let help = mayday(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    let text = out(&help);
    for command in [
        "demo",
        "run",
        "check",
        "playbook",
        "say",
        "alert",
        "health",
        "audit",
        "diagnose",
        "logs",
        "detect",
        "forecast",
        "report",
        "postmortem",
        "replay",
        "export-case",
        "backup",
        "restore",
        "verify-backup",
        "Exit codes",
    ] {
        assert!(text.contains(command), "{command} in\n{text}");
    }
    assert!(!text.contains("shop-service"), "a part of the demo is nobody's command");
    assert_eq!(mayday(&["frobnicate"]).status.code(), Some(2));
    assert!(err(&mayday(&["demmo"])).contains("demo"), "did you mean");
}

#[test]
fn a_command_whose_back_end_is_not_there_yet_says_so_in_one_sentence() {
    for (command, file) in mayday::cli::LATER {
        let told = mayday(&[command, "anything", "--json"]);
        assert_eq!(told.status.code(), Some(3), "{command}");
        assert_eq!(err(&told), format!("`mayday {command}` is not there yet: this version can't do it.\n"));
        assert_eq!(out(&told), "");
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        assert!(!file.exists(), "{} is there: let `mayday {command}` use it, and take it out of LATER", file.display());
    }
}

#[test]
fn without_a_bot_every_command_that_needs_one_says_what_to_do() {
    for arguments in [
        &["say", "help"][..],
        &["health"],
        &["audit", "verify"],
        &["demo", "break", "hang"],
        &["playbook", "plan", "PB-X"],
    ] {
        let told = mayday(arguments);
        assert_eq!(told.status.code(), Some(4), "{arguments:?}");
        assert!(err(&told).contains("start one with `mayday run` or `mayday demo`"), "{}", err(&told));
    }
    let told = mayday(&["health", "--url", "http://127.0.0.1:9"]);
    assert_eq!(told.status.code(), Some(4));
    assert_eq!(err(&told), "no Mayday answers at http://127.0.0.1:9; start one with `mayday run`, or give --url\n");
    let told = mayday(&["say", "help", "--data", "."]);
    assert_eq!(told.status.code(), Some(4));
    assert!(err(&told).contains("no Mayday runs on this data folder"), "{}", err(&told));
}

#[test]
fn the_faults_are_listed_and_a_wrong_one_is_corrected() {
    let list = out(&mayday(&["demo", "faults"]));
    for fault in ["hang", "crash", "disk"] {
        assert!(list.lines().any(|line| line.starts_with(fault)), "{list}");
    }
    let told = mayday(&["demo", "break", "hnag"]);
    assert_eq!(told.status.code(), Some(1));
    assert_eq!(err(&told), "there is no fault `hnag`; did you mean `hang`?\n");
}

#[test]
fn a_password_becomes_an_argon2_hash() {
    use std::io::Write as _;
    let mut child = Command::new(env!("CARGO_BIN_EXE_mayday"))
        .arg("password")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"correct horse battery staple\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(out(&output).starts_with("$argon2id$"), "{}", out(&output));
}

#[test]
fn playbooks_are_checked_with_every_mistake_and_their_schema_is_printed() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/playbooks/design-example.yaml");
    let well = mayday(&["playbook", "check", example]);
    assert_eq!((well.status.code(), out(&well).as_str()), (Some(0), "1 playbook, no mistakes\n"));

    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.yaml"), "playbook_id: PB-A\nname: a\ntaks: []\n").unwrap();
    std::fs::write(folder.path().join("b.yaml"), "playbook_id: [\n").unwrap();
    let wrong = mayday(&["playbook", "check", folder.path().to_str().unwrap()]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(out(&wrong).contains("a.yaml:3:1: PB003") && out(&wrong).contains("b.yaml:"), "{}", out(&wrong));

    let twice = mayday(&["playbook", "check", example, example]);
    assert!(out(&twice).contains("PB028"), "{}", out(&twice));

    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/playbooks");
    let tested = mayday(&["playbook", "test", shipped]);
    assert_eq!(tested.status.code(), Some(0), "{}", out(&tested));
    assert!(out(&tested).ends_with(" passed, 0 failed\n"), "{}", out(&tested));

    // A file with a mistake does not keep the others from being tested.
    let both = mayday(&["playbook", "test", folder.path().to_str().unwrap(), shipped]);
    assert_eq!(both.status.code(), Some(1));
    assert!(out(&both).contains("a.yaml:3:1: PB003") && out(&both).ends_with(" passed, 2 failed\n"), "{}", out(&both));

    let schema: serde_json::Value = serde_json::from_str(&out(&mayday(&["playbook", "schema"]))).unwrap();
    assert!(schema["properties"]["tasks"].is_object());
}

#[test]
fn a_configuration_is_checked_with_its_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.yaml");
    std::fs::write(&file, "services: [{name: a, team: b}]\n").unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(mayday(&["check", "-c", file]).status.code(), Some(0));
    std::fs::write(file, "sevices: []\nlog: {format: xml}\n").unwrap();
    let wrong = mayday(&["check", "-c", file]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(out(&wrong).starts_with(&format!(
        "{file}:1:1: CF003: there is no key `sevices` here; did you mean `services`?\n{file}:2:15: CF005: "
    )));
    assert_eq!(err(&wrong), "2 mistakes\n");
    let missing = mayday(&["check"]);
    assert!(out(&missing).starts_with("mayday.yaml:1:1: CF008: "), "{}", out(&missing));
}

#[test]
fn what_playbooks_may_reach_is_checked_with_all_else_and_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.yaml");
    let text = "services:
  - {name: a, team: b, restart: {program: [systemctl]}}
actions:
  api_hosts: ['*']
  commands:
    - {name: sh, path: /bin/bash}
    - {name: ok, path: /bin/true, allow_args: ['[']}
    - {name: two, path: /bin/true, idempotent: true, undo: ok}
";
    std::fs::write(&file, text).unwrap();
    let checked = mayday(&["check", "-c", file.to_str().unwrap()]);
    assert_eq!(checked.status.code(), Some(1));
    let said = out(&checked);
    let places: Vec<(&str, &str)> = said
        .lines()
        .map(|line| {
            let rest = line.strip_prefix(&format!("{}:", file.display())).unwrap_or(line);
            let (place, says) = rest.split_once(": ").unwrap();
            (place.split(':').next().unwrap(), says)
        })
        .collect();
    let lines: Vec<&str> = places.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, ["2", "4", "6", "7", "8"], "{said}");
    for (at, wanted) in
        ["not an absolute path", "`*`", "a shell runs", "unclosed character class", "is idempotent"].iter().enumerate()
    {
        assert!(places[at].1.contains(wanted), "{wanted}: {said}");
    }
}

/// What a task names and nothing has would fail when it is needed.
#[test]
fn parts_and_programs_that_are_not_there_are_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mayday.yaml");
    std::fs::create_dir(folder.path().join("playbooks")).unwrap();
    let playbook = "playbook_id: PB-Own\nname: own\ntasks:\n  - {id: one, type: Sub_Playbook, parameters: {playbook: PB-Disk-Clean}}\n  - {id: two, type: Run_Command, parameters: {program: fix}}\n  - {id: three, type: Run_Command, parameters: {program: there}}\n";
    std::fs::write(folder.path().join("playbooks/own.yaml"), playbook).unwrap();
    let text = format!(
        "playbooks: {{folder: {}/playbooks}}\nactions: {{commands: [{{name: there, path: /bin/true}}]}}\n",
        folder.path().display()
    );
    std::fs::write(&file, text).unwrap();
    let checked = mayday(&["check", "-c", file.to_str().unwrap()]);
    let said = out(&checked);
    assert_eq!(checked.status.code(), Some(0), "{said}");
    assert!(
        said.contains("runs the playbook `PB-Disk-Clean`") && said.contains("did you mean `PB-Disk-Cleanup`?"),
        "{said}"
    );
    assert!(said.contains("runs the program `fix`") && !said.contains("`there`"), "{said}");
}

/// A request that nobody could approve shows before it is made.
#[test]
fn approvers_whom_the_configuration_does_not_have_are_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mayday.yaml");
    std::fs::create_dir(folder.path().join("playbooks")).unwrap();
    let playbook = "playbook_id: PB-Own\nname: own\ntasks:\n  - {id: one, type: Service_Restart, parameters: {service: a}, approval: {approvers: [dba, bea], count: 2}}\n";
    std::fs::write(folder.path().join("playbooks/own.yaml"), playbook).unwrap();
    let check = |users: &str| {
        let text =
            format!("playbooks: {{folder: {}/playbooks}}\naccess:\n  users: [{users}]\n", folder.path().display());
        std::fs::write(&file, text).unwrap();
        let checked = mayday(&["check", "-c", file.to_str().unwrap()]);
        assert_eq!(checked.status.code(), Some(0), "{}", err(&checked));
        out(&checked)
    };
    let said = check("");
    assert!(
        said.contains("warning: the task `one` of PB-Own needs 2 approvals of dba, bea") && said.contains("nobody"),
        "{said}"
    );
    // A responder may not approve, whatever the team.
    let said = check("{id: bea, role: approver}, {id: cem, role: responder, teams: [dba]}");
    assert!(said.contains("of access.users only bea is"), "{said}");
    let said = check("{id: bea, role: approver}, {id: cem, role: approver, teams: [DBA]}");
    assert!(!said.contains("warning"), "{said}");
}

#[test]
fn the_template_of_every_log_line_is_printed_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.log");
    std::fs::write(&file, b"user 17 logged in\ndisk full\nuser 42 logged in\n\xff broken").unwrap();
    let mined = out(&mayday(&["logs", "mine", file.to_str().unwrap(), "--json"]));
    let lines: Vec<serde_json::Value> = mined.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 4);
    assert_eq!((&lines[0]["line"], &lines[0]["template"]), (&1.into(), &"user <*> logged in".into()));
    assert_eq!(lines[0]["template_id"], lines[2]["template_id"]);
    assert_ne!(lines[0]["template_id"], lines[1]["template_id"]);
}
