//! What a playbook would do here and now, for `plan`: worked out against the live systems without proposing a run, and
//! without changing anything. Read tasks are not carried out, so what needs their outputs is said to be planned in the run.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::Engine;
use super::effects::Tools;
use super::render::parameters as parameters_of;
use super::rollback::{Wanted, together, undone_by};
use super::standing;
use crate::access::StandingPolicy;
use crate::alert::Alert;
use crate::core::Timestamp;
use crate::core::message::{playbook as say, playbook_undo as undo};
use crate::playbook::Error;
use crate::playbook::action::{Context, Planned};
use crate::playbook::book::Book;
use crate::playbook::model::{Risk, Undo};
use crate::playbook::run::{self, CHILD, Event, Head, MAX_ITEMS, Part, Status, TaskPlan, apply, values};
use crate::playbook::{parameters, tasks};

/// A person waits for the answer: what is not planned by then is said to be planned in the run.
const PATIENCE: Duration = Duration::from_secs(15);
/// At most so many changes are planned; the items of a long list look alike.
const MOST_PLANNED: usize = 20;

/// What one task of a playbook would do here.
#[derive(Debug, Clone, PartialEq)]
pub struct Preview {
    /// Its id; of an item of a list with its number, `clean[0]`.
    pub task: String,
    /// Its name for people.
    pub name: String,
    /// Its type.
    pub kind: String,
    /// How risky it is.
    pub risk: Risk,
    /// How many people must approve it.
    pub people: u32,
    /// A standing policy that covers it where Mayday proposes it, and how many more changes that allows now. Nobody is asked then,
    /// if it covers all that would be asked together.
    pub policy: Option<(String, u32)>,
    /// It is there to undo another task, and is done for nothing else.
    pub undoes: bool,
    /// Conditions that decide in the run whether it is done, as the author wrote them.
    pub conditions: Vec<String>,
    /// What is known now.
    pub would: Would,
}

/// What is known of a task before a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Would {
    /// It reads; nothing changes.
    Read,
    /// It would change this.
    Change(Box<Planned>),
    /// It is planned later, in the run: the sentence says why not now.
    Later(String),
    /// It can't be done here, and why.
    NotHere(String),
}

/// What is known, and what a standing policy says to it: its id, and how many more changes it allows.
type Known = (Would, Option<(String, u32)>);

impl Engine {
    /// Works out what a playbook would do here with these parameters, for this alert if it is for one.
    ///
    /// # Errors
    /// There is no such playbook, or the parameters don't fit.
    pub async fn preview(
        &self,
        playbook: &str,
        given: &BTreeMap<String, Value>,
        alert: Option<&Alert>,
    ) -> Result<Vec<Preview>, Error> {
        let parts = &self.0.parts;
        let Some(book) = parts.library.get(playbook) else {
            return Err(Error::NoPlaybook { name: playbook.to_owned(), near: parts.library.nearest(playbook) });
        };
        let alert = alert.map(super::propose::alert_json);
        let now = parts.clock.now();
        let resolved = parameters::resolve(&book.playbook, given, alert.as_ref()).map_err(Error::BadParameters)?;
        let head = Head::imagined(&book, "plan", resolved, alert, now);
        let status = apply(&Event::Proposed { head: Box::new(head) }, now, None);
        let status = status.map_err(|illegal| Error::BadParameters(illegal.to_string()))?;
        let status = spread(&book, status, now);
        let until = parts.clock.steady() + PATIENCE;
        let mut planned = 0;
        let mut previews = Vec::new();
        for index in 0..status.tasks.len() {
            // The items of a list that is known stand below it, each with what it would do.
            if status.head.tasks[index].part == Part::Each && status.items(index).next().is_some() {
                continue;
            }
            let task = &book.playbook.tasks[status.declared(index)];
            let later = || (Would::Later(say::not_planned_now()), None);
            let (would, policy) = match self.known(&book, &status, index) {
                Some(would) => (would, None),
                None if planned >= MOST_PLANNED => later(),
                None => {
                    planned += 1;
                    // Also where every slot is taken by what really runs.
                    let left = until.saturating_sub(parts.clock.steady());
                    tokio::select! {
                        biased;
                        would = self.look(&book, &status, index, now) => would,
                        () = parts.clock.sleep(left) => later(),
                    }
                }
            };
            let risk = tasks::risk(task);
            let asked = task.approval.as_ref().and_then(|approval| approval.count).unwrap_or(0);
            let needed = parts.options.approvals.of(run::risk(&book, task)).max(asked);
            previews.push(Preview {
                policy,
                task: status.head.tasks[index].id.clone(),
                name: status.head.tasks[index].name.clone(),
                kind: task.kind.clone(),
                risk,
                people: if risk == Risk::Read { 0 } else { needed },
                undoes: book
                    .playbook
                    .tasks
                    .iter()
                    .any(|other| matches!(other.undone_by(), Some(Undo::Task(by)) if by == task.id)),
                conditions: task.conditions.clone(),
                would,
            });
        }
        Ok(previews)
    }

