//! Records: versioned JSON values, `{"v":1,"d":{…}}`, so that a later Mayday reads what this one wrote.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Error, Key};

/// A type that is stored.
pub trait Record: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The shape's version; raise it when an older reader would misread the value.
    const VERSION: u32 = 1;

    /// The oldest version that this one's readers read as it stands, without [`Record::upgrade`].
    const READS_SINCE: u32 = Self::VERSION;

    /// The version that this value is written as: an older one where it has nothing that a reader of that one would misread,
    /// so that the binary before goes on with it.
    fn version(&self) -> u32 {
        Self::VERSION
    }

    /// Brings a value of an older version to this one's shape.
    ///
    /// # Errors
    /// Why it can't be.
    fn upgrade(_from: u32, value: serde_json::Value) -> Result<serde_json::Value, String> {
        Ok(value)
    }
}

#[derive(Serialize)]
struct Written<'a, T> {
    v: u32,
    d: &'a T,
}

#[derive(Deserialize)]
struct Read<'a> {
    v: u32,
    #[serde(borrow)]
    d: &'a serde_json::value::RawValue,
}

/// The bytes to store.
///
/// # Errors
/// [`Error::Encode`] when the record has no JSON form.
pub fn encode<T: Record>(record: &T) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(&Written { v: record.version(), d: record }).map_err(|error| Error::Encode(error.to_string()))
}

/// Reads what [`encode`] wrote, also by an older version.
///
/// # Errors
/// [`Error::Corrupt`] and [`Error::TooNew`].
pub fn decode<T: Record>(key: &Key, bytes: &[u8]) -> Result<T, Error> {
    let corrupt = |why: String| Error::Corrupt { key: key.clone(), why };
    let read: Read<'_> = serde_json::from_slice(bytes).map_err(|error| corrupt(error.to_string()))?;
    if read.v > T::VERSION {
        return Err(Error::TooNew { key: key.clone(), found: read.v, known: T::VERSION });
    }
    if read.v >= T::READS_SINCE {
        return serde_json::from_str(read.d.get()).map_err(|error| corrupt(error.to_string()));
    }
    let old = serde_json::from_str(read.d.get()).map_err(|error| corrupt(error.to_string()))?;
    let new = T::upgrade(read.v, old).map_err(corrupt)?;
    serde_json::from_value(new).map_err(|error| corrupt(error.to_string()))
}
