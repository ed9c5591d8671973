//! How others see a run.

use super::grant::Given;
use super::status::Status;
use super::task::Stage;
use super::unwind::undoable;
use crate::access::StandingPolicy;
use crate::core::Tainted;
use crate::core::message::playbook as say;
use crate::playbook::book::Book;
use crate::playbook::pace::Pace;
use crate::playbook::view::{ApprovalView, RunView, TaskState, TaskView};

/// A task's state in the design's words.
pub(super) fn task_state(status: &Status, index: usize) -> TaskState {
    match status.tasks[index].stage {
        // As its items are: what has failed or runs is said first.
        Stage::Spread => {
            let states: Vec<TaskState> = status.items(index).map(|item| task_state(status, item)).collect();
            let order = [TaskState::InDoubt, TaskState::Failed, TaskState::Running, TaskState::Waiting];
            let first = order.into_iter().find(|state| states.contains(state));
            first.unwrap_or(TaskState::Waiting)
        }
        Stage::Pending | Stage::Approved => TaskState::Pending,
        Stage::Planned | Stage::Waits { .. } | Stage::Again { .. } => TaskState::Waiting,
        Stage::Running | Stage::Verifying { .. } => TaskState::Running,
        Stage::InDoubt => TaskState::InDoubt,
        Stage::Succeeded => TaskState::Succeeded,
        Stage::Failed => TaskState::Failed,
        Stage::Skipped => TaskState::Skipped,
        Stage::RolledBack => TaskState::RolledBack,
    }
}

impl Status {
    /// The run as other rooms see it. The playbook, where it is at hand, tells what verifies the changes.
    #[must_use]
    pub fn view(&self, book: Option<&Book>) -> RunView {
        let head = &self.head;
        // A task that only undoes another is of no interest as long as nothing is undone.
        let shown = head.tasks.iter().zip(&self.tasks).enumerate();
        let shown = shown.filter(|(index, (head, _))| {
            !head.part.is_undo() || self.unwinding.as_ref().is_some_and(|steps| steps.contains(index))
        });
        let tasks = shown.map(|(index, (head, task))| TaskView {
            id: head.id.clone(),
            name: head.name.clone(),
            kind: head.kind.clone(),
            state: task_state(self, index),
            note: task.note.clone(),
            output: task.output.clone(),
            undo: head.part.is_undo(),
        });
        RunView {
            run: head.run,
            playbook: head.playbook.clone(),
            playbook_name: head.playbook_name.clone(),
            version: head.version.clone(),
            incident: head.incident,
            by: head.by.clone(),
            alert_name: head.alert.as_ref().and_then(|alert| alert["alert_name"].as_str()).map(Tainted::new),
            part_of: head.parent.as_ref().map(|parent| parent.run),
            state: self.state(),
            outcome: self.ended.as_ref().map(|end| end.outcome),
            why: self.why(),
            proposed_at: head.at,
            ended_at: self.ended.as_ref().map(|end| end.at),
            parameters: head.parameters.clone(),
            tasks: tasks.collect(),
            approval: self.approval(book),
            allowed_by: self.policies().map(|policy| policy.id.clone()).collect(),
            approved_by: self.approved_by(),
            journal: self.seq,
            undoes: book.map(|book| self.would_undo(book)).unwrap_or_default(),
        }
    }

    /// A condition with the run's parameters in it: who approves it must see against what it is measured.
    fn filled(&self, condition: &str) -> String {
        let mut filled = condition.to_owned();
        let mut named: Vec<_> = self.head.parameters.iter().filter(|(_, value)| !value.is_object()).collect();
        // A name may be the beginning of another one.
        named.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        for (name, value) in named {
            filled = filled.replace(&format!("params.{name}"), &value.to_string());
        }
        filled
    }

    /// What would be undone if the run ended now, by name.
    fn would_undo(&self, book: &Book) -> Vec<String> {
        if self.ended.is_some() || self.unwinding.is_some() || self.cancelled.is_some() {
            return Vec::new();
        }
        let mut undoes = undoable(book, self);
        let mut named = std::collections::BTreeSet::new();
        undoes.retain(|index| named.insert(*index));
        undoes.into_iter().map(|index| self.head.tasks[index].name.clone()).collect()
    }

