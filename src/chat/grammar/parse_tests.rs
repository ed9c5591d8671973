//! The grammar as behaviour: what is understood, what is refused and where, and that print and parse agree.

use proptest::prelude::*;

use super::*;

fn ok(line: &str) -> Command {
    parse(line).unwrap_or_else(|error| panic!("{error}"))
}

fn wrong(line: &str) -> GrammarError {
    parse(line).expect_err(line)
}

/// What the mark stands under.
fn marked(error: &GrammarError) -> &str {
    &error.line[error.at.clone()]
}

const INC: Option<IncidentId> = Some(IncidentId::new(7));

#[test]
fn mayday_is_called_in_three_ways() {
    for line in ["/mayday ack INC-7", "@mayday ack inc-7", "@Mayday: ACK 7", "ack 7", "  acknowledge INC-7 "] {
        assert_eq!(ok(line), Command::Ack { incident: INC }, "{line}");
    }
    assert_eq!(ok("/mayday"), Command::Help { about: None });
    assert_eq!(ok(""), Command::Help { about: None });
    assert_eq!(marked(&wrong("@maydayteam ack")), "@maydayteam");
}

#[test]
fn in_a_message_only_a_line_that_calls_mayday_counts_and_quotes_and_code_do_not() {
    assert_eq!(in_message("thanks all, ack from me"), None);
    assert_eq!(in_message("> @mayday resolve INC-7\nI would not"), None);
    assert_eq!(in_message("```\n/mayday resolve INC-7\n```\nno"), None);
    assert_eq!(in_message("`@mayday resolve`"), None);
    let found = in_message("look:\n```\n/mayday resolve INC-9\n```\n@mayday ack INC-7\n@mayday ack INC-8");
    assert_eq!(found, Some(Ok(Command::Ack { incident: INC })));
    assert!(in_message("@mayday ackk").is_some_and(|found| found.is_err()));
}

#[test]
fn each_command_is_read_with_all_it_can_take() {
    assert_eq!(ok("incidents"), Command::Incidents { filter: Filter::Open });
    assert_eq!(ok("incidents ALL"), Command::Incidents { filter: Filter::All });
    let assigned = Command::Assign { incident: INC, to: Who::Name("ana".to_owned()) };
    assert_eq!(ok("assign INC-7 @ana"), assigned);
    assert_eq!(ok("assign @ana INC-7"), assigned);
    assert_eq!(ok("assign me"), Command::Assign { incident: None, to: Who::Me });
    assert_eq!(ok("severity crit"), Command::Severity { incident: None, severity: Severity::Critical });
    assert_eq!(ok("severity 7 Info"), Command::Severity { incident: INC, severity: Severity::Info });
    let matcher =
        |label: &str, operator, value: &str| Matcher { label: label.to_owned(), operator, value: value.to_owned() };
    assert_eq!(
        ok("silence service=x,severity=Critical team!=\"a, b\" host=~\"db\\d+\" 2h30m"),
        Command::Silence {
            matchers: vec![
                matcher("service", Operator::Is, "x"),
                matcher("severity", Operator::Is, "Critical"),
                matcher("team", Operator::IsNot, "a, b"),
                matcher("host", Operator::Matches, "db\\d+"),
            ],
            span: Span::from_secs(9000),
        }
    );
    assert_eq!(
        ok("logs order-service 30m timeout \"pool exhausted\""),
        Command::Logs {
            service: "order-service".to_owned(),
            span: Some(Span::from_secs(1800)),
            words: vec!["timeout".to_owned(), "pool exhausted".to_owned()],
        }
    );
    assert_eq!(
        ok("metrics rate(x{a=\"b c\"}[5m]) / 2 1h"),
        Command::Metrics { expression: "rate(x{a=\"b c\"}[5m]) / 2".to_owned(), span: Some(Span::from_secs(3600)) }
    );
    assert_eq!(ok("metrics up offset 1h"), Command::Metrics { expression: "up offset 1h".to_owned(), span: None });
    let parameters = BTreeMap::from([("replicas".to_owned(), "3".to_owned()), ("why".to_owned(), "a b".to_owned())]);
    assert_eq!(
        ok("run PB-X replicas=3 why=\"a b\" --incident 7"),
        Command::Run { playbook: "PB-X".to_owned(), parameters, incident: INC }
    );
    assert_eq!(
        ok("approve RUN-3 --plan 9f86d0 it's fine, \"really\""),
        Command::Approve {
            run: RunId::new(3),
            plan: Some("9f86d0".to_owned()),
            reason: Some("it's fine, \"really\"".to_owned()),
        }
    );
    assert_eq!(ok("reject 3"), Command::Reject { run: RunId::new(3), plan: None, reason: None });
    assert_eq!(
        ok("answer RUN-3 --task=confirm not done"),
        Command::Answer { run: RunId::new(3), task: Some("confirm".to_owned()), answer: "not done".to_owned() }
    );
    assert_eq!(
        ok("feedback bad wrong service"),
        Command::Feedback { incident: None, verdict: Verdict::Bad, text: Some("wrong service".to_owned()) }
    );
}

