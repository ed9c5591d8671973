//! PostgreSQL servers for tests: one that all tests of this binary share, with a database for each, or one of a test's own.
//!
//! A server dies with the test process, however that ends: a shell waits for the end of a pipe that only this process
//! holds, then stops the server and removes its folder.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use mayday::store::{Options, SharedStore, postgres};

/// The server refuses to run as root; then it runs as this user, whom the Debian package makes.
const USER: &str = "postgres";

/// One running server.
pub struct Server {
    folder: PathBuf,
    port: u16,
    durable: bool,
    watchdog: Option<Child>,
}

/// The server that tests share. It does not sync: what tests of the adapter prove does not rest on the disk.
pub fn shared() -> &'static Server {
    static SHARED: OnceLock<Server> = OnceLock::new();
    SHARED.get_or_init(|| Server::start(false))
}

/// An empty database on the shared server.
pub fn database() -> String {
    shared().database()
}

/// Opens a store on a database, from a test that runs on several threads.
pub fn open(url: &str) -> SharedStore {
    open_with(&postgres::Options::new(url)).unwrap()
}

/// The same with options, and with what keeps it from opening.
pub fn open_with(options: &postgres::Options) -> Result<SharedStore, mayday::store::Error> {
    let limits = Options::default();
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(postgres::open(options, &limits)))
}

impl Server {
    /// A server of one's own; `durable` syncs every commit.
    pub fn start(durable: bool) -> Self {
        let folder = tempfile::Builder::new().prefix("mayday-postgres-").tempdir().unwrap().keep();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o711)).unwrap();
        let data = folder.join("data");
        std::fs::create_dir(&data).unwrap();
        std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o700)).unwrap();
        if let Some((user, group)) = other_user() {
            std::os::unix::fs::chown(&data, Some(user), Some(group)).unwrap();
        }
        let made = as_user(&programs().join("initdb"))
            .args([
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
                "--no-instructions",
                "-D",
            ])
            .arg(&data)
            .current_dir("/")
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let mut server = Self { folder, port: free_port(), durable, watchdog: None };
        server.launch();
        server
    }

    fn launch(&mut self) {
        let (data, port) = (self.folder.join("data"), self.port.to_string());
        let on = if self.durable { "on" } else { "off" };
        let mut server = as_user(&programs().join("postgres"));
        server.arg("-D").arg(&data).args(["-p", &port]);
        for setting in [
            "listen_addresses=127.0.0.1".to_owned(),
            "unix_socket_directories=".to_owned(),
            "shared_buffers=64MB".to_owned(),
            "max_connections=400".to_owned(),
            format!("fsync={on}"),
            format!("full_page_writes={on}"),
        ] {
            server.args(["-c", &setting]);
        }
        let log = std::fs::File::options().append(true).create(true).open(self.folder.join("log")).unwrap();
        let mut watchdog = Command::new("sh");
        watchdog
            .args(["-c", "\"$@\" </dev/null & pid=$!; read _; kill -QUIT $pid 2>/dev/null; wait $pid", "sh"])
            .arg(server.get_program())
            .args(server.get_args())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.watchdog = Some(watchdog.spawn().unwrap());
        let until = Instant::now() + Duration::from_secs(60);
        while !self.ready() {
            let log = || std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(Instant::now() < until, "the server does not come up: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn ready(&self) -> bool {
        let asked = Command::new(programs().join("pg_isready"))
            .args(["-q", "-h", "127.0.0.1", "-U", "postgres", "-p", &self.port.to_string()])
            .status();
        asked.unwrap().success()
    }

    /// An empty database; its address.
    pub fn database(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let made = Command::new(programs().join("createdb"))
            .args(["-h", "127.0.0.1", "-U", "postgres", "-p", &self.port.to_string(), &name])
            .output()
            .unwrap();
        assert!(made.status.success(), "createdb: {}", String::from_utf8_lossy(&made.stderr));
        self.url(&name)
    }

    /// The address of a database.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Stops the server at once, as a crash would.
    pub fn stop(&mut self) {
        if let Some(mut watchdog) = self.watchdog.take() {
            drop(watchdog.stdin.take());
            watchdog.wait().unwrap();
        }
    }

    /// Starts it again on the same port.
    pub fn start_again(&mut self) {
        self.stop();
        self.launch();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// What plain SQL says: the rows as text, columns joined by `|`.
pub fn sql(url: &str, statement: &str) -> Vec<String> {
    let said = Command::new(programs().join("psql"))
        .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", statement])
        .output()
        .unwrap();
    assert!(said.status.success(), "{statement}: {}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8(said.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// A database as SQL that any supported server takes: without owners, rights, settings of the session and remarks.
pub fn dump(url: &str) -> String {
    let said = Command::new(programs().join("pg_dump"))
        .args(["--no-owner", "--no-privileges", "--no-comments", "--inserts", "--rows-per-insert=50", "-d", url])
        .output()
        .unwrap();
    assert!(said.status.success(), "pg_dump: {}", String::from_utf8_lossy(&said.stderr));
    let text = String::from_utf8(said.stdout).unwrap();
    let kept = text.lines().filter(|line| {
        let session = ["--", "SET ", "SELECT pg_catalog.set_config(", "\\restrict", "\\unrestrict"];
        !line.is_empty() && session.iter().all(|one| !line.starts_with(one))
    });
    kept.flat_map(|line| [line, "\n"]).collect()
}

/// Runs the SQL of a file in an empty database.
pub fn restore(url: &str, file: &Path) {
    let said = Command::new(programs().join("psql"))
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-1", "-o", "/dev/null", "-d", url, "-f"])
        .arg(file)
        .output()
        .unwrap();
    assert!(said.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&said.stderr));
}

/// The newest installed server's programs.
fn programs() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
            .into_iter()
            .flatten()
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let bin = entry.path().join("bin");
                bin.join("postgres").exists().then_some((entry.file_name().to_str()?.parse().ok()?, bin))
            })
            .collect();
        found.sort();
        found.pop().expect("PostgreSQL is not installed: tests/run installs it (Debian: postgresql)").1
    })
}

fn as_user(program: &Path) -> Command {
    match other_user() {
        None => Command::new(program),
        Some((user, group)) => {
            let mut command = Command::new("setpriv");
            command.arg(format!("--reuid={user}")).arg(format!("--regid={group}")).arg("--clear-groups").arg(program);
            command
        }
    }
}

/// User and group to run as, when this is root.
fn other_user() -> Option<(u32, u32)> {
    let id = |arguments: &[&str]| -> u32 {
        let said = Command::new("id").args(arguments).output().unwrap();
        assert!(said.status.success(), "id {arguments:?}");
        String::from_utf8(said.stdout).unwrap().trim().parse().unwrap()
    };
    (id(&["-u"]) == 0).then(|| (id(&["-u", USER]), id(&["-g", USER])))
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
