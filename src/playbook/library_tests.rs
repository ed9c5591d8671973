//! The shipped playbooks load, pass their own tests, and are picked for the alerts they are for.

use std::collections::BTreeMap;

use super::Library;
use crate::alert::{Alert, AlertId, Fingerprint, Severity, Status};
use crate::core::{Tainted, Timestamp};
use crate::playbook::Book;
use crate::playbook::testing::run_tests;

fn shipped() -> Library {
    let (library, mistakes) = Library::load(None);
    assert!(mistakes.is_empty(), "{}", mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    library
}

pub(crate) fn alert(name: &str, service: &str, severity: Severity, value: Option<f64>) -> Alert {
    Alert {
        alert_id: AlertId("0-0".to_owned()),
        source_system: "generic".to_owned(),
        alert_name: name.into(),
        severity,
        status: Status::Firing,
        service_name: service.into(),
        host_ip: None,
        metric_value: value,
        timestamp: Timestamp::UNIX_EPOCH,
        labels: BTreeMap::new(),
        description: Tainted::default(),
        metric_value_from: None,
        metric_unit: None,
        fingerprint: Fingerprint("f".to_owned()),
        ended_at: None,
        link: None,
    }
}

#[test]
fn every_shipped_playbook_passes_its_own_tests() {
    let library = shipped();
    assert_eq!(library.all().len(), 5);
    for book in library.all() {
        let reports = run_tests(&book);
        assert!(reports.len() >= 3, "{} has too few tests", book.playbook.playbook_id);
        for report in reports {
            assert!(
                report.failures.is_empty(),
                "{}: {}: {:#?}",
                book.playbook.playbook_id,
                report.name,
                report.failures
            );
        }
    }
}

#[test]
fn the_rules_pick_their_playbooks_at_and_around_their_thresholds() {
    let library = shipped();
    let pick = |name: &str, service: &str, severity, value| {
        let found = library.best_match(&alert(name, service, severity, value));
        found.playbook.map(|book| book.playbook.playbook_id.clone())
    };
    use Severity::{Critical, Warning};
    let is = |id: &str| Some(id.to_owned());
    assert_eq!(pick("High_CPU_Usage", "order-service", Critical, Some(95.0)), is("PB-CPU-Scale-Order"));
    assert_eq!(pick("High_CPU_Usage", "order-service", Critical, Some(90.0)), None);
    assert_eq!(pick("High_CPU_Usage", "other", Critical, Some(95.0)), None);
    assert_eq!(pick("High_CPU_Usage", "order-service", Warning, Some(95.0)), None);
    assert_eq!(
        pick("Service_Latency_Exceeded", "payment-gateway", Critical, Some(501.0)),
        is("PB-Payment-Troubleshoot")
    );
    assert_eq!(pick("Disk_Full", "anything", Warning, Some(86.0)), is("PB-Disk-Cleanup"));
    assert_eq!(pick("Disk_Full", "", Warning, Some(85.0)), None);
    assert_eq!(pick("DB_Connection_Error", "inventory-service", Critical, Some(6.0)), is("PB-DB-Check-Inventory"));
    assert_eq!(pick("Service_Unresponsive", "order-service", Critical, None), is("PB-Service-Restart"));
    let none = library.best_match(&alert("Disk_Full", "x", Warning, None));
    assert!(none.playbook.is_none() && none.reports[0].contains("has no value"), "{:?}", none.reports);
}

#[test]
fn the_most_specific_match_wins() {
    let book = |id: &str, rest: &str| {
        let text = format!("playbook_id: {id}\nname: n\n{rest}\ntasks: [{{id: a, type: API_Call, action: GET /a}}]\n");
        Book::read(id, text.as_bytes()).unwrap()
    };
    let trigger = |more: &str| format!("trigger_conditions: [{{alert_name: A{more}}}]");
    let books = [
        book("PB-any", &trigger("")),
        book("PB-any-first", &format!("priority: 9\n{}", trigger(""))),
        book("PB-when", &trigger(", when: x > 1")),
        book("PB-severity", &trigger(", severity: Critical")),
        book("PB-service", &trigger(", service_name: s")),
        book("PB-service-b", &trigger(", service_name: s")),
    ];
    let order = ["PB-service", "PB-service-b", "PB-severity", "PB-when", "PB-any-first", "PB-any"];
    for left in 0..order.len() {
        let texts: Vec<String> = books
            .iter()
            .filter(|book| !order[..left].contains(&book.playbook.playbook_id.as_str()))
            .map(|book| book.text.clone())
            .collect();
        let library = Library::of(texts.iter().map(|text| Book::read("x", text.as_bytes()).unwrap()));
        let found = library.best_match(&alert("A", "s", Severity::Critical, Some(2.0)));
        assert_eq!(found.playbook.unwrap().playbook.playbook_id, order[left]);
    }
}

#[test]
fn a_bad_file_in_the_folder_does_not_hide_the_rest_and_an_own_one_replaces_a_shipped_one() {
    let folder = tempfile::tempdir().unwrap();
    let good = "playbook_id: PB-Disk-Cleanup\nname: ours\ntasks: [{id: a, type: API_Call, action: GET /a}]\n";
    std::fs::write(folder.path().join("good.yaml"), good).unwrap();
    std::fs::write(folder.path().join("bad.yaml"), "playbook_id: [").unwrap();
    let (library, mistakes) = Library::load(Some(folder.path()));
    assert_eq!(mistakes.len(), 1);
    assert_eq!(library.all().len(), 5);
    assert_eq!(library.get("pb-disk-cleanup").unwrap().playbook.name, "ours");
    // A file that becomes bad keeps its last good version.
    std::fs::write(folder.path().join("good.yaml"), "playbook_id: [").unwrap();
    assert_eq!(library.reload(Some(folder.path())).len(), 2);
    assert_eq!(library.get("PB-Disk-Cleanup").unwrap().playbook.name, "ours");
}