#[test]
fn a_slip_is_marked_and_the_nearest_word_is_offered() {
    let error = wrong("ackk INC-7");
    assert_eq!((marked(&error), error.near.as_deref()), ("ackk", Some("ack")));
    assert_eq!(error.to_string(), "`ackk` is not a command. Did you mean `ack`?\n  ackk INC-7\n  ^^^^");
    assert_eq!(wrong("time").near.as_deref(), Some("timeline"));
    assert_eq!(wrong("frobnicate").near, None);
    let error = wrong("incidents opne");
    assert_eq!((marked(&error), error.near.as_deref()), ("opne", Some("open")));
    let error = wrong("severity Critcal");
    assert_eq!((marked(&error), error.near.as_deref()), ("Critcal", Some("Critical")));
    let error = wrong("show INC7");
    assert_eq!((marked(&error), error.near.as_deref()), ("INC7", Some("INC-7")));
    let error = wrong("pause run3");
    assert_eq!((marked(&error), error.near.as_deref()), ("run3", Some("RUN-3")));
    let error = wrong("ack RUN-3");
    assert_eq!(marked(&error), "RUN-3");
    for line in [
        "approve RUN-3 --break-glass \"shop down, nobody awake\"",
        "approve RUN-3 --break-glass shop down, nobody awake",
    ] {
        let Command::BreakGlass { plan: None, reason, .. } = ok(line) else { panic!("{line}") };
        assert_eq!(reason, "shop down, nobody awake");
    }
    let whole = "approve RUN-3 --plan 9f86d0 --break-glass \"shop down\"";
    assert_eq!(ok(whole).to_string(), whole);
    wrong("approve RUN-3 --break-glass");
    wrong("reject RUN-3 --break-glass why");
    let error = wrong("approve RUN-3 --pln 9f86d0");
    assert_eq!((marked(&error), error.near.as_deref()), ("--pln", Some("--plan")));
    let error = wrong("silence a=b 2 h");
    assert_eq!((marked(&error), error.near.as_deref()), ("2", Some("2h")));
    let error = wrong("help silense");
    assert_eq!(error.near.as_deref(), Some("silence"));
}

#[test]
fn what_is_missing_or_too_much_is_said_with_the_usage() {
    let error = wrong("approve");
    assert!(error.at.is_empty() && error.at.start == "approve".len());
    assert!(error.to_string().contains("approve <RUN-3> [--plan HASH] [--break-glass REASON] [reason]"), "{error}");
    assert_eq!(marked(&wrong("health now")), "now");
    assert_eq!(marked(&wrong("show INC-7 INC-8")), "INC-8");
    assert_eq!(marked(&wrong("run PB-X replicas")), "replicas");
    assert_eq!(marked(&wrong("run PB-X a=1 a=2")), "a=2");
    assert_eq!(marked(&wrong("silence 2h")), "2h");
    assert_eq!(marked(&wrong("silence =x 2h")), "=x");
    assert_eq!(marked(&wrong("logs \"order service")), "\"");
}

#[test]
fn an_option_behind_the_reason_is_refused_and_not_taken_as_its_text() {
    let error = wrong("approve RUN-3 looks fine --plan 9f86d0");
    assert_eq!(marked(&error), "--plan");
    assert!(matches!(ok("approve RUN-3 \"see --plan\""), Command::Approve { plan: None, reason: Some(_), .. }));
}

#[test]
fn versions_of_a_playbook_are_named_by_number() {
    let act = |line: &str| match ok(line) {
        Command::Playbooks { playbook: Some(id), act } if id == "PB-Disk" => act,
        other => panic!("{other:?}"),
    };
    assert_eq!(act("playbooks PB-Disk"), BookAct::Show);
    assert_eq!(act("playbooks PB-Disk hist"), BookAct::History);
    assert_eq!(act("playbooks PB-Disk diff v2"), BookAct::Diff { from: Some(2), to: None });
    assert_eq!(act("playbooks PB-Disk use newest"), BookAct::Use { version: None });
    assert_eq!(marked(&wrong("playbooks PB-Disk use last")), "last");
    assert_eq!(marked(&wrong("playbooks PB-Disk undo")), "undo");
}

#[test]
fn an_id_that_no_number_can_hold_is_refused() {
    assert_eq!(marked(&wrong("show INC-99999999999999999999999")), "INC-99999999999999999999999");
    assert!(parse(&"a".repeat(100_000)).is_err());
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof!["[a-zA-Z][a-zA-Z0-9_.-]{0,12}", "[ -~]{1,12}", "\\PC{1,12}"]
        .prop_filter("a word has something in it", |word| !word.trim().is_empty())
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z']{1,8}( [a-z\"-]{1,8}){0,4}", "\\PC{1,40}", "--[a-z]{1,6} [a-z]{1,5}"]
        .prop_filter("a text has something in it", |text| !text.trim().is_empty())
}

