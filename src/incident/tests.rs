//! The pure parts: what each change does in each phase, and how the card shows it.

use std::collections::{BTreeMap, BTreeSet};

use super::acts::check;
use super::apply::{Change, Known, Outcome, apply};
use super::links::Class;
use super::*;
use crate::alert::{Alert, Fingerprint, Status};
use crate::analysis::{EvidenceId, FaultKind, Outcome as Seen};

fn at(minute: i64) -> Timestamp {
    // 2026-11-21T14:00:00Z
    Timestamp::from_second(1_795_269_600 + minute * 60).unwrap()
}

fn ana() -> Actor {
    Actor::Person(PersonId("web:ana".to_owned()))
}

fn incident() -> Incident {
    Incident {
        id: IncidentId::new(7),
        group_key: "service_name=order-service".to_owned(),
        team: "orders".to_owned(),
        service: "order-service".into(),
        channel: ChannelId::web("orders"),
        phase: Phase::Triggered,
        severity: Severity::Warning,
        severity_by_person: false,
        alert_name: "High_CPU_Usage".into(),
        description: "".into(),
        started_at: at(2),
        opened_at: at(2),
        acknowledged_at: None,
        resolved_at: None,
        commander: None,
        firing: 0,
        alerts: 0,
        latest_alerts: Vec::new(),
        findings: Vec::new(),
        evidence: Vec::new(),
        not_seen: Vec::new(),
        chart: None,
        runs: Vec::new(),
        version: 0,
        known: super::Known { host: "10.0.0.5".into(), ..Default::default() },
    }
}

fn seen(id: &str, status: Status, severity: Severity) -> AlertSeen {
    AlertSeen {
        alert_id: AlertId(id.to_owned()),
        status,
        severity,
        start: at(2),
        name: "High_CPU_Usage".into(),
        ended_at: None,
        repeated_at: None,
    }
}

fn firing(id: &str) -> AlertSeen {
    seen(id, Status::Firing, Severity::Critical)
}

fn resolved(id: &str) -> AlertSeen {
    seen(id, Status::Resolved, Severity::Critical)
}

fn alert(id: &str, value: f64) -> Alert {
    Alert {
        alert_id: AlertId(id.to_owned()),
        source_system: "generic".to_owned(),
        alert_name: "High_CPU_Usage".into(),
        severity: Severity::Critical,
        status: Status::Firing,
        service_name: "order-service".into(),
        host_ip: None,
        metric_value: Some(value),
        timestamp: at(2),
        labels: BTreeMap::new(),
        description: "CPU is busy since the rollout".into(),
        metric_value_from: Some("metric_value".to_owned()),
        metric_unit: Some("%".to_owned()),
        fingerprint: Fingerprint("f".to_owned()),
        ended_at: None,
        link: None,
    }
}

/// Applies changes one after the other, keeping the links as the store would.
struct Play {
    incident: Incident,
    links: BTreeMap<AlertId, Class>,
    last: Option<Outcome>,
}

impl Play {
    fn new() -> Self {
        Self { incident: incident(), links: BTreeMap::new(), last: None }
    }

    fn alerts(&mut self, minute: i64, alerts: &[AlertSeen]) -> &Outcome {
        let of_change = |id: &AlertId| alerts.iter().any(|seen| seen.alert_id == *id);
        let known = Known {
            links: self.links.iter().filter(|(id, _)| of_change(id)).map(|(id, class)| (id.clone(), *class)).collect(),
            others: self.links.iter().filter(|(id, _)| !of_change(id)).filter_map(|(_, class)| class.firing()).max(),
            alerts: alerts
                .iter()
                .filter(|seen| seen.status == Status::Firing)
                .map(|seen| (seen.alert_id.clone(), alert(&seen.alert_id.0, 93.5)))
                .collect(),
            again: BTreeSet::new(),
        };
        self.change(minute, Change::Alerts(alerts.to_vec()), &known)
    }

    fn act(&mut self, minute: i64, act: Act) -> Result<(), String> {
        check(&self.incident, &ana(), &act).map_err(|illegal| illegal.0)?;
        self.change(minute, Change::Act { by: ana(), act }, &Known::default());
        Ok(())
    }

