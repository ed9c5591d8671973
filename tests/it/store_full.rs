//! A full disk: what was acknowledged stays, nothing more is acknowledged, and the store says so itself.
//!
//! A child process runs under a limit for the size of its files, which stands for the disk's end.

use std::process::{Command, Stdio};

use mayday::store::{Batch, Key, Options, Write};

/// Names the folder the child uses; without it the writer is a test that does nothing.
const FOLDER: &str = "MAYDAY_TEST_STORE_FULL_FOLDER";

/// Not a test by itself: the process whose disk gets full.
#[test]
fn writer() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let store = mayday::store::open(folder.as_ref(), &Options::default()).unwrap();
        assert_eq!(store.failed(), None);
        for number in 0..1000 {
            let put = Write::Put(Key::of(["full", &format!("{number:04}")]), vec![b'x'; 50_000]);
            if store.commit(Batch { conditions: Vec::new(), writes: vec![put] }).await.is_err() {
                let why = store.failed().expect("the store knows that it has failed");
                println!("full after {number}: {why}");
                // Dropping the store would try to write once more.
                std::process::exit(0);
            }
        }
    });
}

#[test]
fn a_store_on_a_full_disk_says_that_it_takes_nothing_more() {
    let folder = tempfile::tempdir().unwrap();
    // 16,384 blocks of 512 bytes; the signal is ignored, so that the write fails as it would on a full disk.
    let child = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 16384; exec \"$0\" --exact store_full::writer --nocapture"])
        .arg(std::env::current_exe().unwrap())
        .env(FOLDER, folder.path().join("data"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));
    assert!(child.status.success(), "{said}");
    assert!(said.contains("full after"), "{said}");
}
