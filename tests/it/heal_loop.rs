//! The whole loop in one process: an alert comes in, its card stands in the channel, the plan stands on the card, a person
//! presses the button, the service is restarted and verified, and the card says so. Only the service itself is a fake.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use mayday::access::right::Limits;
use mayday::access::{Audit, Options as AccessOptions, Person, PersonId, Persons, Risk, Role, StandingPolicy};
use mayday::alert::{Alert, AlertId, Fingerprint, Severity, Status};
use mayday::analysis::{Evidence, EvidenceId, FaultKind, Finding, Outcome};
use mayday::catalog::Catalog;
use mayday::chat::outbox::{self, Delivery};
use mayday::chat::web::{self, WebChat};
use mayday::chat::{Card, Commands as _, Content, Inbound, Reply};
use mayday::command::wire::StoredIncidents;
use mayday::command::{self, Desk};
use mayday::core::clock::SystemClock;
use mayday::core::stop::Stopper;
use mayday::core::{BoxFuture, SharedClock, Tainted, Timestamp};
use mayday::heal::{self, Explained, Explains};
use mayday::incident::{self, Incident, Incidents, Intake};
use mayday::ops::delivery::Outbox;
use mayday::ops::health::{Health, QUEUES, QueuesCheck, StoreCheck};
use mayday::ops::schedule::{self, Scheduler};
use mayday::playbook::action::{Change, Context, Error, Perform};
use mayday::playbook::{self, Action, Engine, Intent, Library, Parts, Planned, Registry, Settle, Versions};
use mayday::source::{LogPage, LogQuery, Logs, MetricQuery, Metrics, Series};
use mayday::store::SharedStore;
use mayday::store::memory::Memory;
use mayday::work::{Leases, serve};

/// The service that falls sick.
#[derive(Default)]
struct Shop {
    healthy: AtomicBool,
    pid: AtomicU32,
    restarts: AtomicU32,
}

/// One kind of action on the shop.
struct Fake(&'static str, Arc<Shop>);

impl Action for Fake {
    fn kind(&self) -> &'static str {
        self.0
    }
    fn settle(&self, _: &Value) -> Settle {
        Settle::Repeat
    }
    fn plan<'a>(&'a self, _: &'a Context, parameters: &'a Value) -> BoxFuture<'a, Result<Planned, Error>> {
        let mut planned = Planned {
            object: String::new(),
            changes: Vec::new(),
            target: parameters.clone(),
            radius: String::new(),
            undo: None,
            details: Vec::new(),
        };
        if self.0 == "Service_Restart" {
            let pid = self.1.pid.load(Ordering::SeqCst);
            planned.object = "process order-service".to_owned();
            planned.radius = "restarts 1 process, ≈ 1 s without answers".to_owned();
            planned.changes =
                vec![Change { field: "pid".to_owned(), before: pid.to_string(), after: "a new one".to_owned() }];
        }
        Box::pin(std::future::ready(Ok(planned)))
    }
    fn perform<'a>(&'a self, _: &'a Context, _: &'a Intent) -> BoxFuture<'a, Result<Perform, Error>> {
        let shop = &self.1;
        let outcome = match self.0 {
            "API_Call" if shop.healthy.load(Ordering::SeqCst) => Ok(json!({ "http_status": 200, "status": "ok" })),
            "API_Call" => Err(Error::Permanent("no answer within 5 s".to_owned())),
            "Service_Restart" => {
                let before = shop.pid.fetch_add(1, Ordering::SeqCst);
                shop.restarts.fetch_add(1, Ordering::SeqCst);
                shop.healthy.store(true, Ordering::SeqCst);
                Ok(json!({ "service": "order-service", "pid_before": before, "pid_after": before + 1 }))
            }
            "Log_Aggregation" => Ok(json!({
                "total": 40, "matched": 9, "errors": 9, "error_rate": 0.2, "lines": [], "truncated": false
            })),
            _ => Ok(json!({ "sent": 1 })),
        };
        Box::pin(std::future::ready(outcome.map(Perform::Done)))
    }
}

/// Sees that the process hangs.
struct Seer;

