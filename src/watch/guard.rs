//! A guard beside a program: a small process of Mayday's own binary that ends the program's whole process group when Mayday is
//! gone, however it went, or when the program's time is over and Mayday stands still.
//!
//! Why not `PR_SET_PDEATHSIG`: it is set between fork and exec, which takes `unsafe` or another tool; the kernel ties it to
//! the thread that forked; and it reaches the program alone, not what that has started, which for a script is all that it
//! does. The guard hangs on a pipe whose other end only Mayday holds: the kernel closes it with the process.
//!
//! The guard is of the group that it ends. So the group's number can't become another group's as long as the guard lives.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{ExitCode, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc;
use std::time::Duration;

use rustix::fs::FileType;
use rustix::process::{Pid, Signal, kill_current_process_group, setpgid};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, ChildStdin, Command};

use crate::core::message::cli as message;

/// By this word Mayday's binary is a guard; behind it stands the time in milliseconds.
const WORD: &str = "guard-group";
/// The running binary, also after its file was replaced.
const BINARY: &str = "/proc/self/exe";
/// Whether this process is Mayday's binary, which heeds the word; a test's would run its tests again.
static HEEDED: OnceLock<()> = OnceLock::new();

/// To be called first of all by Mayday's binary: where it was started as a guard it does that work, and gives the exit code.
#[must_use]
pub fn serve() -> Option<ExitCode> {
    HEEDED.get_or_init(|| ());
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != WORD {
        return None;
    }
    let time = arguments.next().and_then(|millis| millis.to_str()?.parse().ok());
    Some(match time.filter(|_| is_started_by_mayday()) {
        // Comes back only when there is no group to end: the program was never started.
        Some(millis) if watch(Duration::from_millis(millis)).is_some() => ExitCode::SUCCESS,
        Some(_) => ExitCode::FAILURE,
        None => {
            eprintln!("{}", message::guard_is_internal(WORD));
            ExitCode::from(2)
        }
    })
}

/// By hand it would wait for a line that nobody knows of, and could end a group that is not Mayday's.
fn is_started_by_mayday() -> bool {
    rustix::fs::fstat(std::io::stdin()).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo)
}

/// Joins the group that it is told, and ends it when there is nothing more to hear, or after the time. Comes back only where
/// it was told none that is there.
fn watch(time: Duration) -> Option<()> {
    let mut heard = BufReader::new(std::io::stdin());
    let mut line = String::new();
    heard.read_line(&mut line).ok()?;
    let group = Pid::from_raw(line.trim().parse().ok()?)?;
    setpgid(None, Some(group)).ok()?;
    let (gone, ends) = mpsc::channel();
    std::thread::spawn(move || {
        let _ = heard.read_to_end(&mut Vec::new());
        let _ = gone.send(());
    });
    let _ = ends.recv_timeout(time);
    kill_current_process_group(Signal::KILL).ok()
}

/// A guard, and the pipe that it hangs on. Dropping it ends the guard alone: the child comes first, and is killed then.
#[derive(Debug)]
pub struct Guard(Option<(Child, ChildStdin)>);

impl Guard {
    /// Starts one that ends its group after this time at the latest.
    ///
    /// # Errors
    /// It can't be started.
    pub fn start(time: Duration) -> std::io::Result<Self> {
        if HEEDED.get().is_none() {
            return Ok(Self(None));
        }
        let mut guard = Command::new(BINARY)
            .arg0("mayday")
            .arg(WORD)
            .arg(time.as_millis().to_string())
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let told = guard.stdin.take();
        Ok(Self(told.map(|told| (guard, told))))
    }

    /// Tells it which group it is to end: at once after that was made.
    pub async fn over(&mut self, group: Option<u32>) {
        if let (Some((_, told)), Some(group)) = (&mut self.0, group)
            && let Err(error) = told.write_all(format!("{group}\n").as_bytes()).await
        {
            tracing::warn!(group, %error, "a program runs without a guard: it would outlive a killed Mayday");
        }
    }

    /// The program has ended: what it left behind on purpose stays.
    pub async fn dismiss(mut self) {
        if let Some((guard, _told)) = &mut self.0 {
            // Before its pipe is closed, which would have it end the group. An error: it is gone already.
            let _ = guard.kill().await;
        }
    }
}
