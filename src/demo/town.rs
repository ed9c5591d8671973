//! Where everything of one demo is: folders, ports, the token for faults.

use std::io;
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};

use super::shop::part::Part;

/// Port of the web channel unless another is asked for.
pub const PORT: u16 = 8808;
/// So many ports after the wanted one are tried.
const NEXT: u16 = 50;

/// The shop team's own playbooks, beside those that Mayday ships.
pub const PLAYBOOKS: [(&str, &str); 2] = [
    ("PB-Job-Pause.yaml", include_str!("playbooks/PB-Job-Pause.yaml")),
    ("PB-Pool-Raise.yaml", include_str!("playbooks/PB-Pool-Raise.yaml")),
];

/// The places of one demo.
#[derive(Debug)]
pub struct Town {
    /// Data folder: Mayday's, and below `shop/` the shop's.
    pub data: PathBuf,
    /// Port of each service, in the order of [`Part::SERVICES`].
    pub ports: Vec<u16>,
    /// Who makes faults must know it.
    pub control: SecretString,
    /// Whether the folder goes when the demo ends.
    temporary: bool,
}

impl Town {
    /// Makes the folders and picks free ports.
    ///
    /// # Errors
    /// The system's.
    pub fn build(data: Option<PathBuf>) -> io::Result<Self> {
        let temporary = data.is_none();
        let data = match data {
            Some(data) => {
                std::fs::create_dir_all(&data)?;
                std::fs::canonicalize(data)?
            }
            None => fresh_folder()?,
        };
        std::fs::create_dir_all(data.join("shop"))?;
        let own = data.join("shop/playbooks");
        std::fs::create_dir_all(&own)?;
        for (name, text) in PLAYBOOKS {
            std::fs::write(own.join(name), text)?;
        }
        let control = crate::access::random::token().map_err(io::Error::other)?;
        let file = data.join("shop/control");
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut open = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file)?;
        io::Write::write_all(&mut open, control.expose_secret().as_bytes())?;
        Ok(Self { ports: free_ports(Part::SERVICES.len())?, data, control, temporary })
    }

    /// Port of a service.
    #[must_use]
    pub fn port(&self, part: Part) -> u16 {
        Part::SERVICES.iter().position(|one| *one == part).and_then(|at| self.ports.get(at)).copied().unwrap_or(0)
    }

    /// Address of a service.
    #[must_use]
    pub fn url(&self, part: Part) -> String {
        format!("http://127.0.0.1:{}", self.port(part))
    }

    /// The folder that payment-gateway writes.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.data.join("shop/payment-gateway")
    }

    /// The folder with the shop team's own playbooks.
    #[must_use]
    pub fn playbooks(&self) -> PathBuf {
        self.data.join("shop/playbooks")
    }

    /// The file with the token for faults.
    #[must_use]
    pub fn control_file(&self) -> PathBuf {
        self.data.join("shop/control")
    }

    /// Says where this demo is, so that `mayday demo break` and `mayday say` find it without being told.
    pub fn announce(&self) {
        let Some(file) = pointer() else { return };
        if let Some(folder) = file.parent()
            && private(folder)
        {
            // Without the note people give --data or --url.
            let _ = std::fs::write(file, self.data.display().to_string());
        }
    }
}

impl Drop for Town {
    fn drop(&mut self) {
        if let Some(file) = pointer()
            && std::fs::read_to_string(&file).is_ok_and(|data| Path::new(data.trim()) == self.data)
        {
            let _ = std::fs::remove_file(file);
        }
        if self.temporary {
            // What is left after a failure is a folder in the system's place for what may be removed.
            let _ = std::fs::remove_dir_all(&self.data);
        }
    }
}

/// Data folder of the demo that was started last by this user, if it said so.
#[must_use]
pub fn last() -> Option<PathBuf> {
    let file = pointer()?;
    let owner = std::fs::symlink_metadata(file.parent()?).ok()?;
    if owner.uid() != rustix::process::geteuid().as_raw() {
        return None;
    }
    Some(PathBuf::from(std::fs::read_to_string(file).ok()?.trim()))
}

fn pointer() -> Option<PathBuf> {
    let base =
        std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute() && path.is_dir());
    let user = rustix::process::geteuid().as_raw();
    Some(base.unwrap_or_else(std::env::temp_dir).join(format!("mayday-{user}")).join("demo"))
}

/// A folder of ours that others can't write to; made if it is not there.
fn private(folder: &Path) -> bool {
    let made = std::fs::DirBuilder::new().mode(0o700).create(folder);
    if let Err(error) = made
        && error.kind() != io::ErrorKind::AlreadyExists
    {
        return false;
    }
    std::fs::symlink_metadata(folder).is_ok_and(|data| {
        data.is_dir() && data.uid() == rustix::process::geteuid().as_raw() && data.permissions().mode() & 0o022 == 0
    })
}

