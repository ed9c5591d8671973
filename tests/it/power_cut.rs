//! A commit is acknowledged only after its bytes are on the disk: seen in the system calls, since neither a kill nor a
//! crash of the process can show a missing sync.
//!
//! A child process commits and then writes `ack <n>`; strace records its calls. For each acknowledgement there must be a
//! write to the write-ahead log that has the commit's bytes, then an `fdatasync` or `fsync` of that log that starts after
//! the write has ended, and ends, without an error, before the acknowledgement is written. A file of the log is removed only
//! after sled's own file was synced with all that it says.

use std::io::Write as _;
use std::process::{Command, Stdio};

use mayday::store::{Batch, Key, Options, Write};

/// Names the folder the traced process uses; without it the committers are tests that do nothing.
const FOLDER: &str = "MAYDAY_TEST_POWER_CUT_FOLDER";
/// How many tasks of the traced process commit at the same time.
const AT_ONCE: &str = "MAYDAY_TEST_POWER_CUT_AT_ONCE";
const COMMITS: usize = 120;
/// Bytes of a segment of sled's log, as `store::sled` sets it: what one commit writes must stay below.
const SEGMENT: usize = 16 * 1024 * 1024;

/// The marks at a commit's first and last bytes.
fn marks(number: usize) -> [String; 2] {
    [format!("<first-{number:05}>"), format!("<last-{number:05}>")]
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn acknowledged(number: usize) {
    std::io::stderr().write_all(format!("ack {number:05}\n").as_bytes()).unwrap();
}

/// Not a test by itself: the process that is traced.
#[test]
fn committer() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let at_once: usize = std::env::var(AT_ONCE).unwrap().parse().unwrap();
    let runtime = runtime();
    let store = mayday::store::open(folder.as_ref(), &Options::default()).unwrap();
    let tasks: Vec<_> = (0..at_once)
        .map(|task| {
            let store = store.clone();
            runtime.spawn(async move {
                for number in (task..COMMITS).step_by(at_once) {
                    let [first, last] = marks(number);
                    // Some are larger than a page may be.
                    let size = [10, 700, 20_000, 90_000][number / 4 % 4];
                    let value = format!("{first}{}{last}", "x".repeat(size)).into_bytes();
                    // Again and again over what this task itself has written: of two values for a key that come together only
                    // the last one is written.
                    let key = Key::of(["power-cut", &format!("{task:03}-{}", number / at_once % 2)]);
                    store.commit(Batch { conditions: Vec::new(), writes: vec![Write::Put(key, value)] }).await.unwrap();
                    acknowledged(number);
                }
            })
        })
        .collect();
    for task in tasks {
        runtime.block_on(task).unwrap();
    }
}

/// Not a test by itself: the process whose hard batches are measured. Nearly each of them goes into sled by itself.
#[test]
fn large_committer() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let options = Options { recent_bytes: 64 * 1024, ..Options::default() };
    let store = mayday::store::open(folder.as_ref(), &options).unwrap();
    let mut number = 0;
    let mut commit = |writes: Vec<Write>| {
        runtime().block_on(store.commit(Batch { conditions: Vec::new(), writes })).unwrap();
        number += 1;
        acknowledged(number);
        // Until it is in sled and its file of the log is removed; the newest one is always there.
        let log = std::path::Path::new(&folder).join("wal");
        for _ in 0..400 {
            std::thread::sleep(std::time::Duration::from_millis(20));
            if std::fs::read_dir(&log).unwrap().count() == 1 {
                break;
            }
        }
    };
    let most = Options::default().batch_bytes;
    // 2 KiB is the largest value that is not cut: pages of those are the largest there are.
    let whole = 2 * 1024;
    let count = most / (whole + 80);
    let fat = |round: usize, at: usize| {
        // Spread over the key space, so that each is in another page than the last.
        let key = Key::of(["fat", &format!("{:05}", at * 7_919 % count), &format!("{round:02}")]);
        Write::Put(key, vec![round as u8; whole])
    };
    // As many values as a batch takes, new; then among them, again and again; then all overwritten.
    for round in 0..6 {
        commit((0..count).map(|at| fat(round, at)).collect());
    }
    commit((0..count).map(|at| fat(0, at)).collect());
    // One value as large as a batch; again over itself.
    for byte in 0..2 {
        commit(vec![Write::Put(Key::of(["one"]), vec![byte; most - 1_000])]);
    }
    // As many small changes as a page of alerts makes, each in a page full of large values; again until pages are rewritten.
    for round in 0..12 {
        let small = |at: usize| {
            let key =
                Key::of(["fat", &format!("{:05}", at * 7_919 % count), &format!("{:02}-small-{at:05}", round % 6)]);
            Write::Put(key, vec![round as u8; 300])
        };
        commit((0..1_500).map(small).collect());
    }
}

