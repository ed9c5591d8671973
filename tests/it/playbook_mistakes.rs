//! What an author reads about each mistake, word for word: every file of `tests/data/playbooks/faulty` (or folder, where it
//! takes several playbooks) has one mistake, and the snapshot of its name is what `mayday playbook check` prints about it.
//!
//! A new or changed text is accepted with `INSTA_UPDATE=always cargo test --test it playbook_mistakes`; read it first.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

const FAULTY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/playbooks/faulty");

/// The files and folders with a mistake, by name.
fn faulty() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(FAULTY).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

fn name(path: &Path) -> String {
    path.file_stem().unwrap().to_str().unwrap().to_owned()
}

/// What `mayday playbook check` prints about a file or folder; its exit code must be that of a refusal.
fn told(path: &Path) -> String {
    let relative = path.strip_prefix(FAULTY).unwrap_or(path);
    let output = Command::new(env!("CARGO_BIN_EXE_mayday"))
        .args(["playbook", "check", relative.to_str().unwrap()])
        .current_dir(FAULTY)
        .output()
        .unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{}: no mistake was found\n{told}", path.display());
    told
}

/// The codes of what is printed.
fn codes(told: &str) -> impl Iterator<Item = &str> {
    told.lines().filter_map(|line| line.split(": ").nth(1))
}

#[test]
fn every_mistake_is_told_once_with_its_place_and_fix() {
    let all = faulty();
    let mut different = BTreeSet::new();
    for path in &all {
        let told = told(path);
        assert_eq!(told.lines().count(), 1, "{}: one mistake, told as\n{told}", path.display());
        different.insert(told.split_once(": ").unwrap().1.to_owned());
        insta::with_settings!({snapshot_path => "../snapshots/mistakes", prepend_module_to_snapshot => false, omit_expression => true}, {
            insta::assert_snapshot!(name(path), told);
        });
    }
    assert!(different.len() >= 45, "only {} different mistakes", different.len());
}

#[test]
fn every_code_of_the_checker_has_a_mistake_that_shows_it() {
    let all: Vec<String> = faulty().iter().map(|path| told(path)).collect();
    let shown: BTreeSet<&str> = all.iter().flat_map(|told| codes(told)).collect();
    let schema = serde_json::to_value(schemars::schema_for!(mayday::playbook::diagnostic::Code)).unwrap();
    let known: Vec<&str> =
        schema["oneOf"].as_array().unwrap().iter().map(|code| code["const"].as_str().unwrap()).collect();
    assert!(known.len() >= 37, "{known:?}");
    let missing: Vec<&&str> = known.iter().filter(|code| !shown.contains(**code)).collect();
    assert!(missing.is_empty(), "no faulty playbook shows {missing:?}");
}

#[test]
fn every_snapshot_belongs_to_a_mistake() {
    let mistakes: BTreeSet<String> = faulty().iter().map(|path| name(path)).collect();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/snapshots/mistakes");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        assert!(mistakes.contains(&name(&path)), "{} has no playbook any more; remove it", path.display());
    }
}

/// Not in the folder because of its size.
#[test]
fn a_file_that_is_too_large_is_refused_without_reading_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("large.yaml");
    std::fs::write(&file, format!("playbook_id: PB-A\nname: A\ndescription: {}\n", "x".repeat(300_000))).unwrap();
    let told = told(&file);
    assert!(
        told.ends_with("large.yaml:1:1: PB001: the file has 300040 bytes, at most 262144 are read; split it\n"),
        "{told}"
    );
}

#[test]
fn an_editor_reads_where_each_mistake_begins_and_ends() {
    for path in faulty() {
        let relative = path.strip_prefix(FAULTY).unwrap().to_str().unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_mayday"))
            .args(["playbook", "check", "--json", relative])
            .current_dir(FAULTY)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{relative}");
        let line = String::from_utf8(output.stdout).unwrap();
        let found: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|why| panic!("{why}: {line}"));
        let number = |pointer: &str| found.pointer(pointer).and_then(serde_json::Value::as_u64).unwrap();
        assert_eq!(number("/start/line"), number("/end/line"), "{line}");
        assert!(number("/end/column") > number("/start/column"), "{line}");
        assert!(!found["fix"].as_str().unwrap().is_empty(), "{line}");
        let told = format!(
            "{}:{}:{}: {}: {}\n",
            found["file"].as_str().unwrap(),
            number("/start/line"),
            number("/start/column"),
            found["code"].as_str().unwrap(),
            found["says"].as_str().unwrap()
        );
        assert_eq!(told, self::told(&path));
        // Where a word is named between backquotes and begins at that place, it is what the span covers.
        let Ok(text) = std::fs::read_to_string(Path::new(FAULTY).join(found["file"].as_str().unwrap())) else {
            continue;
        };
        let column = |pointer| usize::try_from(number(pointer)).unwrap();
        let row = text.lines().nth(column("/start/line") - 1).unwrap_or_default();
        let rest: String = row.chars().skip(column("/start/column") - 1).collect();
        let named = found["says"].as_str().unwrap().split('`').nth(1).unwrap_or_default();
        let ends = |rest: &str| rest.chars().next().is_none_or(|char| !char.is_alphanumeric() && !"_.-".contains(char));
        if !named.is_empty() && rest.strip_prefix(named).is_some_and(ends) && !named.contains(['(', ' ']) {
            let covered: String = rest.chars().take(column("/end/column") - column("/start/column")).collect();
            assert!(covered.starts_with(named), "{line}covers {covered:?}");
        }
    }
}
