//! What stands in `deploy/` fits what the code reads.

use serde_json::Value;

#[test]
fn the_zabbix_media_type_sends_every_field_that_real_messages_have() {
    let root = env!("CARGO_MANIFEST_DIR");
    let text = std::fs::read_to_string(format!("{root}/deploy/zabbix-media-type.yaml")).unwrap();
    let media: Value = serde_saphyr::from_str(&text).unwrap();
    let parameters = media["zabbix_export"]["media_types"][0]["parameters"].as_array().unwrap();
    let sent: Vec<&str> = parameters.iter().map(|parameter| parameter["name"].as_str().unwrap()).collect();
    for field in [
        "event_id",
        "event_value",
        "event_status",
        "event_name",
        "event_severity",
        "event_nseverity",
        "event_date",
        "event_time",
        "event_age",
        "event_opdata",
        "event_tags_json",
        "event_recovery_date",
        "event_recovery_time",
        "event_update_status",
        "event_update_message",
        "event_ack_status",
        "host_name",
        "host_host",
        "host_ip",
        "item_key",
        "item_value",
        "trigger_id",
        "trigger_description",
        "trigger_url",
        "hostgroups",
    ] {
        assert!(sent.contains(&field), "{field} is missing");
    }
}

#[test]
fn the_unit_and_the_container_start_the_bot_with_commands_that_exist() {
    let root = env!("CARGO_MANIFEST_DIR");
    let unit = std::fs::read_to_string(format!("{root}/deploy/mayday.service")).unwrap();
    assert!(
        unit.contains("ExecStart=/usr/local/bin/mayday run -c ")
            && unit.contains("ExecStartPre=/usr/local/bin/mayday check -c ")
    );
    let container = std::fs::read_to_string(format!("{root}/deploy/Containerfile")).unwrap();
    assert!(container.contains("CMD [\"mayday\", \"health\", \"--data\", \"/data\"]"));
}
