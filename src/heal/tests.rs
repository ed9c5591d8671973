//! The loop as behaviour, with the rooms below played by small fakes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use super::progress::Progress;
use super::signals::Signals;
use super::*;
use crate::access::{Actor, Person};
use crate::alert::{Alert, AlertId, Fingerprint, Severity, Status};
use crate::analysis::{Evidence, EvidenceId, FaultKind, Finding, Outcome};
use crate::chat::ChannelId;
use crate::core::clock::ManualClock;
use crate::core::{BoxFuture, IncidentId, RunId, Tainted, Timestamp};
use crate::incident::{Act, Incident, OpenIncident, Phase};
use crate::playbook::action::{Change, Planned};
use crate::playbook::view::{ApprovalView, Decided, Order, RunOutcome, TaskView};
use crate::playbook::{self, ProposeRequest, Proposed, RunState, RunView, TaskState};
use crate::store::memory::Memory;
use crate::store::{self, Batch};
use crate::work::{Handler as _, Queued, Shard};

#[derive(Default)]
pub(crate) struct World {
    pub(crate) incidents: Mutex<HashMap<IncidentId, Incident>>,
    pub(crate) proposed: Mutex<Vec<ProposeRequest>>,
    runs: Mutex<HashMap<RunId, RunView>>,
    withdrawn: Mutex<Vec<(RunId, String)>>,
    refuse: Mutex<Option<String>>,
    pub(crate) explained: Mutex<Option<Explained>>,
}

impl Incidents for World {
    fn incident(&self, id: IncidentId) -> BoxFuture<'_, Result<Option<Incident>, store::Error>> {
        Box::pin(async move { Ok(self.incidents.lock().unwrap().get(&id).cloned()) })
    }
    fn open(&self, limit: usize) -> BoxFuture<'_, Result<Vec<OpenIncident>, store::Error>> {
        Box::pin(async move {
            let all = self.incidents.lock().unwrap();
            Ok(all.values().filter_map(Incident::as_open).take(limit).collect())
        })
    }
    fn alert<'a>(&'a self, id: &'a AlertId) -> BoxFuture<'a, Result<Option<Alert>, store::Error>> {
        Box::pin(async move { Ok(Some(alert(id))) })
    }
}

impl Triggers for World {
    fn best(&self, alert: &Alert) -> Result<Chosen, NoMatch> {
        match alert.alert_name.as_data() {
            "Service_Down" => Ok(Chosen { playbook: "PB-Restart".to_owned(), names_service: true }),
            _ => Err(NoMatch { notes: vec!["R001 needs cpu_usage, and the alert has no value".to_owned()] }),
        }
    }
}

impl Explains for World {
    fn explain<'a>(&'a self, incident: &'a Incident) -> BoxFuture<'a, Explained> {
        Box::pin(async move {
            if incident.id == EIGHT {
                return explained("it answers at once");
            }
            let known = self.explained.lock().unwrap().clone();
            match known {
                Some(explained) => explained,
                // A source that never answers.
                None => std::future::pending().await,
            }
        })
    }
}

impl Runs for World {
    fn propose(&self, request: ProposeRequest) -> BoxFuture<'_, Result<Proposed, playbook::Error>> {
        Box::pin(async move {
            if let Some(why) = self.refuse.lock().unwrap().clone() {
                return Err(playbook::Error::NotNow(why));
            }
            let mut proposed = self.proposed.lock().unwrap();
            if let Some(index) = proposed.iter().position(|before| before.key == request.key) {
                return Ok(Proposed::Already(RunId::new(index as u64 + 1)));
            }
            proposed.push(request);
            Ok(Proposed::New(RunId::new(proposed.len() as u64)))
        })
    }
    fn order<'a>(&'a self, _: RunId, _: Order, _: &'a Person) -> BoxFuture<'a, Result<Decided, playbook::Error>> {
        Box::pin(async { Ok(Decided::Nothing(String::new())) })
    }
    fn withdraw(&self, run: RunId, why: String) -> BoxFuture<'_, Result<Decided, playbook::Error>> {
        self.withdrawn.lock().unwrap().push((run, why));
        Box::pin(async { Ok(Decided::Done(String::new())) })
    }
    fn get(&self, run: RunId) -> BoxFuture<'_, Result<Option<RunView>, playbook::Error>> {
        Box::pin(async move { Ok(self.runs.lock().unwrap().get(&run).cloned()) })
    }
    fn list(&self, _: Option<RunId>, _: usize) -> BoxFuture<'_, Result<Vec<RunView>, playbook::Error>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000 + second).unwrap()
}