impl Explains for Seer {
    fn explain<'a>(&'a self, incident: &'a Incident) -> BoxFuture<'a, Explained> {
        let evidence = Evidence {
            id: EvidenceId("E1".to_owned()),
            source: "process table".to_owned(),
            query: "order-service".to_owned(),
            from: incident.started_at,
            to: incident.started_at,
            outcome: Outcome::Data { rows: 1, truncated: false },
            says: "pid 4711 uses no CPU and answers nothing".to_owned(),
            samples: Vec::new(),
        };
        // The gateway only waits for order-service.
        let waits = incident.service.as_data() == "gateway";
        let finding = Finding {
            component: "order-service".to_owned(),
            kind: FaultKind::Crash,
            confidence: 0.9,
            says: "order-service hangs since 14:02".to_owned(),
            evidence: vec![evidence.id.clone()],
        };
        let cause = waits.then(|| "order-service".to_owned());
        let found = Explained { findings: vec![finding], evidence: vec![evidence], cause, ..Explained::default() };
        Box::pin(std::future::ready(found))
    }
}

/// Two searches of the same moment, each of which blames the other's service.
struct Accusers(tokio::sync::Barrier, AtomicU32);

impl Explains for Accusers {
    fn explain<'a>(&'a self, incident: &'a Incident) -> BoxFuture<'a, Explained> {
        Box::pin(async move {
            let mut found = Seer.explain(incident).await;
            let other = if incident.service.as_data() == "gateway" { "order-service" } else { "gateway" };
            found.findings[0].component = other.to_owned();
            found.cause = Some(other.to_owned());
            if self.1.fetch_add(1, Ordering::SeqCst) < 2 {
                self.0.wait().await;
            }
            found
        })
    }
}

impl Logs for Seer {
    fn search<'a>(&'a self, _: &'a LogQuery) -> BoxFuture<'a, Result<LogPage, mayday::source::Error>> {
        Box::pin(std::future::ready(Ok(LogPage::default())))
    }
}

impl Metrics for Seer {
    fn range<'a>(&'a self, _: &'a MetricQuery) -> BoxFuture<'a, Result<Vec<Series>, mayday::source::Error>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }
}

fn person(name: &str, role: Role) -> Person {
    Person { id: PersonId(format!("web:{name}")), name: name.to_owned(), role, teams: vec!["orders".to_owned()] }
}

/// Everything between the webhook and the browser, on a store in memory.
struct Bot {
    store: SharedStore,
    shop: Arc<Shop>,
    intake: Intake,
    chat: Arc<WebChat>,
    desk: Desk,
    engine: Engine,
    /// When the service fell sick.
    start: Timestamp,
    _stopper: Stopper,
}

impl Bot {
    async fn start(shop: Arc<Shop>, store: SharedStore) -> Self {
        Self::start_with(shop, store, Arc::new(Seer)).await
    }

    async fn start_with(shop: Arc<Shop>, store: SharedStore, explains: Arc<dyn Explains>) -> Self {
        Self::start_allowing(shop, store, explains, Vec::new()).await
    }

