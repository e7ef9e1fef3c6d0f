//! The workload that serves a preset: a Deployment on one node, a StatefulSet on several.

use plan::Manifest;

use crate::inference::Inference;
use crate::{deployment, stateful_set};

/// Renders the workload.
#[must_use]
pub fn workload(inference: &Inference<'_>) -> Manifest {
    if inference.spans_nodes() {
        stateful_set::of(inference).into()
    } else {
        deployment::of(inference).into()
    }
}