pub(crate) fn alert(id: &AlertId) -> Alert {
    Alert {
        alert_id: id.clone(),
        source_system: "mayday".to_owned(),
        alert_name: id.0.as_str().into(),
        severity: Severity::Critical,
        status: Status::Firing,
        service_name: "order-service".into(),
        host_ip: None,
        metric_value: None,
        timestamp: at(0),
        labels: BTreeMap::new(),
        description: Tainted::default(),
        metric_value_from: None,
        metric_unit: None,
        fingerprint: Fingerprint("f".to_owned()),
        ended_at: None,
        link: None,
    }
}

pub(crate) const SEVEN: IncidentId = IncidentId::new(7);
/// Its cause is found at once, whatever the others wait for.
const EIGHT: IncidentId = IncidentId::new(8);

pub(crate) fn incident() -> Incident {
    Incident {
        id: SEVEN,
        group_key: "service_name=order-service".to_owned(),
        team: "orders".to_owned(),
        service: "order-service".into(),
        channel: ChannelId::web("orders"),
        phase: Phase::Triggered,
        severity: Severity::Critical,
        severity_by_person: false,
        alert_name: "Service_Down".into(),
        description: Tainted::default(),
        started_at: at(0),
        opened_at: at(1),
        acknowledged_at: None,
        resolved_at: None,
        commander: None,
        firing: 1,
        alerts: 1,
        latest_alerts: Vec::new(),
        findings: Vec::new(),
        evidence: Vec::new(),
        not_seen: Vec::new(),
        chart: None,
        runs: Vec::new(),
        version: 1,
        known: crate::incident::Known::default(),
    }
}

pub(crate) fn explained(says: &str) -> Explained {
    let evidence = Evidence {
        id: EvidenceId("E1".to_owned()),
        source: "process table".to_owned(),
        query: "order-service".to_owned(),
        from: at(0),
        to: at(1),
        outcome: Outcome::Data { rows: 1, truncated: false },
        says: "pid 4711 answers nothing".to_owned(),
        samples: Vec::new(),
    };
    let finding = Finding {
        component: "order-service".to_owned(),
        kind: FaultKind::Crash,
        confidence: 0.9,
        says: says.to_owned(),
        evidence: vec![EvidenceId("E1".to_owned())],
    };
    Explained { findings: vec![finding], evidence: vec![evidence], ..Explained::default() }
}

pub(crate) struct Bench {
    pub(crate) world: Arc<World>,
    deps: Deps,
    leases: Arc<Leases>,
    pub(crate) clock: ManualClock,
    shard: Shard,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let world = Arc::new(World::default());
        world.incidents.lock().unwrap().insert(SEVEN, incident());
        let clock = ManualClock::at(at(2));
        let (store, shared): (_, SharedClock) = (Memory::shared(), Arc::new(clock.clone()));
        let leases = Leases::take_all(&store, &shared, "test").await.unwrap();
        let service = serde_json::from_value(serde_json::json!({ "name": "order-service", "team": "orders" })).unwrap();
        let deps = Deps {
            store,
            clock: shared,
            incidents: world.clone(),
            runs: world.clone(),
            triggers: world.clone(),
            explains: world.clone(),
            catalog: Arc::new(Catalog::new(vec![service]).unwrap()),
            places: incident::Options::default(),
        };
        Self { world, deps, leases, clock, shard: Shard::of(&incident().group_key) }
    }

    pub(crate) async fn signal(&self, signal: Signal) {
        let queue = signal_queue(&self.deps.store, &self.deps.clock);
        let mut batch = Batch::new();
        queue.push(&mut batch, self.shard, &signal).unwrap();
        self.deps.store.commit(batch).await.unwrap();
        let items = queue.due(self.shard, 10).await.unwrap();
        let signals = Signals::new(self.deps.clone(), &Options::default());
        signals.handle(&self.leases.of(self.shard).unwrap(), items).await.unwrap();
        assert!(queue.due(self.shard, 10).await.unwrap().is_empty());
    }

    pub(crate) async fn investigations(&self) -> Vec<Queued<Investigate>> {
        investigate_queue(&self.deps.store, &self.deps.clock).due(self.shard, 10).await.unwrap()
    }

    pub(crate) async fn investigate(&self, deadline: Duration) {
        let options = Options { search_deadline: Span(deadline), ..Options::default() };
        let investigator = Investigator::new(self.deps.clone(), &options);
        investigator.handle(&self.leases.of(self.shard).unwrap(), self.investigations().await).await.unwrap();
    }

    pub(crate) fn investigator(&self) -> Investigator {
        Investigator::new(self.deps.clone(), &Options::default())
    }

    pub(crate) async fn commit(&self, batch: Batch) {
        self.deps.store.commit(batch).await.unwrap();
    }

    pub(crate) async fn inbox(&self) -> Vec<Input> {
        self.inbox_of(&incident()).await
    }

    pub(crate) async fn inbox_of(&self, incident: &Incident) -> Vec<Input> {
        let shard = Shard::of(&incident.group_key);
        let items = inbox(&self.deps.store, &self.deps.clock).due(shard, 10).await.unwrap();
        items.into_iter().map(|item| item.record).collect()
    }
}

