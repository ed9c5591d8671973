//! Proposing a run: parameters, the playbooks it runs as parts of itself, the guards (one at a time, cooldown, quota), and the first
//! record of its journal, all in one commit.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::journal::{Journaled, Together, event_key, open_key, status_key};
use super::{Engine, locked, shard_of};
use crate::access::{Actor, AuditRecord};
use crate::alert::Alert;
use crate::core::message::playbook as say;
use crate::core::{IncidentId, RunId, Timestamp, digest};
use crate::playbook::book::Book;
use crate::playbook::children;
use crate::playbook::model::Playbook;
use crate::playbook::run::{Event, Head, Parent, Status, TaskHead, apply};
use crate::playbook::text::{self, Use};
use crate::playbook::view::{ProposeRequest, Proposed, RunOutcome};
use crate::playbook::{Error, RunChanged, parameters};
use crate::store::{self, Batch, Key, Range, Record, SharedStore};
use crate::work::Lease;

/// So many runs that were proposed after another may have made their changes before it, and it is still counted by when it
/// made its own.
const LATE: usize = 50;

/// The text of a playbook's version, kept as long as runs refer to it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Text {
    /// As the author wrote it.
    pub text: String,
}

/// Which run a key of a request made, or a lock belongs to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Made {
    /// Which.
    pub run: RunId,
    at: Timestamp,
}

impl Made {
    /// By this run, now.
    pub const fn new(run: RunId, at: Timestamp) -> Self {
        Self { run, at }
    }
}

impl Record for Text {}
impl Record for Made {}

pub fn text_key(playbook: &str, digest: &str) -> Key {
    Key::of(["playbook", playbook, digest])
}

pub fn lock_key(lock: &str) -> Key {
    Key::of(["run-lock", lock])
}

/// An alert as conditions and texts see it: the eleven fields.
pub fn alert_json(alert: &Alert) -> Value {
    let mut value = serde_json::to_value(alert).unwrap_or(Value::Null);
    if let Value::Object(map) = &mut value {
        map.retain(|key, _| crate::playbook::names::ALERT_FIELDS.iter().any(|field| field.name == key));
    }
    value
}

/// A run that is wanted: by a request, or as a part of another run.
pub struct Wanted {
    /// Which playbook.
    pub playbook: String,
    /// Its parameters.
    pub parameters: BTreeMap<String, Value>,
    /// For which incident.
    pub incident: Option<IncidentId>,
    /// The alert that triggered it, as conditions and texts see it.
    pub alert: Option<Value>,
    /// Who.
    pub by: Actor,
    /// Asking twice with the same key proposes once.
    pub key: String,
    /// What it is a part of.
    pub parent: Option<Parent>,
    /// The playbooks above it.
    pub line: Vec<String>,
    /// Who proposes must hold this: a parent that was taken over begins no part.
    pub fence: Option<Lease>,
}

impl From<ProposeRequest> for Wanted {
    fn from(request: ProposeRequest) -> Self {
        Self {
            alert: request.alert.as_ref().map(alert_json),
            playbook: request.playbook,
            parameters: request.parameters,
            incident: request.incident,
            by: request.by,
            key: request.key,
            parent: None,
            line: Vec::new(),
            fence: None,
        }
    }
}

fn made_key(key: &str) -> Key {
    Key::of(["run-key", &digest::hex(key.as_bytes())])
}

/// The run that a key made.
///
/// # Errors
/// The store's.
pub async fn made_by(store: &SharedStore, key: &str) -> Result<Option<RunId>, store::Error> {
    match store.read(&made_key(key)).await? {
        Some(entry) => Ok(Some(entry.decode::<Made>()?.run)),
        None => Ok(None),
    }
}