/// What the folders of demos without `--data` begin with.
const FOLDER: &str = "mayday-demo-";
/// The file in such a folder that holds the pid of the demo it belongs to.
const OWNER: &str = "demo.pid";
/// So many folders of the system's place for temporary files are looked at.
const LOOKED_AT: usize = 10_000;

fn fresh_folder() -> io::Result<PathBuf> {
    let place = std::env::temp_dir();
    sweep(&place);
    let folder = place.join(format!("{FOLDER}{}", uuid::Uuid::now_v7().simple()));
    std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
    std::fs::write(folder.join(OWNER), std::process::id().to_string())?;
    std::fs::canonicalize(folder)
}

/// Removes what demos left that were killed: folders of this user with a demo's name and mark whose demo is gone.
fn sweep(place: &Path) {
    let Ok(entries) = std::fs::read_dir(place) else { return };
    for entry in entries.take(LOOKED_AT).flatten() {
        let path = entry.path();
        let named = entry.file_name().to_str().is_some_and(|name| name.starts_with(FOLDER));
        if named && private_to_us(&path) && owner_is_gone(&path.join(OWNER)) {
            // Whatever can't be removed is tried again at the next start.
            let _ = std::fs::remove_dir_all(&path);
        }
    }
}

/// A real folder, not a link, that belongs to this user.
fn private_to_us(folder: &Path) -> bool {
    std::fs::symlink_metadata(folder)
        .is_ok_and(|data| data.is_dir() && data.uid() == rustix::process::geteuid().as_raw())
}

/// Whether a mark names a process that is no more. Without a readable mark nothing is known, and nothing removed; a number
/// that another process has now keeps the folder.
fn owner_is_gone(mark: &Path) -> bool {
    if !std::fs::symlink_metadata(mark).is_ok_and(|data| data.is_file() && data.len() < 32) {
        return false;
    }
    let pid = std::fs::read_to_string(mark).ok().and_then(|text| text.trim().parse::<i32>().ok());
    let Some(pid) = pid.filter(|pid| *pid > 0).and_then(rustix::process::Pid::from_raw) else { return false };
    rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH)
}

/// Different ports that were free a moment ago: a service keeps its port over a restart, so it can't take any.
fn free_ports(count: usize) -> io::Result<Vec<u16>> {
    let held = (0..count).map(|_| TcpListener::bind(("127.0.0.1", 0))).collect::<io::Result<Vec<_>>>()?;
    held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

/// The wanted port if it is free, else the next one that is.
///
/// # Errors
/// None of the next fifty is free.
pub fn web_port(wanted: Option<u16>) -> io::Result<u16> {
    let first = wanted.unwrap_or(PORT);
    if first == 0 {
        return TcpListener::bind(("127.0.0.1", 0))?.local_addr().map(|address| address.port());
    }
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for port in first..=first.saturating_add(NEXT) {
        match TcpListener::bind(("127.0.0.1", port)) {
            Ok(_) => return Ok(port),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shops_own_playbooks_pass_their_tests() {
        for (name, text) in PLAYBOOKS {
            let book = crate::playbook::Book::read(name, text.as_bytes()).unwrap_or_else(|wrong| panic!("{wrong:#?}"));
            for report in crate::playbook::testing::run_tests(&book) {
                assert_eq!(report.failures, Vec::<String>::new(), "{name}: {}", report.name);
            }
        }
    }

    #[test]
    fn only_folders_of_demos_that_are_gone_are_swept() {
        let place = tempfile::tempdir().unwrap();
        let folder = |name: &str, owner: Option<String>| {
            let path = place.path().join(name);
            std::fs::create_dir(&path).unwrap();
            std::fs::write(path.join("store"), "data").unwrap();
            if let Some(owner) = owner {
                std::fs::write(path.join(OWNER), owner).unwrap();
            }
            path
        };
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let gone = child.id();
        child.wait().unwrap();
        let killed = folder("mayday-demo-killed", Some(gone.to_string()));
        let kept = [
            folder("mayday-demo-running", Some(std::process::id().to_string())),
            folder("mayday-demo-unmarked", None),
            folder("mayday-demo-odd", Some("-1".to_owned())),
            folder("of-someone-else", Some(gone.to_string())),
        ];
        let elsewhere = folder("target", Some(gone.to_string()));
        std::os::unix::fs::symlink(&elsewhere, place.path().join("mayday-demo-link")).unwrap();
        sweep(place.path());
        assert!(!killed.exists());
        assert!(kept.iter().all(|folder| folder.exists()), "{kept:?}");
        assert!(elsewhere.join("store").exists(), "links are not followed");
    }
}
