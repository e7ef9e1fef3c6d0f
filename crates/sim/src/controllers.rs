//! The two programs: their caches, their memory, which a restart loses, and the execution of plans.
//!
//! A shell decides nothing about objects. It observes by the product's code, asks the planner, and executes the plan.

pub mod execute;
pub mod held;
pub mod pools;
pub mod presets;
pub mod provisioner;
pub mod workspaces;

use plan::Kind;

/// One of the programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Program {
    /// The workspace controller.
    Workspaces,
    /// The gpu-provisioner.
    Provisioner,
}

impl Program {
    /// Both programs.
    pub const ALL: [Self; 2] = [Self::Workspaces, Self::Provisioner];

    /// Field manager of the program.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Workspaces => kaito_api::labels::WORKSPACE_CONTROLLER,
            Self::Provisioner => kaito_api::labels::GPU_PROVISIONER,
        }
    }

    /// Kinds that it reconciles.
    #[must_use]
    pub fn reconciled_kinds(self) -> &'static [Kind] {
        match self {
            Self::Workspaces => &[Kind::Workspace, Kind::Machine, Kind::NodeClaim],
            Self::Provisioner => &[Kind::Machine, Kind::NodeClaim, Kind::Node],
        }
    }

    /// Kinds that it watches.
    #[must_use]
    pub fn kinds(self) -> &'static [Kind] {
        match self {
            Self::Workspaces => &[
                Kind::Workspace,
                Kind::Machine,
                Kind::NodeClaim,
                Kind::ConfigMap,
                Kind::NetworkPolicy,
                Kind::ControllerRevision,
                Kind::Service,
                Kind::Deployment,
                Kind::StatefulSet,
                Kind::Job,
                Kind::PersistentVolumeClaim,
                Kind::Node,
                Kind::Pod,
                Kind::Event,
            ],
            Self::Provisioner => &[Kind::Machine, Kind::NodeClaim, Kind::Node, Kind::Pod],
        }
    }
}

/// Reason for which a reconcile ended early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Halt {
    /// The program died.
    Crashed,
    /// The API server refused a write; the reconcile is repeated.
    Refused {
        /// HTTP status.
        code: u16,
        /// The server's message.
        message: String,
    },
}

/// Number of writes until a program dies.
#[derive(Clone, Debug, Default)]
pub struct Fuse {
    /// Remaining writes; `None` if it does not die.
    pub left: Option<u64>,
    /// Writes so far.
    pub spent: u64,
    /// The last write does not take effect before the program dies: the network holds it.
    pub holds: bool,
}

impl Fuse {
    /// Returns true if the next write is held, and the program dies meanwhile.
    pub fn is_held(&mut self) -> bool {
        let is_held = self.holds && self.left == Some(1);
        if is_held {
            self.left = None;
            self.holds = false;
        }
        is_held
    }

    /// Counts a write. The program may die of it before it receives the response.
    ///
    /// # Errors
    /// `Crashed` if this was the last one.
    pub fn burn(&mut self) -> Result<(), Halt> {
        self.spent += 1;
        match &mut self.left {
            None => Ok(()),
            Some(left) => {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    self.left = None;
                    return Err(Halt::Crashed);
                }
                Ok(())
            }
        }
    }
}
