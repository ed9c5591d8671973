//! How others see a run.

use super::status::{Stage, Status, TaskStatus};
use crate::playbook::book::Book;
use crate::playbook::view::{ApprovalView, RunView, TaskState, TaskView};

/// A task's state in the design's words.
pub(super) const fn task_state(task: &TaskStatus) -> TaskState {
    match task.stage {
        Stage::Pending | Stage::Approved => TaskState::Pending,
        Stage::Planned | Stage::Waits { .. } | Stage::Again { .. } => TaskState::Waiting,
        Stage::Running | Stage::Verifying { .. } => TaskState::Running,
        Stage::InDoubt => TaskState::InDoubt,
        Stage::Succeeded => TaskState::Succeeded,
        Stage::Failed => TaskState::Failed,
        Stage::Skipped => TaskState::Skipped,
    }
}

impl Status {
    /// The run as other rooms see it. The playbook, where it is at hand, tells what verifies the changes.
    #[must_use]
    pub fn view(&self, book: Option<&Book>) -> RunView {
        let head = &self.head;
        let tasks = head.tasks.iter().zip(&self.tasks).map(|(head, task)| TaskView {
            id: head.id.clone(),
            name: head.name.clone(),
            kind: head.kind.clone(),
            state: task_state(task),
            note: task.note.clone(),
            output: task.output.clone(),
        });
        RunView {
            run: head.run,
            playbook: head.playbook.clone(),
            playbook_name: head.playbook_name.clone(),
            version: head.version.clone(),
            incident: head.incident,
            by: head.by.clone(),
            state: self.state(),
            outcome: self.ended.as_ref().map(|end| end.outcome),
            why: self.why(),
            proposed_at: head.at,
            ended_at: self.ended.as_ref().map(|end| end.at),
            parameters: head.parameters.clone(),
            tasks: tasks.collect(),
            approval: self.approval(book),
            approved_by: self.approved_by(),
            journal: self.seq,
        }
    }

    fn approved_by(&self) -> Vec<crate::access::PersonId> {
        let votes = self.grants.iter().flat_map(|grant| &grant.votes).chain(&self.votes);
        votes.map(|vote| vote.by.clone()).collect()
    }

    fn why(&self) -> Option<String> {
        if let Some(end) = &self.ended {
            return Some(end.why.clone());
        }
        let waiting = self.head.tasks.iter().zip(&self.tasks).find_map(|(head, task)| {
            matches!(task.stage, Stage::InDoubt | Stage::Waits { .. })
                .then(|| task.note.as_ref().map(|note| format!("{}: {note}", head.name)))
                .flatten()
        });
        waiting.or_else(|| self.paused.as_ref().map(crate::core::message::playbook::paused_by))
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
            verified_by: book.and_then(|book| verified_by(book, &ask.tasks)),
        })
    }
}

/// What shows afterwards that the changes helped: their own `verify`, else the first Verify task after them.
fn verified_by(book: &Book, tasks: &[String]) -> Option<String> {
    let index = |id: &String| book.playbook.tasks.iter().position(|task| task.id == *id);
    let changed: Vec<usize> = tasks.iter().filter_map(index).collect();
    let own = changed.iter().find_map(|task| book.verify.get(*task).and_then(Option::as_ref));
    let after = || {
        book.playbook.tasks.iter().enumerate().find_map(|(number, task)| {
            let follows = changed.iter().any(|changed| book.graph.ancestors[number][*changed]);
            (task.kind == "Verify" && follows).then(|| book.verify[number].as_ref()).flatten()
        })
    };
    own.or_else(after).map(|condition| condition.source().to_owned())
}
