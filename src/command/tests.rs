//! Commands as behaviour, with the rooms below played by small fakes.

#[path = "tests/answers.rs"]
mod answers;

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::ports::{
    Audits, Causes, Healths, Incidents, ParameterBrief, People, Plans, PlaybookBrief, Playbooks, Said, Schedules,
    TaskBrief,
};
use super::*;
use crate::access::{Actor, PersonId, Role};
use crate::alert::{Alert, Severity};
use crate::catalog::{Catalog, Service};
use crate::chat::ChannelId;
use crate::core::clock::ManualClock;
use crate::core::{IncidentId, RunId, Timestamp};
use crate::heal::Explained;
use crate::heal::tests::{SEVEN, alert, at, explained, incident, view, waiting};
use crate::incident::{Act, Incident, Moment, Phase};
use crate::ops::health::{Part, Report, State};
use crate::playbook::action::{Change, Planned};
use crate::playbook::engine::{Preview, Would};
use crate::playbook::model::Risk;
use crate::playbook::versions::{History, Pin, Version};
use crate::playbook::view::{Decided, Order, RunOutcome};
use crate::playbook::{self, ProposeRequest, Proposed, RunState, RunView};
use crate::source::{LogLine, LogPage, LogQuery, Logs, MetricQuery, Metrics, Series};

#[derive(Default)]
struct World {
    acts: Mutex<Vec<(Actor, Act)>>,
    orders: Mutex<Vec<(RunId, Order, PersonId)>>,
    proposed: Mutex<Vec<ProposeRequest>>,
    audits: Mutex<Vec<Said>>,
    queries: Mutex<Vec<LogQuery>>,
    audit_is_ill: std::sync::atomic::AtomicBool,
    /// What is listed and found instead of the one known incident.
    others: Mutex<Vec<Incident>>,
}

impl Incidents for World {
    fn get(&self, id: IncidentId) -> BoxFuture<'_, Result<Option<Incident>, No>> {
        let other = self.others.lock().unwrap().iter().find(|other| other.id == id).cloned();
        Box::pin(async move { Ok(other.or_else(|| (id == SEVEN).then(known))) })
    }
    fn list(&self, _: bool, limit: usize) -> BoxFuture<'_, Result<Vec<Incident>, No>> {
        let others = self.others.lock().unwrap().iter().take(limit).cloned().collect::<Vec<_>>();
        Box::pin(async { Ok(if others.is_empty() { vec![known()] } else { others }) })
    }
    fn timeline(&self, _: IncidentId, _: usize) -> BoxFuture<'_, Result<Vec<Moment>, No>> {
        let moment = |second, by, says: &str| Moment { at: at(second), by, says: says.to_owned() };
        let moments = vec![
            moment(1, Actor::Mayday("incident".to_owned()), "opened by Service_Down"),
            moment(9, Actor::Person(PersonId("web:ana".to_owned())), "acknowledged"),
        ];
        Box::pin(std::future::ready(Ok(moments)))
    }
    fn act(&self, _: IncidentId, by: Actor, act: Act) -> BoxFuture<'_, Result<Incident, No>> {
        assert!(!self.audits.lock().unwrap().is_empty(), "the audit comes first");
        self.acts.lock().unwrap().push((by, act));
        Box::pin(std::future::ready(Ok(known())))
    }
    fn newest_alert<'a>(&'a self, incident: &'a Incident) -> BoxFuture<'a, Result<Option<Alert>, No>> {
        Box::pin(std::future::ready(Ok(incident.latest_alerts.first().map(alert))))
    }
    fn card(&self, incident: &Incident, _: Timestamp) -> Card {
        Card { id: incident.id.to_string(), ..Card::default() }
    }
}