    fn change(&mut self, minute: i64, change: Change, known: &Known) -> &Outcome {
        let outcome = apply(self.incident.clone(), change, known, at(minute)).unwrap();
        self.incident = outcome.incident.clone();
        self.links.extend(outcome.links.iter().cloned());
        self.last.insert(outcome)
    }

    fn card(&self, minute: i64) -> crate::chat::Card {
        card::card(&self.incident, None, at(minute))
    }
}

fn says(outcome: &Outcome) -> Vec<&str> {
    outcome.moments.iter().map(|moment| moment.says.as_str()).collect()
}

#[test]
fn an_incident_ends_with_its_last_alert_and_not_before() {
    let mut play = Play::new();
    let opened = play.alerts(2, &[firing("a"), firing("b")]);
    assert_eq!(says(opened), ["Opened by High CPU Usage ×2.", "Severity Warning → Critical, as the alerts say."][..1]);
    assert!(matches!(opened.signals[..], [Signal::Opened { .. }]));
    assert_eq!((play.incident.firing, play.incident.alerts), (2, 2));
    play.alerts(3, &[resolved("a")]);
    assert_eq!((play.incident.phase, play.incident.firing), (Phase::Triggered, 1));
    let last = play.alerts(14, &[resolved("b"), resolved("b")]);
    assert!(matches!(last.signals[..], [Signal::Resolved { .. }]));
    assert_eq!(play.incident.phase, Phase::Resolved);
    assert_eq!(play.incident.time_to_resolve().unwrap().as_secs(), 12 * 60);
    let version = play.incident.version;
    play.alerts(15, &[resolved("a"), firing("b")]);
    assert_eq!(
        (play.incident.phase, play.incident.version),
        (Phase::Resolved, version),
        "a late beginning and a second end"
    );
}

#[test]
fn an_incident_whose_counter_is_wrong_still_ends_by_its_links() {
    let mut play = Play::new();
    play.alerts(2, &[firing("a")]);
    play.incident.firing = 40;
    play.alerts(3, &[resolved("a")]);
    assert_eq!((play.incident.phase, play.incident.firing), (Phase::Resolved, 0));
}

#[test]
fn the_severity_follows_the_worst_firing_alert_unless_a_person_set_it() {
    let mut play = Play::new();
    play.alerts(2, &[seen("a", Status::Firing, Severity::Warning), firing("b")]);
    assert_eq!(play.incident.severity, Severity::Critical);
    play.alerts(3, &[resolved("b")]);
    assert_eq!(play.incident.severity, Severity::Warning);
    play.alerts(4, &[firing("a")]);
    assert_eq!(play.incident.severity, Severity::Critical, "the same alert, worse now");
    play.act(5, Act::SetSeverity { severity: Severity::Info }).unwrap();
    play.alerts(6, &[firing("c")]);
    assert_eq!(play.incident.severity, Severity::Info);
}

#[test]
fn every_act_fits_its_phase_or_says_what_to_do_instead() {
    let mut play = Play::new();
    play.alerts(2, &[firing("a")]);
    play.act(3, Act::Acknowledge).unwrap();
    assert_eq!(play.incident.phase, Phase::Acknowledged);
    assert_eq!(
        play.act(3, Act::Acknowledge).unwrap_err(),
        "INC-7 is already acknowledged by ana. `assign` gives it to someone else."
    );
    assert_eq!(play.act(3, Act::Reopen).unwrap_err(), "INC-7 is open (acknowledged); there is nothing to reopen.");
    play.act(4, Act::Assign { to: PersonId("web:ben".to_owned()) }).unwrap();
    assert_eq!(play.act(4, Act::Note { text: " ".into() }).unwrap_err(), crate::core::message::incident::EMPTY_NOTE);
    play.act(5, Act::Resolve).unwrap();
    assert_eq!(play.act(5, Act::Resolve).unwrap_err(), "INC-7 is already resolved.");
    assert_eq!(play.act(5, Act::Acknowledge).unwrap_err(), "INC-7 is resolved. `reopen INC-7` takes that back.");
    play.alerts(6, &[resolved("a")]);
    assert_eq!(play.incident.phase, Phase::Resolved);
    play.act(7, Act::Reopen).unwrap();
    assert_eq!((play.incident.phase, play.incident.resolved_at), (Phase::Reopened, None));
}

