//! Branches of history in which nothing moves but the programs: plan, carry out, plan again, until nothing is
//! left to write. Pauses and single reads of the cloud count as nothing.

use plan::{Kind, ObjectRef};

use super::World;
use crate::controllers::Program;
use crate::failure::Failure;

/// How many rounds it may take until nothing is left to write.
const ROUNDS: usize = 16;

impl World {
    /// Checks, in a branch, that the programs come to rest when nothing else moves.
    ///
    /// # Errors
    /// When they do not, or a promise is broken on the way.
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

    /// Checks that no plan about anything writes, with all that is to be known known.
    ///
    /// # Errors
    /// When one does.
    pub fn check_quiet(&self) -> Result<(), Failure> {
        let mut branch = self.clone();
        branch.note("--- everything is to be quiet ---");
        if branch.round()? {
            Err(branch.failure("a plan is not quiet although everything is settled"))
        } else {
            Ok(())
        }
    }

    // Every program looks at everything once; true when something was written.
    fn round(&mut self) -> Result<bool, Failure> {
        let before = (self.work_done(), self.api.events().len());
        for program in Program::ALL {
            for kind in program.kinds() {
                self.advance_view(program, *kind, 0);
            }
            for key in self.roots(program) {
                self.reconcile(program, &key)?;
                for kind in program.kinds() {
                    self.advance_view(program, *kind, 0);
                }
            }
        }
        Ok(before != (self.work_done(), self.api.events().len()))
    }

    fn roots(&self, program: Program) -> Vec<ObjectRef> {
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
