//! What only the whole configuration can tell: names that must exist, secrets that must be there, addresses and folders
//! that must make sense.

use std::collections::HashMap;
use std::path::{Component, Path};

use secrecy::ExposeSecret as _;

use super::Config;
use super::diagnostic::{Code, Diagnostic};
use super::tree::{Kind, Node, Step};
use crate::catalog::Catalog;
use crate::core::message::config as message;
use crate::core::nearest::nearest;

/// Folders whose loss would take a system with it; they and everything above them may not be cleaned.
const PROTECTED: &[&str] = &[
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/home",
    "/lib",
    "/lib64",
    "/opt",
    "/proc",
    "/root",
    "/run",
    "/sbin",
    "/srv",
    "/sys",
    "/usr",
    "/usr/bin",
    "/usr/lib",
    "/usr/local",
    "/usr/sbin",
    "/usr/share",
    "/var",
    "/var/lib",
    "/var/log",
    "/var/run",
];

/// Collects mistakes with their place.
pub(super) struct Sheet<'a> {
    /// Without what had a mistake of its own: its lists are the configuration's.
    left: &'a Node,
    /// As written: what is named there exists, even if something else about it is wrong.
    written: &'a Node,
    file: &'a str,
    wrong: &'a mut Vec<Diagnostic>,
}

impl Sheet<'_> {
    /// Where a room's `list[2].key` stands. Rooms count what was read; what was set aside shifts their indices.
    fn place_of(&self, path: &str) -> Vec<Step> {
        let mut at: Vec<Step> = Vec::new();
        for part in path.split('.') {
            let (name, index) =
                part.split_once('[').map_or((part, None), |(name, rest)| (name, rest.strip_suffix(']')));
            at.push(Step::from(name));
            if let Some(index) = index.and_then(|index| index.parse::<usize>().ok()) {
                let row = rows(self.left, &at).get(index).copied().unwrap_or(index);
                at.push(Step::from(row));
            }
        }
        at
    }

    fn add(&mut self, path: &[Step], code: Code, says: String) {
        self.wrong.push(Diagnostic { file: self.file.to_owned(), place: self.written.place_of(path), code, says });
    }
}

macro_rules! path {
    ($($step:expr),*) => { &[$(Step::from($step)),*] };
}

/// All cross checks.
pub fn cross(config: &Config, left: &Node, written: &Node, file: &str, wrong: &mut Vec<Diagnostic>) {
    let mut sheet = Sheet { left, written, file, wrong };
    services(config, &mut sheet);
    eyes(config, &mut sheet);
    actions(config, &mut sheet);
    listener(config, &mut sheet);
    users(config, &mut sheet);
    policies(config, &mut sheet);
    schedules(config, &mut sheet);
    database(config, &mut sheet);
    for (key, why) in config.store.problems() {
        sheet.add(path!["store", key], Code::Bounds, message::option_problem(key, &why));
    }
}

/// Own eyes: what the room itself finds, and services that the catalogue does not have.
fn eyes(config: &Config, sheet: &mut Sheet<'_>) {
    for problem in config.watch.problems() {
        let at = sheet.place_of(&format!("watch.{}", problem.path));
        sheet.add(&at, Code::Bounds, message::option_problem(&problem.path, &problem.why));
    }
    let known = service_names(sheet.written);
    let mut unknown: Vec<(Vec<Step>, &str)> = Vec::new();
    let watch = &config.watch;
    for (target, row) in watch.scrape.iter().zip(rows(sheet.left, path!["watch", "scrape"])) {
        unknown.push((path!["watch", "scrape", row, "service"].to_vec(), &target.service));
    }
    for (file, row) in watch.logs.files.iter().zip(rows(sheet.left, path!["watch", "logs", "files"])) {
        unknown.push((path!["watch", "logs", "files", row, "service"].to_vec(), &file.service));
    }
    for (rule, row) in watch.rules.iter().zip(rows(sheet.left, path!["watch", "rules"])) {
        if let Some(service) = &rule.service {
            unknown.push((path!["watch", "rules", row, "service"].to_vec(), service));
        }
        if let Some(logs) = &rule.logs {
            unknown.push((path!["watch", "rules", row, "logs", "service"].to_vec(), &logs.service));
        }
    }
    for (at, name) in unknown {
        if !known.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            sheet.add(&at, Code::Unknown, message::no_service(name, nearest(name, known.iter().copied())));
        }
    }
    let processes: Vec<&str> = watch.processes.iter().map(|process| process.name.as_str()).collect();
    for (service, row) in config.services.iter().zip(rows(sheet.left, path!["services"])) {
        if let Some(crate::catalog::Restart::Process(name)) = &service.restart
            && !processes.contains(&name.as_str())
        {
            let says = message::no_such("process in watch.processes", name, nearest(name, processes.iter().copied()));
            sheet.add(path!["services", row, "restart", "process"], Code::Unknown, says);
        }
    }
    if let Err(why) = super::assemble::log::filter(&config.log.filter) {
        sheet.add(path!["log", "filter"], Code::Value, why);
    }
}