impl Runs for World {
    fn propose(&self, request: ProposeRequest) -> BoxFuture<'_, Result<Proposed, playbook::Error>> {
        let mut proposed = self.proposed.lock().unwrap();
        let before = proposed.iter().position(|before| before.key == request.key);
        let answer = match before {
            Some(_) => Proposed::Already(RunId::new(3)),
            None => Proposed::New(RunId::new(3)),
        };
        proposed.push(request);
        Box::pin(std::future::ready(Ok(answer)))
    }
    fn order<'a>(
        &'a self,
        run: RunId,
        order: Order,
        person: &'a Person,
    ) -> BoxFuture<'a, Result<Decided, playbook::Error>> {
        let mut orders = self.orders.lock().unwrap();
        let decided = if orders.is_empty() {
            Decided::Done("RUN-3 goes on.".to_owned())
        } else {
            Decided::Nothing("RUN-3 was approved by Ana already.".to_owned())
        };
        orders.push((run, order, person.id.clone()));
        Box::pin(std::future::ready(Ok(decided)))
    }
    fn withdraw(&self, _: RunId, _: String) -> BoxFuture<'_, Result<Decided, playbook::Error>> {
        Box::pin(async { Ok(Decided::Nothing(String::new())) })
    }
    fn get(&self, run: RunId) -> BoxFuture<'_, Result<Option<RunView>, playbook::Error>> {
        Box::pin(std::future::ready(Ok((run == RunId::new(3)).then(waiting))))
    }
    fn list(&self, _: Option<RunId>, _: usize) -> BoxFuture<'_, Result<Vec<RunView>, playbook::Error>> {
        Box::pin(std::future::ready(Ok(vec![view(RunState::Ended, Some(RunOutcome::Fixed))])))
    }
}

impl Playbooks for World {
    fn history<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<History, No>> {
        let version = |number| Version {
            number,
            digest: format!("d{number}"),
            shown: format!("1.{number}"),
            file: "own.yaml".to_owned(),
            at: Timestamp::UNIX_EPOCH,
        };
        let pin =
            Pin { number: 1, digest: "d1".to_owned(), by: Actor::Mayday("ana".to_owned()), at: Timestamp::UNIX_EPOCH };
        Box::pin(async move { Ok(History { versions: vec![version(1), version(2)], pin: Some(pin) }) })
    }
    fn diff<'a>(&'a self, _: &'a str, from: u32, to: u32) -> BoxFuture<'a, Result<String, No>> {
        Box::pin(async move { Ok(format!("- {from}\n+ {to}\n")) })
    }
    fn choose<'a>(&'a self, id: &'a str, version: Option<u32>, _: Actor) -> BoxFuture<'a, Result<Version, No>> {
        Box::pin(async move {
            let mut versions = Playbooks::history(self, id).await?.versions;
            Ok(versions.remove(version.map_or(1, |version| version as usize - 1)))
        })
    }
    fn all(&self) -> Vec<PlaybookBrief> {
        vec![PlaybookBrief {
            id: "PB-Restart".to_owned(),
            name: "Restart a hung service".to_owned(),
            description: String::new(),
            version: "1".to_owned(),
            triggers: vec!["Service_Down of any service".to_owned()],
            parameters: [("service", "name"), ("count", "integer"), ("dry", "boolean")]
                .map(|(name, kind)| ParameterBrief {
                    name: name.to_owned(),
                    kind: kind.to_owned(),
                    default: None,
                    says: String::new(),
                    names_service: name == "service",
                })
                .into(),
            tasks: vec![TaskBrief {
                id: "restart".to_owned(),
                name: "Restart it".to_owned(),
                kind: "Service_Restart".to_owned(),
                risk: "disruptive".to_owned(),
            }],
        }]
    }
    fn resolve(
        &self,
        _: &str,
        given: &BTreeMap<String, String>,
        _: Option<&Alert>,
    ) -> Result<BTreeMap<String, String>, String> {
        if given.contains_key("service") {
            Ok(given.clone())
        } else {
            Err("PB-Restart needs the parameter `service`".to_owned())
        }
    }
}

impl Plans for World {
    fn preview<'a>(
        &'a self,
        _: &'a str,
        _: &'a BTreeMap<String, String>,
        _: Option<&'a Alert>,
    ) -> BoxFuture<'a, Result<Vec<Preview>, No>> {
        let planned = Planned {
            object: "gateway".to_owned(),
            changes: vec![Change {
                field: "pid".to_owned(),
                before: "100\n  forged".to_owned(),
                after: "another".to_owned(),
            }],
            target: json!({}),
            radius: "restarts 1 process".to_owned(),
            undo: None,
            details: vec!["token=abcdefghijklmnop1234".to_owned()],
        };
        let preview = |would| Preview {
            task: "restart".to_owned(),
            name: "Restart it".to_owned(),
            kind: "Service_Restart".to_owned(),
            risk: Risk::Disruptive,
            people: 1,
            policy: None,
            undoes: false,
            conditions: vec!["{{ state.hung }}".to_owned()],
            would,
        };
        let later = preview(Would::Later("`state` is not known".to_owned()));
        Box::pin(async move { Ok(vec![preview(Would::Change(Box::new(planned))), later]) })
    }
}