pub(crate) fn opened(alert: &str) -> Signal {
    Signal::Opened { incident: SEVEN, alert: AlertId(alert.to_owned()) }
}

fn joined(alert: &str) -> Signal {
    Signal::Joined { incident: SEVEN, alert: AlertId(alert.to_owned()) }
}

#[tokio::test]
async fn an_opened_incident_gets_one_proposal_however_often_it_is_signalled() {
    let bench = Bench::new().await;
    bench.signal(opened("Service_Down")).await;
    bench.signal(opened("Service_Down")).await;
    bench.signal(joined("Service_Down")).await;
    let proposed = bench.world.proposed.lock().unwrap();
    assert_eq!(proposed.len(), 1);
    assert_eq!((proposed[0].playbook.as_str(), proposed[0].incident), ("PB-Restart", Some(SEVEN)));
    assert_eq!(proposed[0].key, "INC-7/PB-Restart/first");
}

#[tokio::test]
async fn nothing_is_proposed_for_a_service_that_the_catalogue_does_not_know() {
    let mut bench = Bench::new().await;
    bench.deps.catalog = Arc::new(Catalog::default());
    bench.signal(opened("Service_Down")).await;
    assert!(bench.world.proposed.lock().unwrap().is_empty());
    let inbox = bench.inbox().await;
    assert!(
        matches!(&inbox[..], [Input::Act { act: Act::Note { text }, .. }] if text.as_data().contains("`order-service` is no service of the catalogue")),
        "{inbox:?}"
    );
}

#[tokio::test]
async fn a_playbook_a_person_rejected_is_not_proposed_again_and_the_timeline_says_so() {
    let bench = Bench::new().await;
    let mut rejected = incident();
    rejected.runs.push(brief(&view(RunState::Ended, Some(RunOutcome::Rejected)), "orders"));
    bench.world.incidents.lock().unwrap().insert(SEVEN, rejected);
    bench.signal(joined("Service_Down")).await;
    assert!(bench.world.proposed.lock().unwrap().is_empty());
    let inbox = bench.inbox().await;
    assert!(
        matches!(&inbox[..], [Input::Act { act: Act::Note { text }, .. }] if text.as_data().contains("was rejected"))
    );
}

#[tokio::test]
async fn a_playbook_nobody_decided_on_in_time_is_proposed_again_when_an_alert_joins() {
    let bench = Bench::new().await;
    let mut expired = incident();
    expired.runs.push(brief(&view(RunState::Ended, Some(RunOutcome::Expired)), "orders"));
    bench.world.incidents.lock().unwrap().insert(SEVEN, expired);
    bench.signal(joined("Service_Down")).await;
    let proposed = bench.world.proposed.lock().unwrap();
    assert_eq!(proposed.len(), 1);
    assert_eq!(proposed[0].key, "INC-7/PB-Restart/after-RUN-3");
}

#[tokio::test]
async fn proposals_go_on_when_the_incident_keeps_no_more_briefs() {
    let bench = Bench::new().await;
    let mut long = incident();
    for number in 1..=30u64 {
        // Another playbook's runs push this one's out.
        long.runs.clear();
        long.known.newest_runs.insert("PB-Restart".to_owned(), RunId::new(number));
        bench.world.incidents.lock().unwrap().insert(SEVEN, long.clone());
        bench.signal(joined("Service_Down")).await;
        bench.signal(joined("Service_Down")).await;
        assert_eq!(bench.world.proposed.lock().unwrap().len() as u64, number);
    }
}