/// What playbooks may reach: what that room itself finds. Names that are taken twice are told elsewhere.
fn actions(config: &Config, sheet: &mut Sheet<'_>) {
    let Ok(catalog) = Catalog::new(config.services.clone()) else { return };
    // An address or a folder that was told with its service is not told twice.
    let told = sheet.wrong.iter().any(|wrong| matches!(wrong.code, Code::Url | Code::Folder));
    for problem in crate::action::problems(&config.actions, &catalog) {
        let of_service = problem.path.starts_with("services") && !problem.path.ends_with("restart");
        if !(told && of_service) {
            let at = sheet.place_of(&problem.path);
            sheet.add(&at, Code::Value, problem.why);
        }
    }
}

/// The listener and who may post to it.
fn listener(config: &Config, sheet: &mut Sheet<'_>) {
    let http = &config.http;
    let mut names: HashMap<&str, u64> = HashMap::new();
    for (integration, row) in http.integrations.iter().zip(rows(sheet.left, path!["http", "integrations"])) {
        let here = path!["http", "integrations", row].to_vec();
        let line = sheet.written.place_of(&here).line;
        if let Some(first) = names.insert(&integration.name, line) {
            let at: Vec<Step> = here.iter().cloned().chain([Step::from("name")]).collect();
            sheet.add(&at, Code::Name, message::same_name("integration", &integration.name, first));
        }
        if integration.auth.secret().expose_secret().trim().is_empty() {
            let at: Vec<Step> = here.iter().cloned().chain([Step::from("auth")]).collect();
            sheet.add(&at, Code::Secret, message::no_secret(&integration.name));
        }
    }
    if !http.listen.ip().is_loopback() {
        let reachable = http.listen.to_string();
        if !config.access.users.iter().any(|user| user.password_hash.is_some()) {
            sheet.add(path!["http", "listen"], Code::Listen, message::open_listener(&reachable));
        }
        if http.open_webhooks_on_loopback {
            sheet.add(path!["http", "open_webhooks_on_loopback"], Code::Secret, message::open_webhooks(&reachable));
        }
    }
    for (url, at) in [
        (&http.public_url, path!["http", "public_url"] as &[Step]),
        (&config.actions.default_api, path!["actions", "default_api"]),
    ] {
        if let Some(url) = url
            && !is_http(url)
        {
            sheet.add(at, Code::Url, message::bad_url(url));
        }
    }
}

/// When something is due, and what.
fn schedules(config: &Config, sheet: &mut Sheet<'_>) {
    let mut names: HashMap<&str, u64> = HashMap::new();
    for (schedule, row) in config.schedules.iter().zip(rows(sheet.left, path!["schedules"])) {
        let line = sheet.written.place_of(path!["schedules", row]).line;
        if let Some(first) = names.insert(&schedule.id, line) {
            sheet.add(path!["schedules", row, "id"], Code::Name, message::same_name("schedule", &schedule.id, first));
        }
        for (key, why) in schedule.problems() {
            sheet.add(path!["schedules", row, key], Code::Value, message::option_problem(key, &why));
        }
    }
}

/// The shared store's address and limits; whether it answers is `super::database`'s question.
fn database(config: &Config, sheet: &mut Sheet<'_>) {
    for (key, why) in config.store.postgres.iter().flat_map(crate::store::postgres::Options::problems) {
        let at = path!["store", "postgres", key];
        match key {
            // A variable or file that is missing was told already.
            "url" if sheet.wrong.iter().any(|told| told.place == sheet.written.place_of(at)) => {}
            "url" => sheet.add(at, Code::Database, why),
            _ => sheet.add(at, Code::Bounds, message::bounds(key, &why)),
        }
    }
}

fn users(config: &Config, sheet: &mut Sheet<'_>) {
    let mut names: HashMap<&str, u64> = HashMap::new();
    for (user, row) in config.access.users.iter().zip(rows(sheet.left, path!["access", "users"])) {
        let line = sheet.written.place_of(path!["access", "users", row]).line;
        if let Some(first) = names.insert(&user.id, line) {
            sheet.add(path!["access", "users", row, "id"], Code::Name, message::same_name("user", &user.id, first));
        }
        let plain = crate::core::Tainted::new(user.id.as_str()).as_name().is_ok() && user.id == user.id.to_lowercase();
        if !plain {
            sheet.add(path!["access", "users", row, "id"], Code::Value, message::bad_user(&user.id));
        }
        if let Some(hash) = &user.password_hash
            && crate::access::passwords::check_hash(hash).is_err()
        {
            sheet.add(path!["access", "users", row, "password_hash"], Code::Hash, message::bad_hash(&user.id));
        }
    }
}

