//! How mistakes in a configuration are told: each with its place and fix, all at once.

use std::path::Path;

use proptest::prelude::*;

use super::{Config, from_bytes};

fn check(text: &str) -> Result<Config, Vec<String>> {
    check_in(text, Path::new("."))
}

fn check_in(text: &str, base: &Path) -> Result<Config, Vec<String>> {
    let variables = |name: &str| match name {
        "NAME" => Some("order-service".to_owned()),
        "COST" => Some("12.5".to_owned()),
        "BAD" => Some("hunter2".to_owned()),
        _ => None,
    };
    from_bytes("m.yaml", text.as_bytes(), base, &variables)
        .map_err(|wrong| wrong.iter().map(ToString::to_string).collect())
}

#[test]
fn every_mistake_is_told_at_once_with_its_place_and_fix() {
    let wrong = check(concat!(
        "dta: x\n",
        "log: {filter: [], format: xml}\n",
        "services:\n",
        "  - name: order-service\n",
        "    team: shop\n",
        "    base_url: ftp://x\n",
        "    depends_on: [inventry-service]\n",
        "    cleanup: [{path: /, patterns: ['*']}, {path: logs, patterns: []}]\n",
        "  - name: inventory-service\n",
        "    cost_per_minute: much\n",
        "  - {name: Order-Service, team: shop}\n",
    ))
    .unwrap_err();
    insta::assert_snapshot!(wrong.join("\n"));
}

#[test]
fn a_variable_fills_a_text_and_a_number_and_is_never_shown() {
    let config =
        check("services: [{name: '${NAME}', team: '${TEAM:-shop}', cost_per_minute: '${COST}', journey: 'a $${b}'}]")
            .unwrap();
    assert_eq!(config.services[0].name, "order-service");
    assert_eq!(config.services[0].team, "shop");
    assert_eq!(config.services[0].cost_per_minute, Some(12.5));
    assert_eq!(config.services[0].journey.as_deref(), Some("a ${b}"));
    let wrong =
        check("services: [{name: a, team: '${NO_SUCH}', cost_per_minute: '${BAD}', runbook: '${'}]").unwrap_err();
    assert_eq!(wrong.len(), 3, "{wrong:?}");
    assert!(wrong[0].contains("CF007") && wrong[0].contains("NO_SUCH"), "{wrong:?}");
    assert!(wrong.iter().all(|line| !line.contains("hunter2")), "{wrong:?}");
}

#[test]
fn a_secret_comes_from_a_file_beside_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("team"), "shop\n").unwrap();
    let config = check_in("services: [{name: a, team_file: team}]", folder.path()).unwrap();
    assert_eq!(config.services[0].team, "shop");
    let wrong =
        check_in("services: [{name: a, team_file: nowhere}, {name: b, team: x, team_file: team}]", folder.path())
            .unwrap_err();
    assert_eq!(wrong.len(), 2, "{wrong:?}");
    assert!(wrong[0].contains("m.yaml:1:") && wrong[0].contains("CF008"), "{wrong:?}");
    assert!(wrong[1].contains("both `team` and `team_file`"), "{wrong:?}");
}

#[test]
fn a_number_written_without_quotes_keeps_its_digits_where_text_is_wanted() {
    let config = check("services:\n  - {name: 1.20, team: 007}\n").unwrap();
    assert_eq!((config.services[0].name.as_str(), config.services[0].team.as_str()), ("1.20", "007"));
}

#[test]
fn an_empty_file_and_an_empty_section_are_the_defaults() {
    assert_eq!(check("").unwrap().data, Path::new("mayday-data"));
    assert!(check("services:\nlog:\n").unwrap().services.is_empty());
}

#[test]
fn a_key_twice_does_not_hide_other_mistakes() {
    let wrong = check("data: a\ndata: b\nsrvices: []\n").unwrap_err();
    assert_eq!(wrong.len(), 2, "{wrong:?}");
    assert!(wrong[0].starts_with("m.yaml:2:1: CF006:"), "{wrong:?}");
    assert!(wrong[1].contains("did you mean `services`?"), "{wrong:?}");
}

