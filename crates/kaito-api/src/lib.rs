//! The vocabulary of the operator: custom resource types, and the strings that appear in a cluster.
//!
//! Nothing here does I/O, reads a clock or has a client. The CRD manifests under `deploy/crds` are generated from these
//! types. Labels, annotations, finalizers, condition types and reasons are spelled here only.

pub mod allowed_offerings;
pub mod capacity;
pub mod claim;
mod claim_kind;
mod claim_object;
mod claim_requirement;
pub mod conditions;
pub mod crd;
mod embedded;
pub mod event_reasons;
pub mod fleet;
pub mod labels;
pub mod machine;
pub mod machine_status;
pub mod names;
pub mod node_claim;
mod node_claim_schema;
pub mod node_claim_status;
pub mod node_class;
pub mod node_labels;
pub mod quantity;
pub mod raw;
pub mod refusal_reason;
mod schema_path;
pub mod selector;
pub mod shortage;
pub mod text;
pub mod workspace;
pub mod workspace_reason;
pub mod workspace_rules;
pub mod workspace_status;

pub use allowed_offerings::AllowedOfferings;
pub use claim::{Claim, ClaimKind};
pub use claim_object::ClaimObject;
pub use machine::{Machine, MachineSpec};
pub use machine_status::{MachineCondition, MachineStatus};
pub use node_claim::{NodeClaim, NodeClaimSpec, NodeClassRef};
pub use node_claim_status::{NodeClaimCondition, NodeClaimStatus};
pub use node_class::KaitoNodeClass;
pub use workspace::{
    AdapterSpec, DataDestination, DataSource, InferenceSpec, PresetOptions, PresetSpec, ResourceSpec,
    TuningSpec, Workspace, WorkspaceSpec,
};
pub use workspace_status::WorkspaceStatus;
