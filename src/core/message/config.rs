//! What the configuration check says. Each sentence: what is wrong, and the fix.

/// The file is larger than may be.
pub fn too_large(bytes: usize, most: usize) -> String {
    format!(
        "the file has {bytes} bytes, at most {most} are read; move services that are generated into fewer, shorter entries"
    )
}

/// A byte that is no UTF-8.
pub fn not_utf8(byte: u8) -> String {
    format!("byte 0x{byte:02x} is not UTF-8; save the file as UTF-8")
}

/// The parser's words.
pub fn not_yaml(why: &str) -> String {
    format!("this is not YAML that can be read: {why}; check the indentation, quotes and brackets up to here")
}

/// A second YAML document.
pub fn second_document() -> String {
    "a second YAML document begins here; Mayday reads one: remove this line, or what follows it".to_owned()
}

/// A key twice in one map.
pub fn duplicate_key(key: Option<&str>) -> String {
    match key {
        Some(key) => format!("`{key}` is written twice here; keep one of them"),
        None => "a key is written twice here; keep one of them".to_owned(),
    }
}

/// A key that is not known there.
pub fn unknown_key(key: &str, near: Option<&str>, known: &[&str]) -> String {
    let shown = crate::core::text::capped(key, 80);
    match near {
        Some(near) => format!("there is no key `{shown}` here; did you mean `{near}`?"),
        None if known.is_empty() => format!("there is no key `{shown}` here; remove it"),
        None => format!("there is no key `{shown}` here; remove it, or use one of: {}", known.join(", ")),
    }
}

/// A key that must be there.
pub fn missing_key(key: &str) -> String {
    format!("`{key}` is missing here; add it (`mayday check --example` shows how)")
}

/// A value of another kind than its key takes.
pub fn wrong_value(why: &str) -> String {
    format!("{why}; `mayday check --example` shows what this key takes")
}

/// A variable without a value.
pub fn no_variable(name: &str) -> String {
    format!("the environment variable {name} is not set; set it, or give a default with ${{{name}:-value}}")
}

/// `${` that is no variable.
pub fn bad_variable() -> String {
    "`${` begins a variable that has no end or no name; write ${NAME}, or $${ for the characters themselves".to_owned()
}

/// A `*_file` that can't be read.
pub fn no_file(path: &str, why: &str) -> String {
    format!("{path} can't be read: {why}; create the file, readable for the user that runs Mayday")
}

/// A secret file without a secret.
pub fn empty_file(path: &str) -> String {
    format!("{path} is empty; write the secret into it")
}

/// Both a value and its file.
pub fn both(key: &str) -> String {
    format!("both `{key}` and `{key}_file` are given; keep one of them")
}

/// Too many mistakes.
pub fn more(shown: usize) -> String {
    format!("only the first {shown} mistakes are shown; fix them and check again")
}

/// Two entries with one name.
pub fn same_name(what: &str, name: &str, first_line: u64) -> String {
    format!("the {what} name `{name}` is taken by the entry of line {first_line}; rename one of them")
}

/// A service that is not in the catalogue.
pub fn no_service(name: &str, near: Option<&str>) -> String {
    match near {
        Some(near) => format!("no service `{name}` is in `services`; did you mean `{near}`?"),
        None => format!("no service `{name}` is in `services`; add it there"),
    }
}

/// Something else that nothing is called.
pub fn no_such(what: &str, name: &str, near: Option<&str>) -> String {
    match near {
        Some(near) => format!("there is no {what} `{name}`; did you mean `{near}`?"),
        None => format!("there is no {what} `{name}`; configure it, or correct the name"),
    }
}

/// An integration with an empty secret.
pub fn no_secret(name: &str) -> String {
    format!(
        "the secret of the integration `{name}` is empty, so anybody who reaches the port could send alerts; set it"
    )
}

/// An integration without a secret.
pub fn no_auth() -> String {
    "this integration has no secret, so anybody who reaches the port could send alerts; add \
     `auth: {bearer: {token: \"${MAYDAY_TOKEN_X}\"}}` (or token_file), `basic` or `hmac`"
        .to_owned()
}

/// Webhooks for everybody.
pub fn open_webhooks(address: &str) -> String {
    format!(
        "webhooks without a secret are for loopback only, and {address} can be reached from other machines; remove this key"
    )
}

/// An id nobody can sign in with.
pub fn bad_user(id: &str) -> String {
    let id = crate::core::text::capped(id, 80);
    format!("`{id}` can't be a user's id; lower-case letters, digits, `.`, `_` and `-` can")
}

/// Not an address.
pub fn bad_url(url: &str) -> String {
    format!(
        "`{}` is not an http:// or https:// address; write for instance http://127.0.0.1:8080",
        crate::core::text::capped(url, 120)
    )
}

/// A folder that is not absolute.
pub fn relative_folder(path: &str) -> String {
    format!("`{path}` is not an absolute path; write it from the root, so that it can't mean another folder")
}

/// A folder that nobody may clean.
pub fn protected_folder(path: &str) -> String {
    format!(
        "`{path}` may not be cleaned: a mistake there would take the system with it; name the one folder with the files to remove"
    )
}

