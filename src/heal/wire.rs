//! The loop's traits, carried out by the real rooms below.

use super::ports::Incidents;
use crate::alert::{Alert, AlertId};
use crate::core::{BoxFuture, IncidentId};
use crate::incident::{self, Incident};
use crate::store;

impl Incidents for incident::Incidents {
    fn incident(&self, id: IncidentId) -> BoxFuture<'_, Result<Option<Incident>, store::Error>> {
        Box::pin(self.get(id))
    }

    fn alert<'a>(&'a self, id: &'a AlertId) -> BoxFuture<'a, Result<Option<Alert>, store::Error>> {
        Box::pin(async move { Ok(Self::alert(self, id).await?.map(|view| view.alert)) })
    }
}
