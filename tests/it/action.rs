//! The executors as the engine gets them: the right set, under declared names, and every mistake in their options at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mayday::action::{self, Deps, Options, ProcessControl};
use mayday::catalog::{Catalog, Service};
use mayday::core::clock::{Clock as _, SystemClock};
use mayday::core::stop::Stopper;
use mayday::core::{Actor, BoxFuture, RunId};
use mayday::playbook::action::{Action, Context, Intent, Perform, Probe, Settle};
use mayday::playbook::tasks;
use mayday::source::{self, LogPage, LogQuery, Logs, MetricQuery, Metrics, Series};
use mayday::store::memory::Memory;
use mayday::watch::options::LogOptions;
use mayday::watch::process::{Error, Identity};
use mayday::watch::{Supervisor, Tails};
use rustix::process::{Pid, Signal, kill_process};

struct Nothing;
impl Logs for Nothing {
    fn search<'a>(&'a self, _: &'a LogQuery) -> BoxFuture<'a, Result<LogPage, source::Error>> {
        Box::pin(std::future::ready(Ok(LogPage::default())))
    }
}
impl Metrics for Nothing {
    fn range<'a>(&'a self, _: &'a MetricQuery) -> BoxFuture<'a, Result<Vec<Series>, source::Error>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }
}

fn deps(options: Options, services: Vec<Service>) -> Deps {
    Deps {
        catalog: Arc::new(Catalog::new(services).unwrap()),
        logs: Arc::new(Nothing),
        metrics: Arc::new(Nothing),
        processes: None,
        mail: None,
        store: Memory::shared(),
        clock: SystemClock::shared(),
        machine: None,
        own_listener: None,
        options,
    }
}

#[test]
fn every_executor_carries_out_a_declared_task_type_and_none_twice() {
    let actions = action::all(&deps(Options::default(), vec![])).unwrap();
    let mut kinds: Vec<&str> = actions.iter().map(|action| action.kind()).collect();
    assert!(kinds.iter().all(|kind| tasks::find(kind).is_some()), "{kinds:?}");
    kinds.sort_unstable();
    let wanted = [
        "API_Call",
        "Ask_Human",
        "Disk_Cleanup",
        "Log_Aggregation",
        "Metric_Query",
        "Notification",
        "Run_Command",
        "Service_Restart",
        "Wait",
    ];
    assert_eq!(kinds, wanted);
}

#[test]
fn every_mistake_in_the_options_and_the_catalogue_is_named_at_once() {
    let options: Options = serde_json::from_value(serde_json::json!({
        "default_api": "not a url",
        "api_hosts": ["*"],
        "commands": [{"name": "ps", "path": "ps"}],
    }))
    .unwrap();
    let service: Service = serde_json::from_value(serde_json::json!({
        "name": "x",
        "team": "t",
        "restart": {"program": ["systemctl", "restart", "x"]},
        "cleanup": [{"path": "/", "patterns": ["*"]}],
    }))
    .unwrap();
    let wrong = action::all(&deps(options, vec![service])).err().unwrap();
    assert_eq!(wrong.0.len(), 5, "{wrong}");
    let unknown = serde_json::from_value::<Options>(serde_json::json!({"api_host": []}));
    assert!(unknown.is_err(), "unknown keys are errors");
}

