//! A card as HTML. The first two lines alone say what is wrong, where, since when, how bad; everything else can wait.
//!
//! Severity is a word first, then a shape (filled, outlined, plain), then a colour.

use maud::{Markup, html};

use super::words::{ago, linked, own_path};
use super::{chart, words};
use crate::alert::Severity;
use crate::chat::card::Step;
use crate::chat::{Button, ButtonStyle, Card, EvidenceRef, Fact, PlanBox, Section};
use crate::core::digest;
use crate::core::message::web as say;

/// A severity's word.
pub(super) fn severity_word(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "Critical",
        Severity::Warning => "Warning",
        Severity::Info => "Info",
    }
}

/// A severity's class.
pub(super) fn severity_class(severity: Option<Severity>) -> &'static str {
    match severity {
        Some(Severity::Critical) => "crit",
        Some(Severity::Warning) => "warn",
        Some(Severity::Info) => "info",
        None => "plain",
    }
}

/// The card; `scope` tells its parts from those of other cards on the page.
pub(in crate::http) fn card(card: &Card, scope: &str) -> Markup {
    let quiet = if card.over { "over" } else { "open" };
    let heading = format!("title-{scope}");
    html! {
        article class={ "card " (severity_class(card.severity)) " " (quiet) } aria-labelledby=(heading) {
            (head(card))
            h2 id=(heading) { (linked(&card.title)) }
            @if let Some(subtitle) = &card.subtitle { p.sub { (linked(subtitle)) } }
            @if card.over {
                @if let Some(plan) = &card.plan { (plan_box(plan, scope)) }
                @if has_details(card) {
                    details.more data-key="more" { summary { "What was seen" } (details(card)) }
                }
            } @else {
                (details(card))
                @if let Some(plan) = &card.plan { (plan_box(plan, scope)) }
            }
            (buttons(&card.buttons, scope))
        }
    }
}

fn head(card: &Card) -> Markup {
    html! {
        div.head {
            @if let Some(severity) = card.severity { span.sev { (severity_word(severity)) } }
            @if !card.state.is_empty() || card.since.is_some() {
                span.state {
                    (card.state)
                    @if let Some(since) = card.since { " " (ago(since)) }
                }
            }
            @for note in &card.notes { span.note { (note) } }
            @if !card.id.is_empty() {
                @if card.id.starts_with("INC-") {
                    a.id href={ "/incidents/" (card.id) } { (card.id) }
                } @else { span.id { (card.id) } }
            }
        }
    }
}

fn has_details(card: &Card) -> bool {
    !card.facts.is_empty() || card.chart.is_some() || !card.sections.is_empty()
}

fn details(card: &Card) -> Markup {
    html! {
        @if !card.facts.is_empty() {
            dl.facts { @for fact in &card.facts { (fact_row(fact)) } }
        }
        @if let Some(chart) = &card.chart { (chart::figure(chart)) }
        @for section in &card.sections { (section_lines(section)) }
    }
}

fn fact_row(fact: &Fact) -> Markup {
    html! {
        dt { (fact.name) }
        dd.num {
            (words::linked(&fact.value))
            @if let Some(normal) = &fact.normal { " " span.normal { (normal) } }
            (evidence(&fact.evidence))
        }
    }
}

fn section_lines(section: &Section) -> Markup {
    html! {
        section.find {
            @if let Some(heading) = &section.heading { h3 { (heading) } }
            @for line in &section.lines {
                p class=[line.quiet.then_some("quiet")] {
                    @if let Some(lead) = &line.lead { strong { (lead) } " " }
                    (linked(&line.text))
                    (evidence(&line.evidence))
                }
            }
        }
    }
}

fn evidence(refs: &[EvidenceRef]) -> Markup {
    html! {
        @for reference in refs {
            " "
            @match own_path(&reference.path) {
                Some(path) => a.ev href=(path) aria-label={ "evidence " (reference.id) } { (reference.id) },
                None => span.ev { (reference.id) },
            }
        }
    }
}

fn plan_box(plan: &PlanBox, scope: &str) -> Markup {
    html! {
        section.plan data-key="plan" tabindex="-1" aria-label=(plan.heading) {
            h3 { (linked(&plan.heading)) }
            @if !plan.diff.is_empty() || !plan.notes.is_empty() {
                div.diff {
                    @for line in &plan.diff { p { (line) } }
                    @for note in &plan.notes { p.faint { (note) } }
                }
            }
            @if !plan.steps.is_empty() {
                ol.steps { @for step in &plan.steps { (step_row(step)) } }
            }
            (buttons(&plan.buttons, scope))
            @if let Some(footer) = &plan.footer { p.quiet.footer { (linked(footer)) } }
        }
    }
}

fn step_row(step: &Step) -> Markup {
    let class = match step.state.as_str() {
        "done" => "done",
        "running" => "running",
        "failed" | "in doubt" | "no answer" => "bad",
        "needs approval" | "needs an answer" => "running",
        _ => "idle",
    };
    html! {
        li class=(class) {
            span.step-state { (step.state) }
            span.step-name { (step.name) @if let Some(note) = &step.note { " " span.normal { (note) } } }
        }
    }
}

/// Buttons; one that asks for a text first has its field beside it, closed until it is pressed.
fn buttons(buttons: &[Button], scope: &str) -> Markup {
    html! {
        @if !buttons.is_empty() {
            div.row {
                @for button in buttons {
                    @let id = ask_id(scope, button);
                    @let class = match button.style { ButtonStyle::Primary => "go", ButtonStyle::Plain => "plain" };
                    @match &button.ask {
                        None => button type="button" class=(class) data-say=(button.command) data-key=(button.command) { (button.label) },
                        Some(_) => button type="button" class=(class) data-ask=(id) data-key=(button.command)
                            aria-expanded="false" aria-controls=(id) { (button.label) },
                    }
                }
                p.said role="status" data-key="said" hidden {}
            }
            @for button in buttons {
                @if let Some(prompt) = &button.ask {
                    @let id = ask_id(scope, button);
                    form.ask id=(id) data-say=(button.command) data-label=(button.label) data-key=(id) hidden {
                        label for={ (id) "-text" } { (prompt) }
                        input id={ (id) "-text" } name="text" autocomplete="off" maxlength="500" required
                            pattern=".*\\S.*" title=(say::some_words());
                        button.go type="submit" { (button.label.trim_end_matches('…')) }
                        button.plain type="button" data-close { "Cancel" }
                    }
                }
            }
        }
    }
}

/// By the command, not by the place: when the buttons before it go, a half-written field must stay the same one.
fn ask_id(scope: &str, button: &Button) -> String {
    format!("ask-{scope}-{}", &digest::hex(button.command.as_bytes())[..8])
}
