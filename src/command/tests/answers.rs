//! What people read: lists, names from outside, columns, words that help on.

use super::*;

#[tokio::test]
async fn a_decision_carries_the_plan_that_was_seen_and_the_second_click_says_that_it_did_nothing() {
    let (desk, world) = desk();
    let first = ana(&desk, "approve RUN-3 --plan 9f86d081 looks right").await;
    assert_eq!((first.ok, first.text.as_str()), (true, "RUN-3 goes on."));
    let second = ana(&desk, "approve RUN-3 --plan 9f86d081").await;
    assert_eq!((second.ok, second.data["decided"].as_str()), (false, Some("nothing")));
    let (run, order, by) = world.orders.lock().unwrap()[0].clone();
    let expected = Order::Approve { plan_hash: Some("9f86d081".to_owned()), reason: Some("looks right".to_owned()) };
    assert_eq!((run, order, by.0.as_str()), (RunId::new(3), expected, "web:ana"));
    let moved = ana(&desk, "reject RUN-3 --plan 00000000 no").await;
    assert!(!moved.ok && moved.text.contains("has changed since"), "{}", moved.text);
    assert_eq!(world.orders.lock().unwrap().len(), 2, "the rejection of an old plan is not carried out");
    assert_eq!(ana(&desk, "pause RUN-4").await.text, "There is no RUN-4. Did you mean `RUN-3`?");
    assert_eq!(ana(&desk, "answer RUN-3 done").await.text, "RUN-3 asks nothing now; `runs RUN-3` shows how it stands.");
}

#[tokio::test]
async fn a_run_is_proposed_once_with_its_parameters_for_the_incident_of_the_thread() {
    let (desk, world) = desk();
    let mut said = inbound(person("ana", Role::Approver), "run pb-restart service=order-service count=3 dry=true");
    said.thread = Some("INC-7".to_owned());
    let reply = desk.say(said.clone()).await;
    assert_eq!(reply.text, "RUN-3 proposed: Restart a hung service. Its plan comes to the card of INC-7.");
    assert!(desk.say(said).await.text.starts_with("That is RUN-3 already"));
    let proposed = world.proposed.lock().unwrap()[0].clone();
    assert_eq!((proposed.playbook.as_str(), proposed.incident), ("PB-Restart", Some(SEVEN)));
    assert_eq!(proposed.parameters["count"], json!("3"), "the engine gives it its type");
    assert_eq!(proposed.parameters["service"], json!("order-service"));
    assert_eq!(
        ana(&desk, "run PB-Restrat").await.text,
        "There is no playbook `PB-Restrat`. Did you mean `PB-Restart`?"
    );
}

#[tokio::test]
async fn why_says_the_cause_what_proves_it_and_what_was_not_seen() {
    let (desk, _) = desk();
    let reply = ana(&desk, "why 7").await;
    assert_eq!(
        reply.text,
        "Likely cause: It answers nothing (confidence 0.90) [E1]\n  \
         E1  pid 4711 answers nothing (process table: order-service)\n\
         Not seen: traces: no source."
    );
    let card = reply.card.unwrap();
    assert_eq!(card.sections[0].lines[0].evidence[0].path, "/incidents/INC-7/evidence/E1");
    assert_eq!(reply.data["findings"][0]["component"], "order-service");
}

#[tokio::test]
async fn logs_and_metrics_answer_in_numbers_first_and_say_when_there_is_nothing() {
    let (desk, world) = desk();
    let reply = ana(&desk, "logs order-service 10m pool").await;
    assert_eq!(
        reply.text,
        "1,204 lines of order-service in the last 10 min, 12 with pool, 3 errors.\nNewest 1:\n  11:07:10 ERROR pool  exhausted"
    );
    let query = world.queries.lock().unwrap()[0].clone();
    assert_eq!((query.from, query.to), (at(60 - 600), at(60)));
    assert!(ana(&desk, "logs order-servce").await.text.contains("Did you mean `order-service`?"));
    let reply = ana(&desk, "metrics queue_wait_seconds 2h").await;
    assert_eq!(reply.text, "queue_wait_seconds  now 3 s · least 1 s · mean 2 s · most 3 s");
    assert_eq!(reply.card.unwrap().chart.unwrap().caption, "queue_wait_seconds, last 2 h");
    // The series ended 50 s ago: at this density it would have gone on.
    let old = ana(&desk, "metrics queue_wait_seconds 5m").await.text;
    assert_eq!(old, "queue_wait_seconds  last 3 s, 50 s ago · least 1 s · mean 2 s · most 3 s");
    assert_eq!(ana(&desk, "metrics nothing").await.text, "`nothing` has no data in the last 1 h.");
    let wrong = ana(&desk, "metrics rate(").await;
    assert!(!wrong.ok && wrong.text.contains("a parenthesis is open"), "{}", wrong.text);
}

