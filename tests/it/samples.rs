//! Every captured webhook body becomes the right eleven fields. The bodies are what real senders sent (`tests/samples`).

use mayday::alert::service::NoNames;
use mayday::alert::{self, Format, Options, Parsed, Reader};
use serde_json::Value;

struct Sample {
    name: String,
    received_at: mayday::core::Timestamp,
    format: Format,
    body: String,
}

fn samples() -> Vec<Sample> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/samples");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let json = files.into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "json"));
    json.map(|path| {
        let file: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let word = file["path"].as_str().unwrap().trim_start_matches("/webhook/").split('?').next().unwrap();
        Sample {
            name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
            received_at: file["received_at"].as_str().unwrap().parse().unwrap(),
            format: word.parse().unwrap(),
            body: file["raw_body"].as_str().unwrap().to_owned(),
        }
    })
    .collect()
}

fn read(sample: &Sample, format: Format) -> Parsed {
    let options = Options::default();
    let reader = Reader { received_at: sample.received_at, names: &NoNames, options: &options };
    alert::parse(format, sample.body.as_bytes(), reader).unwrap()
}

/// The eleven fields and what stands beside them, as JSON.
fn shown(parsed: &Parsed) -> Value {
    serde_json::json!({
        "alerts": parsed.alerts.iter().map(|read| serde_json::to_value(&read.alert).unwrap()).collect::<Vec<_>>(),
        "rejected": parsed.rejected,
        "notes": parsed.notes,
        "truncated": parsed.truncated,
    })
}

#[test]
fn every_captured_body_becomes_the_eleven_fields() {
    let samples = samples();
    assert!(samples.len() >= 19, "the captured bodies are missing");
    for sample in &samples {
        let parsed = read(sample, sample.format);
        assert!(parsed.rejected.is_empty(), "{}", sample.name);
        insta::with_settings!({snapshot_path => "../snapshots/samples", prepend_module_to_snapshot => false, omit_expression => true}, {
            insta::assert_yaml_snapshot!(sample.name.clone(), shown(&parsed));
        });
    }
}

#[test]
fn the_format_of_every_captured_body_is_found_out() {
    for sample in samples() {
        let found = read(&sample, Format::Alert);
        assert_eq!(found, read(&sample, sample.format), "{}", sample.name);
    }
}

#[test]
fn an_end_names_the_same_occurrence_as_its_beginning() {
    let samples = samples();
    let ids = |name: &str| -> Vec<String> {
        let sample = samples.iter().find(|sample| sample.name == name).unwrap();
        read(sample, sample.format).alerts.iter().map(|read| read.alert.alert_id.to_string()).collect()
    };
    assert_eq!(ids("alertmanager-02"), ids("alertmanager-05"));
    assert_eq!(ids("alertmanager-03"), ids("alertmanager-08"));
    assert_eq!(ids("alertmanager-09"), ids("alertmanager-10"));
    assert_eq!(ids("zabbix-01"), ids("zabbix-03"));
    assert_eq!(ids("zabbix-06"), ids("zabbix-08"));
    assert_ne!(ids("zabbix-01"), ids("zabbix-06"), "the second full disk is another occurrence");
    assert_eq!(ids("alertmanager-12"), ids("alertmanager-15"));
    assert_eq!(ids("alertmanager-01")[0], ids("alertmanager-13")[0], "the resolved one that comes again");
}

#[test]
fn an_update_keeps_its_occurrence_and_says_what_was_said() {
    let samples = samples();
    let problem = samples.iter().find(|sample| sample.name == "zabbix-01").unwrap();
    let mut body: Value = serde_json::from_str(&problem.body).unwrap();
    body["event_update_status"] = "1".into();
    body["event_update_action"] = "acknowledged and commented".into();
    body["event_update_user"] = "Ana Ops".into();
    body["event_update_message"] = "looking into it — auf dem Weg".into();
    let update =
        Sample { body: body.to_string(), ..samples.into_iter().find(|sample| sample.name == "zabbix-01").unwrap() };
    let (before, after) = (read(&update, Format::Zabbix), read(&update, Format::Alert));
    assert_eq!(before, after);
    let alert = &after.alerts[0].alert;
    assert!(alert.description.as_data().ends_with("Ana Ops acknowledged and commented: looking into it — auf dem Weg"));
}

