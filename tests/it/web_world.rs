//! A listener with stand-ins behind its doors, for the tests of HTTP and of the page.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mayday::access::sessions::SignedIn;
use mayday::access::{self, Actor, Person, PersonId, Role, Session};
use mayday::alert::Severity;
use mayday::alert::{Format, NotUnderstood, Rejected};
use mayday::analysis::{Evidence, EvidenceId, Outcome};
use mayday::chat::card::Step;
use mayday::chat::web::WebChat;
use mayday::chat::{
    Button, ButtonStyle, Card, ChannelId, Chart, Chat, Commands, Completion, Content, EvidenceRef, Fact, Inbound, Line,
    PlanBox, Post, Reply, Section,
};
use mayday::core::clock::SystemClock;
use mayday::core::stop::Stopper;
use mayday::core::{BoxFuture, Clock as _, IncidentId, Timestamp};
use mayday::http::doors::{
    Collection, DemoPanel, Doors, Fault, Gate, Health, Intake, Listing, ReadError, Reads, SignInWays,
};
use mayday::http::{Options, Service};
use mayday::incident::{Accepted, Incident, Moment, Phase, Refused};
use mayday::ops::health::{Part, Report, State};
use mayday::store::SharedStore;
use mayday::store::memory::Memory;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

pub const TOKEN: &str = "token-of-the-data-folder";
pub const LINK: &str = "one-time-link";

/// A running listener.
pub struct World {
    pub address: SocketAddr,
    pub chat: WebChat,
    pub said: Arc<Mutex<Vec<Inbound>>>,
    pub taken: Arc<Mutex<Vec<Taken>>>,
    pub intake: Arc<FakeIntake>,
    pub gate: Arc<FakeGate>,
    pub ready: Arc<AtomicBool>,
    options: Options,
    doors: Doors,
    stopper: Stopper,
    served: tokio::task::JoinHandle<Result<(), mayday::http::Error>>,
}

impl World {
    pub async fn start(change: impl FnOnce(&mut Options)) -> Self {
        Self::start_with(change, Vec::new()).await
    }

    pub async fn start_with(change: impl FnOnce(&mut Options), faults: Vec<Fault>) -> Self {
        Self::start_on(Memory::shared(), change, faults).await
    }

    pub async fn start_on(store: SharedStore, change: impl FnOnce(&mut Options), faults: Vec<Fault>) -> Self {
        // A second installation in the same process is refused, which is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut options = Options { listen: ([127, 0, 0, 1], 0).into(), ..Options::default() };
        change(&mut options);
        let clock = SystemClock::shared();
        let chat = WebChat::new(store, clock.clone(), mayday::chat::web::Options::default());
        let said = Arc::new(Mutex::new(Vec::new()));
        let taken = Arc::new(Mutex::new(Vec::new()));
        let intake =
            Arc::new(FakeIntake { taken: taken.clone(), busy: AtomicBool::new(false), delay_ms: AtomicU64::new(0) });
        let gate = Arc::new(FakeGate::default());
        let ready = Arc::new(AtomicBool::new(true));
        let doors = Doors {
            intake: intake.clone(),
            commands: Arc::new(Desk { chat: chat.clone(), said: said.clone() }),
            chat: chat.clone(),
            reads: Arc::new(Shelf),
            gate: gate.clone(),
            health: Arc::new(Doctor(ready.clone())),
            metrics: Arc::new(|| "mayday_alerts_accepted_total 3\n".to_owned()),
            home_channel: "incidents".into(),
            demo: (!faults.is_empty()).then(|| Arc::new(Panel(faults)) as Arc<dyn DemoPanel>),
            clock,
        };
        let service = Service::new(options.clone(), doors.clone()).await.unwrap();
        let address = service.local_addr();
        let (stopper, stop) = Stopper::new();
        let served = tokio::spawn(service.run(stop));
        options.listen = address;
        Self { address, chat, said, taken, intake, gate, ready, options, doors, stopper, served }
    }

