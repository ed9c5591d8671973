//! `Service_Restart`: restarts a service the way its catalogue entry says.
//!
//! A process that Mayday started is restarted through [`ProcessControl`]: the plan names its pid and start, and right before
//! the effect they must still be the same (or the process be gone), so that one approval restarts one process. After a crash
//! the process itself tells whether it happened: it is another one by then. A restart through a program can't be asked, and
//! is left to a person.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::here::Here;
use super::off_loop::{Left, time_left};
use super::program::{self, Program};
use super::{Problem, json as to_json, parameters, run_command, target};
use crate::catalog::{Catalog, Restart, Service};
use crate::core::message::action as say;
use crate::core::{BoxFuture, Timestamp};
use crate::playbook::Action;
use crate::playbook::action::{Change, Context, Error, Intent, Perform, Planned, Probe, Settle};

const KIND: &str = "Service_Restart";
/// A restart program is killed after this long.
const PROGRAM_TIME: Duration = Duration::from_secs(60);
/// Outcomes remembered, so that the same intent twice is one restart.
const REMEMBERED: usize = 64;

/// Restarts processes; implemented for the supervisor of `watch` in `supervised.rs`.
pub trait ProcessControl: Send + Sync + 'static {
    /// How a process stands.
    fn state<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<ProcessState, Error>>;
    /// Ends it (kindly, then by force) and starts it again; returns when the new one runs. The same key twice is one restart.
    /// Where another process runs than `only`, or after `until`, nothing is done: that is looked at when nothing can come
    /// between.
    fn restart<'a>(
        &'a self,
        name: &'a str,
        key: &'a str,
        only: ProcessState,
        until: Instant,
    ) -> BoxFuture<'a, Result<ProcessState, Error>>;
    /// Why it can't be told yet whether the order under this key was carried out: it waits, or runs, or only the old process
    /// was ended.
    fn unsettled(&self, _name: &str, _key: &str) -> Option<String> {
        None
    }
    /// When it ended last, if that is known; only to be told.
    fn exited_at(&self, _name: &str) -> Option<Timestamp> {
        None
    }
}

/// How a process stands. Pid and start together are its identity: pids come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessState {
    /// Its pid; none while it does not run.
    pub pid: Option<u32>,
    /// When it was started last.
    pub started_at: Option<Timestamp>,
}

/// The executor.
pub struct ServiceRestart {
    catalog: Arc<Catalog>,
    processes: Option<Arc<dyn ProcessControl>>,
    here: Here,
    done: Mutex<VecDeque<(String, Value)>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    service: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "via")]
enum Target {
    Process {
        service: String,
        process: String,
        before: ProcessState,
        /// Where, among several.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        machine: Option<String>,
    },
    Program {
        service: String,
        argv: Vec<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        machine: Option<String>,
    },
}

impl Target {
    fn machine(&self) -> Option<&str> {
        match self {
            Self::Process { machine, .. } | Self::Program { machine, .. } => machine.as_deref(),
        }
    }
}

/// What is wrong with the catalogue's `restart` entries.
#[must_use]
pub fn check(catalog: &Catalog) -> Vec<Problem> {
    let wrong = |service: &Service| match &service.restart {
        Some(Restart::Program(argv)) => match argv.first() {
            None => Some("is empty; write the program and its arguments".to_owned()),
            Some(program) if !Path::new(program).is_absolute() => {
                Some(format!("`{program}` is not an absolute path; write that"))
            }
            Some(_) => None,
        },
        _ => None,
    };
    let services = catalog.services().iter().enumerate();
    services
        .filter_map(|(row, service)| Some(Problem::at(format!("services[{row}].restart"), wrong(service)?)))
        .collect()
}

impl ServiceRestart {
    /// Restarts services of this catalogue.
    #[must_use]
    pub fn new(catalog: Arc<Catalog>, processes: Option<Arc<dyn ProcessControl>>) -> Self {
        Self { catalog, processes, here: Here::default(), done: Mutex::default() }
    }

    /// On this machine, which is one of several.
    #[must_use]
    pub fn on(self, here: Here) -> Self {
        Self { here, ..self }
    }

    fn processes(&self) -> Result<&dyn ProcessControl, Error> {
        self.processes.as_deref().ok_or_else(|| Error::NotAvailable("this Mayday starts no processes".to_owned()))
    }

    async fn state(&self, process: &str) -> Result<ProcessState, Error> {
        self.processes()?.state(process).await
    }

    fn remembered(&self, key: &str) -> Option<Value> {
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.iter().find(|(known, _)| known == key).map(|(_, output)| output.clone())
    }

    fn remember(&self, key: &str, output: &Value) {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        if done.len() == REMEMBERED {
            done.pop_front();
        }
        done.push_back((key.to_owned(), output.clone()));
    }

    async fn restart_process(
        &self,
        key: &str,
        service: &str,
        process: &str,
        before: ProcessState,
        until: Instant,
    ) -> Result<Value, Error> {
        if let Some(output) = self.remembered(key) {
            return Ok(output);
        }
        let now = self.state(process).await?;
        if now.pid.is_some() && now != before {
            return Err(Error::Permanent(say::process_moved(service, &words(before), &words(now))));
        }
        let after = self.processes()?.restart(process, key, before, until).await?;
        let output = output(service, before, after);
        self.remember(key, &output);
        Ok(output)
    }
}

/// `(up 2 min)`, `(exited 12 s ago)`: beside the state it is told of, and not part of what is approved.
fn lasting(state: ProcessState, exited_at: Option<Timestamp>, now: Timestamp) -> Option<String> {
    let ago = |at: Timestamp| Duration::try_from(now.duration_since(at)).ok();
    match state.pid {
        Some(_) => state.started_at.and_then(ago).map(say::process_up),
        None => exited_at.and_then(ago).map(say::process_exited),
    }
}

