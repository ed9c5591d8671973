//! Properties that hold for whatever bytes come in: no panic, limits kept, and what was accepted reads back the same.

use proptest::prelude::*;
use serde_json::Value;

use super::service::NoNames;
use super::*;

/// One body of each format, for mutation.
const SEEDS: [&str; 3] = [
    r#"{"receiver":"bot","status":"firing","alerts":[{"status":"firing","labels":{"alertname":"JobErrors","instance":"127.0.0.1:19100","severity":"critical"},"annotations":{"summary":"job \"x\" failed","value":"12.5 %"},"startsAt":"2026-11-21T00:05:26.731Z","endsAt":"0001-01-01T00:00:00Z","fingerprint":"900064ba4dbe24bb"}],"groupKey":"{}","version":"4","truncatedAlerts":0}"#,
    r#"{"event_id":"24","event_value":"1","event_status":"PROBLEM","event_name":"Disk","event_nseverity":"4","event_date":"2026.11.21","event_time":"00:01:49","event_age":"2s","event_opdata":"96.5 %","event_tags_json":"[{\"tag\":\"service\",\"value\":\"checkout\"}]","host_host":"web-01","host_ip":"127.0.0.1","item_value":"{ITEM.VALUE}","trigger_id":"23133"}"#,
    r#"[{"alert_name":"High_CPU_Usage","severity":"Critical","service_name":"order-service","host_ip":"10.0.0.5","metric_value":93.5,"timestamp":"2026-11-21T00:00:00Z","labels":{"a":"b"},"tags":["x=y"]}]"#,
];

fn check(body: &[u8]) {
    let options = Options { max_alerts: 50, max_labels: 8, ..Options::default() };
    let received_at: Timestamp = "2026-11-21T00:10:00Z".parse().unwrap();
    let reader = Reader { received_at, names: &NoNames, options: &options };
    for format in Format::ALL {
        let Ok(parsed) = parse(format, body, reader) else { continue };
        assert!(parsed.notes.len() <= parse::MAX_NOTES);
        for read in &parsed.alerts {
            let alert = &read.alert;
            assert!(alert.labels.len() <= 8);
            assert!(!alert.alert_name.as_data().is_empty());
            assert!(alert.metric_value.is_none_or(f64::is_finite));
            assert!(alert.metric_value.is_some() == alert.metric_value_from.is_some());
            let written = serde_json::to_string(alert).unwrap();
            let mut back: Alert = serde_json::from_str(&written).unwrap();
            // The JSON reader may be off by the last bit of a double.
            if let (Some(was), Some(is)) = (alert.metric_value, back.metric_value) {
                assert!((was - is).abs() <= was.abs() * 1e-15);
                back.metric_value = Some(was);
            }
            assert_eq!(&back, alert);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        check(&body);
    }

    #[test]
    fn no_mutation_of_a_real_body_panics(
        seed in 0..SEEDS.len(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 1..12),
    ) {
        let mut body = SEEDS[seed].as_bytes().to_vec();
        for (at, byte, how) in changes {
            let at = at.index(body.len().max(1)).min(body.len());
            match how {
                0 => body.truncate(at),
                1 => body.insert(at, byte),
                2 if at < body.len() => { body.remove(at); }
                _ if at < body.len() => body[at] = byte,
                _ => {}
            }
        }
        check(&body);
    }

    #[test]
    fn no_value_of_a_wrong_type_panics(seed in 0..SEEDS.len(), which in any::<prop::sample::Index>(), kind in 0..9_usize) {
        let mut body: Value = serde_json::from_str(SEEDS[seed]).unwrap();
        let odd = [
            Value::Null, true.into(), 1e300.into(), "".into(), "\u{0}\u{202e}{EVENT.X}".into(), "9".repeat(400).into(),
            Value::Array(vec![Value::Null]), serde_json::json!({"a": {"b": []}}), (-1).into(),
        ];
        let mut leaves = Vec::new();
        walk(&mut body, &mut |leaf| leaves.push(std::ptr::from_ref(leaf)));
        let mut at = which.index(leaves.len());
        walk(&mut body, &mut |leaf| {
            if at == 0 { *leaf = odd[kind].clone(); }
            at = at.wrapping_sub(1);
        });
        check(body.to_string().as_bytes());
    }
}

fn walk(value: &mut Value, visit: &mut dyn FnMut(&mut Value)) {
    match value {
        Value::Object(object) => object.values_mut().for_each(|inner| walk(inner, visit)),
        Value::Array(list) => list.iter_mut().for_each(|inner| walk(inner, visit)),
        leaf => visit(leaf),
    }
}

#[test]
fn deep_nesting_is_refused_with_its_place() {
    let body = "[".repeat(100_000);
    let options = Options::default();
    let reader = Reader { received_at: Timestamp::UNIX_EPOCH, names: &NoNames, options: &options };
    let error = parse(Format::Alert, body.as_bytes(), reader).unwrap_err();
    assert!(error.why.contains("deeper than 32 levels at byte 32"), "{}", error.why);
}