    /// Why a listener with these options does not start.
    pub async fn refused(options: Options) -> String {
        let clock = SystemClock::shared();
        let chat = WebChat::new(Memory::shared(), clock.clone(), mayday::chat::web::Options::default());
        let taken = Arc::new(Mutex::new(Vec::new()));
        let doors = Doors {
            intake: Arc::new(FakeIntake { taken, busy: AtomicBool::new(false), delay_ms: AtomicU64::new(0) }),
            commands: Arc::new(Desk { chat: chat.clone(), said: Arc::new(Mutex::new(Vec::new())) }),
            chat,
            reads: Arc::new(Shelf),
            gate: Arc::new(FakeGate::default()),
            health: Arc::new(Doctor(Arc::new(AtomicBool::new(true)))),
            metrics: Arc::new(String::new),
            home_channel: "incidents".into(),
            demo: None,
            clock,
        };
        Service::new(options, doors).await.err().map(|error| error.to_string()).unwrap_or_default()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub async fn show(&self, slot: &str, version: u64, card: Card) {
        self.chat.show(&post(slot, version, Content::Card(Box::new(card)))).await.unwrap();
    }

    /// Stops the listener, lets something happen, and starts it again on the same port, with everything behind it as it
    /// was.
    pub async fn restart(&mut self, meanwhile: impl AsyncFnOnce()) {
        self.stopper.stop();
        (&mut self.served).await.unwrap().unwrap();
        meanwhile().await;
        let service = Service::new(self.options.clone(), self.doors.clone()).await.unwrap();
        let (stopper, stop) = Stopper::new();
        self.stopper = stopper;
        self.served = tokio::spawn(service.run(stop));
    }

    /// Asks the listener to stop and waits for it.
    pub async fn stop(self) -> Result<(), mayday::http::Error> {
        self.stopper.stop();
        self.served.await.unwrap()
    }

    /// The cookie of a new session.
    pub async fn sign_in(&self) -> String {
        let session = self.gate.new_session("ana");
        format!("mayday-{}={session}", self.address.port())
    }
}

pub fn post(slot: &str, version: u64, content: Content) -> Post {
    post_in("orders", slot, version, content)
}

pub fn post_in(channel: &str, slot: &str, version: u64, content: Content) -> Post {
    Post {
        channel: ChannelId::web(channel),
        slot: slot.into(),
        thread: None,
        version,
        author: "Mayday".into(),
        at: SystemClock.now(),
        content,
    }
}

fn evidence(id: &str) -> Vec<EvidenceRef> {
    vec![EvidenceRef { id: id.into(), path: format!("/incidents/INC-7/evidence/{id}") }]
}

/// A card with everything on it, as it stands four minutes into an incident.
pub fn full_card() -> Card {
    let now = SystemClock.now();
    let broke = now - Duration::from_secs(250);
    let points = (0..60_i32).map(|index| {
        let at = now - Duration::from_secs(1_800) + Duration::from_secs(u64::try_from(index).unwrap() * 30);
        let value =
            if at < broke { 62.0 + f64::from(index * 7 % 5) } else { (f64::from(index - 51) * 14.0 + 63.0).min(100.0) };
        (at, value)
    });
    Card {
        id: "INC-7".into(),
        severity: Some(Severity::Critical),
        state: "triggered".into(),
        over: false,
        since: Some(broke),
        notes: vec!["12 alerts folded in".into()],
        title: "order-service: 3 of 4 workers answer nothing since 14:02".into(),
        subtitle: Some("Checkout fails for about 1 in 2 customers, ≈ 410 € per minute.".into()),
        facts: vec![
            Fact { name: "Errors".into(), value: "48 %".into(), normal: Some("normal is 0.2 %".into()), evidence: evidence("E1") },
            Fact { name: "p99 latency".into(), value: "9.8 s".into(), normal: Some("normal is 180 ms".into()), evidence: evidence("E2") },
            Fact { name: "Connections".into(), value: "100 of 100 in use".into(), normal: None, evidence: evidence("E4") },
        ],
        chart: Some(Chart {
            caption: "Database connections of order-service, last 30 min".into(),
            unit: "".into(),
            points: points.collect(),
            threshold: Some(("limit 100".into(), 100.0)),
            mark: Some(("rollout 7f3c".into(), broke)),
        }),
        sections: vec![Section {
            heading: None,
            lines: vec![
                Line {
                    lead: Some("Likely cause:".into()),
                    text: "rollout 7f3c halved the pool timeout; connections are taken and not given back".into(),
                    quiet: false,
                    evidence: [evidence("E3"), evidence("E4")].concat(),
                },
                Line {
                    lead: None,
                    text: "Confidence 0.86 from the change, a new log template and saturation. Ruled out: payment-gateway (normal). Not seen: traces.".into(),
                    quiet: true,
                    evidence: vec![],
                },
                Line { lead: None, text: "Like INC-3 (12 Oct): a restart fixed it in 3 min. This playbook: 5 of 6 fixed.".into(), quiet: true, evidence: vec![] },
            ],
        }],
        plan: Some(PlanBox {
            heading: "Proposed: restart order-service".into(),
            diff: vec!["process order-service   pid 4711 → new process".into()],
            notes: vec!["≈ 4 s without answers · undo: none, restarts are safe to repeat".into(), "verified by: health is 200 for 10 s, else escalated to Ana".into()],
            footer: Some("Needs one approver of team orders. Proposed by Mayday, valid for 15 min.".into()),
            steps: vec![],
            buttons: vec![
                Button { label: "Restart order-service".into(), command: "approve RUN-3 --plan 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".into(), style: ButtonStyle::Primary, ask: None },
                Button { label: "Reject…".into(), command: "reject RUN-3".into(), style: ButtonStyle::Plain, ask: Some("Why not? This goes to the audit.".into()) },
            ],
        }),
        buttons: ["Acknowledge:ack INC-7", "Why?:why INC-7", "Silence…:silence INC-7 2h", "Details:show INC-7"]
            .map(|pair| {
                let (label, command) = pair.split_once(':').unwrap();
                Button { label: label.into(), command: command.into(), style: ButtonStyle::Plain, ask: None }
            })
            .into(),
    }
}

/// The same incident, healed.
pub fn healed_card() -> Card {
    let mut card = full_card();
    card.state = "resolved".into();
    card.over = true;
    card.notes = vec!["MTTR 41 s".into(), "acknowledged by Ana".into()];
    let plan = card.plan.as_mut().unwrap();
    plan.heading = "Fixed: restart order-service".into();
    plan.diff.clear();
    plan.notes.clear();
    plan.footer = Some("Approved by Ana. Verified: health is 200 for 10 s.".into());
    plan.buttons.clear();
    plan.steps = [
        ("check health", "done", "no answer within 2 s"),
        ("restart order-service", "done", "pid 4711 → 5120"),
        ("verify", "done", "200 for 10 s"),
    ]
    .map(|(name, state, note)| Step { name: name.into(), state: state.into(), note: Some(note.into()) })
    .into();
    card.buttons.retain(|button| button.label == "Details");
    card
}

pub struct FakeIntake {
    taken: Arc<Mutex<Vec<Taken>>>,
    pub busy: AtomicBool,
    pub delay_ms: AtomicU64,
}

/// A body as the listener handed it on.
#[derive(Debug, Clone)]
pub struct Taken {
    pub format: Format,
    pub integration: String,
}

impl Intake for FakeIntake {
    fn accept<'a>(
        &'a self,
        format: Format,
        integration: &'a str,
        body: &'a [u8],
    ) -> BoxFuture<'a, Result<Accepted, Refused>> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(self.delay_ms.load(Ordering::Relaxed))).await;
            if self.busy.load(Ordering::Relaxed) {
                return Err(Refused::Overloaded { retry_after_secs: 3 });
            }
            let Ok(value) = serde_json::from_slice::<Value>(body) else {
                let wrong = NotUnderstood { why: "line 1: not JSON".into(), looked_for: "JSON with `alerts`".into() };
                return Err(Refused::NotUnderstood(wrong));
            };
            let accepted = value["alerts"].as_array().map_or(1, Vec::len);
            self.taken.lock().unwrap().push(Taken { format, integration: integration.to_owned() });
            let bad = Rejected { index: 1, why: "no name".into(), text: String::new() };
            let rejected = if value["bad"].is_null() { vec![] } else { vec![bad] };
            Ok(Accepted { accepted, rejected, ..Accepted::default() })
        })
    }
}