#[test]
fn hostile_files_are_refused_with_a_place_and_in_time() {
    let started = std::time::Instant::now();
    let bomb: String = (1..30).fold("a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned(), |text, i| {
        let last = format!("*a{}", i - 1);
        format!("{text}a{i}: &a{i} [{}]\n", [last.as_str(); 9].join(","))
    });
    let deep = format!("services: {}", "[".repeat(100_000));
    let huge = "x: y\n".repeat(300_000);
    for (what, bytes) in [
        ("bomb", bomb.into_bytes()),
        ("deep", deep.into_bytes()),
        ("huge", huge.into_bytes()),
        ("not utf-8", b"data: a\nlog: \xff\n".to_vec()),
        ("not yaml", b"data: [a\nlog: {".to_vec()),
        ("two documents", b"data: a\n---\ndata: b\n".to_vec()),
        ("a list", b"- a\n".to_vec()),
        ("a word", b"mayday".to_vec()),
    ] {
        let wrong = from_bytes("m.yaml", &bytes, Path::new("."), &|_| None).expect_err(what);
        assert!(!wrong.is_empty() && wrong.len() <= 101, "{what}");
        assert!(wrong[0].to_string().starts_with("m.yaml:"), "{what}: {}", wrong[0]);
    }
    let wrong = from_bytes("m.yaml", b"data: a\nlog: \xff\n", Path::new("."), &|_| None).unwrap_err();
    assert_eq!((wrong[0].place.line, wrong[0].place.column), (2, 6));
    assert!(started.elapsed().as_secs() < 10, "took {:?}", started.elapsed());
}

#[test]
fn many_mistakes_are_cut_and_it_says_so() {
    let wrong = check(&(0..300).map(|i| format!("k{i}: 1\n")).collect::<String>()).unwrap_err();
    assert_eq!(wrong.len(), 101);
    assert!(wrong[100].contains("CF099"));
}

#[test]
fn the_example_passes_and_shows_every_key_that_there_is() {
    let mut wrong = Vec::new();
    let seen = super::reader::Seen::default();
    let none = |_: &str| None;
    let read = super::load::read::<Config>(
        "example.yaml",
        super::EXAMPLE.as_bytes(),
        Path::new("."),
        &none,
        &mut wrong,
        &seen,
    )
    .unwrap();
    let shown: Vec<String> = wrong.iter().map(ToString::to_string).collect();
    assert!(shown.is_empty(), "{}", shown.join("\n"));
    if let Err(wrong) = from_bytes("example.yaml", super::EXAMPLE.as_bytes(), Path::new("."), &none) {
        panic!("{}", wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    }
    // A key may be left out of an item if another item of the same list shows it.
    let mut missing = std::collections::BTreeSet::new();
    for (path, fields) in seen.borrow().iter() {
        for field in *fields {
            if !somewhere(&read.written, path, field) {
                missing.insert(format!("{path:?}: {field}"));
            }
        }
    }
    assert!(
        missing.is_empty(),
        "keys that the example does not show:\n{}",
        missing.into_iter().collect::<Vec<_>>().join("\n")
    );
}

/// Whether the key is there, in this item of a list or in another one.
fn somewhere(node: &super::tree::Node, path: &[super::tree::Step], field: &str) -> bool {
    use super::tree::{Kind, Step};
    match (path, &node.kind) {
        ([], Kind::Map(entries)) => entries.iter().any(|(key, _)| key.name == field),
        ([Step::Key(name), rest @ ..], Kind::Map(entries)) => {
            entries.iter().any(|(key, value)| key.name == *name && somewhere(value, rest, field))
        }
        ([Step::Item(_), rest @ ..], Kind::List(items)) => items.iter().any(|item| somewhere(item, rest, field)),
        _ => false,
    }
}

#[test]
fn a_standing_policy_names_what_there_is_and_covers_what_may_be_covered() {
    let text = "services:\n  - {name: shop, team: t, aliases: [laden]}\naccess:\n  standing:\n    - id: a\n      limits: {max_risk: destructive, playbooks: [PB-A], services: [shpo, any], per_day: 3}\n    - id: a\n      limits: {max_risk: disruptive, playbooks: [], services: [LADEN], per_day: 0}\n";
    let wrong = check(text).unwrap_err();
    assert_eq!(
        wrong,
        [
            "m.yaml:6:26: CF005: `max_risk` can be reversible or disruptive: what only reads needs no policy, and what can't be taken back is always for people",
            "m.yaml:6:69: CF010: no service `shpo` is in `services`; did you mean `shop`?",
            "m.yaml:7:11: CF009: the standing policy name `a` is taken by the entry of line 5; rename one of them",
            "m.yaml:8:49: CF005: `playbooks` is empty, so that the policy covers nothing; name the playbooks",
            "m.yaml:8:81: CF005: `per_day` must be from 1 to 1000; remove the policy to allow none",
        ]
    );
}

#[test]
fn every_key_of_the_example_is_explained() {
    let lines: Vec<&str> = super::EXAMPLE.lines().collect();
    for (number, line) in lines.iter().enumerate() {
        let written = line.trim_start().trim_start_matches("- ");
        let is_key = written.split_once(':').is_some_and(|(key, _)| {
            !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b.is_ascii_uppercase())
        });
        if is_key && !line.trim_start().starts_with('#') {
            assert!(
                lines[number - 1].trim_start().starts_with('#'),
                "line {}: `{line}` has no comment above it",
                number + 1
            );
        }
    }
}

