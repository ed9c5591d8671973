//! One mistake in a configuration: where, which, and what to write instead.

use std::fmt;

use super::tree::Place;

/// The kinds of mistakes. Their numbers never change, so that people can look them up and scripts can rely on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Code {
    /// CF001: the file can't be read as YAML, or is beyond its limits.
    Yaml,
    /// CF002: the file is not UTF-8.
    Utf8,
    /// CF003: a key that is not known there.
    UnknownKey,
    /// CF004: a key is missing.
    MissingKey,
    /// CF005: a value is not what its key takes.
    Value,
    /// CF006: a key was written twice.
    Duplicate,
    /// CF007: an environment variable is not set.
    Variable,
    /// CF008: a file that is named can't be read.
    File,
    /// CF009: two things go by one name.
    Name,
    /// CF010: a name that nothing else in the configuration has.
    Unknown,
    /// CF011: an integration without a secret.
    Secret,
    /// CF012: not an http or https address.
    Url,
    /// CF013: a folder that may not be cleaned.
    Folder,
    /// CF014: not an argon2 hash.
    Hash,
    /// CF015: the listener is reachable from outside, and nobody needs to sign in.
    Listen,
    /// CF016: a limit or time outside its bounds.
    Bounds,
    /// CF017: a playbook has a mistake.
    Playbook,
    /// CF019: not a database's address.
    Database,
    /// CF020: the database can't be used.
    DatabaseDown,
    /// CF021: a warning: the database may lose what was acknowledged.
    DatabaseUnsafe,
    /// CF023: a warning: whoever is on the way to the database may read along.
    DatabaseInTheOpen,
    /// CF022: a warning: replicas sign the audit with keys of their own.
    OwnKeys,
    /// CF099: there are more mistakes than are shown.
    More,
}

impl Code {
    /// `CF003`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Yaml => "CF001",
            Self::Utf8 => "CF002",
            Self::UnknownKey => "CF003",
            Self::MissingKey => "CF004",
            Self::Value => "CF005",
            Self::Duplicate => "CF006",
            Self::Variable => "CF007",
            Self::File => "CF008",
            Self::Name => "CF009",
            Self::Unknown => "CF010",
            Self::Secret => "CF011",
            Self::Url => "CF012",
            Self::Folder => "CF013",
            Self::Hash => "CF014",
            Self::Listen => "CF015",
            Self::Bounds => "CF016",
            Self::Playbook => "CF017",
            Self::Database => "CF019",
            Self::DatabaseDown => "CF020",
            Self::DatabaseUnsafe => "CF021",
            Self::DatabaseInTheOpen => "CF023",
            Self::OwnKeys => "CF022",
            Self::More => "CF099",
        }
    }
}

/// One mistake. Shows as `mayday.yaml:3:7: CF003: …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file, as it was named.
    pub file: String,
    /// Where in it.
    pub place: Place,
    /// Which kind.
    pub code: Code,
    /// What is wrong, and the fix.
    pub says: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, place, code, says } = self;
        write!(f, "{file}:{}:{}: {}: {says}", place.line, place.column, code.as_str())
    }
}