#[tokio::test]
async fn when_an_incident_is_over_what_mayday_proposed_for_it_is_taken_back() {
    let bench = Bench::new().await;
    let mut over = incident();
    over.runs.push(brief(&waiting(), "orders"));
    bench.world.incidents.lock().unwrap().insert(SEVEN, over.clone());
    bench.world.runs.lock().unwrap().insert(RunId::new(3), waiting());
    bench.signal(Signal::Resolved { incident: SEVEN }).await;
    assert!(bench.world.withdrawn.lock().unwrap().is_empty(), "it was opened again meanwhile");

    over.phase = Phase::Resolved;
    bench.world.incidents.lock().unwrap().insert(SEVEN, over);
    bench.signal(Signal::Resolved { incident: SEVEN }).await;
    assert_eq!(bench.world.withdrawn.lock().unwrap()[..], [(RunId::new(3), "INC-7 is over".to_owned())]);

    let mut by_hand = waiting();
    by_hand.by = Actor::Person(crate::access::PersonId("web:ana".to_owned()));
    bench.world.runs.lock().unwrap().insert(RunId::new(3), by_hand);
    bench.signal(Signal::Resolved { incident: SEVEN }).await;
    assert_eq!(bench.world.withdrawn.lock().unwrap().len(), 1, "what a person proposed is theirs");
}

#[tokio::test]
async fn a_run_without_an_incident_is_told_of_in_the_default_channel() {
    let bench = Bench::new().await;
    let queue = notice_queue(&bench.deps.store, &bench.deps.clock);
    let mut batch = Batch::new();
    let notice = Notice {
        run: RunId::new(3),
        incident: None,
        playbook: "PB-Restart".to_owned(),
        task: String::new(),
        kind: playbook::NoticeKind::Escalation,
        says: "PB-Restart has ended: nobody approved it in time".to_owned(),
    };
    queue.push(&mut batch, bench.shard, &notice).unwrap();
    bench.deps.store.commit(batch).await.unwrap();
    let items = queue.due(bench.shard, 10).await.unwrap();
    notices::Tell::new(bench.deps.clone()).handle(&bench.leases.of(bench.shard).unwrap(), items).await.unwrap();
    let posts: Queue<crate::chat::Post> = Queue::new("post", bench.deps.store.clone(), bench.deps.clock.clone());
    let posts = posts.due(Shard::of("RUN-3"), 10).await.unwrap();
    assert_eq!(posts.len(), 1);
    assert_eq!((posts[0].record.channel.name.as_str(), &posts[0].record.thread), ("incidents", &None));
    let crate::chat::Content::Text(text) = &posts[0].record.content else { panic!("{:?}", posts[0].record) };
    assert_eq!(text, "RUN-3 needs a person: PB-Restart has ended: nobody approved it in time");
}

#[tokio::test]
async fn a_run_without_an_incident_has_one_card_that_is_edited_as_it_moves() {
    let bench = Bench::new().await;
    let progress = Progress::new(bench.deps.clone());
    let queue = run_queue(&bench.deps.store, &bench.deps.clock);
    for journal in [9, 10] {
        let moved = RunView { incident: None, journal, ..waiting() };
        bench.world.runs.lock().unwrap().insert(RunId::new(3), moved);
        let mut batch = Batch::new();
        queue.push(&mut batch, bench.shard, &RunChanged { run: RunId::new(3), incident: None }).unwrap();
        bench.commit(batch).await;
        let items = queue.due(bench.shard, 10).await.unwrap();
        progress.handle(&bench.leases.of(bench.shard).unwrap(), items).await.unwrap();
    }
    let posts: Queue<crate::chat::Post> = Queue::new("post", bench.deps.store.clone(), bench.deps.clock.clone());
    let posts = posts.due(Shard::of("web/incidents"), 10).await.unwrap();
    let slots: Vec<_> = posts.iter().map(|post| (post.record.slot.as_str(), post.record.version)).collect();
    assert_eq!(slots, [("RUN-3", 9), ("RUN-3", 10)]);
    assert!(bench.inbox().await.is_empty());
}