impl Logs for World {
    fn search<'a>(&'a self, query: &'a LogQuery) -> BoxFuture<'a, Result<LogPage, crate::source::Error>> {
        self.queries.lock().unwrap().push(query.clone());
        let line = LogLine { at: at(30), level: Some("ERROR".to_owned()), text: "pool\u{7} exhausted".into() };
        Box::pin(std::future::ready(Ok(LogPage {
            lines: vec![line],
            total: 1_204,
            matched: 12,
            errors: 3,
            truncated: false,
        })))
    }
}

impl Metrics for World {
    fn range<'a>(&'a self, query: &'a MetricQuery) -> BoxFuture<'a, Result<Vec<Series>, crate::source::Error>> {
        let answer = match query.expr.as_str() {
            "nothing" => Ok(Vec::new()),
            "rate(" => Err(crate::source::Error::BadQuery("a parenthesis is open".to_owned())),
            name => {
                let labels = BTreeMap::from([("__name__".to_owned(), name.to_owned())]);
                Ok(vec![Series { labels, points: vec![(at(0), 1.0), (at(10), 3.0)] }])
            }
        };
        Box::pin(std::future::ready(answer))
    }
}

impl Causes for World {
    fn look<'a>(&'a self, _: &'a Incident) -> BoxFuture<'a, Result<Explained, No>> {
        // As a target's answer may have it.
        let mut found = explained("It answers nothing.");
        found.not_seen = vec!["traces: \u{202e}no source".to_owned()];
        found.evidence[0].query.push('\u{2066}');
        Box::pin(std::future::ready(Ok(found)))
    }
}

impl People for World {
    fn find(&self, name: &str) -> Option<Person> {
        let is = |person: &Person| person.name.eq_ignore_ascii_case(name) || person.id.0.ends_with(&format!(":{name}"));
        People::all(self).into_iter().find(|person| is(person) || person.id.0 == name)
    }
    fn all(&self) -> Vec<Person> {
        vec![person("ana", Role::Approver), person("vic", Role::Viewer)]
    }
}

impl Audits for World {
    fn record(&self, said: Said) -> BoxFuture<'_, Result<(), String>> {
        let ill = self.audit_is_ill.load(std::sync::atomic::Ordering::Relaxed);
        if !ill {
            self.audits.lock().unwrap().push(said);
        }
        Box::pin(std::future::ready(if ill { Err("disk full".to_owned()) } else { Ok(()) }))
    }
}

impl Schedules for World {
    fn list(&self) -> BoxFuture<'_, Result<Vec<crate::ops::schedule::Listed>, No>> {
        let listed = crate::ops::schedule::Listed {
            id: "nightly".to_owned(),
            what: "PB-Disk-Cleanup".to_owned(),
            cron: "30 2 * * *".to_owned(),
            zone: "Europe/Berlin".to_owned(),
            missed: "skip",
            next: vec![at(3_600)],
            next_local: vec!["2026-11-22 02:30 +01:00".to_owned()],
            last: None,
        };
        Box::pin(std::future::ready(Ok(vec![listed])))
    }
}

impl Healths for World {
    fn report(&self) -> BoxFuture<'_, Report> {
        let part = Part::new("store", State::Well, "answers in 1 ms");
        Box::pin(std::future::ready(Report { state: State::Well, parts: vec![part], at: at(0) }))
    }
}

fn known() -> Incident {
    Incident { findings: explained("It hangs.").findings, phase: Phase::Acknowledged, ..incident() }
}

fn person(name: &str, role: Role) -> Person {
    let capital = crate::core::message::heal::upper_first(name);
    Person { id: PersonId(format!("web:{name}")), name: capital, role, teams: Vec::new() }
}