#[test]
fn what_is_over_keeps_the_worst_severity_of_its_episode() {
    let mild = |id, status| seen(id, status, Severity::Info);
    let mut play = Play::new();
    play.alerts(2, &[firing("a"), mild("b", Status::Firing)]);
    play.alerts(3, &[resolved("a")]);
    assert_eq!(play.incident.severity, Severity::Info, "what fires now");
    play.alerts(4, &[mild("b", Status::Resolved)]);
    assert_eq!((play.incident.phase, play.incident.severity), (Phase::Resolved, Severity::Critical));
    play.alerts(5, &[mild("c", Status::Firing)]);
    play.alerts(6, &[mild("c", Status::Resolved)]);
    assert_eq!(play.incident.severity, Severity::Info, "of another episode");
}

#[test]
fn how_long_it_lasted_is_what_the_alerts_say_and_not_when_mayday_heard() {
    let mut play = Play::new();
    play.alerts(2, &[firing("a"), firing("b")]);
    let end = |id, minute| AlertSeen { ended_at: Some(at(minute)), ..resolved(id) };
    play.alerts(380, &[end("b", 12)]);
    let over = play.alerts(387, &[end("a", 9)]);
    assert!(says(over).iter().any(|says| says.contains("10 min after the first began")), "{:?}", says(over));
    assert_eq!(play.incident.resolved_at, Some(at(387)), "the window to reopen it counts from when it was heard");
    assert_eq!(play.incident.time_to_resolve(), Some(std::time::Duration::from_secs(600)));
    assert!(play.card(390).title.contains("over after 10 min (14:02 to 14:12 UTC)"), "{}", play.card(390).title);
    play.alerts(388, &[firing("c")]);
    play.alerts(389, &[end("c", 9999)]);
    assert_eq!(play.incident.over_at(), Some(at(389)), "an end to come is not believed");
}

#[test]
fn a_firing_alert_reopens_what_was_resolved() {
    let mut play = Play::new();
    play.alerts(2, &[firing("a")]);
    play.alerts(3, &[resolved("a")]);
    let back = play.alerts(5, &[firing("b")]);
    assert!(matches!(back.signals[..], [Signal::Opened { .. }]));
    assert_eq!(says(back)[0], "Reopened: High CPU Usage fires again.");
    assert_eq!((play.incident.phase, play.incident.known.reopened), (Phase::Reopened, 1));
}

#[test]
fn what_a_person_resolved_opens_again_when_its_alert_is_still_said_to_fire() {
    let repeated = |id, minute| AlertSeen { repeated_at: Some(at(minute)), ..firing(id) };
    let mut play = Play::new();
    play.alerts(2, &[firing("a"), firing("b")]);
    play.act(5, Act::Resolve).unwrap();
    let version = play.incident.version;
    for (applied, said) in [(5, 4), (6, 6), (9, 6)] {
        let early = play.alerts(applied, &[repeated("a", said)]);
        assert!(!early.changed, "said at {said}, before two minutes were over");
    }
    assert_eq!((play.incident.phase, play.incident.version), (Phase::Resolved, version));
    let back = play.alerts(10, &[repeated("a", 8), repeated("b", 8)]);
    assert_eq!(says(back), ["Reopened: High CPU Usage still fires, 3 min after the incident was resolved."]);
    assert!(matches!(&back.signals[..], [Signal::Opened { alert, .. }] if alert.0 == "a"));
    assert_eq!((play.incident.phase, play.incident.firing, play.incident.alerts), (Phase::Reopened, 2, 2));
    assert_eq!(play.incident.started_at, at(2), "it never stopped");
    play.alerts(12, &[resolved("a"), resolved("b")]);
    assert_eq!(play.incident.phase, Phase::Resolved);
    assert!(!play.alerts(20, &[repeated("a", 20)]).changed, "what has ended is not opened by a late word");
}