/// The whole way of a restart: the supervisor's real process hangs, is planned, replaced once, and found replaced.
#[tokio::test]
async fn a_process_that_the_supervisor_keeps_is_replaced_once_and_only_the_one_of_the_plan() {
    let processes = vec![
        serde_json::from_value(serde_json::json!({
            "name": "orders", "program": "sh", "args": ["-c", "exec sleep 60"], "grace": "1s"
        }))
        .unwrap(),
    ];
    let tails = Tails::new(&LogOptions::default(), SystemClock::shared());
    let (service, supervisor) = Supervisor::new(processes, &tails, SystemClock::shared());
    let (stopper, stop) = Stopper::new();
    let running = tokio::spawn(service.run(stop));
    let pid = async || {
        for _ in 0..200 {
            if let Some(pid) = supervisor.status("orders").and_then(|status| status.pid()) {
                return pid;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the process does not start");
    };
    let old = pid().await;
    kill_process(Pid::from_raw(i32::try_from(old).unwrap()).unwrap(), Signal::STOP).unwrap();

    let restarted: Service = serde_json::from_value(serde_json::json!({
        "name": "order-service", "team": "shop", "restart": {"process": "orders"}
    }))
    .unwrap();
    let control: Arc<dyn ProcessControl> = Arc::new(supervisor.clone());
    let actions = action::all(&Deps { processes: Some(control), ..deps(Options::default(), vec![restarted]) }).unwrap();
    let restart = actions.iter().find(|action| action.kind() == "Service_Restart").unwrap();
    let context = context();
    let parameters = serde_json::json!({"service": "order-service"});
    let planned = restart.plan(&context, &parameters).await.unwrap();
    assert_eq!(planned.object, "order-service");
    assert_eq!(planned.changes[0].before, format!("pid {old}"));

    let intent = intent(planned.target);
    assert_eq!(restart.probe(&context, &intent).await.unwrap(), Probe::NotDone);
    let Perform::Done(output) = restart.perform(&context, &intent).await.unwrap() else {
        panic!("a restart does not wait")
    };
    let new = pid().await;
    assert_ne!(new, old);
    assert_eq!((&output["pid_before"], &output["pid_after"]), (&old.into(), &new.into()));
    assert_eq!(restart.probe(&context, &intent).await.unwrap(), Probe::Done(output.clone()));
    assert_eq!(
        restart.perform(&context, &intent).await.unwrap(),
        Perform::Done(output),
        "the same intent is one restart"
    );
    assert_eq!(pid().await, new);

    // A plan made before someone else's restart does nothing.
    let planned = restart.plan(&context, &parameters).await.unwrap();
    supervisor.restart("orders", "someone else").await.unwrap();
    let other = Intent { idempotency_key: "RUN-4/restart".into(), target: planned.target, ..intent };
    let moved = restart.perform(&context, &other).await.unwrap_err();
    assert!(moved.to_string().contains("nothing was done"), "{moved}");

    // The supervisor itself looks again, when nothing can come between.
    let other = Identity { pid: Some(old), started_at: None };
    let soon = Instant::now() + Duration::from_secs(60);
    let moved = supervisor.restart_only("orders", "RUN-5/restart", other, soon).await.unwrap_err();
    assert_eq!(moved, Error::Moved("orders".into()));
    // And at the time: an order that comes to its turn too late does nothing.
    let status = supervisor.status("orders").unwrap();
    let only = Identity { pid: status.pid(), started_at: status.started_at };
    let late = supervisor.restart_only("orders", "RUN-6/restart", only, Instant::now()).await.unwrap_err();
    assert_eq!((late, supervisor.status("orders").unwrap()), (Error::TooLate("orders".into()), status));
    supervisor.restart_only("orders", "RUN-6/restart", only, soon).await.unwrap();

    stopper.stop();
    tokio::time::timeout(Duration::from_secs(10), running).await.unwrap().unwrap();
}

/// Two replicas on two machines: what was planned on one is neither done nor settled on the other.
#[tokio::test]
async fn what_is_one_machines_own_is_neither_done_nor_settled_on_another() {
    let spool = tempfile::tempdir().unwrap();
    let spool = spool.path().join("orders/spool");
    std::fs::create_dir_all(&spool).unwrap();
    std::fs::write(spool.join("a.log.1"), "x").unwrap();
    let services: Vec<Service> = vec![
        serde_json::from_value(serde_json::json!({
            "name": "orders", "team": "shop", "restart": {"program": ["/bin/true"]},
            "cleanup": [{"path": spool, "patterns": ["*.log.*"], "older_than": "0s"}],
        }))
        .unwrap(),
    ];
    let commands = serde_json::json!({"commands": [
        {"name": "raise", "path": "/bin/true", "undo": "lower"},
        {"name": "lower", "path": "/bin/true"},
        {"name": "again", "path": "/bin/true", "idempotent": true},
    ]});
    let options: Options = serde_json::from_value(commands).unwrap();
    let on = |machine: Option<&str>| {
        let machine = machine.map(str::to_owned);
        action::all(&Deps { machine, ..deps(options.clone(), services.clone()) }).unwrap()
    };
    let (web, db, alone) = (on(Some("web-1")), on(Some("db-1")), on(None));
    for (kind, parameters) in [
        ("Run_Command", serde_json::json!({"program": "raise"})),
        ("Run_Command", serde_json::json!({"program": "again"})),
        ("Service_Restart", serde_json::json!({"service": "orders"})),
        ("Disk_Cleanup", serde_json::json!({"service": "orders"})),
    ] {
        let of = |all: &[Arc<dyn Action>]| all.iter().find(|action| action.kind() == kind).unwrap().clone();
        let planned = of(&web).plan(&context(), &parameters).await.unwrap();
        assert!(planned.object.ends_with(" on web-1"), "{}", planned.object);
        assert!(!of(&alone).plan(&context(), &parameters).await.unwrap().object.contains(" on "), "{kind}");
        let refused = of(&db).perform(&context(), &intent(planned.target.clone())).await.unwrap_err();
        assert!(refused.to_string().contains("planned on the machine web-1, and this is db-1"), "{kind}: {refused}");
        assert_eq!(of(&db).settle(&planned.target), Settle::AskPerson, "{kind}");
        if let Some(undo) = of(&web).inverse(&planned.target, &serde_json::Value::Null) {
            assert!(of(&web).plan(&context(), &undo).await.is_ok());
            assert!(of(&db).plan(&context(), &undo).await.is_err(), "it is undone where it was done");
        }
        assert!(of(&web).perform(&context(), &intent(planned.target)).await.is_ok(), "{kind}");
    }
}

/// An order that nobody waits for any more is not carried out, and until then nobody is told that it was not.
#[tokio::test]
async fn a_restart_that_waited_too_long_does_not_happen_after_all() {
    let process = |program: &str| {
        serde_json::from_value(serde_json::json!({
            "name": "orders", "program": program, "args": ["-c", "trap '' TERM; while :; do sleep 1; done"], "grace": "1s"
        }))
        .unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let shell = folder.path().join("shell");
    std::os::unix::fs::symlink("/bin/sh", &shell).unwrap();
    let tails = Tails::new(&LogOptions::default(), SystemClock::shared());
    let (service, supervisor) = Supervisor::new(vec![process(shell.to_str().unwrap())], &tails, SystemClock::shared());
    let (stopper, stop) = Stopper::new();
    let running = tokio::spawn(service.run(stop));
    let until = async |wanted: &dyn Fn() -> bool| {
        for _ in 0..400 {
            if wanted() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("it does not come to it");
    };
    until(&|| supervisor.status("orders").is_some_and(|status| status.pid().is_some())).await;

    // The first order takes its grace time; the second waits behind it, and its sender goes away.
    let (one, two) = (supervisor.clone(), supervisor.clone());
    let first = tokio::spawn(async move { one.restart("orders", "first").await });
    until(&|| supervisor.unsettled("orders", "first").is_some()).await;
    let second = tokio::spawn(async move { two.restart("orders", "second").await });
    until(&|| supervisor.unsettled("orders", "second").is_some()).await;
    second.abort();
    let first = first.await.unwrap().unwrap();
    until(&|| supervisor.unsettled("orders", "second").is_none()).await;
    assert_eq!(supervisor.status("orders").and_then(|status| status.pid()), Some(first.pid));

    // What ended the old process and can start no other is half done, and says so.
    std::fs::remove_file(&shell).unwrap();
    let restarted: Service = serde_json::from_value(serde_json::json!({
        "name": "order-service", "team": "shop", "restart": {"process": "orders"}
    }))
    .unwrap();
    let control: Arc<dyn ProcessControl> = Arc::new(supervisor.clone());
    let actions = action::all(&Deps { processes: Some(control), ..deps(Options::default(), vec![restarted]) }).unwrap();
    let restart = actions.iter().find(|action| action.kind() == "Service_Restart").unwrap();
    let planned = restart.plan(&context(), &serde_json::json!({"service": "order-service"})).await.unwrap();
    let intent = intent(planned.target);
    let halved = restart.perform(&context(), &intent).await.unwrap_err();
    assert!(matches!(halved, mayday::playbook::action::Error::InDoubt(_)), "{halved}");
    let probed = restart.probe(&context(), &intent).await.unwrap();
    assert!(matches!(&probed, Probe::Unknown(why) if why.contains("was ended")), "{probed:?}");

    stopper.stop();
    tokio::time::timeout(Duration::from_secs(10), running).await.unwrap().unwrap();
}

fn context() -> Context {
    Context {
        run: RunId::new(3),
        task: "restart".into(),
        task_name: "Restart".into(),
        incident: None,
        by: Actor::Mayday("test".into()),
        now: SystemClock.now(),
    }
}

fn intent(target: serde_json::Value) -> Intent {
    let deadline = SystemClock.now() + Duration::from_secs(60);
    Intent { idempotency_key: "RUN-3/restart".into(), target, deadline, attempt: 1 }
}
