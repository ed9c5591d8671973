//! Which machine this is, for actions whose programs, files and processes are one machine's own: where several replicas
//! share a store, what was planned on one of them is neither done nor settled on another.

use crate::core::message::action as say;
use crate::playbook::action::Error;

/// The machine's name; none where Mayday is alone, and nothing could be meant but this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Here(Option<String>);

impl Here {
    /// One of several, or alone.
    #[must_use]
    pub fn new(machine: Option<String>) -> Self {
        Self(machine)
    }

    /// What a target keeps.
    pub(super) fn name(&self) -> Option<String> {
        self.0.clone()
    }

    /// Whether a target is this machine's; those that name none were made by a Mayday alone, or by an earlier one.
    pub(super) fn is(&self, machine: Option<&str>) -> bool {
        machine.is_none() || machine == self.0.as_deref()
    }

    /// # Errors
    /// It is another machine's: nothing happened.
    pub(super) fn check(&self, machine: Option<&str>) -> Result<(), Error> {
        match machine {
            Some(machine) if !self.is(Some(machine)) => {
                Err(Error::Permanent(say::other_machine(machine, self.0.as_deref())))
            }
            _ => Ok(()),
        }
    }

    /// An object of this machine, as people approve it.
    pub(super) fn object(&self, object: String) -> String {
        match &self.0 {
            Some(machine) => format!("{object} on {machine}"),
            None => object,
        }
    }
}