pub async fn wanted(engine: &Engine, request: &Wanted) -> Result<Proposed, Error> {
    let shared = &engine.0;
    // First of all: what became of the playbook since does not change that the run is there.
    if let Some(run) = made_by(&shared.parts.store, &request.key).await? {
        return Ok(Proposed::Already(run));
    }
    let book = shared.parts.library.get(&request.playbook).ok_or_else(|| Error::NoPlaybook {
        near: shared.parts.library.nearest(&request.playbook),
        name: request.playbook.clone(),
    })?;
    if let Some(why) = children::wrong(&request.line, &book, &|id: &str| shared.parts.library.get(id)) {
        return Err(Error::NotHere(why));
    }
    let values = parameters::resolve(&book.playbook, &request.parameters, request.alert.as_ref())
        .map_err(Error::BadParameters)?;
    let made = made_key(&request.key);
    let book = engine.keep(book);
    // A conflict means that someone else proposed at the same moment: look again.
    let mut tries = 0;
    loop {
        let limit = shared.parts.options.open_runs;
        if locked(&shared.live).len() >= limit {
            return Err(Error::NotNow(say::too_many_open(limit)));
        }
        match first_commit(engine, &book, request, &values, &made).await {
            Ok(run) => return Ok(Proposed::New(run)),
            Err(Error::Store(store::Error::Conflict(key))) if tries < 100 => {
                tries += 1;
                if let Some(run) = made_by(&shared.parts.store, &request.key).await? {
                    return Ok(Proposed::Already(run));
                }
                if key.is_under(&Key::of(["run"])) || key.is_under(&Key::of(["run-event"])) {
                    shared.last_run.store(0, Ordering::SeqCst);
                }
            }
            Err(error) => return Err(error),
        }
    }
}

/// The next free number: counted in memory, found in the store after a start. The commit requires it to be free.
async fn next_run(engine: &Engine) -> Result<RunId, store::Error> {
    let shared = &engine.0;
    if shared.last_run.load(Ordering::SeqCst) == 0 {
        let newest = shared.parts.store.scan(&Range::under(&Key::of(["run"]), 1).backward()).await?;
        let last = newest.first().and_then(|entry| entry.key.last().parse::<RunId>().ok()).map_or(0, RunId::number);
        shared.last_run.fetch_max(last, Ordering::SeqCst);
    }
    Ok(RunId::new(shared.last_run.fetch_add(1, Ordering::SeqCst) + 1))
}

async fn first_commit(
    engine: &Engine,
    book: &Arc<Book>,
    request: &Wanted,
    values: &BTreeMap<String, Value>,
    made: &Key,
) -> Result<RunId, Error> {
    let shared = &engine.0;
    let now = shared.parts.clock.now();
    let mut batch = Batch::new();
    let alert = request.alert.as_ref();
    let guards = guards(engine, book, values, request, now, &mut batch).await?;
    let run = next_run(engine).await?;
    let playbook = &book.playbook;
    let longest = playbook.max_duration.unwrap_or(shared.parts.options.max_duration);
    let head = Head {
        run,
        playbook: playbook.playbook_id.clone(),
        playbook_name: playbook.name.clone(),
        version: book.version(),
        digest: book.digest.clone(),
        incident: request.incident,
        by: request.by.clone(),
        parameters: values.clone(),
        alert: alert.cloned(),
        at: now,
        deadline: now.checked_add(longest.0).unwrap_or(now),
        tasks: TaskHead::of(playbook),
        actions: shared.tools.registry.versions(playbook),
        parent: request.parent.clone(),
        line: request.line.clone(),
        lock: guards.lock.clone(),
        recent: guards.recent.clone(),
    };
    let event = Event::Proposed { head: Box::new(head) };
    let status = apply(&event, now, None)
        .map_err(|illegal| store::Error::Corrupt { key: status_key(run), why: illegal.to_string() })?;
    let record = Made { run, at: now };
    // A run may be proposed anywhere: nobody drives it yet, so its first place in the journal is fence enough. Whoever holds
    // its shard takes it up.
    if let Some(lease) = shared.parts.leases.of(shard_of(run)) {
        lease.guard(&mut batch);
    }
    if let Some(fence) = &request.fence {
        fence.guard(&mut batch);
    }
    batch.require_absent(made.clone()).require_absent(event_key(run, 0)).require_absent(status_key(run));
    batch.put(made.clone(), &record)?;
    batch.put(event_key(run, 0), &Together(vec![Journaled { at: now, event }]))?;
    batch.put(status_key(run), &status)?;
    batch.put(open_key(run), &record)?;
    // The text is the digest's, so it never changes: once it is durable it need not be written again.
    let known = locked(&shared.texts).contains(&book.digest);
    if !known {
        batch.put(text_key(&playbook.playbook_id, &book.digest), &Text { text: book.text.clone() })?;
    }
    if let Some(lock) = &guards.lock {
        batch.put(lock_key(lock), &record)?;
    }
    if let Some(recent) = recent_key(&status.head) {
        batch.put(recent, &record)?;
    }
    shared.changed.push(&mut batch, shard_of(run), &RunChanged { run, incident: request.incident })?;
    commit(engine, batch, request, &book.playbook.playbook_id, run).await?;
    if !known {
        locked(&shared.texts).insert(book.digest.clone());
    }
    metrics::counter!("mayday_playbook_runs_proposed_total").increment(1);
    engine.spawn(status, book.clone());
    Ok(run)
}