/// Knows ana (password `correct horse`), one link, two tokens.
#[derive(Default)]
pub struct FakeGate {
    sessions: Mutex<HashMap<String, Person>>,
    used: AtomicBool,
    /// From where passwords came.
    pub from: Mutex<Vec<IpAddr>>,
    count: AtomicU64,
}

pub fn person(name: &str, role: Role) -> Person {
    Person { id: PersonId(format!("web:{name}")), name: name.into(), role, teams: vec![] }
}

impl FakeGate {
    pub fn new_session(&self, name: &str) -> String {
        let secret = format!("session-{name}-{}", self.count.fetch_add(1, Ordering::Relaxed));
        self.sessions.lock().unwrap().insert(secret.clone(), person(name, Role::Admin));
        secret
    }
    fn signed_in(&self, name: &str) -> SignedIn {
        let secret = self.new_session(name).into();
        SignedIn { secret, person: person(name, Role::Admin), valid: Duration::from_secs(3600) }
    }
    pub fn forget_all(&self) {
        self.sessions.lock().unwrap().clear();
    }
}

fn refused(why: &str) -> access::Error {
    access::Error::SignIn(why.into())
}

impl Gate for FakeGate {
    fn ways(&self) -> SignInWays {
        SignInWays { link: true, password: true }
    }
    fn session<'a>(&'a self, secret: &'a str) -> BoxFuture<'a, Result<Option<Session>, access::Error>> {
        let found = self.sessions.lock().unwrap().get(secret).cloned();
        let csrf = format!("csrf-of-{secret}");
        let ends = SystemClock.now() + Duration::from_secs(3600);
        Box::pin(async move { Ok(found.map(|person| Session { person, csrf, ends })) })
    }
    fn bearer(&self, token: &str) -> Option<Person> {
        match token {
            TOKEN => Some(person("admin", Role::Admin)),
            "viewer-token" => Some(person("vera", Role::Viewer)),
            _ => None,
        }
    }
    fn redeem<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<SignedIn, access::Error>> {
        let ok = token == LINK && !self.used.swap(true, Ordering::Relaxed);
        Box::pin(
            async move { if ok { Ok(self.signed_in("ana")) } else { Err(refused("This link was used already.")) } },
        )
    }
    fn sign_in<'a>(
        &'a self,
        name: &'a str,
        password: SecretString,
        from: IpAddr,
    ) -> BoxFuture<'a, Result<SignedIn, access::Error>> {
        self.from.lock().unwrap().push(from);
        Box::pin(async move {
            let right = name == "ana" && password.expose_secret() == "correct horse";
            if right { Ok(self.signed_in(name)) } else { Err(refused("That name and password do not match.")) }
        })
    }
    fn sign_out<'a>(&'a self, secret: &'a str) -> BoxFuture<'a, Result<(), access::Error>> {
        self.sessions.lock().unwrap().remove(secret);
        Box::pin(async { Ok(()) })
    }
    fn find(&self, said: &str) -> Option<Person> {
        (said == "web:ana").then(|| person("ana", Role::Approver))
    }
}

