//! The picture in ARCHITECTURE.md, kept true: every `src/**/*.rs` is read, and an import that goes up or sideways, a file
//! that does not say what it is for, or a library's name outside its adapter fails here with its file and line.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// Rooms by layer; a room imports only from a lower layer or from itself.
const LAYERS: &[&[&str]] = &[
    &["core"],
    &["alert", "analysis", "store", "source", "llm"],
    &["work", "access", "catalog", "watch", "chat"],
    &["incident", "playbook", "knowledge"],
    &["action", "diagnose"],
    &["heal", "ops"],
    &["command"],
    &["http"],
    &["config", "cli", "demo"],
];

/// Libraries whose names may stand in one folder only.
const ADAPTERS: &[(&str, &str)] = &[
    ("slack_morphism", "src/chat/slack/"),
    ("serenity", "src/chat/discord/"),
    ("sled", "src/store/"),
    ("sqlx", "src/store/postgres/"),
];

#[derive(Debug, PartialEq, Eq)]
struct Violation {
    file: String,
    line: usize,
    why: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.why)
    }
}

#[test]
fn imports_go_down_files_say_what_they_are_for_and_adapters_keep_their_libraries() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&root.join("src"), &mut files);
    assert!(files.len() > 20, "the sources are where this test looks for them");
    let mut found = Vec::new();
    for path in files {
        let name = path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
        let text = std::fs::read_to_string(&path).unwrap();
        found.extend(violations(&name, &text));
    }
    let list: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(list.is_empty(), "\n{}\n", list.join("\n"));
}

#[test]
fn every_room_of_the_library_has_a_layer() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for entry in std::fs::read_dir(root.join("src")).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            let room = entry.file_name().to_string_lossy().into_owned();
            assert!(layer(&room).is_some(), "src/{room} has no layer: add it to ARCHITECTURE.md and to this test");
        }
    }
}

#[test]
fn a_planted_violation_is_found() {
    let whys = |file: &str, text: &str| -> Vec<(usize, String)> {
        violations(file, text).into_iter().map(|found| (found.line, found.why)).collect()
    };
    let planted = |file: &str, body: &str| whys(file, &format!("//! A room.\n{body}\n"));

    assert_eq!(planted("src/chat/mod.rs", "use crate::incident::Incident;").len(), 1, "upward");
    assert_eq!(planted("src/chat/mod.rs", "use crate::access::Person;").len(), 1, "sideways");
    assert_eq!(
        planted("src/incident/a.rs", "use crate::{core::Clock,\n    playbook::{self, Runs}};")[0].0,
        3,
        "in a group"
    );
    assert_eq!(planted("src/watch/a.rs", "fn f() -> crate::http::Service { todo!() }")[0].0, 2, "a path, not a use");
    assert_eq!(
        planted("src/alert/a.rs", "#[cfg(test)]\nmod tests {\n    use crate::store::Key;\n}")[0].0,
        4,
        "tests count"
    );
    assert_eq!(planted("src/alert/a.rs", "use super::super::store::Key;").len(), 1, "up by super");
    assert_eq!(planted("src/alert/mod.rs", "use super::store::Key;").len(), 1, "up by super from mod.rs");
    assert_eq!(
        planted("src/chat/web/mod.rs", "use serenity::all::Context;").len(),
        1,
        "a chat library outside its adapter"
    );
    assert_eq!(planted("src/chat/slack/mod.rs", "use slack_morphism::prelude::*;").len(), 0, "a chat library inside");
    assert_eq!(planted("src/work/mod.rs", "fn f(_: &sled::Db) {}").len(), 1, "sled outside the store");
    assert_eq!(
        planted("src/config/mod.rs", "use crate::cli::Args;").len(),
        1,
        "sideways at the top: src/main.rs joins these"
    );
    assert_eq!(
        whys("src/core/a.rs", "use std::fmt;\n"),
        [(1, "the file does not begin with `//!` and what it is for".to_owned())]
    );

    assert_eq!(
        planted("src/incident/mod.rs", "use crate::{core, chat::Card, incident::Phase};"),
        [],
        "downward and own"
    );
    assert_eq!(
        planted("src/chat/mod.rs", "// use crate::http\nlet s = \"crate::http \\\" sled\"; let c = '\"'; /* sled */"),
        [],
        "text"
    );
    assert_eq!(
        planted("src/core/a.rs", "let s = r#\"say \"crate::http\" \"#; fn f<'a>(x: &'a str) {}"),
        [],
        "raw text"
    );
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
    into.sort();
}

fn layer(room: &str) -> Option<usize> {
    LAYERS.iter().position(|rooms| rooms.contains(&room))
}

/// All violations of one file. `file` is relative to the package, with forward slashes.
fn violations(file: &str, text: &str) -> Vec<Violation> {
    let mut found: BTreeMap<(usize, String), ()> = BTreeMap::new();
    if !text.trim_start_matches('\u{feff}').starts_with("//!") {
        found.insert((1, "the file does not begin with `//!` and what it is for".to_owned()), ());
    }
    let code = code_only(text);
    let line_of = |at: usize| code[..at].bytes().filter(|byte| *byte == b'\n').count() + 1;
    for (library, folder) in ADAPTERS {
        for at in words(&code, library) {
            if !file.starts_with(folder) {
                found.insert((line_of(at), format!("`{library}` may be named in {folder} only")), ());
            }
        }
    }
    // src/lib.rs declares the rooms and src/main.rs joins those of the top layer; they belong to no room.
    if let Some(room) = file.strip_prefix("src/").and_then(|rest| rest.split_once('/')).map(|(room, _)| room) {
        for (at, target) in paths(file, &code) {
            if let Some(why) = forbidden(room, &target) {
                found.insert((line_of(at), why), ());
            }
        }
    }
    found.into_keys().map(|(line, why)| Violation { file: file.to_owned(), line, why }).collect()
}

