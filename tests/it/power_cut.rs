//! A commit is acknowledged only after its bytes are on the disk: seen in the system calls, since neither a kill nor a
//! crash of the process can show a missing sync.
//!
//! A child process commits and then writes `ack <n>`; strace records its calls. For each acknowledgement there must be a
//! write to the log that has the commit's bytes, then an `fdatasync` or `fsync` of the log that starts after that write
//! has ended, and ends, without an error, before the acknowledgement is written.

use std::io::Write as _;
use std::process::{Command, Stdio};

use mayday::store::{Batch, Key, Options, Write};

/// Names the folder the traced process uses; without it the committer is a test that does nothing.
const FOLDER: &str = "MAYDAY_TEST_POWER_CUT_FOLDER";
const COMMITS: usize = 120;

/// The marks at a commit's first and last bytes.
fn marks(number: usize) -> [String; 2] {
    [format!("<first-{number:05}>"), format!("<last-{number:05}>")]
}

/// Not a test by itself: the process that is traced.
#[test]
fn committer() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let store = mayday::store::open(folder.as_ref(), &Options::default()).unwrap();
    let tasks: Vec<_> = (0..4)
        .map(|task| {
            let store = store.clone();
            runtime.spawn(async move {
                for number in (task..COMMITS).step_by(4) {
                    let [first, last] = marks(number);
                    // Some are larger than a page may be, some than a group.
                    let size = [10, 700, 20_000, 90_000][number / 4 % 4];
                    let value = format!("{first}{}{last}", "x".repeat(size)).into_bytes();
                    let key = Key::of(["power-cut", &format!("{:03}", number % 60)]);
                    store.commit(Batch { conditions: Vec::new(), writes: vec![Write::Put(key, value)] }).await.unwrap();
                    std::io::stderr().write_all(format!("ack {number:05}\n").as_bytes()).unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        runtime.block_on(task).unwrap();
    }
}

/// A system call: the lines of the trace where it starts and ends.
struct Call<'a> {
    start: usize,
    end: usize,
    name: &'a str,
    /// What strace shows between the parentheses, as far as it is known when the call starts.
    arguments: &'a str,
    worked: bool,
}

/// The calls of a trace by `strace -f -y`, in the order in which they start.
fn calls(trace: &str) -> Vec<Call<'_>> {
    let mut calls: Vec<Call<'_>> = Vec::new();
    let mut unfinished: std::collections::HashMap<&str, usize> = std::collections::HashMap::new();
    for (at, line) in trace.lines().enumerate() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        let worked = !line.rsplit(" = ").next().is_some_and(|result| result.starts_with('-'));
        if rest.starts_with("<... ") {
            if let Some(call) = unfinished.remove(thread) {
                calls[call].end = at;
                calls[call].worked = worked;
            }
        } else if let Some((name, arguments)) = rest.split_once('(') {
            let pending = rest.ends_with("<unfinished ...>");
            if pending {
                unfinished.insert(thread, calls.len());
            }
            let end = if pending { usize::MAX } else { at };
            calls.push(Call { start: at, end, name, arguments, worked: worked && !pending });
        }
    }
    calls
}

#[test]
fn a_commit_is_acknowledged_only_after_its_bytes_are_synced() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let trace = folder.path().join("trace");
    let child = Command::new("strace")
        .args(["-f", "-y", "-qq", "-s", "4194304", "-e", "signal=none"])
        .args(["-e", "trace=write,pwrite64,pwritev,writev,pwritev2,fsync,fdatasync,sync_file_range"])
        .arg("-o")
        .arg(&trace)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "power_cut::committer", "--nocapture", "--test-threads", "1"])
        .env(FOLDER, &data)
        .stdin(Stdio::null())
        .output();
    let child = child.unwrap_or_else(|error| {
        panic!("this test sees system calls through strace ({error}); install it: apt-get install strace")
    });
    let said = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "strace must be allowed to trace a child (kernel.yama.ptrace_scope ≤ 2): {said}");

    let trace = String::from_utf8_lossy(&std::fs::read(&trace).unwrap()).into_owned();
    let calls = calls(&trace);
    let log = format!("<{}>", data.canonicalize().unwrap().join("db").display());
    let of_log = |call: &&Call<'_>| call.arguments.split(',').next().is_some_and(|file| file.contains(&log));
    let writes: Vec<_> = calls.iter().filter(|call| call.name.contains("write")).filter(of_log).collect();
    let syncs: Vec<_> =
        calls.iter().filter(|call| call.name == "fdatasync" || call.name == "fsync").filter(of_log).collect();
    let acks: Vec<_> = calls.iter().filter(|call| call.name == "write" && call.arguments.contains("\"ack ")).collect();
    assert_eq!(acks.len(), COMMITS);
    for number in 0..COMMITS {
        let ack = acks.iter().find(|call| call.arguments.contains(&format!("ack {number:05}"))).unwrap();
        for mark in marks(number) {
            let written = writes.iter().find(|call| call.arguments.contains(&mark));
            let written = written.unwrap_or_else(|| panic!("{mark} was never written to the log"));
            assert!(
                syncs.iter().any(|sync| sync.worked && sync.start > written.end && sync.end < ack.start),
                "commit {number}: {mark} was written at line {}, acknowledged at line {}, and not synced in between",
                written.end,
                ack.start
            );
        }
    }
    // One sync serves all that wait: far fewer syncs than one for each commit and writer.
    assert!(syncs.len() <= COMMITS + 40, "{} syncs for {COMMITS} commits", syncs.len());
}