fn service(name: &str, depends_on: &[&str]) -> Service {
    let value = json!({ "name": name, "team": "orders", "depends_on": depends_on });
    serde_json::from_value(value).unwrap()
}

fn desk() -> (Desk, Arc<World>) {
    let world = Arc::new(World::default());
    let catalog =
        Catalog::new(vec![service("gateway", &["order-service"]), service("order-service", &["inventory-service"])]);
    let deps = Deps {
        incidents: world.clone(),
        runs: world.clone(),
        playbooks: world.clone(),
        plans: world.clone(),
        logs: world.clone(),
        metrics: world.clone(),
        causes: world.clone(),
        catalog: Arc::new(catalog.unwrap()),
        people: world.clone(),
        audits: world.clone(),
        schedules: world.clone(),
        health: world.clone(),
        clock: Arc::new(ManualClock::at(at(60))),
    };
    (Desk::new(deps, Options::default()), world)
}

fn inbound(person: Person, text: &str) -> Inbound {
    let channel = Some(ChannelId::web("orders"));
    Inbound { person, impersonated_by: None, channel, thread: None, text: text.to_owned() }
}

async fn ana(desk: &Desk, text: &str) -> Reply {
    desk.say(inbound(person("ana", Role::Approver), text)).await
}

#[tokio::test]
async fn every_command_of_the_grammar_is_carried_out_or_stands_in_the_table_of_those_to_come() {
    let (desk, _) = desk();
    for verb in Verb::all() {
        let line = verb.spec().example.replace("PB-Disk-Cleanup", "PB-Restart");
        let reply = desk.say(inbound(person("root", Role::Admin), &line)).await;
        assert!(!reply.text.contains(UNHANDLED), "{line}");
        let missing = reply.data["error"] == "not_there_yet";
        assert_eq!(missing, missing::is_missing(verb), "{line}: {}", reply.text);
        if !missing && verb != Verb::Answer {
            assert!(reply.data["error"].is_null(), "{line}: {}", reply.text);
            assert!(!reply.data.is_null(), "{line} has nothing for --json");
        }
    }
}

#[tokio::test]
async fn help_shows_what_this_person_may_do_and_refusals_name_the_role() {
    let (desk, world) = desk();
    let vic = |text: &str| desk.say(inbound(person("vic", Role::Viewer), text));
    let help = vic("help").await.text;
    assert!(help.contains("incidents [open|all]") && !help.contains("approve") && !help.contains("forecast"), "{help}");
    assert!(ana(&desk, "help").await.text.contains("approve <RUN-3>"));
    let refused = vic("approve RUN-3").await;
    assert!(!refused.ok);
    assert!(refused.text.contains("the role approver; you are viewer"), "{}", refused.text);
    assert!(world.audits.lock().unwrap().is_empty() && world.orders.lock().unwrap().is_empty());
    let one = vic("help silence").await.text;
    assert!(one.contains("usage: silence") && one.contains("can't do it yet"), "{one}");
    let completions = desk.complete(&person("vic", Role::Viewer), "ap", 9).await;
    assert!(completions.is_empty());
}

#[tokio::test]
async fn versions_are_read_by_everybody_and_chosen_by_admins() {
    let (desk, _) = desk();
    let say = |role, text: &'static str| desk.say(inbound(person("vic", role), text));
    let history = say(Role::Viewer, "playbooks PB-Restart history").await;
    assert!(history.text.contains("1.1") && history.text.contains("in force"), "{}", history.text);
    assert_eq!(history.data["versions"].as_array().unwrap().len(), 2);
    let changed = say(Role::Viewer, "playbooks PB-Restart diff").await.text;
    assert_eq!(changed, "PB-Restart: version 1 → 2\n- 1\n+ 2\n");
    let refused = say(Role::Approver, "playbooks PB-Restart use 1").await;
    assert!(!refused.ok && refused.text.contains("the role admin"), "{}", refused.text);
    let chosen = say(Role::Admin, "playbooks PB-Restart use 1").await;
    assert!(chosen.ok && chosen.text.contains("version 1 is in force now"), "{}", chosen.text);
}

