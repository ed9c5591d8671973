//! A guard beside a program: a small process of Mayday's own binary that ends the program's whole process group when Mayday is
//! gone, however it went, or when the program's time is over and Mayday stands still.
//!
//! Why not `PR_SET_PDEATHSIG`: it is set between fork and exec, which takes `unsafe` or another tool; the kernel ties it to
//! the thread that forked; and it reaches the program alone, not what that has started, which for a script is all that it
//! does. The guard hangs on a pipe whose other end only Mayday holds: the kernel closes it with the process.
//!
//! The group is the guard's own, and the program is born into it: there is no moment at which it has no guard. As long as the
//! guard lives, or nobody asked how it ended, the group's number can't become another group's.

use std::io::Read as _;
use std::process::{ExitCode, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc;
use std::time::Duration;

use rustix::fs::FileType;
use rustix::process::{Signal, kill_current_process_group};
use rustix::time::{ClockId, clock_gettime};
use tokio::process::{Child, ChildStdin, Command};

use crate::core::message::cli as message;

/// By this word Mayday's binary is a guard; behind it stands the moment at which all must have ended, as the machine's steady
/// clock has it, in milliseconds.
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
    let end = arguments.next().and_then(|millis| millis.to_str()?.parse().ok());
    Some(match end.filter(|_| is_started_by_mayday()) {
        Some(millis) => {
            watch(Duration::from_millis(millis));
            ExitCode::FAILURE
        }
        None => {
            eprintln!("{}", message::guard_is_internal(WORD));
            ExitCode::from(2)
        }
    })
}

/// Counted on while Mayday stands still, or is swapped out: each process of the machine sees the same.
fn steady() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap_or_default()
}

/// By hand it would end the group of whoever started it.
fn is_started_by_mayday() -> bool {
    rustix::fs::fstat(std::io::stdin()).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo)
}

/// Ends its own group, and itself with it, when nobody holds the pipe any more, or at that moment.
fn watch(end: Duration) {
    let (gone, ends) = mpsc::channel();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = gone.send(());
    });
    let _ = ends.recv_timeout(end.saturating_sub(steady()));
    let _ = kill_current_process_group(Signal::KILL);
}

/// A guard, and the pipe that it hangs on. Dropping it ends the guard alone: its group comes first, and is killed then.
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
            .arg((steady() + time).as_millis().to_string())
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let held = guard.stdin.take();
        Ok(Self(held.map(|held| (guard, held))))
    }

    /// The group that the program must be born into; 0, as the system has it, for one of its own where there is no guard.
    #[must_use]
    pub fn group(&self) -> i32 {
        let pid = self.0.as_ref().and_then(|(guard, _)| i32::try_from(guard.id()?).ok());
        pid.unwrap_or(0)
    }

    /// Whether it is still there, where there is one.
    pub fn lives(&mut self) -> bool {
        self.0.as_mut().is_none_or(|(guard, _)| matches!(guard.try_wait(), Ok(None)))
    }

    /// The program has ended: what it left behind on purpose stays.
    pub async fn dismiss(mut self) {
        if let Some((guard, _held)) = &mut self.0 {
            // Before its pipe is closed, which would have it end the group. An error: it is gone already.
            let _ = guard.kill().await;
        }
    }
}
