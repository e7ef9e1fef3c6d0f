//! From the spec to the desired state, or to the reason for which it is impossible.
//!
//! The API server checks what one object can tell about itself. Here the spec is checked against presets, instance
//! types and other objects. Everything that can be rejected is rejected here, before anything is written or paid for.

mod config;
mod engine_image;
mod hardware;
mod inference;
mod node_labels;
mod own_nodes;
mod preset;
mod program;
mod serving;
mod sizing;
mod sources;
mod tuning;
mod weights_image;

use crate::context::PlanContext;
use crate::desired::Desired;

use crate::problem::Problem;
use crate::rung::Rung;

/// Returns the desired state on one rung of the ladder.
///
/// # Errors
/// With the problem for which it is impossible there.
pub(crate) fn on_rung<'a>(context: &PlanContext<'a>, rung: Rung<'a>) -> Result<Desired<'a>, Problem> {
    let spec = &context.workspace().spec;
    match (&spec.inference, &spec.tuning) {
        (Some(inference), None) => inference::desired(context, inference, rung),
        (None, Some(tuning)) => tuning::desired(context, tuning, rung),
        _ => Err(Problem::invalid(
            "exactly one of inference and tuning must be set",
        )),
    }
}

/// Reports an edit of a tuning whose Job exists.
pub(crate) fn edited_tuning(context: &PlanContext<'_>) -> Option<Problem> {
    let spec = context.workspace().spec.tuning.as_ref()?;
    tuning::edited(context, spec)
}