/// What a person proposed is audited; what Mayday proposed is in the journal, and changes nothing before people decide.
async fn commit(engine: &Engine, batch: Batch, request: &Wanted, playbook: &str, run: RunId) -> Result<(), Error> {
    let parts = &engine.0.parts;
    match &request.by {
        Actor::Mayday(_) => parts.store.commit(batch).await?,
        Actor::Person(_) | Actor::Impersonated { .. } => {
            let record = AuditRecord {
                actor: request.by.clone(),
                action: "propose".to_owned(),
                subject: run.to_string(),
                detail: json!({"playbook": playbook, "parameters": request.parameters, "incident": request.incident}),
                right: None,
            };
            parts.audit.commit_to(&format!("run-{}", shard_of(run).key()), batch, record).await?
        }
    };
    Ok(())
}

struct Guards {
    lock: Option<String>,
    recent: Option<String>,
}

/// Where a run stands among those that cooldown and quota count. Under when it was proposed; its value says when it last
/// changed something.
fn recent_key(head: &Head) -> Option<Key> {
    let at = head.at.as_millisecond().max(0);
    Some(Key::of(["run-recent", head.recent.as_ref()?]).child(&format!("{at:013}-{}", head.run.key())))
}

/// What a commit of a run means for cooldown and quota: they count from its last change on, and not at all when people, or
/// Mayday, turned it down before it changed anything.
///
/// # Errors
/// What is written can't be encoded.
pub(super) fn count(batch: &mut Batch, status: &Status, events: &[Journaled]) -> Result<(), store::Error> {
    let (Some(recent), Some(name)) = (recent_key(&status.head), &status.head.recent) else { return Ok(()) };
    let changes = |event: &Event| {
        let task = event.task().and_then(|task| status.index(task));
        matches!(event, Event::Started { .. }) && task.is_some_and(|task| status.head.tasks[task].changes)
    };
    let turned_down = [RunOutcome::Rejected, RunOutcome::Expired, RunOutcome::Cancelled];
    if let Some(started) = events.iter().rfind(|journaled| changes(&journaled.event)) {
        batch.put(recent, &Made::new(status.head.run, started.at))?;
        // A proposal that is decided at this moment looks again.
        batch.put(newest_key(name), &Made::new(RunId::new(0), started.at))?;
    } else if !status.touched && status.ended.as_ref().is_some_and(|end| turned_down.contains(&end.outcome)) {
        batch.delete(recent);
    }
    Ok(())
}

/// Changes whenever one of those that cooldown and quota count does.
fn newest_key(name: &str) -> Key {
    Key::of(["run-newest", name])
}