/// What strace showed of a committer, and the paths of the write-ahead log and of sled's file as it shows them.
struct Trace {
    text: String,
    wal: String,
    sled: String,
}

/// Runs one of the committers under strace.
fn traced(test: &str, at_once: usize, shown_bytes: usize) -> Trace {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let trace = folder.path().join("trace");
    let child = Command::new("strace")
        .args(["-f", "-y", "-qq", "-e", "signal=none", "-s", &shown_bytes.to_string()])
        .args(["-e", "trace=write,pwrite64,pwritev,writev,pwritev2,fsync,fdatasync,sync_file_range,unlink,unlinkat"])
        .arg("-o")
        .arg(&trace)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads", "1"])
        .env(FOLDER, &data)
        .env(AT_ONCE, at_once.to_string())
        .stdin(Stdio::null())
        .output();
    let child = child.unwrap_or_else(|error| {
        panic!("this test sees system calls through strace ({error}); install it: apt-get install strace")
    });
    let said = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "strace must be allowed to trace a child (kernel.yama.ptrace_scope ≤ 2): {said}");
    let data = data.canonicalize().unwrap();
    Trace {
        text: String::from_utf8_lossy(&std::fs::read(&trace).unwrap()).into_owned(),
        wal: format!("<{}/", data.join("wal").display()),
        sled: format!("<{}>", data.join("db").display()),
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
    /// What it returned: of a write its bytes.
    result: usize,
}

/// The calls of a trace by `strace -f -y`, in the order in which they start.
fn calls(trace: &str) -> Vec<Call<'_>> {
    let mut calls: Vec<Call<'_>> = Vec::new();
    let mut unfinished: std::collections::HashMap<&str, usize> = std::collections::HashMap::new();
    for (at, line) in trace.lines().enumerate() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        let result = line.rsplit(" = ").next().unwrap_or_default();
        let worked = !result.starts_with('-');
        let result = result.parse().unwrap_or(0);
        if rest.starts_with("<... ") {
            if let Some(call) = unfinished.remove(thread) {
                calls[call].end = at;
                calls[call].worked = worked;
                calls[call].result = result;
            }
        } else if let Some((name, arguments)) = rest.split_once('(') {
            let pending = rest.ends_with("<unfinished ...>");
            if pending {
                unfinished.insert(thread, calls.len());
            }
            let end = if pending { usize::MAX } else { at };
            calls.push(Call { start: at, end, name, arguments, worked: worked && !pending, result });
        }
    }
    calls
}

/// What a committer's trace says about the log and the acknowledgements.
struct Seen<'a> {
    writes: Vec<&'a Call<'a>>,
    syncs: Vec<&'a Call<'a>>,
    acks: Vec<&'a Call<'a>>,
}

