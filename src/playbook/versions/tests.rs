//! Versions as authors and replicas see them.

use std::fs;

use super::*;
use crate::access::Audit;
use crate::core::clock::ManualClock;
use crate::store::memory::Memory;

fn text(name: &str) -> String {
    format!(
        "playbook_id: PB-Own\nname: {name}\ntasks:\n  - id: look\n    type: Metric_Query\n    parameters: {{expr: up}}\n"
    )
}

fn ana() -> Actor {
    Actor::Mayday("ana".to_owned())
}

struct House {
    folder: tempfile::TempDir,
    store: SharedStore,
    clock: SharedClock,
}

impl House {
    fn new() -> Self {
        let clock = ManualClock::at(Timestamp::from_second(1_767_225_600).unwrap());
        Self { folder: tempfile::tempdir().unwrap(), store: Memory::shared(), clock: Arc::new(clock) }
    }

    fn write(&self, name: &str) {
        fs::write(self.folder.path().join("own.yaml"), text(name)).unwrap();
    }

    /// A replica that starts now.
    async fn start(&self) -> (Arc<Library>, Versions) {
        let (library, mistakes) = Library::load(Some(self.folder.path()));
        assert!(mistakes.is_empty(), "{mistakes:?}");
        let library = Arc::new(library);
        let audit = Audit::new(self.store.clone(), self.clock.clone());
        let folder = Some(self.folder.path().to_owned());
        let versions = Versions::new(self.store.clone(), self.clock.clone(), audit, library.clone(), folder);
        versions.note().await.unwrap();
        (library, versions)
    }
}

fn name(library: &Library) -> String {
    library.get("PB-Own").unwrap().playbook.name.clone()
}

#[tokio::test]
async fn a_changed_file_is_the_next_version_and_the_same_file_is_none() {
    let house = House::new();
    house.write("first");
    let (library, versions) = house.start().await;
    assert!(!versions.look_again().await.unwrap());
    house.write("the second");
    assert!(versions.look_again().await.unwrap());
    assert_eq!(name(&library), "the second");
    let (_, again) = house.start().await;
    let history = again.history("PB-Own").await.unwrap();
    assert_eq!(history.versions.iter().map(|version| version.number).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(history.pin, None);
    let changed = versions.diff("PB-Own", 1, 2).await.unwrap();
    assert!(changed.contains("- name: first\n+ name: the second\n"), "{changed}");
    assert!(versions.text("PB-Own", 3).await.unwrap_err().to_string().contains("PB-Own has versions 1 to 2"));
}

#[tokio::test]
async fn going_back_holds_over_a_restart_and_in_other_replicas_until_the_newest_is_chosen() {
    let house = House::new();
    house.write("first");
    let (_, versions) = house.start().await;
    house.write("the second");
    let (other, elsewhere) = house.start().await;
    versions.look_again().await.unwrap();
    versions.choose("PB-Own", Some(1), ana()).await.unwrap();
    elsewhere.apply_pins().await.unwrap();
    assert_eq!(name(&other), "first");
    let (library, restarted) = house.start().await;
    assert_eq!(name(&library), "first");
    let refused = restarted.choose("PB-Own", Some(1), ana()).await.unwrap_err();
    assert!(refused.to_string().contains("already"), "{refused}");
    // A later change is noted, and the choice holds.
    house.write("the third one");
    restarted.look_again().await.unwrap();
    assert_eq!(name(&library), "first");
    let chosen = restarted.choose("PB-Own", None, ana()).await.unwrap();
    assert_eq!((chosen.number, name(&library).as_str()), (3, "the third one"));
    assert_eq!(restarted.history("PB-Own").await.unwrap().pin, None);
}

#[tokio::test]
async fn a_file_with_a_mistake_leaves_the_last_good_version_in_force() {
    let house = House::new();
    house.write("first");
    let (library, versions) = house.start().await;
    fs::write(house.folder.path().join("own.yaml"), "playbook_id: PB-Own\ntasks: 3\n").unwrap();
    assert!(versions.look_again().await.unwrap());
    assert_eq!(name(&library), "first");
    assert_eq!(versions.history("PB-Own").await.unwrap().versions.len(), 1);
}
