//! Where the configuration and the playbooks name each other: what is named must be there, on both sides.

use crate::access::{Permission, Person, Persons, Risk, StandingPolicy, approval};
use crate::catalog::Catalog;
use crate::config::Config;
use crate::core::message::config as message;
use crate::core::nearest::nearest;
use crate::ops::schedule;
use crate::playbook::run::{CHILD, risk};
use crate::playbook::{self, Library};

/// What a look at the playbooks of a configuration gave.
pub struct Looked {
    /// How many there are: those that Mayday ships and the team's own.
    pub playbooks: usize,
    /// What keeps nobody from starting, a sentence each.
    pub warnings: Vec<String>,
}

/// Looks at the playbooks of a configuration, for `mayday check`.
///
/// # Errors
/// Every mistake in them, a line each.
pub fn look(config: &Config) -> Result<Looked, Vec<String>> {
    let (library, mistakes) = Library::load(config.playbooks.folder.as_deref());
    let mut mistakes: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    mistakes.extend(unknown(config, &library));
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    Ok(Looked { playbooks: library.all().len(), warnings: warnings(config, &library) })
}

/// What the configuration asks of playbooks and can't have.
pub(super) fn unknown(config: &Config, library: &Library) -> Vec<String> {
    let mut wrong = scheduled(&config.schedules, library);
    wrong.extend(allowed(&config.access.standing, library));
    wrong
}

fn scheduled(schedules: &[schedule::Options], library: &Library) -> Vec<String> {
    let problem = |one: &schedule::Options| {
        let id = one.playbook.as_ref()?;
        let Some(book) = library.get(id) else {
            return Some(message::scheduled_playbook(&one.id, id, library.nearest(id).as_deref()));
        };
        let wrong = playbook::parameters::resolve(&book.playbook, &one.parameters, None).err();
        wrong.map(|why| message::scheduled_parameters(&one.id, &why))
    };
    schedules.iter().filter_map(problem).collect()
}

/// Playbooks that standing policies name and that are not there.
fn allowed(policies: &[StandingPolicy], library: &Library) -> Vec<String> {
    let named = policies.iter().flat_map(|policy| policy.limits.playbooks.iter().map(move |id| (policy, id)));
    named
        .filter(|(_, id)| library.get(id).is_none())
        .map(|(policy, id)| message::allowed_playbook(&policy.id, id, library.nearest(id).as_deref()))
        .collect()
}

/// Policies with their services as the catalogue calls them: what a change says of itself is that name.
pub(super) fn by_name(mut policies: Vec<StandingPolicy>, catalog: &Catalog) -> Vec<StandingPolicy> {
    for service in policies.iter_mut().flat_map(|policy| &mut policy.limits.services) {
        if let Some(found) = catalog.find(service) {
            found.name.clone_into(service);
        }
    }
    policies
}

/// What keeps nobody from starting, and would be found out at three in the morning.
pub(super) fn warnings(config: &Config, library: &Library) -> Vec<String> {
    let mut warnings = too_few(config, library);
    warnings.extend(missing(config, library));
    warnings
}

/// Parts and programs that tasks name and that are not there.
fn missing(config: &Config, library: &Library) -> Vec<String> {
    let programs: Vec<&str> = config.actions.commands.iter().map(|command| command.name.as_str()).collect();
    let mut warnings = Vec::new();
    for book in library.all() {
        for task in &book.playbook.tasks {
            let named = |key: &str| task.parameters.get(key)?.as_str().filter(|text| !text.contains("{{"));
            let id = &book.playbook.playbook_id;
            match task.kind.as_str() {
                CHILD => {
                    if let Some(part) = named("playbook").filter(|part| library.get(part).is_none()) {
                        warnings.push(message::part_not_loaded(&task.id, id, part, library.nearest(part).as_deref()));
                    }
                }
                "Run_Command" => {
                    if let Some(program) = named("program").filter(|program| !programs.contains(program)) {
                        let near = nearest(program, programs.iter().copied());
                        warnings.push(message::program_not_listed(&task.id, id, program, near));
                    }
                }
                _ => {}
            }
        }
    }
    warnings
}

/// Tasks whose `approvers` are fewer persons than must approve. Only a warning, since people change more often than
/// playbooks, and the break-glass remains.
fn too_few(config: &Config, library: &Library) -> Vec<String> {
    let Ok(persons) = Persons::new(&config.access) else { return Vec::new() };
    let may: Vec<&Person> =
        persons.all().into_iter().filter(|person| person.role.may(Permission::Approve(Risk::Reversible))).collect();
    let mut warnings = Vec::new();
    for book in library.all() {
        for task in &book.playbook.tasks {
            let Some(asked) = task.approval.as_ref().filter(|asked| !asked.approvers.is_empty()) else { continue };
            let named = |person: &&&Person| asked.approvers.iter().any(|wanted| approval::means(wanted, person));
            let found: Vec<&str> = may.iter().filter(named).map(|person| person.name.as_str()).collect();
            let policy = config.playbooks.approvals.of(risk(&book, task));
            let needed = policy.max(asked.count.unwrap_or(1)) as usize;
            if found.len() < needed {
                warnings.push(message::too_few_approvers(
                    &task.id,
                    &book.playbook.playbook_id,
                    &asked.approvers,
                    needed,
                    &found,
                ));
            }
        }
    }
    warnings
}