/// What people allow in advance; whether there are such playbooks is told where they are read.
fn policies(config: &Config, sheet: &mut Sheet<'_>) {
    let mut names: HashMap<&str, u64> = HashMap::new();
    let known = service_names(sheet.written);
    for (policy, row) in config.access.standing.iter().zip(rows(sheet.left, path!["access", "standing"])) {
        let line = sheet.written.place_of(path!["access", "standing", row]).line;
        if let Some(first) = names.insert(&policy.id, line) {
            let at = path!["access", "standing", row, "id"];
            sheet.add(at, Code::Name, message::same_name("standing policy", &policy.id, first));
        }
        for (key, why) in policy.problems() {
            let at = match key {
                "id" => path!["access", "standing", row, "id"].to_vec(),
                _ => path!["access", "standing", row, "limits", key].to_vec(),
            };
            sheet.add(&at, Code::Value, message::option_problem(key, &why));
        }
        for (i, service) in policy.limits.services.iter().enumerate() {
            if service != crate::access::right::ANY && !known.iter().any(|name| name.eq_ignore_ascii_case(service)) {
                let says = message::no_service(service, nearest(service, known.iter().copied()));
                sheet.add(path!["access", "standing", row, "limits", "services", i], Code::Unknown, says);
            }
        }
    }
}

fn services(config: &Config, sheet: &mut Sheet<'_>) {
    // Index in the list as read; items set aside are not in it, so places come from the names.
    let rows = rows(sheet.left, path!["services"]);
    let mut names: HashMap<String, u64> = HashMap::new();
    let known = service_names(sheet.written);
    for (service, row) in config.services.iter().zip(rows) {
        let line = sheet.written.place_of(path!["services", row]).line;
        for (name, path) in std::iter::once((&service.name, path!["services", row, "name"].to_vec())).chain(
            service.aliases.iter().enumerate().map(|(i, alias)| (alias, path!["services", row, "aliases", i].to_vec())),
        ) {
            if let Some(first) = names.insert(name.to_lowercase(), line) {
                sheet.add(&path, Code::Name, message::same_name("service", name, first));
            }
        }
        for (i, needed) in service.depends_on.iter().enumerate() {
            if !known.iter().any(|name| name.eq_ignore_ascii_case(needed)) {
                let says = message::no_service(needed, nearest(needed, known.iter().copied()));
                sheet.add(path!["services", row, "depends_on", i], Code::Unknown, says);
            }
        }
        if let Some(url) = &service.base_url
            && !is_http(url)
        {
            sheet.add(path!["services", row, "base_url"], Code::Url, message::bad_url(url));
        }
        for (i, folder) in service.cleanup.iter().enumerate() {
            if let Some(says) = folder_mistake(&folder.path) {
                sheet.add(path!["services", row, "cleanup", i, "path"], Code::Folder, says);
            }
            if folder.patterns.is_empty() {
                let says = message::no_patterns(&folder.path.display().to_string());
                sheet.add(path!["services", row, "cleanup", i], Code::Folder, says);
            }
        }
    }
}

/// Names and aliases of all services.
fn service_names(written: &Node) -> Vec<&str> {
    let Some(Kind::List(items)) = written.at(path!["services"]).map(|node| &node.kind) else { return Vec::new() };
    let mut names = Vec::new();
    for item in items {
        names.extend(item.at(path!["name"]).and_then(Node::text));
        if let Some(Kind::List(aliases)) = item.at(path!["aliases"]).map(|node| &node.kind) {
            names.extend(aliases.iter().filter_map(Node::text));
        }
    }
    names
}

/// Indices of the items of a list that were not set aside.
fn rows(tree: &Node, list: &[Step]) -> Vec<usize> {
    match tree.at(list).map(|node| &node.kind) {
        Some(Kind::List(items)) => {
            items.iter().enumerate().filter(|(_, item)| item.kind != Kind::Gone).map(|(i, _)| i).collect()
        }
        _ => Vec::new(),
    }
}

/// Whether it is an http or https address with a host.
fn is_http(url: &str) -> bool {
    reqwest::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some())
}

/// What is wrong with a folder to clean, if anything. `..` is resolved by the text, as a person reads it.
fn folder_mistake(path: &Path) -> Option<String> {
    let shown = path.display().to_string();
    if !path.is_absolute() {
        return Some(message::relative_folder(&shown));
    }
    let mut plain = std::path::PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => plain.push(name),
            Component::ParentDir => {
                plain.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    let protected = plain == Path::new("/") || PROTECTED.iter().any(|folder| Path::new(folder) == plain);
    protected.then(|| message::protected_folder(&shown))
}
