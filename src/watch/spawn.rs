//! Starting a child so that it can't outlive Mayday, without `unsafe`.
//!
//! Two ropes: the child's stdin is a pipe whose end closes when Mayday is gone (programs that watch it end themselves),
//! and the program is started under `setpriv --pdeathsig KILL` (util-linux) where that exists, so that the kernel kills
//! it. The kernel looks at the *thread* that started the child, so all children are started by one thread that lives as
//! long as its [`Starter`]. The rope holds the program itself; what it starts in turn ends when Mayday ends it in order
//! (its process group is signalled), not when Mayday is killed.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc;

use tokio::process::{Child, Command};
use tokio::sync::oneshot;

use super::options::ProcessOptions;

/// Variables of Mayday's own environment that a child gets; the configured ones come on top.
const HANDED_ON: [&str; 5] = ["PATH", "HOME", "LANG", "TZ", "TMPDIR"];

type Order = (Command, oneshot::Sender<io::Result<Child>>);

/// The thread that starts children. Dropping it ends the thread, and with it (see above) what it started.
#[derive(Debug)]
pub(super) struct Starter {
    orders: mpsc::Sender<Order>,
    /// `setpriv`, if this machine has one that can do it.
    leash: Option<PathBuf>,
}

impl Starter {
    /// Starts the thread. Must be called inside a tokio runtime, which then waits for the children.
    ///
    /// # Errors
    /// No thread can be made.
    pub(super) fn new() -> io::Result<Self> {
        let (orders, received) = mpsc::channel::<Order>();
        let runtime = tokio::runtime::Handle::current();
        std::thread::Builder::new().name("mayday-children".to_owned()).spawn(move || {
            let _inside = runtime.enter();
            for (mut command, reply) in received {
                // Nobody waits any more: then the child goes with the dropped answer (kill_on_drop).
                let _ = reply.send(command.spawn());
            }
        })?;
        let leash = find_leash();
        if leash.is_none() {
            tracing::warn!("setpriv is not installed: children that ignore a closed stdin outlive a SIGKILL of Mayday");
        }
        Ok(Self { orders, leash })
    }

    /// Starts a program with piped stdin, stdout and stderr.
    pub(super) async fn start(&self, options: &ProcessOptions) -> io::Result<Child> {
        let program = located(&options.program)?;
        let mut command = match &self.leash {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", "KILL", "--"]).arg(&program);
                command
            }
            None => Command::new(&program),
        };
        command
            .args(&options.args)
            // Mayday's own environment holds its secrets (`${NAME}` in the configuration): none of it is handed on.
            .env_clear()
            .envs(HANDED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            .envs(&options.env)
            // A group of its own, so that what the program starts ends with it.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if let Some(folder) = &options.folder {
            command.current_dir(folder);
        }
        let (reply, started) = oneshot::channel();
        let gone = |_| io::Error::other("the thread that starts children is gone");
        self.orders.send((command, reply)).map_err(|_| gone(()))?;
        started.await.map_err(|_| gone(()))?
    }
}

/// Whether a process of the group runs. Zombies don't count: where nobody collects orphans they stay for good. Where there
/// is no `/proc` the answer is no.
pub(super) fn group_lives(group: u32) -> bool {
    let Ok(entries) = std::fs::read_dir("/proc") else { return false };
    let numbered =
        |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit());
    entries.flatten().filter(numbered).any(|entry| {
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { return false };
        // The name in parentheses may hold anything; behind the last one: state, parent, group.
        let Some((_, rest)) = stat.rsplit_once(')') else { return false };
        let mut fields = rest.split_whitespace();
        let (state, own) = (fields.next(), fields.nth(1));
        own.and_then(|own| own.parse().ok()) == Some(group) && !matches!(state, Some("Z" | "X"))
    })
}

/// `setpriv` from PATH, if it knows `--pdeathsig` (busybox's does not).
fn find_leash() -> Option<PathBuf> {
    let setpriv = located(Path::new("setpriv")).ok()?;
    let tried = std::process::Command::new(&setpriv)
        .args(["--pdeathsig", "KILL", "--", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    tried.is_ok_and(|status| status.success()).then_some(setpriv)
}

/// The program's file, through PATH if it is a bare name. Looked up here because under `setpriv` a missing program
/// would only show as exit code 127.
fn located(program: &Path) -> io::Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let runnable =
        |path: &Path| path.metadata().is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0);
    let missing =
        || io::Error::new(io::ErrorKind::NotFound, format!("{} is no program that can be started", program.display()));
    if program.components().count() > 1 || program.is_absolute() {
        return if runnable(program) { Ok(program.to_owned()) } else { Err(missing()) };
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| runnable(file)).ok_or_else(missing)
}