#[tokio::test]
async fn why_is_answered_within_the_deadline_even_when_no_search_is_free() {
    let bench = Bench::new().await;
    let options = Options { search_deadline: Span(Duration::from_millis(20)), searches: 1, ..Options::default() };
    let investigator = Investigator::new(bench.deps.clone(), &options);
    let _taken = investigator.busy().await;
    let said = tokio::time::timeout(Duration::from_secs(5), investigator.look_and_tell(&incident())).await;
    assert!(said.expect("it does not wait for others").unwrap().not_seen[0].contains("longer than 20 ms"));
}

#[tokio::test]
async fn a_search_that_takes_long_holds_up_no_other_shards_search() {
    let bench = Bench::new().await;
    let other = Incident { id: EIGHT, group_key: "service_name=payment-gateway".to_owned(), ..incident() };
    let shard = Shard::of(&other.group_key);
    assert_ne!(shard, bench.shard);
    bench.world.incidents.lock().unwrap().insert(EIGHT, other);
    let options = Options { search_deadline: Span::from_secs(60), ..Options::default() };
    let service = Service::new(bench.deps.clone(), options, bench.leases.clone());
    let (_stopper, stop) = crate::core::stop::Stopper::new();
    let loops = tokio::spawn(service.run(stop));
    let queue = investigate_queue(&bench.deps.store, &bench.deps.clock);
    for (shard, incident) in [(bench.shard, SEVEN), (shard, EIGHT)] {
        let mut batch = Batch::new();
        queue.push(&mut batch, shard, &Investigate { incident, again: false, relations: false }).unwrap();
        bench.deps.store.commit(batch).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let found = async {
        while inbox(&bench.deps.store, &bench.deps.clock).due(shard, 10).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), found).await.expect("INC-8 waits for the search of INC-7");
    assert!(bench.inbox().await.is_empty(), "INC-7 is still being searched");
    loops.abort();
}

