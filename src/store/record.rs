//! Records: versioned JSON values, `{"v":1,"d":{…}}`, so that a later Mayday reads what this one wrote.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Error, Key};

/// A type that is stored.
pub trait Record: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The shape's version; raise it when an older reader would misread the value.
    const VERSION: u32 = 1;

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
    serde_json::to_vec(&Written { v: T::VERSION, d: record }).map_err(|error| Error::Encode(error.to_string()))
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
    if read.v == T::VERSION {
        return serde_json::from_str(read.d.get()).map_err(|error| corrupt(error.to_string()));
    }
    let old = serde_json::from_str(read.d.get()).map_err(|error| corrupt(error.to_string()))?;
    let new = T::upgrade(read.v, old).map_err(corrupt)?;
    serde_json::from_value(new).map_err(|error| corrupt(error.to_string()))
}
