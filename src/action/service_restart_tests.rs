//! Restarts of real processes.

use std::process::{Child, Command, Stdio};

use super::*;
use crate::action::testing::{carry_out, catalog, context, intent, now, service};

/// Keeps one real `sleep` running.
struct Keeper {
    child: Mutex<Option<Child>>,
    restarts: Mutex<Vec<String>>,
}

impl Keeper {
    fn start() -> Arc<Self> {
        Arc::new(Self { child: Mutex::new(Some(sleep())), restarts: Mutex::default() })
    }

    fn now(&self) -> ProcessState {
        let child = self.child.lock().unwrap();
        // The pid as start, so that each process has another one.
        let start = |pid: u32| Timestamp::from_second(i64::from(pid)).unwrap();
        let pid = child.as_ref().map(Child::id);
        ProcessState { pid, started_at: pid.map(start) }
    }

    fn stop(&self) {
        if let Some(mut child) = self.child.lock().unwrap().take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn replace(&self) {
        self.stop();
        *self.child.lock().unwrap() = Some(sleep());
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop();
    }
}

fn sleep() -> Child {
    Command::new("/bin/sleep").arg("60").stdin(Stdio::null()).spawn().unwrap()
}

impl ProcessControl for Keeper {
    fn state<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<ProcessState, Error>> {
        let state = if name == "orders" { Ok(self.now()) } else { Err(Error::Permanent(format!("no process {name}"))) };
        Box::pin(std::future::ready(state))
    }

    fn restart<'a>(
        &'a self,
        _: &'a str,
        key: &'a str,
        _: ProcessState,
        _: Instant,
    ) -> BoxFuture<'a, Result<ProcessState, Error>> {
        self.restarts.lock().unwrap().push(key.to_owned());
        self.replace();
        Box::pin(std::future::ready(Ok(self.now())))
    }

    fn exited_at(&self, _: &str) -> Option<Timestamp> {
        Some(now() - Duration::from_secs(12))
    }
}

fn action(keeper: &Arc<Keeper>) -> ServiceRestart {
    let restarted = service("order-service", |service| service.restart = Some(Restart::Process("orders".into())));
    let programmed =
        service("legacy", |service| service.restart = Some(Restart::Program(vec!["/bin/echo".into(), "ok".into()])));
    let none = service("none", |_| {});
    ServiceRestart::new(catalog(vec![restarted, programmed, none]), Some(keeper.clone() as Arc<dyn ProcessControl>))
}

async fn plan(action: &ServiceRestart) -> Planned {
    action.plan(&context(), &json!({"service": "order-service"})).await.unwrap()
}

#[tokio::test]
async fn a_restart_program_has_ended_before_whoever_takes_over_looks() {
    let argv = vec!["/bin/sleep".into(), "30".into()];
    let slow = service("legacy", |service| service.restart = Some(Restart::Program(argv)));
    let action = ServiceRestart::new(catalog(vec![slow]), None);
    let planned = action.plan(&context(), &json!({"service": "legacy"})).await.unwrap();
    let (context, mut intent) = (context(), intent(planned.target));
    intent.deadline = context.now + Duration::from_secs(1);
    let begun = Instant::now();
    let ended = action.perform(&context, &intent).await;
    assert!(matches!(ended, Err(Error::InDoubt(_))), "{ended:?}");
    assert!(begun.elapsed() < Duration::from_secs(10), "its own 60 s would be too late");
}

#[tokio::test]
async fn the_plan_names_the_process_and_performing_replaces_it() {
    let keeper = Keeper::start();
    let old = keeper.now().pid.unwrap();
    let action = action(&keeper);
    let planned = plan(&action).await;
    assert_eq!(planned.object, "order-service");
    let up =
        crate::core::duration::human(Duration::try_from(now() - Timestamp::from_second(old.into()).unwrap()).unwrap());
    assert_eq!(planned.details, [format!("(up {up})")], "a time is told, and not approved");
    assert_eq!((&*planned.changes[0].before, &*planned.changes[0].after), (&*format!("pid {old}"), "new process"));
    assert_eq!(keeper.now().pid, Some(old), "planning changes nothing");
    let Perform::Done(output) = action.perform(&context(), &intent(planned.target)).await.unwrap() else { panic!() };
    assert_eq!(output["pid_before"], old);
    assert_eq!(output["pid_after"], keeper.now().pid.unwrap());
    assert_ne!(keeper.now().pid, Some(old));
}

