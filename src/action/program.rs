//! Runs a program without a shell: own process group, empty environment, bounded output and time.
//!
//! Whatever it started ends with it: on a time-out, and when whoever waits for it goes away, the whole group is killed; by a
//! [`Guard`] also when Mayday itself is killed, so that no program goes on that nobody knows of.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use super::off_loop::Left;
use crate::watch::guard::Guard;

/// What is run.
#[derive(Debug, Clone)]
pub struct Program {
    /// Absolute path.
    pub path: PathBuf,
    /// Arguments, each passed as it is.
    pub args: Vec<String>,
    /// The whole environment.
    pub env: BTreeMap<String, String>,
    /// Folder it starts in.
    pub cwd: PathBuf,
    /// Killed after this long.
    pub timeout: Duration,
    /// Bytes kept of each of its two outputs; the rest is read and dropped.
    pub max_output: usize,
}

/// Where Mayday does not end what is out of its time, the guard does, so much later.
const LATER: Duration = Duration::from_secs(2);

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Ran {
    /// Exit code; none if a signal ended it.
    pub exit_code: Option<i32>,
    /// Its standard output, cut.
    pub stdout: String,
    /// Its standard error, cut.
    pub stderr: String,
    /// Whether something was cut.
    pub truncated: bool,
    /// How long it took.
    pub took: Duration,
}

/// Why there is nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It never started.
    NotStarted {
        /// What the system said.
        why: String,
        /// Whether that may go by itself: no room for a process just now, or its file is being replaced.
        passes: bool,
    },
    /// It was killed after its time was over; what it had done by then is not known.
    TimedOut(Duration),
}

/// After the program has ended, its children may keep its outputs open this long before they are killed.
const LINGER: Duration = Duration::from_millis(500);

/// Runs it to its end, in the time that its step has left. After the step's deadline whoever takes over settles it: by then it
/// has ended, also when Mayday stands still.
///
/// # Errors
/// [`Failure`]. A non-zero exit code is no error here.
pub async fn run(program: &Program, left: Left) -> Result<Ran, Failure> {
    let timeout = program.timeout.min(left.to_say);
    let started = Instant::now();
    let path = program.path.display();
    let not_started = |error: std::io::Error| Failure::NotStarted {
        why: format!("{path} can't be started: {error}"),
        passes: passes(&error),
    };
    let no_guard = |error: std::io::Error| Failure::NotStarted {
        why: format!(
            "{path} is not started, since the guard beside it can't be: {error} (Mayday starts itself for that: /proc must be mounted, and one more process be allowed)"
        ),
        passes: passes(&error),
    };
    let mut guard = Guard::start((program.timeout + LATER).min(left.to_end)).map_err(no_guard)?;
    let mut child = Command::new(&program.path)
        .args(&program.args)
        .env_clear()
        .envs(&program.env)
        .current_dir(&program.cwd)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(guard.group())
        .kill_on_drop(true)
        .spawn()
        .map_err(not_started)?;
    let mut group = Group::of(&guard, child.id());
    if !guard.lives() {
        tracing::warn!(program = %program.path.display(), "a program runs without its guard, which has ended: it would outlive a killed Mayday");
    }
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let outputs = async { tokio::join!(read(stdout, program.max_output), read(stderr, program.max_output)) };
    tokio::pin!(outputs);

    let deadline = tokio::time::sleep(timeout);
    tokio::pin!(deadline);
    // Both at once: a program that fills a pipe nobody reads never ends.
    let mut read_out = None;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            both = &mut outputs, if read_out.is_none() => read_out = Some(both),
            () = &mut deadline => {
                group.kill();
                // It may have left the group.
                let _ = child.start_kill();
                let _ = child.wait().await;
                return Err(Failure::TimedOut(timeout));
            }
        }
    };
    let ((stdout, cut_out), (stderr, cut_err)) = match read_out {
        Some(both) => both,
        None => match tokio::time::timeout(LINGER, &mut outputs).await {
            Ok(both) => both,
            // Someone of the group still holds the outputs, so the group exists and its id can't be another's.
            Err(_) => {
                group.kill();
                outputs.await
            }
        },
    };
    group.forget();
    guard.dismiss().await;
    let exit_code = status.ok().and_then(|status| status.code());
    Ok(Ran { exit_code, stdout, stderr, truncated: cut_out || cut_err, took: started.elapsed() })
}

/// Whether the system may start it in a moment: it is short of processes, memory or files, or somebody writes the program.
fn passes(error: &std::io::Error) -> bool {
    const PASSING: [Errno; 5] = [Errno::AGAIN, Errno::NOMEM, Errno::MFILE, Errno::NFILE, Errno::TXTBSY];
    Errno::from_io_error(error).is_some_and(|code| PASSING.contains(&code))
}

