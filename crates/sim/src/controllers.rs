//! The two programs as their shells run them: stores, observations, execution, and what a restart loses.
//!
//! A shell decides nothing about objects: it observes, asks the planner, and carries out.

pub mod execute;
pub mod own_writes;
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

    /// The kinds it reconciles.
    #[must_use]
    pub fn roots(self) -> &'static [Kind] {
        match self {
            Self::Workspaces => &[Kind::Workspace],
            Self::Provisioner => &[Kind::Machine, Kind::NodeClaim, Kind::Node],
        }
    }

    /// The kinds it watches.
    #[must_use]
    pub fn kinds(self) -> &'static [Kind] {
        match self {
            Self::Workspaces => &[
                Kind::Workspace,
                Kind::Machine,
                Kind::NodeClaim,
                Kind::ConfigMap,
                Kind::Service,
                Kind::Deployment,
                Kind::StatefulSet,
                Kind::Job,
                Kind::Node,
                Kind::Pod,
            ],
            Self::Provisioner => &[Kind::Machine, Kind::NodeClaim, Kind::Node, Kind::Pod],
        }
    }
}

/// Why a pass ended early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Halt {
    /// The program died.
    Crashed,
    /// A request failed; the pass is repeated.
    Failed(String),
}

/// How many writes a program may still do before it dies.
#[derive(Clone, Debug, Default)]
pub struct Fuse {
    /// Writes until death; `None` is immortality.
    pub left: Option<u64>,
    /// Writes so far.
    pub spent: u64,
}

impl Fuse {
    /// A write was carried out; the program may die of it before it learns what came of it.
    ///
    /// # Errors
    /// `Crashed`, when this was the last one.
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