/// One at a time, cooldown and quota; what must stay true goes into the batch as conditions.
async fn guards(
    engine: &Engine,
    book: &Book,
    values: &BTreeMap<String, Value>,
    request: &Wanted,
    now: Timestamp,
    batch: &mut Batch,
) -> Result<Guards, Error> {
    let playbook = &book.playbook;
    let store = &engine.0.parts.store;
    let mut guards = Guards { lock: None, recent: None };
    let scope = match &playbook.concurrency_key {
        Some(words) => {
            let seen = match &request.alert {
                Some(alert) => json!({"params": values, "alert": alert}),
                None => json!({"params": values}),
            };
            text::render(words, &seen, Use::People)
                .map_err(|why| Error::BadParameters(format!("concurrency_key: {why}")))?
        }
        None => String::new(),
    };
    let name = digest::of_parts([playbook.playbook_id.as_bytes(), scope.as_bytes()]);
    if playbook.concurrency_key.is_some() {
        guards.lock = lock(engine, playbook, request, &scope, batch).await?;
        // Earlier versions locked by playbook and key: such a run may still be open.
        if let Some(entry) = store.read(&lock_key(&name)).await? {
            return Err(Error::NotNow(say::one_is_open(&playbook.playbook_id, entry.decode::<Made>()?.run)));
        }
        batch.require_absent(lock_key(&name));
    }
    if playbook.cooldown.is_none() && playbook.quota.is_none() {
        return Ok(guards);
    }
    let most = playbook.quota.map_or(1, |quota| quota.runs as usize).max(1);
    let proposed = Range::under(&Key::of(["run-recent", &name]), most + LATE).backward();
    // Two proposals at the same moment must see each other: both require the newest one to be still the newest.
    let newest = newest_key(&name);
    let read = store.read(&newest).await?;
    batch.require_as_read(newest.clone(), read.map(|entry| entry.revision));
    batch.put(newest, &Made { run: RunId::new(0), at: now })?;
    let recent = store.scan(&proposed).await?;
    let mut recent: Vec<Made> = recent.iter().map(store::Entry::decode).collect::<Result<_, _>>()?;
    recent.sort_by_key(|made| std::cmp::Reverse(made.at));
    recent.truncate(most);
    let after = |made: &Made, wait: Duration| made.at.checked_add(wait).unwrap_or(made.at);
    if let (Some(cooldown), Some(last)) = (playbook.cooldown, recent.first())
        && after(last, cooldown.0) > now
    {
        return Err(Error::NotNow(say::cools_down(&playbook.playbook_id, last.run, after(last, cooldown.0))));
    }
    if let Some(quota) = playbook.quota
        && recent.len() >= quota.runs as usize
        && recent.last().is_some_and(|oldest| after(oldest, quota.per.0) > now)
    {
        return Err(Error::NotNow(say::quota_used(&playbook.playbook_id, quota.runs, quota.per.0)));
    }
    guards.recent = Some(name);
    Ok(guards)
}

/// The lock of a concurrency key, which is the same whatever the playbook. None if a run that this one is a part of holds it:
/// they work on the same as one, and it stays that run's.
async fn lock(
    engine: &Engine,
    playbook: &Playbook,
    request: &Wanted,
    scope: &str,
    batch: &mut Batch,
) -> Result<Option<String>, Error> {
    let store = &engine.0.parts.store;
    let name = digest::of_parts(["concurrency_key".as_bytes(), scope.as_bytes()]);
    let key = lock_key(&name);
    let Some(entry) = store.read(&key).await? else {
        batch.require_absent(key);
        return Ok(Some(name));
    };
    let holder = entry.decode::<Made>()?.run;
    let mut above = request.parent.as_ref().map(|parent| parent.run);
    for _ in 0..children::DEEPEST {
        let Some(run) = above else { break };
        if run == holder {
            batch.require_as_read(key, Some(entry.revision));
            return Ok(None);
        }
        let status = super::journal::load(store, run).await?;
        above = status.and_then(|status| status.head.parent).map(|parent| parent.run);
    }
    Err(Error::NotNow(say::one_is_open(&playbook.playbook_id, holder)))
}