impl<'a> Seen<'a> {
    fn of(calls: &'a [Call<'a>], log: &str) -> Self {
        let of_log = |call: &&Call<'_>| call.arguments.split(',').next().is_some_and(|file| file.contains(log));
        Self {
            writes: calls.iter().filter(|call| call.name.contains("write")).filter(of_log).collect(),
            syncs: calls
                .iter()
                .filter(|call| call.name == "fdatasync" || call.name == "fsync")
                .filter(of_log)
                .collect(),
            acks: calls.iter().filter(|call| call.name == "write" && call.arguments.contains("\"ack ")).collect(),
        }
    }

    /// Each commit's bytes are written, and then synced, before it is acknowledged.
    fn check(&self) {
        assert_eq!(self.acks.len(), COMMITS);
        for number in 0..COMMITS {
            let ack = self.acks.iter().find(|call| call.arguments.contains(&format!("ack {number:05}"))).unwrap();
            for mark in marks(number) {
                let written = self.writes.iter().find(|call| call.arguments.contains(&mark));
                let written = written.unwrap_or_else(|| panic!("{mark} was never written to the log"));
                assert!(
                    self.syncs.iter().any(|sync| sync.worked && sync.start > written.end && sync.end < ack.start),
                    "commit {number}: {mark} was written at line {}, acknowledged at line {}, and not synced in between",
                    written.end,
                    ack.start
                );
            }
        }
    }
}

#[test]
fn a_commit_is_acknowledged_only_after_its_bytes_are_synced() {
    for at_once in [1, 4] {
        let trace = traced("power_cut::committer", at_once, 4_194_304);
        let calls = calls(&trace.text);
        let seen = Seen::of(&calls, &trace.wal);
        seen.check();
        if at_once == 1 {
            assert!(seen.syncs.len() >= COMMITS, "{} syncs for {COMMITS} commits one by one", seen.syncs.len());
        }
    }
}

#[test]
fn commits_that_wait_share_one_sync() {
    let trace = traced("power_cut::committer", 40, 4_194_304);
    let calls = calls(&trace.text);
    let seen = Seen::of(&calls, &trace.wal);
    seen.check();
    // 40 at a time, three rounds: a sync for each commit would be 120; opening the store takes one or two.
    assert!(seen.syncs.len() <= COMMITS / 3, "{} syncs for {COMMITS} commits, 40 at a time", seen.syncs.len());
}

/// sled overwrites a segment at the earliest one segment of its log after the last page was moved out of it; with a sync in
/// between nothing is lost. See `store::sled`.
#[test]
fn what_goes_into_sled_is_synced_before_the_log_goes_and_before_a_segment_is_full() {
    let trace = traced("power_cut::large_committer", 1, 32);
    let calls = calls(&trace.text);
    let seen = Seen::of(&calls, &trace.sled);
    assert_eq!(seen.acks.len(), 21);
    let removed: Vec<&Call<'_>> =
        calls.iter().filter(|call| call.name.starts_with("unlink") && call.arguments.contains(".log\"")).collect();
    assert!(removed.len() >= 15, "the batches went into sled: {}", removed.len());
    let mut from = 0;
    for gone in &removed {
        let writes = seen.writes.iter().filter(|call| (from..gone.start).contains(&call.start));
        let last = writes.map(|call| call.end).max().expect("what the log said was written to sled's file");
        let synced = seen.syncs.iter().any(|sync| sync.worked && sync.start > last && sync.end < gone.start);
        assert!(synced, "removed at line {}, the last write at line {last} was not synced", gone.start);
        from = gone.end;
    }
    let mut sizes = vec![0];
    let mut syncs = seen.syncs.iter().filter(|sync| sync.worked).peekable();
    for write in &seen.writes {
        while syncs.next_if(|sync| sync.end < write.start).is_some() {
            sizes.push(0);
        }
        *sizes.last_mut().unwrap() += write.result;
    }
    println!("bytes of sled's log between syncs: {sizes:?}");
    assert!(sizes.iter().all(|size| *size < SEGMENT), "{sizes:?}");
}