    async fn start_allowing(
        shop: Arc<Shop>,
        store: SharedStore,
        explains: Arc<dyn Explains>,
        standing: Vec<StandingPolicy>,
    ) -> Self {
        let clock: SharedClock = SystemClock::shared();
        let start = clock.now() - Duration::from_secs(60);
        let leases = Leases::take_all(&store, &clock, "test").await.unwrap();
        let service = |name: &str| json!({ "name": name, "team": "orders", "channel": "orders" });
        let services = ["order-service", "gateway"].map(|name| serde_json::from_value(service(name)).unwrap());
        let catalog = Arc::new(Catalog::new(services.to_vec()).unwrap());
        let options = incident::Options::default();
        let intake = Intake::new(store.clone(), clock.clone(), catalog.clone(), options.clone());
        let incidents = Incidents::new(store.clone(), clock.clone());
        let incident = incident::Service::new(store.clone(), clock.clone(), leases.clone(), catalog.clone(), options);
        let (library, mistakes) = Library::load(None);
        assert!(mistakes.is_empty(), "{mistakes:?}");
        let library = Arc::new(library);
        let kinds = ["API_Call", "Log_Aggregation", "Service_Restart", "Notification"];
        let actions = kinds.map(|kind| Arc::new(Fake(kind, shop.clone())) as Arc<dyn Action>);
        let audit = Audit::new(store.clone(), clock.clone());
        let engine = Engine::new(Parts {
            store: store.clone(),
            clock: clock.clone(),
            leases: leases.clone(),
            audit: audit.clone(),
            library: library.clone(),
            actions: Registry::new(actions.into()),
            options: playbook::Options::default(),
            standing,
        });
        let heal = heal::Service::new(
            heal::Deps {
                store: store.clone(),
                clock: clock.clone(),
                incidents: Arc::new(incidents.clone()),
                runs: Arc::new(engine.clone()),
                triggers: library.clone(),
                explains,
                catalog: catalog.clone(),
                places: incident::Options::default(),
            },
            heal::Options::default(),
            leases.clone(),
        );
        let chat = Arc::new(WebChat::new(store.clone(), clock.clone(), web::Options::default()));
        let delivery = Delivery::new(vec![chat.clone()], clock.clone(), outbox::Options::default());
        let outbox = Outbox::new(delivery, store.clone(), clock.clone());
        let health = Health::new(
            vec![
                Arc::new(StoreCheck(store.clone())),
                Arc::new(QueuesCheck { store: store.clone(), clock: clock.clone(), queues: QUEUES }),
            ],
            clock.clone(),
        );
        let nothing = schedule::Deps {
            store: store.clone(),
            clock: clock.clone(),
            runs: Arc::new(engine.clone()),
            jobs: schedule::Jobs::new(),
            channel: mayday::chat::ChannelId::web("incidents"),
        };
        let desk = Desk::new(
            command::Deps {
                incidents: Arc::new(StoredIncidents { incidents, catalog: catalog.clone() }),
                runs: Arc::new(engine.clone()),
                plans: Arc::new(engine.clone()),
                playbooks: Arc::new(Versions::new(store.clone(), clock.clone(), audit.clone(), library, None)),
                logs: Arc::new(Seer),
                metrics: Arc::new(Seer),
                causes: heal.investigator(),
                catalog,
                people: Arc::new(Persons::new(&AccessOptions::default()).unwrap()),
                audits: Arc::new(audit),
                schedules: Arc::new(Scheduler::new(nothing, Vec::new()).unwrap()),
                health: Arc::new(health),
                clock: clock.clone(),
            },
            command::Options::default(),
        );
        let (stopper, stop) = Stopper::new();
        tokio::spawn(incident.run(stop.clone()));
        tokio::spawn(heal.run(stop.clone()));
        tokio::spawn(playbook::Service::new(engine.clone()).run(stop.clone()));
        tokio::spawn(serve(outbox.queue(), leases, clock, outbox, stop));
        Self { store, shop, intake, chat, desk, engine, start, _stopper: stopper }
    }

    async fn alert(&self, status: Status) {
        self.alert_of("order-service", status).await;
    }

    async fn alert_of(&self, service: &str, status: Status) {
        self.alert_named("Service_Down", service, status).await;
    }

    async fn alert_named(&self, name: &str, service: &str, status: Status) {
        let fingerprint = Fingerprint(format!("{service}-{name}"));
        let start = self.start;
        let alert = Alert {
            alert_id: AlertId::of("mayday", &fingerprint, start),
            source_system: "mayday".to_owned(),
            alert_name: name.into(),
            severity: Severity::Critical,
            status,
            service_name: service.into(),
            host_ip: None,
            metric_value: None,
            timestamp: start,
            labels: std::collections::BTreeMap::new(),
            description: Tainted::new(format!("{service} answers nothing")),
            metric_value_from: None,
            metric_unit: None,
            fingerprint,
            ended_at: None,
            link: None,
        };
        self.intake.accept_alerts(vec![alert]).await.unwrap();
    }

    async fn say(&self, role: Role, text: &str) -> Reply {
        let inbound = Inbound {
            person: person("ana", role),
            impersonated_by: None,
            channel: None,
            thread: Some("INC-1".to_owned()),
            text: text.to_owned(),
        };
        self.desk.say(inbound).await
    }

    /// The card in the channel as soon as it is as wanted.
    async fn card(&self, what: &str, wanted: impl Fn(&Card) -> bool) -> Card {
        self.card_of("INC-1", what, wanted).await
    }

