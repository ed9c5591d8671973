//! Where the parts of a playbook stand in its file, and which of them are known to be wrong.

use std::collections::{BTreeMap, BTreeSet};

use super::diagnostic::Place;

/// Places of the parts of a playbook by path (`tasks[2].conditions[0]`), for diagnostics.
#[derive(Debug, Clone, Default)]
pub struct Places {
    places: BTreeMap<String, Place>,
    /// The keys before them.
    keys: BTreeMap<String, Place>,
    /// Parts about which something was said already, and which something else stands in for.
    wrong: BTreeSet<String>,
}

impl Places {
    /// Remembers that a part is wrong, so that nothing is said about what stands in for it.
    pub fn mark_wrong(&mut self, path: &str) {
        self.wrong.insert(path.to_owned());
    }

    /// Whether anything within a part is already known to be wrong.
    #[must_use]
    pub fn has_wrong(&self, path: &str) -> bool {
        self.wrong.iter().any(|wrong| wrong.starts_with(path))
    }

    /// Remembers where the key of a part stands.
    pub fn set_key(&mut self, path: &str, place: Place) {
        self.keys.insert(path.to_owned(), place);
    }

    /// Where the key of a part stands; the part itself if it has none.
    #[must_use]
    pub fn key_of(&self, path: &str) -> Place {
        self.keys.get(path).copied().unwrap_or_else(|| self.of(path))
    }

    /// Whether a part, or one around it, is already known to be wrong.
    #[must_use]
    pub fn is_wrong(&self, path: &str) -> bool {
        let ends = path.char_indices().filter(|(_, char)| matches!(char, '.' | '[')).map(|(end, _)| end);
        ends.chain([path.len()]).any(|end| self.wrong.contains(&path[..end]))
    }

    /// Remembers where a part stands.
    pub fn set(&mut self, path: &str, place: Place) {
        self.places.insert(path.to_owned(), place);
    }

    /// Where a part stands; if it is not written down, where the nearest part around it does.
    #[must_use]
    pub fn of(&self, path: &str) -> Place {
        let mut path = path;
        loop {
            if let Some(place) = self.places.get(path) {
                return *place;
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = &path[..end],
                None => return self.places.get("").copied().unwrap_or(Place { line: 1, column: 1 }),
            }
        }
    }
}