/// Answers a few commands, and moves INC-7's card when it is acknowledged.
struct Desk {
    chat: WebChat,
    said: Arc<Mutex<Vec<Inbound>>>,
}

impl Commands for Desk {
    fn say<'a>(&'a self, inbound: Inbound) -> BoxFuture<'a, Reply> {
        Box::pin(async move {
            let text = inbound.text.clone();
            let name = inbound.person.name.clone();
            self.said.lock().unwrap().push(inbound);
            let (ok, answer) = match text.split_whitespace().next().unwrap_or_default() {
                "ack" => {
                    let mut card = full_card();
                    card.state = "acknowledged".into();
                    card.notes.push(format!("acknowledged by {name}"));
                    card.buttons.remove(0);
                    self.chat.show(&post("INC-7", 50, Content::Card(Box::new(card)))).await.unwrap();
                    (true, "INC-7 is acknowledged.".to_owned())
                }
                "help" => (true, "ack INC-7   take it\nwhy INC-7   say what is wrong".to_owned()),
                "slow" => {
                    tokio::time::sleep(Duration::from_millis(400)).await;
                    (true, "done slowly".to_owned())
                }
                "echo" => (true, text.clone()),
                word @ ("reject" | "approve" | "why" | "incidents") => (true, format!("{word}: as you said")),
                other => (false, format!("There is no command `{other}`. Did you mean `ack`?")),
            };
            Reply { ok, text: answer, card: None, data: json!({"text": text}) }
        })
    }
    fn complete<'a>(&'a self, _: &'a Person, line: &'a str, limit: usize) -> BoxFuture<'a, Vec<Completion>> {
        let all = [
            ("ack INC-7", "say that you are on it"),
            ("approve RUN-3", "let a proposed plan run"),
            ("why INC-7", "what is wrong"),
            ("incidents open", "list them"),
        ];
        let found = all.iter().filter(|(known, _)| known.starts_with(line)).take(limit);
        let found = found.map(|(line, hint)| Completion { line: (*line).into(), hint: (*hint).into() }).collect();
        Box::pin(async move { found })
    }
}

/// One incident with evidence, and a hundred numbered items in each collection.
struct Shelf;

