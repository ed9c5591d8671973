//! How far a program of the allow-list can be trusted with a playbook's words: shells never, what runs other programs or
//! code only with arguments that an admin wrote.

use std::path::Path;

/// Shells, and the boxes that hold one: they run whatever a text says.
const SHELLS: [&str; 20] = [
    "sh", "bash", "rbash", "dash", "ash", "zsh", "fish", "ksh", "ksh93", "mksh", "csh", "tcsh", "yash", "posh", "pwsh",
    "nu", "elvish", "xonsh", "busybox", "toybox",
];

/// Interpreters, and programs that run others: an argument may be code, or a program.
const RUN_OTHERS: &[&str] = &[
    "awk",
    "bun",
    "chroot",
    "chrt",
    "deno",
    "doas",
    "docker",
    "env",
    "expect",
    "find",
    "flock",
    "gawk",
    "gdb",
    "ionice",
    "irb",
    "java",
    "kubectl",
    "ld.so",
    "lua",
    "make",
    "mawk",
    "nawk",
    "nerdctl",
    "nice",
    "node",
    "nodejs",
    "nohup",
    "nsenter",
    "parallel",
    "perl",
    "php",
    "pkexec",
    "podman",
    "pypy",
    "python",
    "rsync",
    "ruby",
    "runuser",
    "script",
    "setpriv",
    "setsid",
    "ssh",
    "stdbuf",
    "strace",
    "su",
    "sudo",
    "systemd-run",
    "taskset",
    "tclsh",
    "time",
    "timeout",
    "unshare",
    "vi",
    "vim",
    "watch",
    "xargs",
];

/// Many programs in one file: which of them it is says the name it is called by.
const MANY_IN_ONE: [&str; 3] = ["busybox", "toybox", "coreutils"];

/// What a program may be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// Nothing: it is a shell.
    Shell,
    /// Only arguments that stand in the configuration.
    RunsOthers,
    /// What its patterns allow.
    Plain,
}

/// What a path stands for; a link to a shell is a shell.
pub(super) fn of(path: &Path) -> Trust {
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let (own, real) = (name(path), std::fs::canonicalize(path).map(|real| name(&real)).unwrap_or_default());
    let names = if MANY_IN_ONE.contains(&real.as_str()) { vec![own] } else { vec![own, real] };
    let any = |list: &[&str]| names.iter().any(|name| list.contains(&name.as_str()) || list.contains(&base(name)));
    if any(&SHELLS) {
        Trust::Shell
    } else if any(RUN_OTHERS) {
        Trust::RunsOthers
    } else {
        Trust::Plain
    }
}

/// A name without its version: `python3.12`, `perl5.36`, `lua5.4`.
fn base(name: &str) -> &str {
    name.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | '-'))
}

/// Whether a pattern is meant for options: each of its alternatives begins with a `-` of its own.
pub(super) fn allows_options(pattern: &str) -> bool {
    alternatives(pattern).iter().all(|part| {
        let part = part.trim_start_matches("\\A").trim_start_matches('^');
        part.starts_with('-') || part.starts_with("\\-")
    })
}

/// A pattern at the `|` that stand in no group, class or escape.
fn alternatives(pattern: &str) -> Vec<&str> {
    let (mut parts, mut from, mut groups, mut class) = (Vec::new(), 0, 0_u32, false);
    let mut letters = pattern.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => drop(letters.next()),
            '[' => class = true,
            ']' => class = false,
            '(' if !class => groups += 1,
            ')' if !class => groups = groups.saturating_sub(1),
            '|' if !class && groups == 0 => {
                parts.push(&pattern[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&pattern[from..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shells_and_what_runs_others_are_known_by_name_version_and_link() {
        for shell in ["/bin/sh", "/usr/bin/bash", "/opt/rbash", "/bin/busybox", "/x/csh"] {
            assert_eq!(of(Path::new(shell)), Trust::Shell, "{shell}");
        }
        for runs in ["/usr/bin/python3", "/x/python3.12", "/usr/bin/perl5.36", "/usr/bin/env", "/x/timeout", "/x/ssh"] {
            assert_eq!(of(Path::new(runs)), Trust::RunsOthers, "{runs}");
        }
        for plain in ["/usr/bin/du", "/bin/echo", "/x/redis-cli", "/usr/bin/systemctl"] {
            assert_eq!(of(Path::new(plain)), Trust::Plain, "{plain}");
        }
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("harmless");
        std::os::unix::fs::symlink("/bin/sh", &link).unwrap();
        assert_eq!(of(&link), Trust::Shell);
        // One file, many programs: the name decides.
        std::fs::write(folder.path().join("busybox"), "").unwrap();
        let du = folder.path().join("du");
        std::os::unix::fs::symlink(folder.path().join("busybox"), &du).unwrap();
        assert_eq!(of(&du), Trust::Plain);
    }
}