#[tokio::test]
async fn a_change_is_audited_before_it_is_done_with_who_acted_as_whom() {
    let (desk, world) = desk();
    let mut said = inbound(person("ana", Role::Approver), "ack INC-7");
    said.impersonated_by = Some(person("root", Role::Admin));
    let reply = desk.say(said).await;
    assert_eq!((reply.ok, reply.text.as_str()), (true, "INC-7 acknowledged by Ana."));
    let by = Actor::Impersonated { admin: PersonId("web:root".to_owned()), person: PersonId("web:ana".to_owned()) };
    assert_eq!(*world.acts.lock().unwrap(), [(by.clone(), Act::Acknowledge)]);
    assert_eq!(
        *world.audits.lock().unwrap(),
        [Said {
            by,
            verb: "ack",
            subject: "INC-7".to_owned(),
            line: "ack INC-7".to_owned(),
            place: Some("web:orders".to_owned()),
        }]
    );
}

#[tokio::test]
async fn an_admin_decides_as_themself_and_never_as_someone_else_whose_vote_would_count_beside_theirs() {
    let (desk, world) = desk();
    for name in ["ana", "bob"] {
        for line in ["approve RUN-3", "reject RUN-3 too risky", "answer RUN-3 --task check done"] {
            let mut said = inbound(person(name, Role::Approver), line);
            said.impersonated_by = Some(person("admin", Role::Admin));
            let reply = desk.say(said).await;
            assert_eq!((reply.ok, reply.data["error"].as_str()), (false, Some("refused")), "{line}: {}", reply.text);
            assert!(reply.text.contains("Sign in as yourself"), "{}", reply.text);
        }
    }
    assert!(world.orders.lock().unwrap().is_empty(), "nobody's vote was given by another");
    assert!(world.audits.lock().unwrap().is_empty());
    assert!(desk.say(inbound(person("admin", Role::Admin), "approve RUN-3")).await.ok);
    let orders = world.orders.lock().unwrap();
    assert_eq!(orders.iter().map(|(_, _, by)| by.0.as_str()).collect::<Vec<_>>(), ["web:admin"]);
}

#[tokio::test]
async fn what_can_not_be_audited_is_not_done() {
    let (desk, world) = desk();
    world.audit_is_ill.store(true, std::sync::atomic::Ordering::Relaxed);
    for line in ["ack INC-7", "approve RUN-3", "run PB-Restart service=gateway", "resolve 7"] {
        let reply = ana(&desk, line).await;
        assert!(!reply.ok && reply.text.contains("disk full"), "{line}: {}", reply.text);
    }
    assert!(world.acts.lock().unwrap().is_empty());
    assert!(world.orders.lock().unwrap().is_empty() && world.proposed.lock().unwrap().is_empty());
}

#[tokio::test]
async fn in_a_thread_the_incident_may_be_left_out_and_elsewhere_it_is_asked_for() {
    let (desk, world) = desk();
    let mut said = inbound(person("ana", Role::Approver), "severity Warning");
    said.thread = Some("INC-7/finding".to_owned());
    assert_eq!(desk.say(said).await.text, "INC-7 is Warning now; alerts no longer change that.");
    assert_eq!(world.acts.lock().unwrap()[0].1, Act::SetSeverity { severity: Severity::Warning });
    let asked = ana(&desk, "resolve").await;
    assert!(
        !asked.ok && asked.text.contains("`resolve INC-7`") && asked.text.contains("Open: INC-7."),
        "{}",
        asked.text
    );
    let unknown = ana(&desk, "show INC-77").await;
    assert_eq!(unknown.text, "There is no INC-77. Did you mean `INC-7`?");
}

#[tokio::test]
async fn a_person_is_found_by_name_and_a_slip_is_helped() {
    let (desk, world) = desk();
    assert_eq!(ana(&desk, "assign INC-7 @vic").await.text, "INC-7 is led by Vic now.");
    assert_eq!(ana(&desk, "assign INC-7 me").await.text, "INC-7 is led by Ana now.");
    let Act::Assign { to } = world.acts.lock().unwrap()[1].1.clone() else { panic!() };
    assert_eq!(to.0, "web:ana");
    assert_eq!(ana(&desk, "assign INC-7 @anna").await.text, "Nobody here is called `anna`. Did you mean `Ana`?");
}