#[test]
fn an_alert_that_ended_and_fires_again_reopens_its_incident_without_counting_twice() {
    let mut play = Play::new();
    play.alerts(2, &[firing("a"), firing("b")]);
    play.alerts(3, &[resolved("a")]);
    let known = |play: &Play| Known {
        links: play.links.clone(),
        again: BTreeSet::from([AlertId("a".to_owned())]),
        ..Known::default()
    };
    let open = known(&play);
    let back = play.change(5, Change::Alerts(vec![firing("a")]), &open);
    assert_eq!(says(back), ["High CPU Usage fires again."]);
    assert_eq!((play.incident.firing, play.incident.alerts), (2, 2));
    play.alerts(6, &[resolved("a"), resolved("b")]);
    assert_eq!(play.incident.phase, Phase::Resolved);
    let over = known(&play);
    let back = play.change(8, Change::Alerts(vec![firing("a")]), &over);
    assert!(matches!(back.signals[..], [Signal::Opened { .. }]));
    assert_eq!(says(back)[0], "Reopened: High CPU Usage fires again.");
    assert_eq!((play.incident.phase, play.incident.firing, play.incident.alerts), (Phase::Reopened, 1, 2));
}

fn brief(version: u64, state: &str, ended: bool) -> Box<RunBrief> {
    let plan = PlanBox {
        heading: "Proposed: restart order-service".to_owned(),
        diff: vec!["process order-service   pid 4711 → new process".to_owned()],
        notes: vec!["restarts 1 process, ≈ 3 s without answers".to_owned()],
        footer: None,
        steps: Vec::new(),
        buttons: if ended {
            Vec::new()
        } else {
            vec![crate::chat::Button {
                label: "Restart order-service".to_owned(),
                command: "approve RUN-3 --plan 9f86".to_owned(),
                style: crate::chat::ButtonStyle::Primary,
                ask: None,
            }]
        },
    };
    let (run, playbook) = (RunId::new(3), "PB-Restart".to_owned());
    Box::new(RunBrief {
        run,
        playbook,
        state: state.to_owned(),
        ended,
        version,
        plan,
        approved_by: Vec::new(),
        allowed_by: Vec::new(),
        why: None,
        alert_name: Some("High_CPU_Usage".into()),
        part_of: None,
    })
}

#[test]
fn a_run_that_fixed_it_mitigates_and_an_older_brief_changes_nothing() {
    let mut play = Play::new();
    play.alerts(2, &[firing("a")]);
    play.change(3, Change::Run(brief(2, "running", false)), &Known::default());
    let old = play.change(3, Change::Run(brief(1, "proposed", false)), &Known::default());
    assert!(!old.changed);
    let fixed = play.change(4, Change::Run(brief(3, "fixed", true)), &Known::default());
    assert_eq!(says(fixed)[1], "Mitigated: RUN-3 fixed it; alerts may still be ending.");
    assert_eq!(play.incident.phase, Phase::Mitigated);
    // It began before the harm stopped: it is only late.
    play.alerts(5, &[firing("b")]);
    assert_eq!(play.incident.phase, Phase::Mitigated);
    play.alerts(6, &[AlertSeen { start: at(6), ..firing("c") }]);
    assert_eq!(play.incident.phase, Phase::Reopened);
}

