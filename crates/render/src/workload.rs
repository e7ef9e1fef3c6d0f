//! The workload that serves a preset: a Deployment on one node; a StatefulSet on several, and where volumes keep the weights.

use plan::Manifest;

use crate::inference::Inference;
use crate::{deployment, stateful_set, weights};

/// Renders the workload.
#[must_use]
pub fn workload(inference: &Inference<'_>) -> Manifest {
    if inference.spans_nodes() || weights::storage_class(inference).is_some() {
        stateful_set::of(inference).into()
    } else {
        deployment::of(inference).into()
    }
}
