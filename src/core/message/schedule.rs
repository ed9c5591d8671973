//! What the scheduler says.

/// Not a pattern of five fields.
#[must_use]
pub fn not_five_fields(fields: usize) -> String {
    format!("has {fields} fields; write five: minute hour day-of-month month day-of-week, for instance \"30 2 * * *\"")
}

/// One field of a pattern can't be read.
#[must_use]
pub fn bad_field(name: &str, written: &str, range: &str) -> String {
    format!("has the {name} `{written}`; write {range}, a list, a range or a step")
}

/// What the parser says.
#[must_use]
pub fn bad_cron(why: &str) -> String {
    format!("can't be read: {}", why.trim_end_matches('.'))
}

/// A pattern that fits no day.
#[must_use]
pub fn never_due() -> String {
    "is never due: no such day exists".to_owned()
}

/// An unknown time zone.
#[must_use]
pub fn no_zone(name: &str) -> String {
    format!(
        "is `{name}`, which is no time zone this machine knows; write one like Europe/Berlin or UTC (package tzdata)"
    )
}

/// An id that can't stand in a key.
#[must_use]
pub fn bad_id() -> String {
    "is no plain name; use letters, digits, `-`, `_` and `.`".to_owned()
}

/// The same name again.
#[must_use]
pub fn twice() -> String {
    "is the name of another schedule too; give each its own".to_owned()
}

/// A playbook and a job.
#[must_use]
pub fn both() -> String {
    "stands beside `playbook`; a schedule has one of them".to_owned()
}

/// Neither.
#[must_use]
pub fn neither(jobs: &[&str]) -> String {
    format!("says nothing to do; add `playbook`, or `job` ({})", jobs.join(", "))
}

/// No job of that name.
#[must_use]
pub fn no_job(name: &str, hint: &str, jobs: &[&str]) -> String {
    format!("names `{name}`, which is no job{hint}; there are {}", jobs.join(" and "))
}

/// Parameters without a playbook.
#[must_use]
pub fn job_takes_none() -> String {
    "are for playbooks; a job takes none".to_owned()
}

/// A run was not proposed.
#[must_use]
pub fn not_proposed(schedule: &str, playbook: &str, why: &str) -> String {
    format!("The schedule {schedule} could not propose {playbook}: {why}.")
}

/// A job failed.
#[must_use]
pub fn job_failed(schedule: &str, job: &str, why: &str) -> String {
    format!("The schedule {schedule} could not do {job}: {why}.")
}

/// A job that this Mayday does not have.
#[must_use]
pub fn gone(schedule: &str, job: &str) -> String {
    format!("The schedule {schedule} asked for the job {job}, which this version does not have.")
}

/// No schedules.
#[must_use]
pub fn nothing_scheduled() -> String {
    "Nothing is scheduled. `schedules` in the configuration plans playbooks and jobs.".to_owned()
}

/// One schedule in the list.
#[must_use]
pub fn line(id: &str, what: &str, cron: &str, zone: &str, next: &[String], last: Option<&str>) -> String {
    let next = if next.is_empty() { "never".to_owned() } else { next.join(", ") };
    let last = last.map(|last| format!("; last {last}")).unwrap_or_default();
    format!("{id}  {what}  ({cron}, {zone})  next {next}{last}")
}
