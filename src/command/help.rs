//! `help`: what this person may say here.

use serde_json::json;

use super::permission::{least_role, role_word};
use super::speaker::Speaker;
use super::{done, missing};
use crate::chat::Reply;
use crate::chat::grammar::{Spec, Verb};
use crate::core::message::command as say;

/// Widest usage that has its explanation beside it.
const WIDTH: usize = 30;

pub(super) fn help(speaker: &Speaker<'_>, about: Option<Verb>) -> Reply {
    match about {
        Some(verb) => one(verb),
        None => all(speaker),
    }
}

fn all(speaker: &Speaker<'_>) -> Reply {
    let may = |verb: &Verb| speaker.person.role >= least_role(*verb) && !missing::is_missing(*verb);
    let specs: Vec<&Spec> = Verb::all().filter(may).map(Verb::spec).collect();
    let width = specs.iter().map(|spec| spec.usage().chars().count()).max().unwrap_or(0).min(WIDTH);
    let mut lines = vec![say::help_heading(role_word(speaker.person.role))];
    for spec in &specs {
        let usage = spec.usage();
        if usage.chars().count() > width {
            // Too long for its column: what it does stands below, where it stands for the others.
            lines.push(format!("  {usage}"));
            lines.push(format!("  {:<width$}  {}", "", spec.about()));
        } else {
            lines.push(format!("  {usage:<width$}  {}", spec.about()));
        }
    }
    lines.push(say::help_ending());
    let commands: Vec<_> = specs.iter().map(|spec| data(spec)).collect();
    done(lines.join("\n"), json!({ "commands": commands }))
}

fn one(verb: Verb) -> Reply {
    let spec = verb.spec();
    let mut lines = vec![spec.about(), say::grammar::usage_is(&spec.usage()), say::example(spec.example)];
    if missing::is_missing(verb) {
        lines.push(say::not_there_yet(spec.name, &say::instead(spec.name)));
    } else {
        lines.push(say::for_role(role_word(least_role(verb))));
    }
    done(lines.join("\n"), data(spec))
}

fn data(spec: &Spec) -> serde_json::Value {
    json!({
        "command": spec.name,
        "usage": spec.usage(),
        "about": spec.about(),
        "example": spec.example,
        "role": role_word(least_role(spec.verb)),
        "available": !missing::is_missing(spec.verb),
    })
}