/// A cleanup without patterns.
pub fn no_patterns(path: &str) -> String {
    format!("nothing says which files in `{path}` may go; add `patterns`, for instance [\"*.log.*\"]")
}

/// A password that is not hashed.
pub fn bad_hash(user: &str) -> String {
    format!("the password hash of `{user}` is not an argon2id hash; make one with `mayday password`")
}

/// Reachable from outside without users.
pub fn open_listener(address: &str) -> String {
    format!(
        "`{address}` can be reached from other machines, but nobody is configured to sign in; add `users`, or listen on 127.0.0.1"
    )
}

/// What `mayday check` says at the end when all is well.
pub fn all_well(file: &str, services: usize, playbooks: usize) -> String {
    format!("{file}: no mistakes ({services} services, {playbooks} playbooks)")
}

/// For `health`: what is loaded.
pub fn playbooks_loaded(count: usize) -> String {
    format!("{count} loaded")
}

/// For `health`: files of playbooks that can't be read any more.
pub fn playbooks_wrong(count: usize, first: &str, more: usize) -> String {
    let more = if more == 0 { String::new() } else { format!("; {more} more: `mayday playbook check` on the folder") };
    format!("{count} loaded, the last good version where a file is bad: {first}{more}")
}

/// For `health`: what is scraped, and which own rules another replica evaluates.
pub fn own_eyes((pages, up): (usize, usize), (rules, here): (usize, usize)) -> String {
    let pages = if pages == 0 {
        "no metrics pages are configured".to_owned()
    } else {
        format!("{up} of {pages} metrics pages answer")
    };
    if here == rules {
        return pages;
    }
    format!("{pages}; {here} of {rules} own rules are evaluated by this replica, the others by another one")
}

/// Printed by `run` once it is ready; behind a proxy the address people open is not where it listens.
pub fn ready(url: &str, local: &str) -> String {
    if url == local {
        format!("Mayday listens on {url}")
    } else {
        format!("Mayday listens on {local}, people open {url}")
    }
}

/// Printed by `run` when people sign in by link.
pub fn link(link: &str, valid: &str) -> String {
    format!("Sign in once with this link (void after {valid}):\n\n    {link}\n")
}

/// A value outside its bounds.
pub fn bounds(key: &str, why: &str) -> String {
    format!("`{key}` {why}")
}

/// What is wrong, but keeps nobody from starting.
pub fn warning(says: &str) -> String {
    format!("warning: {says}")
}

/// Replicas that share a store sign with keys of their own.
pub fn own_keys() -> &'static str {
    "each replica signs the audit with a key of its own, so a checkpoint that a stranger signed does not show by itself: give all the same file as `access.checkpoints.key_path`"
}

/// What a room says about its options.
pub fn option_problem(path: &str, why: &str) -> String {
    let key = path.rsplit('.').next().unwrap_or(path);
    format!("`{key}` {why}")
}

/// A schedule names a playbook that is not there.
pub fn scheduled_playbook(schedule: &str, playbook: &str, near: Option<&str>) -> String {
    let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    format!("schedules: `{schedule}` names the playbook `{playbook}`, which is not loaded{near}")
}

/// A standing policy names a playbook that is not there.
pub fn allowed_playbook(policy: &str, playbook: &str, near: Option<&str>) -> String {
    let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    format!("access.standing: `{policy}` names the playbook `{playbook}`, which is not loaded{near}")
}

/// A task runs a playbook that is not there.
pub fn part_not_loaded(task: &str, playbook: &str, part: &str, near: Option<&str>) -> String {
    let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    format!("the task `{task}` of {playbook} runs the playbook `{part}`, which is not loaded: it would fail{near}")
}

/// A task runs a program that is not on the list.
pub fn program_not_listed(task: &str, playbook: &str, program: &str, near: Option<&str>) -> String {
    let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    format!(
        "the task `{task}` of {playbook} runs the program `{program}`, which actions.commands does not have: it would fail{near}"
    )
}

/// Fewer may approve a task than must.
pub fn too_few_approvers(task: &str, playbook: &str, approvers: &[String], needed: usize, found: &[&str]) -> String {
    let who = match found {
        [] => "nobody with the role approver is".to_owned(),
        [one] => format!("only {one} is"),
        some => format!("only {} are", some.join(", ")),
    };
    let approvals = if needed == 1 { "1 approval".to_owned() } else { format!("{needed} approvals") };
    format!(
        "the task `{task}` of {playbook} needs {approvals} of {}, and of access.users {who}; until that is so its request can only expire or be broken open",
        approvers.join(", ")
    )
}

/// A schedule's playbook can't run so.
pub fn scheduled_parameters(schedule: &str, why: &str) -> String {
    format!("schedules: `{schedule}` can't run its playbook: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behind_a_proxy_both_addresses_are_said() {
        let local = "http://127.0.0.1:7007";
        assert_eq!(ready(local, local), "Mayday listens on http://127.0.0.1:7007");
        let both = ready("https://mayday.example.com", local);
        assert_eq!(both, "Mayday listens on http://127.0.0.1:7007, people open https://mayday.example.com");
    }
}
