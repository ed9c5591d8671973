//! What the web page says.

/// Under the command box of an empty channel.
#[must_use]
pub fn no_messages() -> &'static str {
    "Nothing has happened here yet. A card appears in this place as soon as an alert comes in, without reloading."
}

/// How to get a first incident in a demo.
#[must_use]
pub fn try_a_fault() -> &'static str {
    "No incidents. Break something with the panel, or from a terminal:"
}

/// How to get a first incident outside a demo.
#[must_use]
pub fn send_an_alert() -> &'static str {
    "No incidents. To see one, post an alert from a terminal:"
}

/// A channel that is not there.
#[must_use]
pub fn no_such_channel() -> &'static str {
    "There is no such channel. The ones there are stand in the list."
}

/// An incident that is not there.
#[must_use]
pub fn no_such_incident(id: &str) -> String {
    format!("There is no incident {}. All incidents are listed under Incidents.", super::super::text::capped(id, 40))
}

/// Evidence that is not there.
#[must_use]
pub fn no_such_evidence(evidence: &str, incident: &str) -> String {
    let evidence = super::super::text::capped(evidence, 40);
    format!(
        "{incident} has no evidence {evidence}. A newer finding may have replaced it; the incident's page lists what there is."
    )
}

/// Signing in failed for a reason of ours.
#[must_use]
pub fn cannot_sign_in(why: &str) -> String {
    format!("Nobody can sign in now: {why}. Try again in a few seconds.")
}

/// Asks for the link or the password.
#[must_use]
pub fn how_to_sign_in(link: bool, password: bool) -> &'static str {
    match (link, password) {
        (true, false) => "Open the one-time link that Mayday printed when it started.",
        (true, true) => "Open the one-time link that Mayday printed when it started, or give your name and password.",
        (false, true) => "Give your name and password.",
        (false, false) => "No way to sign in is configured. Add users under `access.users` and restart.",
    }
}

/// Above the button that uses the one-time link up.
#[must_use]
pub fn link_works_once() -> &'static str {
    "The link works once. It signs this browser in."
}

/// What the history keeps.
#[must_use]
pub fn beginning() -> &'static str {
    "Older messages of this channel are not kept. Incidents are: see Incidents."
}

/// Above the panel with the demo's faults.
#[must_use]
pub fn break_something() -> &'static str {
    "Break something"
}

/// What the placeholder of the command box suggests.
#[must_use]
pub fn command_placeholder() -> &'static str {
    "ack, why, logs … or help"
}

/// A question of a button was left without an answer.
#[must_use]
pub fn some_words() -> &'static str {
    "A few words: they stand in the thread and in the audit."
}

/// A card in one sentence, for screen readers.
#[must_use]
pub fn card_sentence(id: &str, severity: Option<&str>, state: &str, title: &str) -> String {
    match severity {
        Some(severity) => format!("{id}, {severity}, {state}: {title}"),
        None => format!("{id} {state}: {title}"),
    }
}

/// What a chart shows, for those who don't see it.
#[must_use]
pub fn chart_sentence(caption: &str, lowest: &str, highest: &str, newest: &str) -> String {
    format!("{caption}. Between {lowest} and {highest}, newest {newest}.")
}

/// A chart without points.
#[must_use]
pub fn no_points(caption: &str) -> String {
    format!("{caption}: no data in this range.")
}

/// What a source answered, in words: an error, a timeout, a cut answer and an empty one are four different things.
#[must_use]
pub fn outcome_data(rows: u64, truncated: bool) -> String {
    let rows = if rows == 1 { "1 row".to_owned() } else { format!("{rows} rows") };
    if truncated { format!("{rows}, and more that were not read") } else { rows }
}

/// The source answered with nothing.
#[must_use]
pub fn outcome_empty() -> &'static str {
    "The source answered: nothing there."
}

/// The source did not answer.
#[must_use]
pub fn outcome_timeout() -> &'static str {
    "no answer in time"
}

/// The source failed.
#[must_use]
pub fn outcome_failed(why: &str) -> String {
    format!("failed: {why}")
}