#[test]
fn what_would_let_strangers_in_is_refused() {
    let wrong = check(concat!(
        "http:\n",
        "  listen: 0.0.0.0:7007\n",
        "  open_webhooks_on_loopback: true\n",
        "  integrations:\n",
        "    - name: a\n",
        "    - {name: b, auth: {bearer: {token: ' '}}}\n",
        "    - {name: b, auth: {bearer: {token: x}}}\n",
        "access:\n",
        "  users:\n",
        "    - {id: ana, role: approver, password_hash: hunter2}\n",
        "    - {id: Bob, role: boss}\n",
        "    - {id: ana, role: viewer}\n",
    ))
    .unwrap_err();
    insta::assert_snapshot!(wrong.join("\n"));
}

#[test]
fn a_shared_store_needs_an_address_that_makes_sense_and_never_shows_it() {
    let wrong = |postgres: &str| check(&format!("store:\n  postgres: {postgres}\n")).unwrap_err().join("\n");
    insta::assert_snapshot!(
        [
            "{}",
            "{url: 'mysql://a:hunter2@b/c'}",
            "{url: 'postgres://a:hunter2@b'}",
            "{url: '${NO_SUCH}'}",
            "{url: 'postgres://a:hunter2@b/c', urll: x}",
            "{url: 'postgres://a@b/c', connections: 0, poll: 1h, patience: 1ms}",
        ]
        .map(wrong)
        .join("\n")
    );
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("url"), "postgres://a:hunter2@b/c\n").unwrap();
    let config = check_in("store: {postgres: {url_file: url}}", folder.path()).unwrap();
    assert!(config.store.postgres.is_some());
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn what_the_example_only_shows_passes_when_it_is_taken_in() {
    let shown: String = super::EXAMPLE
        .lines()
        .filter(|line| !["postgres:", "standing: []"].contains(&line.trim()))
        .map(|line| line.strip_prefix("  #   ").map_or_else(|| line.to_owned(), |rest| format!("  {rest}")) + "\n")
        .collect();
    assert!(shown.contains("\n  postgres:\n"), "{shown}");
    let url = |name: &str| (name == "MAYDAY_DATABASE_URL").then(|| "postgres://mayday:secret@db/mayday".to_owned());
    let config = from_bytes("example.yaml", shown.as_bytes(), Path::new("."), &url).unwrap();
    assert!(config.store.postgres.is_some());
    assert_eq!(config.access.standing.len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}") {
        let _ = check(&text);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = from_bytes("m.yaml", &bytes, Path::new("."), &|_| None);
    }

    #[test]
    fn no_half_right_configuration_makes_it_panic(
        words in proptest::collection::vec(prop_oneof![
            Just("services:"), Just("- "), Just("name: "), Just("\n"), Just("  "), Just("team: a"), Just("["), Just("{"), Just("}"),
            Just("cleanup: "), Just("path: /"), Just("restart: {process: a}"), Just("restart: x"), Just("*a"), Just("&a "), Just("${"), Just("!!int "),
            Just("depends_on: "), Just("- b"), Just("1e999"), Just("~"), Just("'"), Just("|\n"), Just("team_file: /dev/null"),
        ], 0..40)
    ) {
        let _ = check(&words.concat());
    }
}
