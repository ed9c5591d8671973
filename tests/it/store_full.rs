//! A full disk: what was acknowledged stays and is there again once there is room, nothing more is acknowledged, and the
//! store says so itself and what to do.
//!
//! Child processes run under a limit for the size of their files, which stands for the disk's end, or on a small file system
//! in memory that only they see.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use mayday::store::{Batch, Error, Key, Options, Range, SharedStore, Write};

/// Names the folder the children use, `disk` in it gets full; without it their parts are tests that do nothing.
const FOLDER: &str = "MAYDAY_TEST_STORE_FULL_FOLDER";
/// How much comes together before it goes into sled: decides what the disk is too small for.
const RECENT: &str = "MAYDAY_TEST_STORE_FULL_RECENT";
/// Where set, all files that the file system can have are taken once the store is open.
const NO_MORE_FILES: &str = "MAYDAY_TEST_STORE_FULL_NO_MORE_FILES";

/// A part of this file as a child; none takes long.
const PART: &str = "part() { timeout 100 \"$exe\" --exact \"store_full::$1\" --nocapture; }; exe=$0; cd \"$1\"; ";
/// 16,384 blocks of 512 bytes; the signal is ignored, so that the write fails as it would on a full disk.
const LIMITED: &str =
    "trap '' XFSZ; (ulimit -f 16384; part fills && part tries_while_it_is_full) && part finds_it_again";

fn folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

fn open() -> Result<SharedStore, Error> {
    let recent_bytes = std::env::var(RECENT).unwrap().parse().unwrap();
    // sled's own thread then also meets the end of the disk.
    let options = Options { recent_bytes, clean_every: "100ms".parse().unwrap(), ..Options::default() };
    mayday::store::open(&folder().unwrap().join("disk/data"), &options)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}

/// Every third is one of ten that are written over again and again, so that old versions go as well.
fn write(number: usize) -> (Key, Vec<u8>) {
    let at = if number.is_multiple_of(3) { number % 30 } else { number };
    let value = format!("{number} {}", "x".repeat([300, 3_000, 20_000, 50_000][number % 4]));
    (Key::of(["full", &format!("{at:06}")]), value.into_bytes())
}

fn commit(number: usize) -> Batch {
    let (key, value) = write(number);
    Batch { conditions: Vec::new(), writes: vec![Write::Put(key, value)] }
}

/// All that was acknowledged is there, as it was. What came after it may be or not.
async fn check(store: &SharedStore, acknowledged: usize) -> Result<(), Error> {
    let wanted: BTreeMap<Key, Vec<u8>> = (1..=acknowledged).map(write).collect();
    let found = store.scan(&Range::under(&Key::of(["full"]), acknowledged + 2)).await?;
    let found: BTreeMap<Key, Vec<u8>> = found.into_iter().map(|entry| (entry.key, entry.value)).collect();
    let last = write(acknowledged + 1);
    for (key, value) in &wanted {
        let there = found.get(key).unwrap_or_else(|| panic!("{key} is lost"));
        assert!(there == value || (*key == last.0 && *there == last.1), "{key} is not as it was acknowledged");
    }
    assert!(found.keys().all(|key| wanted.contains_key(key) || *key == last.0));
    Ok(())
}

/// The same while there is no room: sled may refuse to read, and then says what to do.
async fn check_if_it_can(store: &SharedStore, acknowledged: usize) {
    if let Err(error) = check(store, acknowledged).await {
        println!("not read: {error}");
        assert!(error.to_string().contains("make room"), "{error}");
    }
}

fn acknowledged() -> usize {
    std::fs::read_to_string(folder().unwrap().join("acknowledged")).unwrap().parse().unwrap()
}

/// Not a test by itself: the process whose disk gets full.
#[test]
fn fills() {
    let Some(folder) = folder() else { return };
    let store = open().unwrap();
    assert_eq!(store.failed(), None);
    if std::env::var_os(NO_MORE_FILES).is_some() {
        (0..).take_while(|number| std::fs::File::create(folder.join(format!("disk/filler-{number}"))).is_ok()).count();
    }
    block_on(async {
        let mut done = 0;
        let error = loop {
            assert!(done < 20_000, "the disk does not get full");
            match store.commit(commit(done + 1)).await {
                Ok(_) => done += 1,
                Err(error) => break error,
            }
        };
        let why = store.failed().unwrap_or_else(|| panic!("the store does not know that it has failed: {error}"));
        println!("full after {done}: {why}");
        assert!(why.contains("make room") && why.contains("start Mayday again"), "{why}");
        assert!(store.commit(commit(done + 1)).await.is_err(), "nothing more is taken");
        check_if_it_can(&store, done).await;
        std::fs::write(folder.join("acknowledged"), done.to_string()).unwrap();
    });
    // Neither waits for ever nor panics.
    drop(store);
    println!("closed");
}

