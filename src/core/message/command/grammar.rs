//! What is said about a command line: what is wrong with it, what was expected, what each command does.

/// Expected: a severity.
pub const A_SEVERITY: &str = "a severity: Critical, Warning or Info";
/// Expected: an incident.
pub const AN_INCIDENT: &str = "an incident, as INC-7";
/// Expected: a run.
pub const A_RUN: &str = "a run, as RUN-3";
/// Expected: a duration.
pub const A_SPAN: &str = "a duration, as 30m, 2h or 7d";
/// Expected: a service.
pub const A_SERVICE: &str = "a service, as order-service";
/// Expected: a person.
pub const A_PERSON: &str = "a person, as @ana or me";
/// Expected: a playbook.
pub const A_PLAYBOOK: &str = "a playbook; `playbooks` lists them";
/// Expected: a question.
pub const A_QUESTION: &str = "a question in plain words";
/// Expected: an answer.
pub const AN_ANSWER: &str = "an answer";
/// Expected: a trace.
pub const A_TRACE: &str = "a trace id";
/// Expected: good or bad.
pub const A_VERDICT: &str = "good or bad";
/// What was expected.
pub const A_VERSION: &str = "a version's number, or newest";
/// Expected: a metric.
pub const AN_EXPRESSION: &str = "a metric or an expression, as rate(http_requests_total[5m])";
/// Expected: a matcher.
pub const A_MATCHER: &str = "what to silence, as service=order-service,severity=Warning";

/// What one command does.
#[must_use]
pub fn about(command: &str) -> String {
    match command {
        "help" => "What can be said here, or how one command is said.",
        "incidents" => "Incidents that are open, or all, newest first.",
        "show" => "One incident with its finding and its plan.",
        "ack" => "Says that you are on it.",
        "assign" => "Makes someone the incident's commander.",
        "severity" => "Sets how bad it is; alerts no longer change it.",
        "resolve" => "Ends an incident.",
        "reopen" => "Takes an incident's end back.",
        "silence" => "Keeps matching alerts quiet for a while.",
        "why" => "Looks again for the cause: what changed, what the logs and the process say.",
        "ask" => "Answers a question by looking things up; changes nothing.",
        "logs" => "A service's newest log lines, and how many there are.",
        "metrics" => "Draws a metric.",
        "trace" => "Shows one trace.",
        "topology" => "What a service calls, and who calls it.",
        "anomalies" => "What behaves unlike itself now.",
        "forecast" => "Where a metric goes if nothing changes.",
        "capacity" => "What runs out, and when.",
        "playbooks" => "The playbooks, or what one of them does.",
        "plan" => "Shows what a playbook would do; proposes and changes nothing.",
        "run" => "Proposes a playbook; its changes wait for an approval.",
        "runs" => "The newest runs, or one with its tasks.",
        "pause" => "Lets a run start no further task until it is resumed.",
        "resume" => "Lets a paused run go on.",
        "cancel" => "Ends a run; the task that runs now is finished first.",
        "retry" => "Starts a run's failed tasks again.",
        "approve" => "Lets a plan happen, exactly as shown.",
        "reject" => "Refuses a plan and ends its run.",
        "answer" => "Answers what a run asks; for a task in doubt `done`, `not_done` (it is done again) or `failed`.",
        "oncall" => "Who is on call.",
        "timeline" => "Everything that happened to an incident, in order.",
        "postmortem" => "Drafts the write-up of an incident.",
        "report" => "What happened lately, over all incidents.",
        "feedback" => "Says whether a finding helped.",
        "schedule" => "What is planned to happen.",
        "usage" => "Tokens and cost of the language model.",
        "health" => "How Mayday itself is, part by part.",
        _ => "",
    }
    .to_owned()
}

/// The nearest word.
#[must_use]
pub fn did_you_mean(near: &str) -> String {
    format!("Did you mean `{near}`?")
}

/// How the command is said.
#[must_use]
pub fn usage_is(usage: &str) -> String {
    format!("usage: {usage}")
}

/// The line is longer than allowed; bytes.
#[must_use]
pub fn line_too_long(bytes: usize, most: usize) -> String {
    format!("The line has {bytes} bytes; at most {most} are read.")
}

/// A quote is open at the end.
#[must_use]
pub fn open_quote() -> String {
    "This quote is not closed.".to_owned()
}

/// Something else stands there.
#[must_use]
pub fn expected(what: &str) -> String {
    format!("Here must stand {what}.")
}

/// Nothing stands there.
#[must_use]
pub fn missing(what: &str) -> String {
    format!("Missing: {what}.")
}

/// No such command.
#[must_use]
pub fn not_a_command(word: &str) -> String {
    format!("`{}` is not a command.", short(word))
}

/// More than the command takes.
#[must_use]
pub fn unexpected(word: &str) -> String {
    format!("`{}` is more than this command takes.", short(word))
}

/// Not the number of a version.
#[must_use]
pub fn not_a_version(word: &str) -> String {
    format!("`{word}` is not the number of a version")
}

/// None of the words that may stand there.
#[must_use]
pub fn not_a_choice(word: &str, choices: &str) -> String {
    format!("`{}` is none of {choices}.", short(word))
}

/// Not an incident's id.
#[must_use]
pub fn not_an_incident(word: &str) -> String {
    let run = word.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("run-"));
    if let Some(number) = word.get(4..).filter(|rest| run && !rest.is_empty() && rest.len() < 20)
        && number.bytes().all(|byte| byte.is_ascii_digit())
    {
        return format!("RUN-{number} is a run, not an incident; `runs RUN-{number}` shows it.");
    }
    format!("`{}` is not an incident; write its id, as INC-7.", short(word))
}

/// Not a run's id.
#[must_use]
pub fn not_a_run(word: &str) -> String {
    format!("`{}` is not a run; write its id, as RUN-3.", short(word))
}

/// Not a duration.
#[must_use]
pub fn not_a_span(word: &str) -> String {
    format!("`{}` is not a duration; write for instance 30m, 2h or 7d.", short(word))
}

/// Not a matcher.
#[must_use]
pub fn not_a_matcher(word: &str) -> String {
    format!("`{}` is not a matcher; write label=value, with != =~ or !~ for other comparisons.", short(word))
}

/// Not a parameter.
#[must_use]
pub fn not_a_parameter(word: &str) -> String {
    format!("`{}` is not a parameter; write key=value.", short(word))
}

/// The same parameter twice.
#[must_use]
pub fn given_twice(name: &str) -> String {
    format!("`{}` is given twice.", short(name))
}

/// What stands after an option.
#[must_use]
pub fn a_value_of(flag: &str) -> String {
    format!("the value of {flag}")
}

/// An option the command does not have.
#[must_use]
pub fn not_a_flag(word: &str) -> String {
    format!("`{}` is not an option of this command.", short(word))
}

/// An option in the middle of free text.
#[must_use]
pub fn flag_in_text(flag: &str) -> String {
    format!("{flag} must stand before the text; quote the text if it is meant as words.")
}

/// Words from outside, cut so that a sentence stays one.
fn short(word: &str) -> String {
    crate::core::text::capped(word, 60)
}
