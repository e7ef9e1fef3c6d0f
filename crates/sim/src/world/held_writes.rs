//! Two replicas with a lease, as far as they meet: the last write of the one that lost the lease arrives while the other
//! leads.

use jiff::SignedDuration;
use plan::{NoCloud, ObjectRef, Step};

use super::World;
use crate::agenda::Due;
use crate::api_server::{is_deleting, shown};
use crate::controllers::execute::{Executor, ReconciledObject};
use crate::controllers::held::Held;
use crate::controllers::{Fuse, Halt, Program};
use crate::failure::Failure;
use crate::json;

impl World {
    /// Lets the network hold a write for up to five minutes. The sender is about to lose its lease.
    pub(super) fn hold(&mut self, program: Program, object: ReconciledObject, step: Step<NoCloud>) {
        let number = self.held.keys().last().map_or(0, |last| last + 1);
        let transitions = self.transitions.get(&program).copied().unwrap_or_default();
        let held = Held {
            program,
            transitions,
            object,
            step,
        };
        self.held.insert(number, held);
        let seconds = i64::try_from(self.rng.below(300)).unwrap_or_default();
        self.schedule(Due::Arrive(number), SignedDuration::from_secs(seconds));
    }

    /// Returns the claim that a held write deletes, if there is one.
    #[must_use]
    pub fn held_deletion(&self) -> Option<&ObjectRef> {
        self.held.values().find_map(Held::deleted_claim)
    }

    /// Hands a held write to the API server.
    pub(super) fn arrive(&mut self, number: u64) -> Result<(), Failure> {
        let Some(held) = self.held.remove(&number) else {
            return Ok(());
        };
        let transitions = self.transitions.get(&held.program).copied().unwrap_or_default();
        let new_claim = held.new_claim(&self.api);
        let wanted = held
            .deleted_claim()
            .filter(|_| self.deletes_wanted(&held))
            .cloned();
        let mut fuse = Fuse::default();
        let mut executor = Executor {
            program: held.program.name(),
            api: &mut self.api,
            fuse: &mut fuse,
            writes: Vec::new(),
            lines: Vec::new(),
            held: None,
        };
        let result = match held.admit(executor.api, transitions) {
            Ok(()) => executor.arrive(&held.object, held.step.clone()),
            Err(refusal) => Err(refusal),
        };
        let lines = executor.lines;
        // An object may arrive after its owner is gone, and the collector has looked already.
        self.schedule(Due::Collect, SignedDuration::from_millis(500));
        self.note(format!("{}: a held write arrives", held.program.name()));
        for line in lines {
            self.note(format!("    {line}"));
        }
        if let Err(Halt::Refused { message, .. }) = result {
            self.note(format!("    refused: {message}"));
        }
        let is_stale = held.transitions != transitions;
        match (new_claim, wanted) {
            (Some(claim), _) if is_stale && self.api.get(&claim).is_some() => {
                Err(self.failure(format!("a former leader created {}", shown(&claim))))
            }
            (_, Some(claim)) if is_stale && self.api.get(&claim).is_none_or(|claim| is_deleting(claim)) => {
                Err(self.failure(format!(
                    "a former leader deleted {}, which is wanted",
                    shown(&claim)
                )))
            }
            _ => Ok(()),
        }
    }

    /// Returns true if the write deletes a live claim of a live Workspace that needs it.
    fn deletes_wanted(&self, held: &Held) -> bool {
        let Some(claim) = held.deleted_claim().and_then(|key| self.api.get(key)) else {
            return false;
        };
        let label = |name: &str| json::text(claim, &["metadata", "labels", name]).to_owned();
        let uid = label(kaito_api::labels::WORKSPACE_UID);
        let ordinal: usize = label(kaito_api::labels::ORDINAL).parse().unwrap_or(usize::MAX);
        let lives = self.api.list(plan::Kind::Workspace).any(|(_, workspace)| {
            json::text(workspace, &["metadata", "uid"]) == uid && !is_deleting(workspace)
        });
        let slots = self.ledger.slots.get(&uid).copied().unwrap_or_default();
        held.program == Program::Workspaces && lives && ordinal < slots && !is_deleting(claim)
    }
}