    /// What is known of a task without looking at anything.
    fn known(&self, book: &Book, status: &Status, index: usize) -> Option<Would> {
        let task = &book.playbook.tasks[status.declared(index)];
        let risk = tasks::risk(task);
        let engines_own = task.kind == "Verify" || (task.kind == "Wait" && task.parameters.contains_key("until"));
        if task.kind == CHILD {
            let other = task.parameters.get("playbook").and_then(Value::as_str).unwrap_or("another");
            Some(Would::Later(say::child_later(other)))
        } else if let Part::Template { of } = status.part(index) {
            Some(Would::Later(undo::once_for_each(&status.head.tasks[of].id)))
        } else if status.head.tasks[index].part == Part::Each && risk > Risk::Read {
            Some(Would::Later(say::for_each_later(&task.id)))
        } else if engines_own {
            Some(Would::Read)
        } else if self.0.parts.actions.get(&task.kind).is_none() {
            Some(Would::NotHere(say::no_executor(&task.kind)))
        } else {
            (risk == Risk::Read).then_some(Would::Read)
        }
    }

    /// The first standing policy that covers a change and has some left.
    async fn policy(
        &self,
        book: &Book,
        status: &Status,
        index: usize,
        plan: &TaskPlan,
        now: Timestamp,
    ) -> Option<(String, u32)> {
        let parts = &self.0.parts;
        let declared = status.declared(index);
        if book.playbook.tasks[declared].approval.is_some() {
            return None;
        }
        let asked = standing::asked(book, &status.head, declared, plan);
        let covers = |policy: &&StandingPolicy| asked.iter().all(|asked| policy.covers(asked).is_ok());
        for policy in parts.standing.iter().filter(covers) {
            match standing::left(&parts.store, policy, now).await {
                Ok(left) if left > 0 => return Some((policy.id.clone(), left)),
                Ok(_) | Err(_) => {}
            }
        }
        None
    }

    /// Asks the action what it would change, and the standing policies whether they cover it.
    async fn look(&self, book: &Book, status: &Status, index: usize, now: Timestamp) -> Known {
        let task = &book.playbook.tasks[status.declared(index)];
        let rendered = match parameters_of(book, status, index) {
            Ok(rendered) => rendered,
            Err(why) if status.part(index).is_undo() => return (Would::Later(undo::when_needed(&why)), None),
            Err(why) => return (Would::Later(why), None),
        };
        let context = Context {
            run: status.head.run,
            task: status.head.tasks[index].id.clone(),
            task_name: status.head.tasks[index].name.clone(),
            incident: None,
            by: status.head.by.clone(),
            now,
        };
        let tools: &Tools = &self.0.tools;
        let action = self.0.parts.actions.get(&task.kind).cloned();
        let undo = Wanted::of(book, status, index, &tools.registry, &context);
        match tools.plan(action.clone(), context, &task.kind, rendered.clone()).await {
            Err((_, why)) => (Would::NotHere(why), None),
            Ok(planned) => {
                let rollback = match undo {
                    Some(undo) => Some(undo.look(tools).await),
                    None => None,
                };
                let mut plan = together(rendered, planned, rollback);
                if let Some(action) = action {
                    plan.planned.undo = undone_by(book, task, action.as_ref(), &plan);
                }
                let undoes = status.part(index).is_undo();
                let policy = if undoes { None } else { self.policy(book, status, index, &plan, now).await };
                (Would::Change(Box::new(plan.planned)), policy)
            }
        }
    }
}

/// The lists that the author wrote down, or that only need the parameters, are known before the run.
fn spread(book: &Book, mut status: Status, now: Timestamp) -> Status {
    for (index, each) in book.each.iter().enumerate() {
        let Some(declared) = &book.playbook.tasks[index].for_each else { continue };
        let listed = match each {
            Some(cel) => cel.list(&values(book, &status)).ok(),
            None => declared.list().map(<[Value]>::to_vec),
        };
        let task = book.playbook.tasks[index].id.clone();
        if let Some(items) = listed.filter(|items| items.len() <= MAX_ITEMS)
            && let Ok(spread) = apply(&Event::Spread { task, items }, now, Some(status.clone()))
        {
            status = spread;
        }
    }
    status
}