/// Reads to the end, keeps the beginning.
async fn read(from: Option<impl AsyncRead + Unpin>, max: usize) -> (String, bool) {
    let Some(mut from) = from else { return (String::new(), false) };
    let mut kept = Vec::new();
    let mut buffer = vec![0; 8192];
    let mut cut = false;
    // A read error means that the pipe is gone, like its end.
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let room = max.saturating_sub(kept.len());
        kept.extend_from_slice(&buffer[..count.min(room)]);
        cut |= count > room;
    }
    (String::from_utf8_lossy(&kept).into_owned(), cut)
}

/// Kills the process group when dropped.
struct Group(Option<Pid>);

impl Group {
    /// The guard's, or one of the program's own.
    fn of(guard: &Guard, program: Option<u32>) -> Self {
        let own = || program.and_then(|pid| i32::try_from(pid).ok());
        Self(Some(guard.group()).filter(|group| *group > 0).or_else(own).and_then(Pid::from_raw))
    }

    fn kill(&mut self) {
        if let Some(pid) = self.0.take() {
            // An error means that nobody is left in it.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }

    fn forget(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLENTY: Left = Left { to_say: Duration::from_secs(30), to_end: Duration::from_secs(30) };

    fn shell(script: &str) -> Program {
        Program {
            path: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
            env: BTreeMap::from([("PATH".into(), "/usr/bin:/bin".into())]),
            cwd: "/".into(),
            timeout: Duration::from_secs(5),
            max_output: 1000,
        }
    }

    async fn ends(pid: i32) -> bool {
        for _ in 0..100 {
            let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            if state.is_empty() || state.contains(") Z ") {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    }

    #[tokio::test]
    async fn it_gives_exit_code_and_both_outputs_and_sees_no_environment_of_ours() {
        let ran = run(&shell("echo out; echo err >&2; pwd; echo \"home=$HOME\"; exit 3"), PLENTY).await.unwrap();
        assert_eq!((ran.exit_code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(3), "out\n/\nhome=\n", "err\n"));
    }

    #[tokio::test]
    async fn output_is_cut_and_the_program_is_not_blocked_by_it() {
        let ran = run(&shell("head -c 3000000 /dev/zero | tr '\\0' x; echo done >&2"), PLENTY).await.unwrap();
        assert_eq!((ran.stdout.len(), ran.truncated, ran.stderr.as_str()), (1000, true, "done\n"));
    }

    #[tokio::test]
    async fn a_timeout_kills_it_and_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let mut program = shell(&format!("sleep 60 & echo $! > {}; wait", file.display()));
        program.timeout = Duration::from_millis(300);
        assert_eq!(run(&program, PLENTY).await, Err(Failure::TimedOut(Duration::from_millis(300))));
        let pid = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
        assert!(ends(pid).await);
    }

    #[tokio::test]
    async fn a_child_left_behind_is_killed_and_does_not_hold_us() {
        let ran = run(&shell("sleep 60 & echo $!"), PLENTY).await.unwrap();
        assert!(ran.took < Duration::from_secs(4));
        assert!(ends(ran.stdout.trim().parse().unwrap()).await);
    }

    #[tokio::test]
    async fn whoever_stops_waiting_ends_it_too() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let program = shell(&format!("sleep 60 & echo $! > {}; wait", file.display()));
        let _ = tokio::time::timeout(Duration::from_millis(400), run(&program, PLENTY)).await;
        let pid = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
        assert!(ends(pid).await);
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_never_started() {
        let program = Program { path: "/nonexistent/program".into(), ..shell("") };
        assert!(matches!(run(&program, PLENTY).await, Err(Failure::NotStarted { passes: false, .. })));
    }

    #[tokio::test]
    async fn one_that_is_being_replaced_may_start_in_a_moment() {
        let folder = tempfile::tempdir().unwrap();
        let program = Program { path: folder.path().join("true"), args: Vec::new(), ..shell("") };
        std::fs::copy("/bin/true", &program.path).unwrap();
        let written = std::fs::File::options().append(true).open(&program.path).unwrap();
        assert!(matches!(run(&program, PLENTY).await, Err(Failure::NotStarted { passes: true, .. })));
        drop(written);
        // Other tests start processes meanwhile, which hold the file open between fork and exec.
        for _ in 0..50 {
            match run(&program, PLENTY).await {
                Err(Failure::NotStarted { passes: true, .. }) => tokio::time::sleep(Duration::from_millis(20)).await,
                ran => return assert_eq!(ran.unwrap().exit_code, Some(0)),
            }
        }
        panic!("it does not start");
    }
}