#[test]
fn a_run_that_fixed_one_kind_of_alert_does_not_stop_the_harm_of_another() {
    let disk = |id: &str, status| AlertSeen { name: "Disk_Full".into(), ..seen(id, status, Severity::Critical) };
    let none = Known::default();
    let mut play = Play::new();
    play.alerts(2, &[firing("a"), disk("d", Status::Firing)]);
    let part = play.change(
        3,
        Change::Run(Box::new(RunBrief { part_of: Some(RunId::new(1)), ..*brief(1, "fixed", true) })),
        &none,
    );
    assert_eq!(says(part), ["RUN-3 (PB-Restart): fixed."], "the run it is a part of goes on");
    play.incident.runs.clear();
    let fixed = play.change(4, Change::Run(brief(2, "fixed", true)), &none);
    assert_eq!(says(fixed)[1..], ["RUN-3 fixed High CPU Usage; Disk Full still fires."]);
    assert_eq!(play.incident.phase, Phase::Triggered);
    let ended = play.alerts(5, &[disk("d", Status::Resolved)]);
    assert_eq!(says(ended).last(), Some(&"Mitigated: RUN-3 fixed it; alerts may still be ending."));
    assert_eq!(play.incident.phase, Phase::Mitigated);
    // Another kind that comes later is not what the run fixed, whenever it began.
    play.alerts(6, &[disk("e", Status::Firing)]);
    assert_eq!(play.incident.phase, Phase::Reopened);
    let other = RunBrief { run: RunId::new(4), alert_name: Some("Disk_Full".into()), ..*brief(1, "fixed", true) };
    play.change(7, Change::Run(Box::new(other)), &none);
    assert_eq!(play.incident.phase, Phase::Mitigated, "both kinds are fixed now, each by its run");
}

#[test]
fn a_run_that_a_person_started_speaks_for_the_only_kind_there_is() {
    let by_hand = || Box::new(RunBrief { alert_name: None, ..*brief(1, "fixed", true) });
    let mut play = Play::new();
    play.alerts(2, &[firing("a"), AlertSeen { name: "Disk_Full".into(), ..firing("d") }]);
    let fixed = play.change(3, Change::Run(by_hand()), &Known::default());
    assert_eq!(says(fixed)[1..], ["RUN-3 fixed what it was for; High CPU Usage and Disk Full still fire."]);
    let mut play = Play::new();
    play.alerts(2, &[firing("a"), firing("b")]);
    play.change(3, Change::Run(by_hand()), &Known::default());
    assert_eq!(play.incident.phase, Phase::Mitigated);
}

#[test]
fn the_newest_run_of_a_playbook_is_known_after_its_brief_has_gone() {
    let mut play = Play::new();
    play.alerts(2, &[firing("a")]);
    play.change(3, Change::Run(brief(1, "no_effect", true)), &Known::default());
    for number in 4..=20 {
        let other =
            RunBrief { run: RunId::new(number), playbook: "PB-Other".to_owned(), ..*brief(1, "no_effect", true) };
        play.change(3, Change::Run(Box::new(other)), &Known::default());
    }
    assert!(play.incident.runs.iter().all(|run| run.playbook == "PB-Other"));
    assert_eq!(play.incident.newest_run("PB-Restart"), Some(RunId::new(3)));
    assert_eq!(play.incident.newest_run("PB-Other"), Some(RunId::new(20)));
    assert_eq!(play.incident.newest_run("PB-None"), None);
}

#[test]
fn the_timeline_names_who_approved_and_why_a_run_ended() {
    let mut play = Play::new();
    play.alerts(2, &[firing("a")]);
    let told = |play: &mut Play, brief: Box<RunBrief>| {
        let outcome = play.change(3, Change::Run(brief), &Known::default());
        outcome.moments.iter().map(|moment| (moment.by.clone(), moment.says.clone())).collect::<Vec<_>>()
    };
    let waits = told(&mut play, brief(1, "proposed", false));
    assert_eq!(waits[0].1, "RUN-3 (PB-Restart): its plan waits for an approval.");
    let by_ana = |version, state, ended| {
        Box::new(RunBrief { approved_by: vec![PersonId("web:ana".to_owned())], ..*brief(version, state, ended) })
    };
    let approved = told(&mut play, by_ana(2, "running", true));
    assert_eq!(approved[0], (ana(), "RUN-3 (PB-Restart): approved by ana.".to_owned()));
    let mut ended = by_ana(3, "rejected", true);
    ended.why = Some("ana rejected it: not now".to_owned());
    let ended = told(&mut play, ended);
    assert_eq!(ended.len(), 1, "an approval is told once");
    assert_eq!(ended[0].1, "RUN-3 (PB-Restart): rejected: ana rejected it: not now.");
}