#[test]
fn a_zabbix_server_in_another_zone_is_noticed_and_can_be_configured() {
    let sample = samples().into_iter().find(|sample| sample.name == "zabbix-01").unwrap();
    let moved = Sample { body: sample.body.replace("\"00:01:49\"", "\"02:01:49\""), ..sample };
    let parsed = read(&moved, Format::Zabbix);
    assert!(parsed.notes.iter().any(|note| note.contains("zabbix_time_zone")), "{:?}", parsed.notes);
    let options = Options { zabbix_time_zone: "+02:00".parse().unwrap(), ..Options::default() };
    let reader = Reader { received_at: moved.received_at, names: &NoNames, options: &options };
    let parsed = alert::parse(Format::Zabbix, moved.body.as_bytes(), reader).unwrap();
    assert!(parsed.notes.is_empty(), "{:?}", parsed.notes);
    assert_eq!(parsed.alerts[0].alert.timestamp.to_string(), "2026-11-21T00:01:49Z");
}

/// What is wrong, and what the answer must name.
const WRONG: [(&str, &str, &str); 14] = [
    ("alertmanager", "", "empty"),
    ("alertmanager", "{\"alerts\":[{\"status\":\"firing\",\"lab", "breaks off after 34 bytes"),
    ("alertmanager", "hello", "not JSON"),
    ("alertmanager", "42", "a number where an object or a list was expected"),
    ("alertmanager", "{\"alerts\":{}}", "alerts: an object where a list was expected"),
    ("alertmanager", "{\"alerts\":[7]}", "alerts[0]: a number where an object was expected"),
    ("alertmanager", "{\"alerts\":[{\"labels\":{}}]}", "alerts[0].labels.alertname: missing"),
    ("alertmanager", "{\"alerts\":[{\"labels\":{\"alertname\":[]}}]}", "alerts[0].labels.alertname: a list where text"),
    (
        "alertmanager",
        "{\"alerts\":[{\"labels\":{\"alertname\":\"A\"},\"startsAt\":\"soon\"}]}",
        "alerts[0].startsAt: \"soon\"",
    ),
    ("zabbix", "{\"event_name\":\"x\"}", "event_value: missing"),
    (
        "zabbix",
        "{\"event_name\":\"x\",\"event_value\":\"1\",\"event_date\":\"gestern\",\"event_time\":\"1\"}",
        "event_date: \"gestern 1\"",
    ),
    ("generic", "{\"severity\":\"Critical\"}", "alert_name: missing"),
    ("generic", "{\"alert_name\":\"x\",\"timestamp\":\"2999-01-01T00:00:00Z\"}", "more than a day in the future"),
    ("alert", "{\"hello\":\"world\"}", "looks like none"),
];

#[test]
fn a_wrong_body_is_answered_with_the_place_and_what_was_looked_for() {
    let options = Options::default();
    let received_at = "2026-11-21T00:10:00Z".parse().unwrap();
    let reader = Reader { received_at, names: &NoNames, options: &options };
    for (format, body, wanted) in WRONG {
        let error = alert::parse(format.parse().unwrap(), body.as_bytes(), reader).unwrap_err();
        assert!(error.why.contains(wanted), "{body}: {}", error.why);
        assert!(!error.looked_for.is_empty());
    }
    let error = alert::parse(Format::Alert, b"{\"alert_name\":\"\xff\xfe\"}", reader).unwrap_err();
    assert!(error.why.contains("not UTF-8: byte 15"), "{}", error.why);
}

#[test]
fn one_bad_alert_does_not_take_the_others_with_it() {
    let body = r#"{"alerts":[
        {"alert_name":"High_CPU_Usage","severity":"Critical","service_name":"order-service","metric_value":93.5,"timestamp":"2026-11-21T00:00:00Z"},
        {"alert_name":"Broken","metric_value":1e999},
        {"alert_name":"Disk_Full","severity":"Warning","metric_value":"91 %","host_ip":"10.0.0.5:9100"},
        "what"
    ]}"#;
    let options = Options::default();
    let received_at = "2026-11-21T00:10:00Z".parse().unwrap();
    let reader = Reader { received_at, names: &NoNames, options: &options };
    let parsed = alert::parse(Format::Generic, body.as_bytes(), reader).unwrap();
    let names: Vec<_> =
        parsed.alerts.iter().map(|read| (read.index, read.alert.alert_name.as_data().to_owned())).collect();
    assert_eq!(names, [(0, "High_CPU_Usage".to_owned()), (2, "Disk_Full".to_owned())]);
    assert_eq!(parsed.alerts[1].alert.metric_value, Some(91.0));
    assert_eq!(parsed.alerts[1].alert.host_ip, Some("10.0.0.5".parse().unwrap()));
    assert_eq!(parsed.rejected.iter().map(|bad| bad.index).collect::<Vec<_>>(), [1, 3]);
    assert!(parsed.rejected[1].why.contains("alerts[3]: text where an object was expected"));
}
