//! Restarts of the processes that Mayday's own supervisor keeps.

use std::time::Instant;

use super::service_restart::{ProcessControl, ProcessState};
use crate::core::{BoxFuture, Timestamp};
use crate::playbook::action::Error;
use crate::watch::process::{self, Identity, Status, Supervisor};

impl ProcessControl for Supervisor {
    fn state<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<ProcessState, Error>> {
        let state = self.status(name).map(|status| state(&status));
        Box::pin(std::future::ready(state.ok_or_else(|| failure(process::Error::Unknown(name.to_owned())))))
    }

    fn restart<'a>(
        &'a self,
        name: &'a str,
        key: &'a str,
        only: ProcessState,
        until: Instant,
    ) -> BoxFuture<'a, Result<ProcessState, Error>> {
        Box::pin(async move {
            let only = Identity { pid: only.pid, started_at: only.started_at };
            self.restart_only(name, key, only, until).await.map_err(failure)?;
            ProcessControl::state(self, name).await
        })
    }

    fn unsettled(&self, name: &str, key: &str) -> Option<String> {
        self.unsettled(name, key)
    }

    fn exited_at(&self, name: &str) -> Option<Timestamp> {
        self.status(name)?.last_exit.map(|exit| exit.at)
    }
}

fn state(status: &Status) -> ProcessState {
    ProcessState { pid: status.pid(), started_at: status.started_at }
}

/// What an order that was not carried out means for the effect.
fn failure(error: process::Error) -> Error {
    let why = error.to_string();
    match error {
        // Not taken at all.
        process::Error::Busy(_) | process::Error::TooLate(_) => Error::Transient(why),
        process::Error::Unknown(_) | process::Error::Moved(_) => Error::Permanent(why),
        // The old one was ended for it: that is half a restart, and no "nothing happened".
        process::Error::CantStart { ended: true, .. } => Error::InDoubt(why),
        // None ran, and none does: the next restart would meet the same.
        process::Error::CantStart { .. } => Error::Permanent(why),
        // It may have been under way when everything was ended.
        process::Error::Stopping(_) => Error::InDoubt(why),
    }
}