#[tokio::test]
async fn who_leaves_the_person_out_is_told_who_there_is() {
    let (desk, _) = desk();
    let reply = ana(&desk, "assign INC-7").await;
    assert!(!reply.ok);
    let last = reply.text.lines().last().unwrap();
    assert!(last.starts_with("People here: @") && last.contains("@ana") && last.ends_with(", me."), "{}", reply.text);
    assert!(!last.contains("@vic"), "a viewer leads nothing: {last}");
}

#[tokio::test]
async fn a_rejection_says_why() {
    let (desk, world) = desk();
    for line in ["reject RUN-3", "reject RUN-3 --plan 9f86d081"] {
        let asked = ana(&desk, line).await;
        assert!(!asked.ok && asked.text.contains("`reject RUN-3 <reason>`"), "{}", asked.text);
    }
    assert!(world.orders.lock().unwrap().is_empty() && world.audits.lock().unwrap().is_empty());
    ana(&desk, "reject RUN-3 not during the sale").await;
    assert_eq!(world.orders.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_parameter_that_names_no_service_is_refused_at_the_door() {
    let (desk, world) = desk();
    for verb in ["plan", "run"] {
        let refused = ana(&desk, &format!("{verb} PB-Restart service=ordr-service")).await;
        let says = "`ordr-service` is no service of the catalogue. Did you mean `order-service`?";
        assert_eq!((refused.ok, refused.text.as_str()), (false, says), "{verb}");
    }
    assert!(world.proposed.lock().unwrap().is_empty() && world.audits.lock().unwrap().is_empty());
    let (library, mistakes) = crate::playbook::Library::load(None);
    assert!(mistakes.is_empty());
    for id in ["PB-Service-Restart", "PB-Disk-Cleanup"] {
        let shipped = wire::brief(&library.get(id).unwrap());
        let services = shipped.parameters.iter().filter(|parameter| parameter.names_service);
        assert_eq!(services.map(|parameter| parameter.name.as_str()).collect::<Vec<_>>(), ["service"], "{id}");
    }
}

#[tokio::test]
async fn helps_columns_stand_under_each_other() {
    let (desk, _) = desk();
    let help = desk.say(inbound(person("root", Role::Admin), "help")).await.text;
    let explained = |line: &str| Verb::all().any(|verb| line.ends_with(&verb.spec().about()));
    let columns: std::collections::BTreeSet<usize> = help
        .lines()
        .filter(|line| line.starts_with("  ") && explained(line))
        .map(|line| {
            Verb::all().find_map(|verb| line.strip_suffix(verb.spec().about().as_str())).unwrap().chars().count()
        })
        .collect();
    assert_eq!(columns.len(), 1, "{help}");
}

#[tokio::test]
async fn a_line_that_is_no_command_is_answered_with_its_place() {
    let (desk, _) = desk();
    let reply = ana(&desk, "shwo INC-7").await;
    assert_eq!((reply.ok, reply.data["near"].as_str()), (false, Some("show")));
    assert!(reply.text.contains("\n  shwo INC-7\n  ^^^^"), "{}", reply.text);
}

#[tokio::test]
async fn a_plan_says_what_would_change_and_what_only_the_run_can_plan() {
    let (desk, _) = desk();
    let told = ana(&desk, "plan PB-Restart service=gateway").await;
    assert!(told.ok, "{}", told.text);
    let expected = [
        "1. Restart it  Service_Restart · disruptive, one person approves",
        "only if `state.hung`",
        "→ another",
        "restarts 1 process · can't be undone",
        "planned in the run: `state` is not known",
    ];
    for words in expected {
        assert!(told.text.contains(words), "{words}\n{}", told.text);
    }
    // What systems answer can't forge a line, nor show a secret.
    assert!(!told.text.lines().any(|line| line.trim() == "forged → another"), "{}", told.text);
    assert!(!told.text.contains("abcdefghijklmnop1234"), "{}", told.text);
    assert!(!told.data.to_string().contains("abcdefghijklmnop1234"), "{}", told.data);
    assert_eq!(told.data["tasks"][0]["change"]["object"], "gateway");
}