    /// The standing policies that something of it was allowed by.
    pub(in crate::playbook) fn policies(&self) -> impl Iterator<Item = &StandingPolicy> {
        self.grants.iter().filter_map(|grant| match &grant.given {
            Given::ByPolicy(policy) => Some(policy),
            Given::ByVotes | Given::ByBrokenGlass => None,
        })
    }

    fn approved_by(&self) -> Vec<crate::access::PersonId> {
        let votes = self.grants.iter().flat_map(|grant| &grant.votes).chain(&self.votes);
        votes.map(|vote| vote.by.clone()).collect()
    }

    fn why(&self) -> Option<String> {
        if let Some(end) = &self.ended {
            return Some(end.why.clone());
        }
        if self.held.is_some() {
            return self.held.clone();
        }
        let waiting = self.head.tasks.iter().zip(&self.tasks).find_map(|(head, task)| {
            matches!(task.stage, Stage::InDoubt | Stage::Waits { .. })
                .then(|| task.note.as_ref().map(|note| format!("{}: {note}", head.name)))
                .flatten()
        });
        let unwinding = || self.unwinding.as_ref().map(|_| say_unwinding(self));
        let why = waiting.or_else(|| self.paused.as_ref().map(say::paused_by)).or_else(unwinding);
        match &self.cancelled {
            Some(by) if self.unwinding.is_none() => Some(say::being_cancelled(by, why.as_deref())),
            _ => why,
        }
    }

    fn approval(&self, book: Option<&Book>) -> Option<ApprovalView> {
        let ask = self.ask.as_ref()?;
        let frontier = ask.tasks.iter().filter_map(|task| {
            let index = self.index(task)?;
            let plan = self.tasks[index].plan.as_ref()?;
            Some((self.head.tasks[index].name.clone(), plan.planned.clone()))
        });
        Some(ApprovalView {
            plan_hash: ask.request.plan_hash.clone(),
            frontier: frontier.collect(),
            needed: ask.request.policy.count,
            approved_by: self.votes.iter().map(|vote| vote.by.clone()).collect(),
            approvers: ask.request.policy.approvers.clone(),
            expires: ask.request.expires,
            difference: ask.difference.clone(),
            verified_by: book.and_then(|book| self.verified_by(book, &ask.tasks)),
        })
    }
}

/// What a run that unwinds is doing: the step that is not undone yet.
fn say_unwinding(status: &Status) -> String {
    let steps = status.unwinding.iter().flatten();
    let next = steps.copied().find(|step| status.tasks[*step].stage != Stage::Succeeded);
    let name = next.map_or("", |step| status.head.tasks[step].name.as_str());
    if status.ask.is_some() {
        return crate::core::message::playbook_undo::asks(name);
    }
    crate::core::message::playbook::unwinds(name)
}

impl Status {
    /// What shows afterwards that the changes helped: their own `verify`, else the first Verify task after them.
    fn verified_by(&self, book: &Book, tasks: &[String]) -> Option<String> {
        let changed: Vec<usize> = tasks.iter().filter_map(|id| Some(self.declared(self.index(id)?))).collect();
        let words = |task: usize| {
            let condition = book.verify.get(task)?.as_ref()?;
            Some(say::verified_words(&self.filled(condition.source()), Pace::of(&book.playbook.tasks[task]).hold))
        };
        let own = changed.iter().find_map(|task| words(*task));
        let after = || {
            book.playbook.tasks.iter().enumerate().find_map(|(number, task)| {
                let follows = changed.iter().any(|changed| book.graph.ancestors[number][*changed]);
                let words = words(number).filter(|_| task.kind == "Verify" && follows)?;
                // Its author's words, where there are any.
                let named = !task.name.trim().is_empty() && task.name != task.id;
                Some(if named { task.name.clone() } else { words })
            })
        };
        own.or_else(after)
    }
}