/// Not a test by itself: someone starts it again without having made room.
#[test]
fn tries_while_it_is_full() {
    let Some(_) = folder() else { return };
    match open() {
        Ok(store) => block_on(check_if_it_can(&store, acknowledged())),
        Err(error) => {
            println!("not opened: {error}");
            assert!(error.to_string().contains("make room"), "{error}");
        }
    }
}

/// Not a test by itself: there is room again.
#[test]
fn finds_it_again() {
    let Some(folder) = folder() else { return };
    let done = acknowledged();
    let store = open().unwrap();
    block_on(async {
        check(&store, done).await.unwrap();
        // It goes on for longer than it took to get here, through settles and new files of the log.
        for number in done + 1..=done * 2 {
            store.commit(commit(number)).await.unwrap();
        }
    });
    drop(store);
    let store = open().unwrap();
    block_on(check(&store, done * 2)).unwrap();
    let left: Vec<_> =
        std::fs::read_dir(folder.join("disk/data/wal")).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(left.iter().all(|path| path.extension().is_some_and(|end| end == "log")), "{left:?}");
    println!("all there");
}

/// Runs the children; gives what they said.
fn run(program: &[&str], script: &str, recent: usize, no_more_files: bool) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("disk")).unwrap();
    let mut command = Command::new(program[0]);
    command.args(&program[1..]).args(["-c", &format!("{PART}{script}")]).arg(std::env::current_exe().unwrap());
    command.arg(folder.path()).env(FOLDER, folder.path()).env(RECENT, recent.to_string()).stdin(Stdio::null());
    if no_more_files {
        command.env(NO_MORE_FILES, "1");
    }
    let out = command.output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{said}");
    assert!(said.contains("full after") && said.contains("closed") && said.contains("all there"), "{said}");
    said
}

#[test]
fn a_log_that_finds_no_room_loses_nothing() {
    let said = run(&["sh"], LIMITED, 64 * 1024 * 1024, false);
    assert!(said.contains("wal/"), "{said}");
}

#[test]
fn bringing_into_sled_what_finds_no_room_there_loses_nothing() {
    let said = run(&["sh"], LIMITED, 256 * 1024, false);
    assert!(!said.contains("wal/"), "{said}");
}

/// Whether this user may have a file system of its own; in some containers nobody may.
fn own_file_system() -> bool {
    let tried = Command::new("unshare").args(["-rm", "sh", "-c", "mount -t tmpfs tmpfs /mnt"]).output();
    let may = tried.is_ok_and(|tried| tried.status.success());
    if !may {
        eprintln!("no file system of one's own here: only limits were tried");
    }
    may
}

fn on_small_disk(size: &str, recent: usize, no_more_files: bool) -> String {
    let script = format!(
        "mount -t tmpfs -o {size} tmpfs disk && part fills && part tries_while_it_is_full && rm -f disk/filler* \
         && mount -o remount,size=512m,nr_inodes=0 disk && part finds_it_again"
    );
    run(&["unshare", "-rm", "sh"], &script, recent, no_more_files)
}

#[test]
fn a_disk_without_room_for_anyone_loses_nothing() {
    if !own_file_system() {
        return;
    }
    // Where it ends differs: in the log, in what goes into sled, or in what sled does by itself.
    for (kib, recent) in [(6_000, 64 * 1024), (9_000, 128 * 1024), (17_000, 200_000), (17_000, 2 * 1024 * 1024)] {
        on_small_disk(&format!("size={kib}k"), recent, false);
    }
}

/// So it stands there after a start that found no room, or was killed.
#[test]
fn a_snapshot_that_sled_left_half_written_is_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let open = || mayday::store::open(folder.path(), &Options::default());
    let store = open().unwrap();
    block_on(store.commit(commit(1))).unwrap();
    drop(store);
    for half in ["snap.0000000000000000.generating", "snap.FFFFFFFFFFFFFFFF.generating"] {
        std::fs::write(folder.path().join(half), "half").unwrap();
    }
    block_on(check(&open().unwrap(), 1)).unwrap();
    assert!(!folder.path().join("snap.FFFFFFFFFFFFFFFF.generating").exists());
}

#[test]
fn a_log_that_finds_no_place_for_its_next_file_loses_nothing() {
    if !own_file_system() {
        return;
    }
    let said = on_small_disk("size=256m,nr_inodes=100", 256 * 1024, true);
    assert!(said.contains("wal/00000000000000000002.log"), "{said}");
}
