//! The directory: who is known, with which role and teams.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{Error, Options, Person, PersonId, Role, passwords};

/// One configured user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// What they sign in with: letters, digits, `.`, `_`, `-`.
    pub id: String,
    /// What people call them; the id when missing.
    #[serde(default)]
    pub name: Option<String>,
    /// What they may do.
    pub role: Role,
    /// Teams they belong to.
    #[serde(default)]
    pub teams: Vec<String>,
    /// argon2id hash of their password (`mayday password` makes one); without it they can't sign in with one.
    #[serde(default)]
    pub password_hash: Option<String>,
}

/// Everyone known to Mayday.
#[derive(Debug, Clone)]
pub struct Persons {
    by_id: HashMap<PersonId, Person>,
    /// argon2id hashes; kept apart so that a `Person` can be shown.
    hashes: HashMap<PersonId, String>,
}

impl Persons {
    /// The directory of the configured users and the two local persons.
    ///
    /// # Errors
    /// Every user that can't be used, with what is wrong: all in one error, separated by `; `.
    pub fn new(options: &Options) -> Result<Self, Error> {
        let mut persons = Self { by_id: HashMap::new(), hashes: HashMap::new() };
        for person in [Self::you(), Self::admin_token()] {
            persons.by_id.insert(person.id.clone(), person);
        }
        let mut wrong = Vec::new();
        for user in &options.users {
            if let Err(why) = persons.add(user) {
                wrong.push(format!("{}: {why}", user.id));
            }
        }
        if wrong.is_empty() { Ok(persons) } else { Err(Error::BadUser(wrong.join("; "))) }
    }

    fn add(&mut self, user: &User) -> Result<(), String> {
        crate::core::Tainted::new(user.id.as_str()).as_name().map_err(|error| error.to_string())?;
        if user.id != user.id.to_lowercase() {
            return Err("write the id in lower case".to_owned());
        }
        if let Some(hash) = &user.password_hash {
            passwords::check_hash(hash)?;
        }
        let id = Self::id_of(&user.id);
        let name = user.name.clone().unwrap_or_else(|| user.id.clone());
        let person = Person { id: id.clone(), name, role: user.role, teams: user.teams.clone() };
        if self.by_id.insert(id.clone(), person).is_some() {
            return Err("this id is taken; choose another".to_owned());
        }
        if let Some(hash) = &user.password_hash {
            self.hashes.insert(id, hash.clone());
        }
        Ok(())
    }

    /// The person of a one-time link printed at start: whoever can read the terminal owns the process, so an admin.
    #[must_use]
    pub fn you() -> Person {
        Person { id: PersonId("web:you".to_owned()), name: "you".to_owned(), role: Role::Admin, teams: Vec::new() }
    }

    /// The holder of the admin token file: the operator at the terminal.
    #[must_use]
    pub fn admin_token() -> Person {
        Person { id: PersonId("cli:admin".to_owned()), name: "admin".to_owned(), role: Role::Admin, teams: Vec::new() }
    }

    /// Whoever runs a command that works on the store itself: the system's user on its host, `cli:ana(1000)@db-1`. The number
    /// is the system's word, the name only the environment's.
    #[must_use]
    pub fn at_terminal() -> Person {
        let uid = std::fs::metadata("/proc/self").map_or(0, |own| std::os::unix::fs::MetadataExt::uid(&own));
        // Who became root says so by that.
        let names: &[&str] = if uid == 0 { &["SUDO_USER", "USER", "LOGNAME"] } else { &["USER", "LOGNAME"] };
        let user = names.iter().filter_map(|name| std::env::var(name).ok()).find(|name| !name.is_empty());
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let name = format!("{}({uid})@{}", user.unwrap_or_default(), host.trim());
        Person { id: PersonId(format!("cli:{name}")), name, role: Role::Admin, teams: Vec::new() }
    }

    /// The id of a user of the web channel.
    #[must_use]
    pub fn id_of(user: &str) -> PersonId {
        PersonId(format!("web:{}", user.trim().to_lowercase()))
    }

    /// One person.
    #[must_use]
    pub fn get(&self, id: &PersonId) -> Option<&Person> {
        self.by_id.get(id)
    }

    /// The person someone means in a command: `@ana`, `ana`, `web:ana`.
    #[must_use]
    pub fn find(&self, said: &str) -> Option<&Person> {
        let said = said.trim().trim_start_matches('@').to_lowercase();
        self.by_id.get(&PersonId(said.clone())).or_else(|| self.by_id.get(&Self::id_of(&said)))
    }

    /// Everyone, by id.
    #[must_use]
    pub fn all(&self) -> Vec<&Person> {
        let mut all: Vec<&Person> = self.by_id.values().collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }

    /// Whether anyone can sign in with a password.
    #[must_use]
    pub fn have_passwords(&self) -> bool {
        !self.hashes.is_empty()
    }

    pub(super) fn hash_of(&self, id: &PersonId) -> Option<&str> {
        self.hashes.get(id).map(String::as_str)
    }

    pub(super) fn hashes(&self) -> impl Iterator<Item = &str> {
        self.hashes.values().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: &str) -> User {
        User { id: id.to_owned(), name: None, role: Role::Responder, teams: vec![], password_hash: None }
    }

    #[test]
    fn people_are_found_by_what_others_call_them() {
        let persons = Persons::new(&Options { users: vec![user("ana")], ..Options::default() }).unwrap();
        for said in ["ana", "@ana", "web:ana", " @Ana "] {
            assert_eq!(persons.find(said).unwrap().id.0, "web:ana", "{said}");
        }
        assert!(persons.find("bea").is_none());
        assert_eq!(persons.find("you").unwrap().role, Role::Admin);
    }

    #[test]
    fn every_user_that_cannot_be_used_is_named_at_once() {
        let bad_hash = User { password_hash: Some("plain".into()), ..user("bea") };
        let users = vec![user("ana"), user("ana"), user("An/a"), user("you"), bad_hash];
        let error = Persons::new(&Options { users, ..Options::default() }).unwrap_err().to_string();
        for part in ["ana: this id is taken", "An/a:", "you: this id is taken", "bea: the password hash"] {
            assert!(error.contains(part), "{error}");
        }
    }
}
