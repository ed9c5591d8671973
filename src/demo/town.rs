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

fn fresh_folder() -> io::Result<PathBuf> {
    let name = format!("mayday-demo-{}", uuid::Uuid::now_v7().simple());
    let folder = std::env::temp_dir().join(name);
    std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
    std::fs::canonicalize(folder)
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