fn words(state: ProcessState) -> String {
    state.pid.map_or_else(|| "not running".to_owned(), |pid| format!("pid {pid}"))
}

fn output(service: &str, before: ProcessState, after: ProcessState) -> Value {
    let mut output = json!({"service": service, "started_at": after.started_at});
    if let Some(fields) = output.as_object_mut() {
        for (name, pid) in [("pid_before", before.pid), ("pid_after", after.pid)] {
            if let Some(pid) = pid {
                fields.insert(name.to_owned(), json!(pid));
            }
        }
    }
    output
}

async fn run(argv: &[String], left: Left) -> Result<Value, Error> {
    let [path, args @ ..] = argv else { return Err(Error::Permanent("the restart program is empty".to_owned())) };
    let program = Program {
        path: path.into(),
        args: args.to_vec(),
        env: BTreeMap::from([("PATH".to_owned(), "/usr/sbin:/usr/bin:/sbin:/bin".to_owned())]),
        cwd: "/".into(),
        timeout: PROGRAM_TIME,
        max_output: 16 * 1024,
    };
    run_command::outcome(program::run(&program, left).await)
}

impl Action for ServiceRestart {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn settle(&self, value: &Value) -> Settle {
        match target(KIND, value) {
            Ok(target @ Target::Process { .. }) if self.here.is(target.machine()) => Settle::Probe,
            _ => Settle::AskPerson,
        }
    }

    fn ends_with_mayday(&self) -> bool {
        true
    }

    fn default_timeout(&self) -> Duration {
        PROGRAM_TIME + Duration::from_secs(5)
    }

    fn plan<'a>(&'a self, context: &'a Context, value: &'a Value) -> BoxFuture<'a, Result<Planned, Error>> {
        Box::pin(async move {
            let Parameters { service } = parameters(KIND, value)?;
            let entry = self.catalog.find(&service).ok_or_else(|| Error::Permanent(say::no_service(&service)))?;
            let service = entry.name.clone();
            match &entry.restart {
                None => Err(Error::NotAvailable(say::no_restart(&service))),
                Some(Restart::Process(process)) => {
                    let before = self.state(process).await?;
                    let exited_at = self.processes()?.exited_at(process);
                    let change = |field: &str, before: String, after: &str| Change {
                        field: field.to_owned(),
                        before,
                        after: after.to_owned(),
                    };
                    Ok(Planned {
                        object: self.here.object(service.clone()),
                        changes: vec![change("process", words(before), "new process")],
                        radius: say::restart_radius(&service),
                        undo: None,
                        details: lasting(before, exited_at, context.now).into_iter().collect(),
                        target: to_json(&Target::Process {
                            service,
                            process: process.clone(),
                            before,
                            machine: self.here.name(),
                        }),
                    })
                }
                Some(Restart::Program(argv)) => Ok(Planned {
                    object: self.here.object(format!("service {service}")),
                    changes: vec![Change {
                        field: "run".to_owned(),
                        before: "not run".to_owned(),
                        after: argv.join(" "),
                    }],
                    radius: say::restart_program_radius(&service, &argv.join(" ")),
                    undo: None,
                    details: Vec::new(),
                    target: to_json(&Target::Program { service, argv: argv.clone(), machine: self.here.name() }),
                }),
            }
        })
    }

    fn perform<'a>(&'a self, context: &'a Context, intent: &'a Intent) -> BoxFuture<'a, Result<Perform, Error>> {
        Box::pin(async move {
            let target: Target = target(KIND, &intent.target)?;
            self.here.check(target.machine())?;
            match target {
                Target::Process { service, process, before, .. } => {
                    let until = Instant::now() + time_left(context, intent);
                    let key = &intent.idempotency_key;
                    self.restart_process(key, &service, &process, before, until).await.map(Perform::Done)
                }
                Target::Program { service, argv, .. } => {
                    // The catalogue decides what may run, not what stands in the journal.
                    let entry = self.catalog.find(&service).and_then(|entry| entry.restart.clone());
                    if entry != Some(Restart::Program(argv.clone())) {
                        return Err(Error::Permanent(format!("the catalogue no longer restarts {service} this way")));
                    }
                    let mut output = run(&argv, Left::of(context, intent)).await?;
                    output["service"] = json!(service);
                    Ok(Perform::Done(output))
                }
            }
        })
    }

    fn probe<'a>(&'a self, _: &'a Context, intent: &'a Intent) -> BoxFuture<'a, Result<Probe, Error>> {
        Box::pin(async move {
            let target: Target = target(KIND, &intent.target)?;
            if let Some(machine) = target.machine().filter(|machine| !self.here.is(Some(machine))) {
                return Ok(Probe::Unknown(say::asked_only_there(machine)));
            }
            let Target::Process { service, process, before, .. } = target else {
                return Ok(Probe::Unknown("a restart through a program leaves no trace to ask for".to_owned()));
            };
            let now = self.state(&process).await?;
            Ok(match now.pid {
                // Also when this Mayday's own end took the process with it: it was started anew, which was the wish.
                Some(_) if now != before => Probe::Done(output(&service, before, now)),
                _ => match self.processes()?.unsettled(&process, &intent.idempotency_key) {
                    Some(why) => Probe::Unknown(why),
                    None => Probe::NotDone,
                },
            })
        })
    }
}

#[cfg(test)]
#[path = "service_restart_tests.rs"]
mod tests;
