//! Branches of history in which only the programs act: they reconcile until nothing is left to write. Pauses and
//! single reads of the cloud do not count as writes.

use plan::{Kind, ObjectRef};

use super::World;
use crate::controllers::Program;
use crate::failure::Failure;

/// Most rounds until nothing is left to write.
const ROUNDS: usize = 16;

impl World {
    /// Checks, in a branch, that the programs come to rest when nothing else moves.
    ///
    /// # Errors
    /// If they do not, or a promise is broken on the way.
    pub fn check_fixpoint(&self) -> Result<(), Failure> {
        let mut branch = self.clone();
        branch.note("--- from here on only the programs move ---");
        branch.trouble = super::Trouble::default();
        branch.cloud.faults.clear();
        for fuse in branch.fuses.values_mut() {
            fuse.left = None;
        }
        for _ in 0..ROUNDS {
            if !branch.round()? {
                return Ok(());
            }
            branch.check_invariants()?;
        }
        Err(branch.failure(format!("the programs still write after {ROUNDS} rounds")))
    }

    /// Checks that no plan writes anything once all caches are current.
    ///
    /// # Errors
    /// If one does.
    pub fn check_quiet(&self) -> Result<(), Failure> {
        let mut branch = self.clone();
        branch.note("--- everything is to be quiet ---");
        if branch.round()? {
            Err(branch.failure("a plan is not quiet although everything is settled"))
        } else {
            Ok(())
        }
    }

    // Every program reconciles every object once. Returns true if something was written.
    fn round(&mut self) -> Result<bool, Failure> {
        let before = (self.work_done(), self.api.events().len());
        for program in Program::ALL {
            for kind in program.kinds() {
                self.advance_view(program, *kind, 0);
            }
            for key in self.objects_of(program) {
                self.reconcile(program, &key)?;
                for kind in program.kinds() {
                    self.advance_view(program, *kind, 0);
                }
            }
        }
        Ok(before != (self.work_done(), self.api.events().len()))
    }

    fn objects_of(&self, program: Program) -> Vec<ObjectRef> {
        let of = |kind: Kind| {
            self.api
                .list(kind)
                .map(|(key, _)| key.clone())
                .collect::<Vec<_>>()
        };
        program
            .reconciled_kinds()
            .iter()
            .flat_map(|kind| of(*kind))
            .collect()
    }
}
