//! Clean-ups of real folders.

use std::fs;
use std::os::unix::fs::symlink;

use proptest::prelude::*;
use tempfile::TempDir;

use super::walk::matches_pattern;
use super::*;
use crate::action::testing::{catalog, context, intent, service};
use crate::core::clock::{Clock as _, SystemClock};

struct Shop {
    root: TempDir,
    action: DiskCleanup,
}

impl Shop {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut CleanupFolder)) -> Self {
        let root = tempfile::tempdir().unwrap();
        let spool = root.path().join("spool");
        fs::create_dir(&spool).unwrap();
        let mut folder = CleanupFolder {
            path: spool,
            patterns: vec!["*.log.*".into(), "tmp-?".into()],
            older_than: Span::default(),
        };
        change(&mut folder);
        let entry = service("order-service", |service| service.cleanup = vec![folder]);
        Self { root, action: DiskCleanup::new(catalog(vec![entry]), 100) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn write(&self, name: &str, bytes: usize) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, vec![b'x'; bytes]).unwrap();
    }

    fn context(&self) -> Context {
        // The files' own times are the machine's.
        Context { now: SystemClock.now(), ..context() }
    }

    async fn plan(&self) -> Result<Planned, Error> {
        self.action.plan(&self.context(), &json!({"service": "order-service"})).await
    }

    fn intent(&self, target: Value) -> Intent {
        Intent { deadline: self.context().now + Duration::from_secs(60), ..intent(target) }
    }

    async fn perform(&self, planned: &Planned) -> Result<Value, Error> {
        match self.action.perform(&self.context(), &self.intent(planned.target.clone())).await? {
            Perform::Done(output) => Ok(output),
            Perform::Wait { .. } => panic!("a clean-up does not wait"),
        }
    }
}

#[tokio::test]
async fn the_plan_lists_the_files_and_only_performing_removes_them() {
    let shop = Shop::new();
    shop.write("spool/a.log.1", 10_000);
    shop.write("spool/deep/b.log.2", 5000);
    shop.write("spool/tmp-1", 1);
    shop.write("spool/keep.txt", 1);
    shop.write("spool/a.log", 1);
    let planned = shop.plan().await.unwrap();
    assert!(planned.radius.starts_with("removes 3 files"), "{}", planned.radius);
    assert!(planned.details[0].contains("a.log.1") && planned.details[0].contains("9.8 KiB"), "{:?}", planned.details);
    assert!(shop.path("spool/a.log.1").exists(), "planning changes nothing");

    let output = shop.perform(&planned).await.unwrap();
    assert_eq!(output["removed"], 3);
    assert!(output["freed_bytes"].as_u64().unwrap() >= 15_000);
    assert!(output["disk_usage_after"].as_f64().unwrap() > 0.0);
    for (name, stays) in
        [("a.log.1", false), ("deep/b.log.2", false), ("tmp-1", false), ("keep.txt", true), ("a.log", true)]
    {
        assert_eq!(shop.path("spool").join(name).exists(), stays, "{name}");
    }
}

#[tokio::test]
async fn again_after_a_crash_gives_the_same_outcome() {
    let shop = Shop::new();
    shop.write("spool/a.log.1", 100);
    shop.write("spool/b.log.1", 100);
    let planned = shop.plan().await.unwrap();
    // The crash came after the first of two.
    fs::remove_file(shop.path("spool/a.log.1")).unwrap();
    let first = shop.perform(&planned).await.unwrap();
    let second = shop.perform(&planned).await.unwrap();
    assert_eq!((&first["removed"], &first["freed_bytes"]), (&json!(2), &second["freed_bytes"]));
    assert_eq!(shop.action.settle(&planned.target), Settle::Repeat);
}