    async fn card_of(&self, id: &str, what: &str, wanted: impl Fn(&Card) -> bool) -> Card {
        let mut last = None;
        for _ in 0..400 {
            if let Some(message) = self.chat.find("orders", id).await.unwrap()
                && let Content::Card(card) = message.content
            {
                if wanted(&card) {
                    return *card;
                }
                last = Some(card);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the card never came to be {what}; it is {last:#?}");
    }
}

fn approve_button(card: &Card) -> Option<String> {
    let plan = card.plan.as_ref()?;
    plan.buttons.iter().map(|button| &button.command).find(|command| command.starts_with("approve")).cloned()
}

fn sick() -> Arc<Shop> {
    let shop = Arc::new(Shop::default());
    shop.pid.store(4711, Ordering::SeqCst);
    shop
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_is_healed_with_one_press_of_a_button_and_the_card_tells_it_all() {
    let bot = Bot::start(sick(), Memory::shared()).await;
    bot.alert(Status::Firing).await;
    let card = bot.card("proposing a restart", |card| approve_button(card).is_some()).await;
    let plan = card.plan.clone().unwrap();
    assert_eq!(plan.heading, "Proposed: restart order-service");
    assert_eq!(plan.diff, ["process order-service   pid  4711 → a new one"]);
    assert_eq!(plan.buttons[0].label, "Restart order-service");
    assert!(plan.footer.unwrap().starts_with("Needs one approver of team orders. Valid until "));
    bot.card("naming the cause", |card| {
        card.sections.iter().flat_map(|section| &section.lines).any(|line| line.text.contains("hangs since 14:02"))
    })
    .await;

    let press = approve_button(&card).unwrap();
    let refused = bot.say(Role::Responder, &press).await;
    assert!(!refused.ok && refused.text.contains("needs the role approver"), "{}", refused.text);
    assert_eq!(bot.shop.restarts.load(Ordering::SeqCst), 0, "nothing happens without a right");
    let approved = bot.say(Role::Approver, &press).await;
    assert!(approved.ok, "{}", approved.text);
    let card = bot.card("mitigated", |card| card.state == "mitigated").await;
    let plan = card.plan.unwrap();
    assert!(plan.heading.starts_with("Fixed and verified: "), "{}", plan.heading);
    assert!(
        plan.steps.iter().any(|step| step.name == "Restart the service" && step.state == "done"),
        "{:?}",
        plan.steps
    );
    assert!(plan.buttons.is_empty());
    assert_eq!(bot.shop.restarts.load(Ordering::SeqCst), 1);

    let again = bot.say(Role::Approver, &press).await;
    assert!(!again.ok, "{}", again.text);
    assert_eq!(bot.shop.restarts.load(Ordering::SeqCst), 1, "the second press does nothing");

    bot.alert(Status::Resolved).await;
    let card = bot.card("over", |card| card.over).await;
    assert!(card.notes.iter().any(|note| note.contains("MTTR")), "{:?}", card.notes);
    assert!(card.plan.is_some_and(|plan| plan.buttons.is_empty()), "nothing is left to press");

    let timeline = bot.say(Role::Viewer, "timeline").await.text;
    for part in ["RUN-1", "fixed", "hangs since", "ana: RUN-1 (PB-Service-Restart): approved by ana."] {
        assert!(timeline.contains(part), "{part} is missing in {timeline}");
    }
    let why = bot.say(Role::Viewer, "why").await.text;
    assert!(why.contains("Likely cause: order-service hangs since 14:02 (confidence 0.90) [E1]"), "{why}");
    assert!(bot.say(Role::Viewer, "health").await.text.starts_with("Mayday is well."));
    let audit = Audit::new(bot.store.clone(), SystemClock::shared()).list(None, 50).await.unwrap();
    let actions: Vec<&str> = audit.records.iter().map(|record| record.action.as_str()).collect();
    assert!(actions.contains(&"approve"), "{actions:?}");
    let approved = audit.records.iter().find(|record| record.action == "approve").unwrap();
    assert_eq!(approved.actor, Some(mayday::access::Actor::Person(PersonId("web:ana".to_owned()))));
    assert_eq!(approved.subject, "RUN-1");
    bot.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_people_allowed_in_advance_is_healed_without_a_press_and_the_card_says_why() {
    let limits = Limits {
        max_risk: Risk::Disruptive,
        playbooks: vec!["PB-Service-Restart".to_owned()],
        services: vec!["order-service".to_owned()],
        per_day: 1,
    };
    let policy = StandingPolicy { id: "restart-orders".to_owned(), limits };
    let bot = Bot::start_allowing(sick(), Memory::shared(), Arc::new(Seer), vec![policy]).await;
    bot.alert(Status::Firing).await;
    let card = bot.card("mitigated", |card| card.state == "mitigated").await;
    assert_eq!(bot.shop.restarts.load(Ordering::SeqCst), 1);
    let plan = card.plan.unwrap();
    assert!(plan.heading.starts_with("Fixed and verified: "), "{}", plan.heading);
    let footer = plan.footer.unwrap();
    assert!(footer.contains("Allowed by the standing policy restart-orders."), "{footer}");
    let timeline = bot.say(Role::Viewer, "timeline").await.text;
    assert!(
        timeline.contains("RUN-1 (PB-Service-Restart): allowed by the standing policy restart-orders."),
        "{timeline}"
    );
    bot.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bot_that_dies_between_proposal_and_approval_goes_on_with_the_same_plan() {
    let (shop, store) = (sick(), Memory::shared());
    let first = Bot::start(shop.clone(), store.clone()).await;
    first.alert(Status::Firing).await;
    let card = first.card("proposing a restart", |card| approve_button(card).is_some()).await;
    let press = approve_button(&card).unwrap();
    first.engine.stop().await;
    drop(first);

    // The new process takes the leases over; what the old one still tried would conflict.
    let second = Bot::start(shop, store).await;
    let mut approved = second.say(Role::Approver, &press).await;
    for _ in 0..100 {
        if approved.ok {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        approved = second.say(Role::Approver, &press).await;
    }
    assert!(approved.ok, "{}", approved.text);
    second.card("mitigated", |card| card.state == "mitigated").await;
    assert_eq!(second.shop.restarts.load(Ordering::SeqCst), 1);
    let runs = second.say(Role::Viewer, "runs").await;
    assert_eq!(runs.data["runs"].as_array().map(Vec::len), Some(1), "{}", runs.text);
    second.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_run_fixed_does_not_hide_another_alert_that_still_fires() {
    let bot = Bot::start(sick(), Memory::shared()).await;
    bot.alert(Status::Firing).await;
    bot.alert_named("Queue_Stuck", "order-service", Status::Firing).await;
    let card = bot.card("proposing a restart", |card| approve_button(card).is_some()).await;
    let approved = bot.say(Role::Approver, &approve_button(&card).unwrap()).await;
    assert!(approved.ok, "{}", approved.text);
    let fixed = |card: &Card| card.plan.as_ref().is_some_and(|plan| plan.heading.starts_with("Fixed and verified: "));
    let card = bot.card("fixed", fixed).await;
    assert_eq!(card.state, "triggered", "{}", card.title);
    let told = bot.say(Role::Viewer, "timeline").await.text;
    assert!(told.contains("RUN-1 fixed Service Down; Queue Stuck still fires."), "{told}");
    bot.alert_named("Queue_Stuck", "order-service", Status::Resolved).await;
    bot.card("mitigated", |card| card.state == "mitigated").await;
    bot.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejected_plan_changes_nothing_and_is_not_proposed_again() {
    let bot = Bot::start(sick(), Memory::shared()).await;
    bot.alert(Status::Firing).await;
    let card = bot.card("proposing a restart", |card| approve_button(card).is_some()).await;
    let reject = &card.plan.unwrap().buttons[1];
    assert!(reject.ask.is_some());
    let said = bot.say(Role::Approver, &format!("{} not during the sale", reject.command)).await;
    assert!(said.ok, "{}", said.text);
    let card =
        bot.card("rejected", |card| card.plan.as_ref().is_some_and(|plan| plan.heading.starts_with("Rejected"))).await;
    assert!(card.plan.unwrap().footer.unwrap().contains("not during the sale"));
    assert_eq!(bot.shop.restarts.load(Ordering::SeqCst), 0);
    bot.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_without_an_incident_has_a_card_where_its_service_is_spoken_of_and_is_approved_there() {
    let bot = Bot::start(sick(), Memory::shared()).await;
    let scheduled = playbook::ProposeRequest {
        playbook: "PB-Service-Restart".to_owned(),
        parameters: [("service".to_owned(), json!("order-service"))].into(),
        incident: None,
        alert: None,
        by: mayday::access::Actor::Mayday("schedule nightly".to_owned()),
        key: "schedule/nightly/2026-11-21T01:30:00Z".to_owned(),
    };
    playbook::Runs::propose(&bot.engine, scheduled).await.unwrap();
    let card = bot.card_of("RUN-1", "asking", |card| approve_button(card).is_some()).await;
    assert!(card.title.ends_with(": order-service"), "{}", card.title);
    assert_eq!(
        (card.over, card.subtitle.as_deref()),
        (false, Some("Proposed by the schedule nightly, for no incident."))
    );
    let plan = card.plan.as_ref().unwrap();
    assert!(plan.notes.iter().any(|note| note == "verified by: See that it answers again"), "{:?}", plan.notes);
    let approved = bot.say(Role::Approver, &approve_button(&card).unwrap()).await;
    assert!(approved.ok, "{}", approved.text);
    let over = bot.card_of("RUN-1", "over", |card| card.over).await;
    assert_eq!(over.state, "fixed");
    assert!(approve_button(&over).is_none());
    bot.engine.stop().await;
}

#[tokio::test]
async fn one_fault_is_one_card_that_asks_and_the_others_say_whose_consequence_they_are() {
    let bot = Bot::start(sick(), Memory::shared()).await;
    bot.alert_of("gateway", Status::Firing).await;
    let folded =
        |card: &Card| card.subtitle.as_deref().is_some_and(|text| text.starts_with("Suffers from INC-2 order-service"));
    bot.card_of("INC-1", "a card with a plan, as long as the cause has none", |card| approve_button(card).is_some())
        .await;
    bot.alert_of("order-service", Status::Firing).await;
    let gateway =
        bot.card_of("INC-1", "folded, without its proposal", |card| folded(card) && card.plan.is_none()).await;
    assert!(gateway.title.starts_with("gateway: Service Down since "), "{}", gateway.title);
    let listed = |card: &Card| {
        let lines = || card.sections.iter().flat_map(|section| &section.lines);
        lines().any(|line| line.lead.as_deref() == Some("Suffer from it:") && line.text == "gateway (INC-1)")
    };
    let cause =
        bot.card_of("INC-2", "the one card that asks", |card| approve_button(card).is_some() && listed(card)).await;
    assert!(!folded(&cause));
    assert!(bot.say(Role::Viewer, "incidents").await.text.contains("suffers from INC-2"));
    // Its own record and timeline stay, and it ends by its own alert.
    bot.alert_of("gateway", Status::Resolved).await;
    let over = bot.card_of("INC-1", "over by itself", |card| card.over).await;
    assert!(over.subtitle.unwrap().starts_with("Suffered from INC-2 order-service"));
    let told = bot.say(Role::Viewer, "timeline INC-1").await.text;
    assert!(told.contains("Suffers from INC-2 order-service") && told.contains("Resolved"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_blame_each_other_at_the_same_moment_one_asks() {
    let accusers = Accusers(tokio::sync::Barrier::new(2), AtomicU32::new(0));
    let bot = Bot::start_with(sick(), Memory::shared(), Arc::new(accusers)).await;
    bot.alert_of("gateway", Status::Firing).await;
    bot.alert_of("order-service", Status::Firing).await;
    let folded = |card: &Card| card.subtitle.as_deref().is_some_and(|text| text.starts_with("Suffers from INC-"));
    let mut asking = 0;
    for _ in 0..40 {
        tokio::time::sleep(Duration::from_millis(250)).await;
        let (first, second) =
            (bot.card_of("INC-1", "there", |_| true).await, bot.card_of("INC-2", "there", |_| true).await);
        // It must stay so until long after the first look for circles.
        let settled = folded(&first) != folded(&second);
        let one = if folded(&first) { second } else { first };
        asking = if settled && approve_button(&one).is_some() { asking + 1 } else { 0 };
        if asking > 16 {
            break;
        }
    }
    assert!(asking > 16, "exactly one of the two asks");
    bot.engine.stop().await;
}