/// Why `room` may not import from `target`, if it may not.
fn forbidden(room: &str, target: &str) -> Option<String> {
    let (own, other) = (layer(room)?, layer(target)?);
    if room == target || other < own {
        return None;
    }
    let way = if other == own { "sideways" } else { "upward" };
    Some(format!(
        "{way} import: `{room}` (layer {}) may not use `{target}` (layer {}); own a small trait in `{room}` instead",
        own + 1,
        other + 1
    ))
}

/// Every room that a path from the crate's root names, with where it stands.
fn paths(file: &str, code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for at in words(code, "crate") {
        let after = at + "crate".len();
        if let Some(rest) = code[after..].trim_start().strip_prefix("::") {
            first_names(code, code.len() - rest.len(), &mut found);
        }
    }
    // `super::` leaves the room after as many steps as the file is deep.
    let depth = file.matches('/').count() - usize::from(file.ends_with("/mod.rs"));
    let mut at = 0;
    while let Some(next) = words(&code[at..], "super").first().map(|offset| at + offset) {
        let mut steps = 0;
        let mut end = next;
        while let Some(rest) = code[end..].trim_start().strip_prefix("super") {
            let Some(rest) = rest.trim_start().strip_prefix("::") else { break };
            end = code.len() - rest.len();
            steps += 1;
        }
        if steps >= depth && end > next {
            first_names(code, end, &mut found);
        }
        at = end.max(next + "super".len());
    }
    found
}

/// The first name of a path, or of each path in a `{…}` group, that begins at `start`.
fn first_names(code: &str, start: usize, found: &mut Vec<(usize, String)>) {
    let name_at = |at: usize| -> Option<(usize, String)> {
        let skipped = code[at..].len() - code[at..].trim_start().len();
        let name: String = code[at + skipped..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        (!name.is_empty()).then_some((at + skipped, name))
    };
    if !code[start..].trim_start().starts_with('{') {
        found.extend(name_at(start));
        return;
    }
    let mut depth = 0;
    for (offset, c) in code[start..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 1 && (c == '{' || c == ',') {
            found.extend(name_at(start + offset + 1));
        }
        if depth == 0 && c == '}' {
            break;
        }
    }
}

/// Where `word` stands as a whole word.
fn words(code: &str, word: &str) -> Vec<usize> {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(|at| !code[..*at].ends_with(part) && !code[at + word.len()..].starts_with(part))
        .collect()
}

/// The text with comments, strings and characters blanked, every line where it was.
fn code_only(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    // Blanks up to `end`, keeping line breaks.
    let blank = |code: &mut String, from: usize, to: usize| {
        code.extend(chars[from..to].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
    };
    while at < chars.len() {
        let rest = &chars[at..];
        let end = if rest.starts_with(&['/', '/']) {
            at + rest.iter().position(|c| *c == '\n').unwrap_or(rest.len())
        } else if rest.starts_with(&['/', '*']) {
            at + (2..rest.len()).find(|i| rest[i - 1] == '*' && rest[*i] == '/' && *i > 2).map_or(rest.len(), |i| i + 1)
        } else if let Some(length) =
            raw_string(rest).filter(|_| !at.checked_sub(1).is_some_and(|i| chars[i].is_alphanumeric()))
        {
            at + length
        } else if rest[0] == '"' {
            let mut i = 1;
            while i < rest.len() && rest[i] != '"' {
                i += if rest[i] == '\\' { 2 } else { 1 };
            }
            (at + i + 1).min(chars.len())
        } else if rest[0] == '\'' && rest.get(1) == Some(&'\\') {
            at + 2 + rest[2..].iter().skip(1).position(|c| *c == '\'').map_or(1, |i| i + 2)
        } else if rest[0] == '\'' && rest.get(2) == Some(&'\'') {
            at + 3
        } else {
            code.push(chars[at]);
            at += 1;
            continue;
        };
        blank(&mut code, at, end.min(chars.len()));
        at = end.min(chars.len());
    }
    code
}

/// Length of the raw string that begins here, if one does.
fn raw_string(rest: &[char]) -> Option<usize> {
    let start = rest.iter().position(|c| *c == 'r').filter(|at| *at == 0 || (*at == 1 && rest[0] == 'b'))? + 1;
    let hashes = rest[start..].iter().take_while(|c| **c == '#').count();
    if rest.get(start + hashes) != Some(&'"') {
        return None;
    }
    let mut at = start + hashes + 1;
    while at < rest.len() {
        if rest[at] == '"' && rest[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes {
            return Some(at + 1 + hashes);
        }
        at += 1;
    }
    Some(rest.len())
}

#[test]
fn every_test_file_is_part_of_the_binary() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let main = std::fs::read_to_string(folder.join("main.rs")).unwrap();
    let declared = |name: &str| main.lines().any(|line| line.trim() == format!("mod {name};"));
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let left_out: Vec<String> = files
        .filter(|path| path.extension().is_some_and(|end| end == "rs"))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .filter(|name| name != "main" && !declared(name))
        .collect();
    assert!(left_out.is_empty(), "not run: {left_out:?}; declare them in tests/it/main.rs");
}