fn incident() -> impl Strategy<Value = Option<IncidentId>> {
    prop::option::of(any::<u64>().prop_map(IncidentId::new))
}

fn book_act() -> impl Strategy<Value = BookAct> {
    let number = || 1u32..9_999;
    prop_oneof![
        Just(BookAct::History),
        Just(BookAct::Diff { from: None, to: None }),
        (number(), prop::option::of(number())).prop_map(|(from, to)| BookAct::Diff { from: Some(from), to }),
        prop::option::of(number()).prop_map(|version| BookAct::Use { version }),
    ]
}

fn span() -> impl Strategy<Value = Span> {
    (0u64..1_000_000_000).prop_map(|millis| Span(std::time::Duration::from_millis(millis)))
}

fn command() -> impl Strategy<Value = Command> {
    let run = || any::<u64>().prop_map(RunId::new);
    let verb = prop::sample::select(Verb::all().collect::<Vec<_>>());
    let label = "[a-zA-Z_][a-zA-Z0-9_.-]{0,8}";
    let operator = prop::sample::select(vec![Operator::Is, Operator::IsNot, Operator::Matches, Operator::MatchesNot]);
    let matcher = (label, operator, text()).prop_map(|(label, operator, value)| Matcher { label, operator, value });
    let name = word().prop_filter("@me and @@x are others", |name| !name.eq_ignore_ascii_case("me"));
    let person = prop_oneof![Just(Who::Me), name.prop_map(Who::Name)];
    let severity = prop::sample::select(vec![Severity::Critical, Severity::Warning, Severity::Info]);
    let verdict = prop::sample::select(vec![Verdict::Good, Verdict::Bad]);
    let parameters = || prop::collection::btree_map("[a-zA-Z_][a-zA-Z0-9_.-]{0,8}", text(), 0..4);
    let maybe = || prop::option::of(text());
    prop_oneof![
        prop::option::of(verb).prop_map(|about| Command::Help { about }),
        incident().prop_map(|incident| Command::Why { incident }),
        (incident(), person).prop_map(|(incident, to)| Command::Assign { incident, to }),
        (incident(), severity).prop_map(|(incident, severity)| Command::Severity { incident, severity }),
        (prop::collection::vec(matcher, 1..4), span()).prop_map(|(matchers, span)| Command::Silence { matchers, span }),
        text().prop_map(|question| Command::Ask { question }),
        (word(), prop::option::of(span()), prop::collection::vec(word(), 0..4))
            .prop_map(|(service, span, words)| Command::Logs { service, span, words }),
        (text(), prop::option::of(span())).prop_map(|(expression, span)| Command::Metrics { expression, span }),
        prop::option::of(word()).prop_map(|playbook| Command::Playbooks { playbook, act: BookAct::Show }),
        (word(), book_act()).prop_map(|(playbook, act)| Command::Playbooks { playbook: Some(playbook), act }),
        (word(), parameters(), incident()).prop_map(|(playbook, parameters, incident)| Command::Run {
            playbook,
            parameters,
            incident
        }),
        (run(), prop::option::of(word()), maybe()).prop_map(|(run, plan, reason)| Command::Approve {
            run,
            plan,
            reason
        }),
        (run(), prop::option::of(word()), text()).prop_map(|(run, task, answer)| Command::Answer { run, task, answer }),
        (incident(), verdict, maybe()).prop_map(|(incident, verdict, text)| Command::Feedback {
            incident,
            verdict,
            text
        }),
        prop::option::of(span()).prop_map(|span| Command::Report { span }),
        Just(Command::Health),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_command_reads_back_as_it_is_printed(command in command()) {
        let line = command.to_string();
        prop_assert_eq!(parse(&line), Ok(command), "{}", line);
    }

    #[test]
    fn no_line_makes_it_panic_and_every_error_marks_a_place_of_the_line(line in "\\PC{0,60}") {
        if let Err(error) = parse(&line) {
            prop_assert!(error.line.get(error.at.clone()).is_some());
            let _ = error.to_string();
        }
        let _ = in_message(&line);
    }

    #[test]
    fn no_half_right_line_makes_it_panic(
        verb in prop::sample::select(Verb::all().collect::<Vec<_>>()),
        tail in "[ \\t\"'\\\\=,~!@#0-9a-zA-Z–“”-]{0,40}",
    ) {
        let line = format!("/mayday {verb} {tail}");
        match parse(&line) {
            Ok(command) => prop_assert_eq!(parse(&command.to_string()), Ok(command)),
            Err(error) => {
                prop_assert!(error.line.get(error.at.clone()).is_some());
                let _ = error.to_string();
            }
        }
    }
}
