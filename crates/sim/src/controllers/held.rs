//! A write of a replica that lost its lease: the network held it back, and it arrives while another replica leads.

use plan::{Kind, NoCloud, ObjectRef, Step, Write};

use super::Program;
use super::execute::ReconciledObject;
use crate::api_server::ApiServer;
use crate::controllers::Halt;

/// A request on its way.
#[derive(Clone, Debug)]
pub struct Held {
    /// The sender.
    pub program: Program,
    /// Number of changes of the lease's holder, as the sender knew it.
    pub transitions: u64,
    /// The object that was reconciled.
    pub object: ReconciledObject,
    /// The write.
    pub step: Step<NoCloud>,
}

impl Held {
    /// Returns the claim that the write creates, if it does.
    #[must_use]
    pub fn new_claim(&self, api: &ApiServer) -> Option<ObjectRef> {
        let Step::Write(Write::Apply(manifest)) = &self.step else {
            return None;
        };
        let target = manifest.target();
        let is_claim = matches!(target.kind, Kind::Machine | Kind::NodeClaim);
        (is_claim && api.get(&target).is_none()).then_some(target)
    }

    /// Refuses a new claim whose sender does not lead any more, as the chart's policy on claims does.
    ///
    /// # Errors
    /// If the lease has another holder.
    pub fn admit(&self, api: &ApiServer, transitions: u64) -> Result<(), Halt> {
        if self.transitions == transitions || self.new_claim(api).is_none() {
            return Ok(());
        }
        Err(Halt::Refused {
            code: 422,
            message: "the request was delayed until the lease moved on".to_owned(),
        })
    }

    /// Returns the claim that the write deletes, if it does.
    #[must_use]
    pub fn deleted_claim(&self) -> Option<&ObjectRef> {
        match &self.step {
            Step::Write(Write::Delete(delete)) => {
                Some(&delete.target).filter(|target| matches!(target.kind, Kind::Machine | Kind::NodeClaim))
            }
            _ => None,
        }
    }
}