#[tokio::test]
async fn the_plan_of_a_dead_process_says_when_it_ended_and_not_since_when_it_runs() {
    let keeper = Keeper::start();
    keeper.stop();
    let planned = plan(&action(&keeper)).await;
    assert_eq!((&*planned.object, &*planned.changes[0].before), ("order-service", "not running"));
    assert_eq!(planned.details, ["(exited 12 s ago)"]);
}

#[tokio::test]
async fn the_same_intent_twice_is_one_restart() {
    let keeper = Keeper::start();
    let action = action(&keeper);
    let intent = intent(plan(&action).await.target);
    let first = action.perform(&context(), &intent).await.unwrap();
    assert_eq!(action.perform(&context(), &intent).await.unwrap(), first);
    assert_eq!(*keeper.restarts.lock().unwrap(), ["RUN-3/step"]);
}

#[tokio::test]
async fn another_process_than_the_approved_one_is_left_alone() {
    let keeper = Keeper::start();
    let action = action(&keeper);
    let intent = intent(plan(&action).await.target);
    keeper.replace();
    let moved = action.perform(&context(), &intent).await.unwrap_err();
    assert!(matches!(&moved, Error::Permanent(why) if why.contains("nothing was done")), "{moved}");
    assert!(keeper.restarts.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_process_that_died_since_the_plan_is_started() {
    let keeper = Keeper::start();
    let action = action(&keeper);
    let intent = intent(plan(&action).await.target);
    keeper.stop();
    assert!(action.perform(&context(), &intent).await.is_ok());
    assert!(keeper.now().pid.is_some());
}

#[tokio::test]
async fn after_a_crash_the_process_itself_tells_whether_it_happened() {
    let keeper = Keeper::start();
    let before = action(&keeper);
    let intent = intent(plan(&before).await.target);
    // Crashed before the effect.
    let resumed = action(&keeper);
    assert_eq!(resumed.settle(&intent.target), Settle::Probe);
    assert_eq!(resumed.probe(&context(), &intent).await.unwrap(), Probe::NotDone);
    // Crashed between the effect and its outcome: the probe gives what performing would have given.
    let Perform::Done(output) = before.perform(&context(), &intent).await.unwrap() else { panic!() };
    assert_eq!(resumed.probe(&context(), &intent).await.unwrap(), Probe::Done(output));
    assert_eq!(keeper.restarts.lock().unwrap().len(), 1);
    // Crashed in the middle: the old one is gone, the new one is not there.
    keeper.stop();
    assert_eq!(resumed.probe(&context(), &intent).await.unwrap(), Probe::NotDone);
}

#[tokio::test]
async fn a_program_restarts_what_mayday_did_not_start_and_only_as_the_catalogue_says() {
    let keeper = Keeper::start();
    let action = action(&keeper);
    let output = carry_out(&action, json!({"service": "legacy"})).await.unwrap();
    assert_eq!((&output["service"], &output["stdout"]), (&json!("legacy"), &json!("ok\n")));
    let planted = json!({"via": "program", "service": "legacy", "argv": ["/bin/rm", "-rf", "/"]});
    assert!(matches!(action.perform(&context(), &intent(planted.clone())).await, Err(Error::Permanent(_))));
    assert_eq!(action.settle(&planted), Settle::AskPerson);
}

#[tokio::test]
async fn what_cannot_be_restarted_is_said_before_anyone_approves() {
    let keeper = Keeper::start();
    let action = action(&keeper);
    for (service, why) in [("none", "add `restart`"), ("unknown", "no service `unknown`")] {
        let error = action.plan(&context(), &json!({"service": service})).await.unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
    let alone = ServiceRestart::new(action.catalog.clone(), None);
    let error = alone.plan(&context(), &json!({"service": "order-service"})).await.unwrap_err();
    assert!(matches!(error, Error::NotAvailable(_)));
    assert_eq!(now(), context().now);
}

#[test]
fn a_restart_program_without_an_absolute_path_is_refused_at_start() {
    let bad = service("a", |service| service.restart = Some(Restart::Program(vec!["systemctl".into()])));
    let empty = service("b", |service| service.restart = Some(Restart::Program(vec![])));
    assert_eq!(check(&Catalog::new(vec![bad, empty]).unwrap()).len(), 2);
}