pub fn incident() -> Incident {
    let at = SystemClock.now() - Duration::from_secs(250);
    Incident {
        id: IncidentId::new(7),
        group_key: "service_name=order-service".into(),
        team: "orders".into(),
        service: "order-service".into(),
        channel: ChannelId::web("orders"),
        phase: Phase::Triggered,
        severity: Severity::Critical,
        severity_by_person: false,
        alert_name: "Service_Latency_Exceeded".into(),
        description: "<script>alert(1)</script>".into(),
        started_at: at,
        opened_at: at,
        acknowledged_at: None,
        resolved_at: None,
        commander: None,
        firing: 2,
        alerts: 12,
        latest_alerts: vec![],
        findings: vec![],
        evidence: vec![Evidence {
            id: EvidenceId("E1".into()),
            source: "own logs".into(),
            query: "order-service, words: timeout".into(),
            from: at,
            to: SystemClock.now(),
            outcome: Outcome::Data { rows: 1204, truncated: true },
            says: "1,204 lines say that the pool is exhausted, the first at 14:02:11".into(),
            samples: vec!["<img src=x onerror=alert(1)> Connection is not available".into()],
        }],
        not_seen: vec!["traces: no source is configured".into()],
        chart: None,
        runs: vec![],
        version: 3,
        known: mayday::incident::Known::default(),
    }
}

impl Reads for Shelf {
    fn list<'a>(
        &'a self,
        _: Collection,
        cursor: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Listing, ReadError>> {
        Box::pin(async move {
            let from: usize = cursor.map_or(Ok(0), str::parse).map_err(|_| ReadError::BadCursor)?;
            let items: Vec<Value> = (from..100.min(from + limit)).map(|n| json!({"n": n})).collect();
            let next = from + items.len();
            Ok(Listing { items, next_cursor: (next < 100).then(|| next.to_string()) })
        })
    }
    fn item<'a>(&'a self, _: Collection, id: &'a str) -> BoxFuture<'a, Result<Option<Value>, ReadError>> {
        Box::pin(async move { Ok((id == "INC-7").then(|| json!({"id": id}))) })
    }
    fn incident(&self, id: IncidentId) -> BoxFuture<'_, Result<Option<Incident>, ReadError>> {
        Box::pin(async move { Ok((id.number() == 7).then(incident)) })
    }
    fn incidents(&self, _: bool, _: usize) -> BoxFuture<'_, Result<Vec<Incident>, ReadError>> {
        Box::pin(async { Ok(vec![incident()]) })
    }
    fn timeline(&self, _: IncidentId) -> BoxFuture<'_, Result<Vec<Moment>, ReadError>> {
        let moment = |secs: u64, by: Actor, says: &str| Moment {
            at: Timestamp::now() - Duration::from_secs(secs),
            by,
            says: says.into(),
        };
        let moments = vec![
            moment(250, Actor::Mayday("incident".into()), "Opened by Service_Latency_Exceeded of order-service."),
            moment(200, Actor::Person(PersonId("web:ana".into())), "Acknowledged. <b>On it</b>"),
        ];
        Box::pin(async move { Ok(moments) })
    }
}

struct Doctor(Arc<AtomicBool>);

impl Health for Doctor {
    fn report(&self) -> BoxFuture<'_, Report> {
        let state = if self.0.load(Ordering::Relaxed) { State::Well } else { State::Down };
        let parts = vec![Part::new("store", state, "takes commits in 2 ms")];
        Box::pin(async move { Report { state, parts, at: SystemClock.now() } })
    }
    fn ready(&self) -> BoxFuture<'_, Result<(), String>> {
        let ready = self.0.load(Ordering::Relaxed);
        Box::pin(async move { if ready { Ok(()) } else { Err("the store opens".into()) } })
    }
}

struct Panel(Vec<Fault>);

impl DemoPanel for Panel {
    fn faults(&self) -> BoxFuture<'_, Vec<Fault>> {
        let faults = self.0.clone();
        Box::pin(async move { faults })
    }
    fn make<'a>(&'a self, fault: &'a str) -> BoxFuture<'a, Result<String, String>> {
        let known = self.0.iter().any(|known| known.name == fault);
        Box::pin(async move {
            if known { Ok(format!("{fault} is made.")) } else { Err(format!("there is no fault `{fault}`")) }
        })
    }
}

pub fn faults() -> Vec<Fault> {
    [
        ("order-hang", "order-service stops answering, its process lives on"),
        ("disk-full", "fills the small disk folder of inventory-service"),
    ]
    .map(|(name, does)| Fault { name: name.into(), does: does.into(), active: false })
    .into()
}