#[tokio::test]
async fn a_match_that_may_not_run_now_and_a_trigger_without_its_value_are_said_once() {
    let bench = Bench::new().await;
    *bench.world.refuse.lock().unwrap() = Some("it ran 3 min ago, cooldown 10 min".to_owned());
    bench.signal(opened("Service_Down")).await;
    bench.signal(joined("Service_Down")).await;
    bench.signal(opened("High_CPU_Usage")).await;
    let says: Vec<String> = bench
        .inbox()
        .await
        .into_iter()
        .map(|input| match input {
            Input::Act { act: Act::Note { text }, by: Actor::Mayday(_), .. } => text.as_data().to_owned(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(says.len(), 2, "{says:?}");
    assert!(says.iter().any(|says| says.contains("cooldown 10 min")));
    assert!(says.iter().any(|says| says.contains("cpu_usage")));
}

#[tokio::test]
async fn the_cause_is_looked_for_at_once_and_again_a_little_later_and_only_news_is_told() {
    let bench = Bench::new().await;
    *bench.world.explained.lock().unwrap() = Some(explained("It hangs."));
    bench.signal(opened("Service_Down")).await;
    bench.investigate(Duration::from_secs(5)).await;
    let inbox = bench.inbox().await;
    let [Input::Found { findings, evidence, .. }] = &inbox[..] else { panic!("{inbox:?}") };
    assert_eq!((findings.len(), evidence.len()), (1, 1));

    // The incident has it now; the second look finds the same, so that the card is left alone.
    let mut known = incident();
    known.findings.clone_from(findings);
    known.evidence.clone_from(evidence);
    bench.world.incidents.lock().unwrap().insert(SEVEN, known);
    assert!(bench.investigations().await.is_empty());
    bench.clock.advance(Duration::from_secs(10));
    assert_eq!(bench.investigations().await.len(), 1);
    bench.investigate(Duration::from_secs(5)).await;
    assert_eq!(bench.inbox().await.len(), 1);
    bench.clock.advance(Duration::from_secs(60));
    assert!(bench.investigations().await.is_empty(), "there is no third look");
}

#[tokio::test]
async fn a_search_that_does_not_end_leaves_what_was_known_and_says_what_is_missing() {
    let bench = Bench::new().await;
    bench.signal(opened("Service_Down")).await;
    bench.investigate(Duration::from_millis(20)).await;
    let inbox = bench.inbox().await;
    let [Input::Found { findings, not_seen, .. }] = &inbox[..] else { panic!("{inbox:?}") };
    assert!(findings.is_empty());
    assert!(not_seen[0].contains("longer than 20 ms"), "{not_seen:?}");
}

#[tokio::test]
async fn a_storm_of_joined_alerts_is_one_search() {
    let bench = Bench::new().await;
    *bench.world.explained.lock().unwrap() = Some(explained("It hangs."));
    for number in 0..5 {
        bench.signal(joined(&format!("other-{number}"))).await;
    }
    assert!(bench.investigations().await.is_empty(), "they wait for each other");
    bench.clock.advance(JOINED_PAUSE);
    assert_eq!(bench.investigations().await.len(), 5);
    bench.investigate(Duration::from_secs(5)).await;
    assert!(bench.investigations().await.is_empty());
    assert_eq!(bench.inbox().await.len(), 1);
}

#[tokio::test]
async fn a_run_that_moved_several_times_is_told_once_with_its_newest_state() {
    let bench = Bench::new().await;
    bench.world.runs.lock().unwrap().insert(RunId::new(3), view(RunState::Ended, Some(RunOutcome::Fixed)));
    let queue = run_queue(&bench.deps.store, &bench.deps.clock);
    let mut batch = Batch::new();
    for _ in 0..3 {
        queue.push(&mut batch, bench.shard, &RunChanged { run: RunId::new(3), incident: Some(SEVEN) }).unwrap();
    }
    bench.deps.store.commit(batch).await.unwrap();
    let items = queue.due(bench.shard, 10).await.unwrap();
    Progress::new(bench.deps.clone()).handle(&bench.leases.of(bench.shard).unwrap(), items).await.unwrap();
    let inbox = bench.inbox().await;
    let [Input::Run { incident, brief }] = &inbox[..] else { panic!("{inbox:?}") };
    assert_eq!((*incident, brief.state.as_str(), brief.ended, brief.version), (SEVEN, "fixed", true, 9));
}

fn planned(object: &str, changes: &[(&str, &str, &str)]) -> Planned {
    let change = |(field, before, after): &(&str, &str, &str)| Change {
        field: (*field).to_owned(),
        before: (*before).to_owned(),
        after: (*after).to_owned(),
    };
    Planned {
        object: object.to_owned(),
        changes: changes.iter().map(change).collect(),
        target: serde_json::json!({ "service": "order-service" }),
        radius: "restarts 1 process, ≈ 3 s without answers".to_owned(),
        undo: None,
        details: Vec::new(),
    }
}

pub(crate) fn view(state: RunState, outcome: Option<RunOutcome>) -> RunView {
    let task = |id: &str, name: &str, kind: &str, state| TaskView {
        id: id.to_owned(),
        name: name.to_owned(),
        kind: kind.to_owned(),
        state,
        note: None,
        output: None,
        undo: false,
    };
    RunView {
        run: RunId::new(3),
        playbook: "PB-Restart".to_owned(),
        playbook_name: "Restart a hung service".to_owned(),
        version: "1".to_owned(),
        incident: Some(SEVEN),
        by: Actor::Mayday("heal".to_owned()),
        alert_name: Some("Service_Down".into()),
        part_of: None,
        state,
        outcome,
        why: outcome.map(|_| "order-service answers again".to_owned()),
        proposed_at: at(0),
        ended_at: outcome.map(|_| at(41)),
        parameters: BTreeMap::new(),
        tasks: vec![
            task("look", "Look at its health", "API_Call", TaskState::Succeeded),
            task("restart", "Restart the service", "Service_Restart", TaskState::Pending),
        ],
        approval: None,
        undoes: Vec::new(),
        approved_by: Vec::new(),
        allowed_by: Vec::new(),
        journal: 9,
    }
}

pub(crate) fn waiting() -> RunView {
    let mut view = view(RunState::Proposed, None);
    view.approval = Some(ApprovalView {
        plan_hash: "9f86d081".to_owned(),
        frontier: vec![(
            "Restart the service".to_owned(),
            planned("process order-service", &[("pid", "4711", "new process"), ("restarts", "0", "1")]),
        )],
        needed: 1,
        approved_by: Vec::new(),
        approvers: Vec::new(),
        expires: at(900),
        difference: Vec::new(),
        verified_by: Some("GET /health answers 200 within 20 s".to_owned()),
    });
    view
}