#[test]
fn every_kind_of_alert_is_signalled_once() {
    let mut play = Play::new();
    play.alerts(2, &[firing("a")]);
    let same = play.alerts(3, &[firing("b"), firing("c")]);
    assert!(same.signals.is_empty());
    let other = play.alerts(3, &[AlertSeen { name: "Disk_Full".into(), ..firing("d") }]);
    assert!(matches!(other.signals[..], [Signal::Joined { .. }]));
}

fn show(name: &str, card: &crate::chat::Card) {
    insta::with_settings!({snapshot_path => "../../tests/snapshots/cards", prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_yaml_snapshot!(name, card);
    });
}

#[test]
fn the_card_tells_the_story_from_the_first_alert_to_the_end() {
    let mut play = Play::new();
    play.alerts(2, &[firing("a"), firing("b")]);
    show("triggered", &play.card(3));
    let evidence = |id: &str| Evidence {
        id: EvidenceId(id.to_owned()),
        source: "own metrics".to_owned(),
        query: "cpu".to_owned(),
        from: at(0),
        to: at(3),
        outcome: Seen::Data { rows: 30, truncated: false },
        says: "CPU jumped at 14:02".to_owned(),
        samples: Vec::new(),
    };
    let finding = |says: &str, confidence| Finding {
        component: "order-service".to_owned(),
        kind: FaultKind::Cpu,
        confidence,
        says: says.to_owned(),
        evidence: vec![EvidenceId("E1".to_owned())],
    };
    let found = Change::Found {
        findings: vec![
            finding("order-service spins in a loop since 14:02", 0.86),
            finding("more requests than usual", 0.2),
        ],
        evidence: vec![evidence("E1")],
        not_seen: vec!["traces, none are configured".to_owned()],
        chart: None,
        facts: vec![crate::chat::Fact {
            name: "Busy".to_owned(),
            value: "97 %".to_owned(),
            normal: Some("normal is 20 %".to_owned()),
            evidence: vec![crate::chat::EvidenceRef {
                id: "E1".to_owned(),
                path: "/incidents/INC-7/evidence/E1".to_owned(),
            }],
        }],
        cause: None,
    };
    play.change(4, found, &Known::default());
    play.change(4, Change::Run(brief(1, "waiting", false)), &Known::default());
    play.act(5, Act::Acknowledge).unwrap();
    show("acknowledged-with-a-plan", &play.card(5));
    play.change(6, Change::Run(brief(2, "fixed", true)), &Known::default());
    play.alerts(7, &[resolved("a"), resolved("b")]);
    show("resolved", &play.card(60 * 24));
}

#[test]
fn a_consequence_says_whose_it_is_and_asks_for_nothing() {
    let mut play = Play::new();
    play.alerts(2, &[firing("a"), firing("b")]);
    play.change(2, Change::Run(brief(1, "waiting", false)), &Known::default());
    let cause = Related { incident: IncidentId::new(3), service: "inventory-service".to_owned() };
    let folded = play.change(3, Change::SuffersFrom(Some(cause.clone())), &Known::default());
    assert!(matches!(folded.signals[..], [Signal::Folded { .. }]));
    assert!(says(folded)[0].starts_with("Suffers from INC-3 inventory-service"), "{:?}", says(folded));
    let again = play.change(3, Change::SuffersFrom(Some(cause)), &Known::default());
    assert!(!again.changed && again.moments.is_empty(), "said once");
    play.change(3, Change::Run(brief(2, "cancelled", true)), &Known::default());
    let card = play.card(3);
    assert_eq!(card.plan, None, "the proposal that was taken back");
    let subtitle = card.subtitle.unwrap();
    assert!(subtitle.starts_with("Suffers from INC-3 inventory-service. CPU is busy"), "{subtitle}");
    let alone = play.change(4, Change::SuffersFrom(None), &Known::default());
    let all = matches!(&alone.signals[..], [Signal::Opened { alert: b, .. }, Signal::Joined { alert: a, .. }] if b.0 == "b" && a.0 == "a");
    assert!(all, "what fits any of its alerts is proposed then: {:?}", alone.signals);
    assert!(play.card(4).plan.is_some());
    play.change(5, Change::SuffersFrom(Some(play.incident.related())), &Known::default());
    play.alerts(6, &[resolved("a"), resolved("b")]);
    assert_eq!(play.incident.phase, Phase::Resolved, "it ends by its own alerts");
}