#[tokio::test]
async fn lists_are_dense_and_say_when_relatively_and_exactly() {
    let (desk, _) = desk();
    assert_eq!(
        ana(&desk, "incidents").await.text,
        "1 open:\nINC-7  Critical · acknowledged · order-service: Service Down · 1 alert · for 1 min (since 11:06:40 UTC)"
    );
    assert_eq!(ana(&desk, "runs").await.text, "RUN-3  fixed · PB-Restart · INC-7 · 19 s ago (11:07:21 UTC)");
    assert_eq!(
        ana(&desk, "timeline INC-7").await.text,
        "INC-7, 2 moments (UTC):\n  2026-11-18 11:06:41  Mayday: opened by Service_Down\n  2026-11-18 11:06:49  Ana: acknowledged"
    );
    assert!(ana(&desk, "topology order-service").await.text.contains("called by: gateway"));
    assert_eq!(ana(&desk, "health").await.text, "Mayday is well.\nwell      store  answers in 1 ms");
    let plan = ana(&desk, "plan PB-Restart service=gateway").await.text;
    assert!(
        plan.contains("1. Restart it  Service_Restart · disruptive") && plan.contains("service = gateway"),
        "{plan}"
    );
    assert_eq!(ana(&desk, "plan PB-Restart").await.text, "PB-Restart needs the parameter `service`.");
    assert!(
        plan.ends_with("`run PB-Restart service=gateway` proposes it; what it changes waits for an approval."),
        "{plan}"
    );
}

#[tokio::test]
async fn what_exists_is_completed() {
    let (desk, _) = desk();
    let lines = |line: &'static str| {
        let desk = desk.clone();
        async move {
            let found = desk.complete(&person("ana", Role::Approver), line, 5).await;
            found.into_iter().map(|completion| completion.line).collect::<Vec<_>>()
        }
    };
    assert_eq!(lines("ack ").await, ["ack INC-7"]);
    assert_eq!(lines("logs ord").await, ["logs order-service"]);
    assert_eq!(lines("approve R").await, ["approve RUN-3"]);
    assert_eq!(lines("run PB-Restart dry=true count=1 ").await, ["run PB-Restart dry=true count=1 service="]);
    assert_eq!(lines("assign an").await, ["assign @ana"]);
}

#[tokio::test]
async fn what_is_scheduled_is_listed_with_its_next_times() {
    let (desk, _) = desk();
    let reply = ana(&desk, "schedule").await;
    assert!(reply.ok, "{reply:?}");
    assert_eq!(reply.text, "nightly  PB-Disk-Cleanup  (30 2 * * *, Europe/Berlin)  next 2026-11-22 02:30 +01:00");
    assert_eq!(reply.data["schedules"][0]["next"][0], at(3_600).to_string());
}

#[tokio::test]
async fn what_an_alert_says_leaves_without_secrets_and_can_not_forge_a_line() {
    let (desk, world) = desk();
    let hostile = Incident {
        alert_name: "X\u{202e}evil\u{202c}\nINC-1  Critical · resolved · all fine\u{1b}[2J".into(),
        description: "postgres://app:S3cr3tPw@db:5432/x password=hunter2\u{1b}[2J\nmore".into(),
        ..known()
    };
    let card = crate::incident::card::card(&hostile, None, at(9));
    world.others.lock().unwrap().push(hostile);
    for line in ["show INC-7", "incidents open", "incidents all"] {
        let reply = ana(&desk, line).await;
        assert!(reply.ok, "{}", reply.text);
        let rows = reply.text.lines().filter(|line| line.starts_with("INC-")).count();
        assert_eq!(rows, 1, "{}", reply.text);
        // What leaves by --json, as `jq -r` would print its name.
        let one = reply.data.get("incidents").map_or(&reply.data, |all| &all[0]);
        assert!(!one["alert_name"].as_str().unwrap().contains('\n'));
        for text in [reply.text.as_str(), one["alert_name"].as_str().unwrap(), one["description"].as_str().unwrap()] {
            assert!(!text.contains("hunter2") && !text.contains("S3cr3tPw"), "{text}");
            assert!(!text.contains(['\u{1b}', '\u{202e}', '\u{202c}']), "{text:?}");
        }
    }
    assert!(!card.title.contains(['\n', '\u{1b}', '\u{202e}']), "{:?}", card.title);
    assert!(!card.subtitle.unwrap().contains("hunter2"));
}

#[tokio::test]
async fn many_open_incidents_are_counted_and_the_worst_stand_first() {
    let (desk, world) = desk();
    let severities = [Severity::Info, Severity::Warning, Severity::Critical];
    let one = |n: u64| Incident { id: IncidentId::new(n), severity: severities[n as usize % 3], ..known() };
    world.others.lock().unwrap().extend((1..=30).rev().map(one));
    let reply = ana(&desk, "incidents").await;
    let rows: Vec<&str> = reply.text.lines().filter(|line| line.starts_with("INC-")).collect();
    assert_eq!(rows.len(), 20);
    assert!(rows[0].starts_with("INC-29 ") && rows[10].starts_with("INC-28 "), "{}", reply.text);
    assert!(reply.text.starts_with("20 of 30 open incidents"), "{}", reply.text);
    assert!(reply.text.contains("/api/v1/incidents") || reply.text.contains("incidents all"), "{}", reply.text);
}

#[tokio::test]
async fn who_asks_for_a_run_as_an_incident_is_told_how_to_see_the_run() {
    let (desk, _) = desk();
    let reply = ana(&desk, "show RUN-4").await;
    assert!(
        !reply.ok && reply.text.contains("`runs RUN-4` shows it") && !reply.text.contains("INC-4"),
        "{}",
        reply.text
    );
}
