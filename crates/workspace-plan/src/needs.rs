//! The claims that a plan needs, found before it is made: the ledger grants them, and their names are looked up.

use jiff::Timestamp;

use crate::context::PlanContext;
use crate::ledger::GrantRequest;
use crate::observed::Observed;
use crate::settings::Settings;
use crate::{claims, ladder, price};

/// The needs of one Workspace.
pub(crate) enum Needs {
    /// It needs these claims.
    Claims(GrantRequest),
    /// It needs none.
    Nothing,
    /// Its spec does not tell now, and its workload runs.
    Unknown,
}

/// Finds the needs.
pub(crate) fn of(now: Timestamp, observed: &Observed, settings: &Settings) -> Needs {
    let context = PlanContext::new(now, observed, settings);
    if !context.is_live() || !context.creates_nodes() || context.job_progress.is_finished() {
        return Needs::Nothing;
    }
    let Ok(desired) = ladder::desired(&context) else {
        return match context.workload {
            Some(_) => Needs::Unknown,
            None => Needs::Nothing,
        };
    };
    let needed = claims::needed(&context, desired.nodes).into_iter();
    Needs::Claims(GrantRequest {
        namespace: context.workspace().namespace().to_owned(),
        workspace: context.workspace().name().to_owned(),
        claims: needed.map(|(_, name)| name).collect(),
        usd_micros_each: price::of(settings, &desired.hardware.instance_type),
        instance_type: desired.hardware.instance_type,
    })
}
