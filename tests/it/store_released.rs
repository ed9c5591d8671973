//! What an earlier version left in the embedded store is read, and gone on with, by this one.

use serde_json::Value;

use super::soak_world::{House, lock};

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_of_each_released_version_is_read_and_gone_on_with() {
    let stores = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/stores");
    let mut versions = 0;
    for entry in std::fs::read_dir(stores).unwrap().map(Result::unwrap) {
        if !entry.file_type().unwrap().is_dir() {
            continue;
        }
        versions += 1;
        let mut house = House::new("http://127.0.0.1:9");
        copy(&entry.path(), &house.data());
        house.start();
        house.listens().await;
        let (url, token) = lock(&house.address).clone().unwrap();
        // Another test may have installed it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::new();
        let get = async |what: &str| -> Value {
            let asked = client.get(format!("{url}/api/v1/{what}")).bearer_auth(&token).send().await.unwrap();
            assert!(asked.status().is_success(), "{what}: {}", asked.status());
            asked.json().await.unwrap()
        };
        let incidents = get("incidents").await;
        let phases: Vec<_> = incidents["items"].as_array().unwrap().iter().map(|one| one["phase"].clone()).collect();
        assert_eq!(phases, ["resolved", "acknowledged"], "{incidents}");
        assert_eq!(get("alerts").await["items"].as_array().unwrap().len(), 3);
        assert_eq!(get("runs").await["items"][0]["playbook"], "PB-Kept");
        assert!(get("audit").await["items"].as_array().unwrap().len() >= 2);
        let say = async |line: &str| -> Value {
            let said = client.post(format!("{url}/api/v1/say")).bearer_auth(&token);
            said.json(&serde_json::json!({ "text": line })).send().await.unwrap().json().await.unwrap()
        };
        let done = say("resolve INC-1").await;
        assert_eq!(done["ok"], true, "{done}");
        assert_eq!(get("incidents/INC-1").await["phase"], "resolved");
    }
    assert!(versions >= 1);
}