#[tokio::test]
async fn what_changed_since_the_plan_and_what_is_new_stays() {
    let shop = Shop::new();
    for name in ["grown", "replaced", "linked", "same"] {
        shop.write(&format!("spool/{name}.log.1"), 100);
    }
    let planned = shop.plan().await.unwrap();
    let hash = |planned: &Planned| planned.changes[0].before.clone();
    shop.write("spool/grown.log.1", 200);
    fs::remove_file(shop.path("spool/replaced.log.1")).unwrap();
    shop.write("other", 100);
    fs::rename(shop.path("other"), shop.path("spool/replaced.log.1")).unwrap();
    shop.write("outside", 1);
    fs::remove_file(shop.path("spool/linked.log.1")).unwrap();
    symlink(shop.path("outside"), shop.path("spool/linked.log.1")).unwrap();
    shop.write("spool/new.log.1", 1);
    assert_ne!(hash(&planned), hash(&shop.plan().await.unwrap()), "another list is another plan");

    let output = shop.perform(&planned).await.unwrap();
    assert_eq!((&output["removed"], &output["left_count"]), (&json!(1), &json!(3)));
    for name in ["grown", "replaced", "linked", "new"] {
        assert!(shop.path(&format!("spool/{name}.log.1")).symlink_metadata().is_ok(), "{name}");
    }
    assert!(shop.path("outside").exists());
}

#[tokio::test]
async fn a_new_file_does_not_void_what_was_approved_and_a_changed_one_does() {
    let shop = Shop::new();
    shop.write("spool/a.log.1", 100);
    let approved = shop.plan().await.unwrap();
    shop.write("spool/b.log.1", 100);
    let more = shop.plan().await.unwrap();
    assert_ne!(approved.changes, more.changes);
    assert!(shop.action.still_holds(&approved, &more));
    assert!(!shop.action.still_holds(&more, &approved), "a file of the approved list is gone");
    shop.write("spool/a.log.1", 200);
    assert!(!shop.action.still_holds(&approved, &shop.plan().await.unwrap()), "it is another file now");
}

#[tokio::test]
async fn an_error_means_that_nothing_was_removed_in_any_folder() {
    let shop = Shop::new();
    shop.write("spool/a.log.1", 100);
    let planned = shop.plan().await.unwrap();
    // The second folder is one that the catalogue does not allow, then one that is gone.
    let mut target = planned.target.clone();
    let mut second = target["folders"][0].clone();
    second["path"] = json!(shop.path("gone"));
    target["folders"].as_array_mut().unwrap().push(second);
    let with = |target: Value| Planned { target, ..planned.clone() };
    assert!(shop.perform(&with(target.clone())).await.is_err());
    assert!(shop.path("spool/a.log.1").exists());
    let entry = service("order-service", |service| {
        let folder = |path| CleanupFolder { path, patterns: vec!["*".into()], older_than: Span::default() };
        service.cleanup = vec![folder(shop.path("spool")), folder(shop.path("gone"))];
    });
    let action = DiskCleanup::new(catalog(vec![entry]), 100);
    let failed = action.perform(&shop.context(), &shop.intent(target)).await;
    assert!(matches!(failed, Err(Error::Transient(_))), "{failed:?}");
    assert!(shop.path("spool/a.log.1").exists(), "it is said that nothing happened, so nothing did");
}

#[tokio::test]
async fn when_its_time_is_over_no_further_file_goes_and_it_says_how_far_it_came() {
    let shop = Shop::new();
    for name in 1..=5 {
        shop.write(&format!("spool/a.log.{name}"), 100);
    }
    let there = || (1..=5).filter(|name| shop.path(&format!("spool/a.log.{name}")).exists()).count();
    let planned = shop.plan().await.unwrap();
    let over = Intent { deadline: shop.context().now, ..shop.intent(planned.target.clone()) };
    let failed = shop.action.perform(&shop.context(), &over).await;
    assert!(matches!(&failed, Err(Error::Transient(why)) if why.contains("0 files removed")), "{failed:?}");
    assert_eq!(there(), 5);

    let target: Target = target(KIND, &planned.target).unwrap();
    let (_, allowed) = shop.action.allowed("order-service").unwrap();
    let looks = std::cell::Cell::new(0);
    let cut = clean(&target, &allowed, || looks.replace(looks.get() + 1) >= 2);
    assert!(
        matches!(&cut, Err(Error::InDoubt(why)) if why.contains("2 files removed") && why.contains("3 files of the list")),
        "{cut:?}"
    );
    assert_eq!(there(), 3);
    assert_eq!(shop.perform(&planned).await.unwrap()["removed"], 5, "the next try goes on with the rest");
}

