//! The instance type that is bought instead of a retired one.
//!
//! The choice is made once. Then the claims record it, which users cannot write. So a price that changes moves nothing.

use instance_types::InstanceType;
use kaito_api::conditions::WorkspaceReason;
use preset_catalog::fit::{FitReport, RetiredTypes, like_for_like};

use crate::context::PlanContext;
use crate::fits::{self, NodeWork};
use crate::price;
use crate::problem::Problem;

/// Returns the type to buy for this work instead of a retired one: the recorded one, which may be the retired one itself.
///
/// # Errors
/// When none is recorded, and none may be chosen.
pub(crate) fn of<'a>(
    context: &PlanContext<'a>,
    retired: &InstanceType,
    recorded: Option<&str>,
    work: NodeWork<'_>,
) -> Result<&'a InstanceType, Problem> {
    if let Some(recorded) = recorded.and_then(|name| context.instance_type(name)) {
        return Ok(recorded);
    }
    let chosen = match context.settings.retired_types {
        RetiredTypes::Replace => chosen(context, retired, work),
        RetiredTypes::Refuse => None,
    };
    chosen.ok_or_else(|| refused(context, retired, work))
}

fn chosen<'a>(
    context: &PlanContext<'a>,
    retired: &InstanceType,
    work: NodeWork<'_>,
) -> Option<&'a InstanceType> {
    let same = |floor| like_for_like(&fits::types(context), retired, floor);
    let sized = |report: &FitReport| {
        let (found, _) = report.replacement(retired)?;
        context.instance_type(&found.name)
    };
    match work {
        NodeWork::Template => same(None),
        NodeWork::Tuning(_) => same(context.settings.engine.min_compute_capability),
        NodeWork::Inference { .. } => fits::report(context, work).as_ref().and_then(sized).or_else(|| {
            let is_bypassed = context
                .workspace()
                .is_annotated(kaito_api::labels::BYPASS_RESOURCE_CHECKS);
            is_bypassed.then(|| same(None)).flatten()
        }),
    }
}

fn refused(context: &PlanContext<'_>, retired: &InstanceType, work: NodeWork<'_>) -> Problem {
    let why = match context.settings.retired_types {
        RetiredTypes::Replace => ", and none that costs at most 1.5 times as much replaces it",
        RetiredTypes::Refuse => "",
    };
    let cause = format!(
        "instance type {} is retired since {}{why}{}",
        retired.name,
        since(retired),
        fits::would_work(context, work)
    );
    Problem::new(WorkspaceReason::InstanceTypeRetired, cause)
}

/// Reports that another type is bought than the Workspace names. `None` if it is the same.
pub(crate) fn note(asked: &InstanceType, bought: &InstanceType) -> Option<Problem> {
    let price = |found: &InstanceType| {
        let price = found.list_price.as_ref();
        price.map_or_else(
            || "an unknown price".to_owned(),
            |price| price::shown(price.usd_micros_per_hour),
        )
    };
    let cause = format!(
        "instance type {} is retired since {}: {} is bought instead, for {} instead of {} for each node",
        asked.name,
        since(asked),
        bought.name,
        price(bought),
        price(asked)
    );
    (asked.name != bought.name).then(|| Problem::new(WorkspaceReason::InstanceTypeReplaced, cause))
}

fn since(retired: &InstanceType) -> &str {
    retired
        .retired
        .as_ref()
        .map_or("an unknown day", |retired| &retired.since)
}
