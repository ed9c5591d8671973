//! The key that signs checkpoints: ed25519, made at the first start, kept in a file that only its owner can read.
//!
//! Source: `ring` through rustls, a direct dependency with that provider, as for [`crate::access::random`].

use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use rustls::SignatureScheme;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::sign::SigningKey;

use crate::access::{Error, random};

/// The file's name in the data folder, unless the configuration names another.
pub const NAME: &str = "audit-key";
/// Stands before a public key's base64.
const SCHEME: &str = "ed25519:";
/// PKCS #8 version 1 of an ed25519 key is this and the 32 bytes of the seed (RFC 8410, section 7).
const PKCS8: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// Signs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Signer {
    key: Arc<dyn SigningKey>,
    public: String,
}

impl Signer {
    /// Reads the key, or draws one and writes it, readable by its owner only.
    ///
    /// # Errors
    /// [`Error::KeyFile`] when the file can't be written or trusted, [`Error::NoRandomness`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        match fs::File::open(path) {
            Ok(file) => Self::read(path, file),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Self::create(path),
            Err(error) => Err(wrong(path, format!("can't be read: {error}"))),
        }
    }

    /// Reads the key that is there.
    ///
    /// # Errors
    /// [`Error::KeyFile`] when there is none, or it can't be trusted.
    pub fn existing(path: &Path) -> Result<Self, Error> {
        let file = fs::File::open(path).map_err(|error| wrong(path, format!("can't be read: {error}")))?;
        Self::read(path, file)
    }

    fn create(path: &Path) -> Result<Self, Error> {
        let seed = random::bytes::<32>()?;
        let write = || -> std::io::Result<()> {
            let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            writeln!(out, "{}", BASE64.encode(seed))?;
            out.sync_all()
        };
        match write() {
            Ok(()) => Self::of_seed(path, &seed),
            // Another process of this folder was first.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                let file = fs::File::open(path).map_err(|error| wrong(path, format!("can't be read: {error}")))?;
                Self::read(path, file)
            }
            Err(error) => Err(wrong(path, format!("can't be written: {error}"))),
        }
    }

    fn read(path: &Path, file: fs::File) -> Result<Self, Error> {
        let meta = file.metadata().map_err(|error| wrong(path, error.to_string()))?;
        if meta.mode() & 0o077 != 0 {
            let mode = meta.mode() & 0o777;
            return Err(wrong(path, format!("has mode {mode:03o}, others can read it; run `chmod 600` on it")));
        }
        let mut text = String::new();
        file.take(1024).read_to_string(&mut text).map_err(|error| wrong(path, format!("can't be read: {error}")))?;
        let seed = BASE64.decode(text.trim()).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let says = "is no key of 32 bytes in base64; restore it, or move it away to begin with a new one";
        Self::of_seed(path, &seed.ok_or_else(|| wrong(path, says.to_owned()))?)
    }

    fn of_seed(path: &Path, seed: &[u8; 32]) -> Result<Self, Error> {
        let document = [&PKCS8[..], seed].concat();
        let key = rustls::crypto::ring::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(document))
            .map_err(|error| wrong(path, error.to_string()))?;
        let public = key.public_key().and_then(|spki| Some(BASE64.encode(spki.as_ref().last_chunk::<32>()?)));
        let public = public.ok_or_else(|| wrong(path, "has no public half".to_owned()))?;
        Ok(Self { key, public: format!("{SCHEME}{public}") })
    }

    /// The public key, for whoever checks: `ed25519:…`.
    #[must_use]
    pub fn public(&self) -> &str {
        &self.public
    }

    /// Signs a text.
    ///
    /// # Errors
    /// [`Error::NoRandomness`] never in practice: the library's own failure, which ed25519 does not have.
    pub fn sign(&self, message: &str) -> Result<String, Error> {
        let signer = self.key.choose_scheme(&[SignatureScheme::ED25519]).ok_or(Error::NoRandomness)?;
        signer.sign(message.as_bytes()).map(|signature| BASE64.encode(signature)).map_err(|_| Error::NoRandomness)
    }
}

/// Whether the holder of the key signed this text.
#[must_use]
pub fn is_signed(public: &str, message: &str, signature: &str) -> bool {
    let decoded =
        public.strip_prefix(SCHEME).and_then(|key| BASE64.decode(key).ok()).zip(BASE64.decode(signature).ok());
    let Some((key, signature)) = decoded else { return false };
    let provider = rustls::crypto::ring::default_provider();
    let mut schemes = provider.signature_verification_algorithms.mapping.iter();
    let ed25519 = schemes.find(|(scheme, _)| *scheme == SignatureScheme::ED25519).and_then(|(_, ways)| ways.first());
    ed25519.is_some_and(|way| way.verify_signature(&key, message.as_bytes(), &signature).is_ok())
}

fn wrong(path: &Path, why: String) -> Error {
    Error::KeyFile { path: PathBuf::from(path).display().to_string(), why }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_signs_and_is_the_same_after_a_restart() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join(NAME);
        let signer = Signer::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let signature = signer.sign("text").unwrap();
        let again = Signer::open(&path).unwrap();
        assert_eq!(again.public(), signer.public());
        assert!(is_signed(again.public(), "text", &signature));
        assert!(!is_signed(again.public(), "another", &signature));
        let other = Signer::open(&data.path().join("other")).unwrap();
        assert!(!is_signed(other.public(), "text", &signature));
        assert!(!is_signed("ed25519:x", "text", &signature) && !is_signed("", "text", ""));
    }

    #[test]
    fn a_key_that_others_can_read_or_that_is_none_is_not_used() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join(NAME);
        Signer::open(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(Signer::open(&path).unwrap_err().to_string().contains("chmod 600"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "nonsense").unwrap();
        assert!(Signer::open(&path).unwrap_err().to_string().contains("no key"));
    }

    /// RFC 8032, section 7.1, test 1.
    #[test]
    fn it_is_ed25519_as_others_know_it() {
        let hex = |text: &str| -> Vec<u8> {
            (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
        };
        let seed = hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
        let signer = Signer::of_seed(Path::new("test"), &seed.try_into().unwrap()).unwrap();
        let public = hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        assert_eq!(signer.public(), format!("ed25519:{}", BASE64.encode(public)));
        let signature = hex(
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        );
        assert_eq!(signer.sign("").unwrap(), BASE64.encode(signature));
    }
}