#[tokio::test]
async fn links_never_lead_out_of_the_folder() {
    let shop = Shop::new();
    shop.write("secret/x.log.1", 1);
    shop.write("spool/own.log.1", 1);
    symlink(shop.path("secret"), shop.path("spool/way")).unwrap();
    symlink(shop.path("secret/x.log.1"), shop.path("spool/y.log.1")).unwrap();
    let planned = shop.plan().await.unwrap();
    assert!(planned.radius.starts_with("removes 1 file,"), "{}", planned.radius);

    // A folder of the plan becomes a link before the effect.
    shop.write("spool/sub/x.log.1", 1);
    let planned = shop.plan().await.unwrap();
    fs::remove_dir_all(shop.path("spool/sub")).unwrap();
    symlink(shop.path("secret"), shop.path("spool/sub")).unwrap();
    shop.perform(&planned).await.unwrap();
    assert!(shop.path("secret/x.log.1").exists());
}

#[tokio::test]
async fn a_planted_target_reaches_nothing_outside() {
    let shop = Shop::new();
    shop.write("secret.log.1", 1);
    shop.write("spool/a.log.1", 1);
    let planned = shop.plan().await.unwrap();
    let mut steals = vec![];
    for path in ["../secret.log.1", "/etc/hostname", "sub/../../secret.log.1"] {
        let mut target = planned.target.clone();
        target["folders"][0]["files"][0]["path"] = json!(path);
        steals.push(target);
    }
    let mut elsewhere = planned.target.clone();
    elsewhere["folders"][0]["path"] = json!(shop.root.path());
    steals.push(elsewhere);
    for target in steals {
        let done = shop.action.perform(&shop.context(), &shop.intent(target.clone())).await;
        assert!(done.is_err(), "{target}: {done:?}");
    }
    assert!(shop.path("secret.log.1").exists() && Path::new("/etc/hostname").exists());
}

#[tokio::test]
async fn young_files_stay_and_a_playbook_can_only_be_stricter() {
    let shop = Shop::with(|folder| folder.older_than = Span::from_secs(3600));
    shop.write("spool/a.log.1", 1);
    let nothing = shop.plan().await.unwrap_err();
    assert!(nothing.to_string().contains("old enough"), "{nothing}");
    let now = shop.action.plan(&shop.context(), &json!({"service": "order-service", "older_than": "0s"})).await;
    assert!(now.is_err());
    let later = Context { now: SystemClock.now() + Duration::from_secs(3601), ..context() };
    assert!(shop.action.plan(&later, &json!({"service": "order-service"})).await.is_ok());
    assert!(shop.action.plan(&later, &json!({"service": "order-service", "older_than": "2h"})).await.is_err());
}

#[tokio::test]
async fn the_list_is_bounded_and_says_so() {
    let shop = Shop::new();
    for n in 0..150 {
        shop.write(&format!("spool/{n}.log.1"), 1);
    }
    let planned = shop.plan().await.unwrap();
    assert!(planned.radius.starts_with("removes 100 files"));
    assert!(planned.details.len() <= 20);
    assert!(planned.details.iter().any(|line| line.contains("100 oldest")), "{:?}", planned.details);
}

#[tokio::test]
async fn a_folder_that_is_a_link_or_missing_is_refused_with_its_path() {
    let shop = Shop::new();
    fs::remove_dir(shop.path("spool")).unwrap();
    assert!(shop.plan().await.unwrap_err().to_string().contains("spool"));
    fs::create_dir(shop.path("real")).unwrap();
    symlink(shop.path("real"), shop.path("spool")).unwrap();
    assert!(shop.plan().await.unwrap_err().to_string().contains("symbolic link"));
}

#[test]
fn folders_that_nobody_should_clean_are_refused_at_start() {
    for (path, patterns) in [
        ("/", vec!["*"]),
        ("/etc", vec!["*"]),
        ("tmp", vec!["*"]),
        ("/a/b/../..", vec!["*"]),
        ("/a/b", vec![]),
        ("/a/b", vec!["../*"]),
    ] {
        let folder = CleanupFolder {
            path: path.into(),
            patterns: patterns.into_iter().map(str::to_owned).collect(),
            older_than: Span::default(),
        };
        let entry = service("x", |service| service.cleanup = vec![folder]);
        assert_eq!(check(&Catalog::new(vec![entry]).unwrap()).len(), 1, "{path}");
    }
}

proptest! {
    #[test]
    fn patterns_match_as_the_same_regular_expression_does(pattern in "[ab*?]{0,8}", name in "[ab]{0,10}") {
        let regex = format!("^{}$", pattern.replace('*', ".*").replace('?', "."));
        prop_assert_eq!(matches_pattern(&pattern, &name), regex::Regex::new(&regex).unwrap().is_match(&name));
    }
}