#[test]
fn a_cause_lists_who_suffers_from_it_until_its_next_episode() {
    let mut play = Play::new();
    play.alerts(2, &[firing("a")]);
    let gateway = Related { incident: IncidentId::new(9), service: "gateway".to_owned() };
    for _ in 0..2 {
        play.change(3, Change::Sufferer { other: gateway.clone(), suffers: true }, &Known::default());
    }
    let listed = |card: &crate::chat::Card| {
        let lines = card.sections.iter().flat_map(|section| &section.lines);
        lines.filter(|line| line.lead.as_deref() == Some("Suffer from it:")).map(|line| line.text.clone()).next()
    };
    assert_eq!(listed(&play.card(3)).as_deref(), Some("gateway (INC-9)"));
    play.change(4, Change::Sufferer { other: gateway.clone(), suffers: false }, &Known::default());
    assert_eq!(listed(&play.card(4)), None);
    play.change(4, Change::Sufferer { other: gateway, suffers: true }, &Known::default());
    play.alerts(5, &[resolved("a")]);
    play.alerts(6, &[AlertSeen { start: at(6), ..firing("b") }]);
    assert_eq!(listed(&play.card(6)), None);
}

#[test]
fn a_card_without_a_service_names_the_host_and_hostile_names_stay_short() {
    let mut play = Play::new();
    play.incident.service = "".into();
    play.incident.alert_name = "x".repeat(5000).into();
    play.incident.known.host = "<b>web</b>-01".into();
    play.alerts(2, &[AlertSeen { name: "x".repeat(5000).into(), ..firing("a") }]);
    let card = play.card(3);
    assert!(card.title.starts_with("<b>web</b>-01: xxx"), "{}", card.title);
    assert!(card.title.len() < 250, "{}", card.title.len());
}

#[test]
fn no_secret_reaches_a_card_or_the_timeline() {
    let mut play = Play::new();
    play.alerts(2, &[firing("a")]);
    play.incident.description = "login failed: password=hunter2hunter2 for order-service".into();
    play.act(3, Act::Note { text: "used Authorization: Bearer abcdefghijklmnopqrstuvwxyz0123456789".into() }).unwrap();
    assert!(play.card(3).subtitle.is_some_and(|text| text.contains("[redacted]") && !text.contains("hunter2")));
    let moments = says(play.last.as_ref().unwrap()).concat();
    assert!(!moments.contains("abcdefghijkl"), "{moments}");
}

mod sequences {
    use super::*;
    use proptest::prelude::*;

    fn any_seen() -> impl Strategy<Value = AlertSeen> {
        (0..6_u8, any::<bool>(), 0..3_usize).prop_map(|(alert, fires, severity)| {
            let status = if fires { Status::Firing } else { Status::Resolved };
            seen(&format!("a{alert}"), status, Severity::ALL[severity])
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn in_whatever_order_messages_come_the_incident_is_open_exactly_while_something_fires(
            changes in proptest::collection::vec(proptest::collection::vec(any_seen(), 1..5), 1..20),
        ) {
            let mut play = Play::new();
            play.alerts(2, &[firing("a0")]);
            for (minute, alerts) in (3..).zip(changes) {
                let version = play.incident.version;
                let changed = play.alerts(minute, &alerts).changed;
                let firing = play.links.values().filter_map(|class| class.firing());
                let (count, worst) = (firing.clone().count() as u64, firing.max());
                prop_assert_eq!(play.incident.firing, count);
                prop_assert_eq!(play.incident.alerts, play.links.len() as u64);
                prop_assert_eq!(play.incident.phase.is_over(), worst.is_none());
                prop_assert_eq!(play.incident.resolved_at.is_some(), worst.is_none());
                if let Some(worst) = worst {
                    prop_assert_eq!(play.incident.severity, worst);
                }
                prop_assert_eq!(play.incident.version, version + u64::from(changed));
            }
        }
    }
}
