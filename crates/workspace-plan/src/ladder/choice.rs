//! The choice of a rung while nothing runs. Claims stay on their rung until it is refused.
//!
//! Then the first rung is taken that can be used and was not refused lately. One whose quota is too small, or that is
//! restricted, is taken only if every other one is so too.

use kaito_api::conditions::{ClaimConditionType, WorkspaceReason};
use plan::condition::ConditionReason as _;

use super::record;
use crate::allowed::{allowed, is_outdated};
use crate::ceiling::{Cost, refuse};
use crate::claims;
use crate::context::PlanContext;
use crate::desired::{Desired, LeftOut};
use crate::launch_report::{has_lasted, is_foreign, refusal};
use crate::price;
use crate::problem::Problem;
use crate::rung::{Rung, offer, remembered};
use crate::shortage;
use crate::unavailable::UnavailableType;
use crate::validate;

/// A rung, and the desired state on it or the reason why it cannot be used.
type Tried<'a> = (&'a str, Result<Desired<'a>, Problem>);

/// Returns the desired state on the rung that is taken, with notes about the rungs that are not.
///
/// # Errors
/// If no rung can be used, if the dearest one exceeds a ceiling, or if none can be had now.
pub(super) fn of<'a>(context: &PlanContext<'a>, rungs: &[&'a str]) -> Result<Desired<'a>, Problem> {
    let claimed = record::claimed(context, rungs);
    let tried = rungs.iter().enumerate().map(|(place, asked)| {
        let recorded = claimed.filter(|(at, _)| *at == place).map(|(_, name)| name);
        (*asked, validate::on_rung(context, Rung { asked, recorded }))
    });
    let mut tried: Vec<Tried<'a>> = tried.collect();
    check_usable(&tried)?;
    check_ceilings(context, &tried)?;
    let place = taken(context, &tried, claimed.map(|(place, _)| place))?;
    let left_out = left_out(context, &tried, place);
    let mut notes = notes(context, &tried, place);
    notes.extend(left_out.iter().map(|found| {
        let cause = format!("{} is left out: {}", found.rung, found.problem.cause);
        Problem::new(found.problem.reason, cause)
    }));
    let (_, desired) = tried.swap_remove(place);
    let desired = desired?;
    notes.extend(shortage::note(context, &desired));
    notes.extend(desired.notes);
    Ok(Desired {
        notes,
        left_out,
        ..desired
    })
}

fn taken(context: &PlanContext<'_>, tried: &[Tried<'_>], claimed: Option<usize>) -> Result<usize, Problem> {
    let usable = |place: usize| tried.get(place).and_then(|(_, desired)| desired.as_ref().ok());
    let claimed = claimed.filter(|place| usable(*place).is_some());
    let is_free = |desired: &Desired<'_>| remembered(context, &desired.hardware.instance_type).is_none();
    let others = (0..tried.len()).filter(|place| claimed != Some(*place));
    let free: Vec<usize> = others
        .filter(|place| usable(*place).is_some_and(is_free))
        .collect();
    let is_open =
        |place: &&usize| usable(**place).is_some_and(|desired| shortage::of(context, desired).is_none());
    // The facts may be wrong, so a type that is short is better than none.
    let first = free.iter().find(is_open).or(free.first()).copied();
    match claimed {
        Some(place) if usable(place).is_some_and(|desired| is_refused(context, desired)) => {
            // At the end of the ladder the claims stay, and their provisioner tries again.
            Ok(first.unwrap_or(place))
        }
        Some(place) => Ok(place),
        None => first.ok_or_else(|| none_left(context, tried)),
    }
}

/// Returns true if no claim of the rung is on its way, and at least one is refused for its type.
fn is_refused(context: &PlanContext<'_>, desired: &Desired<'_>) -> bool {
    let offer = offer(context, &desired.hardware.instance_type);
    let wanted = allowed(context).unwrap_or_default();
    let was_lost = |name: &str| {
        let backoff = context.observed.launch_backoffs.get(name);
        let asked_for_it = backoff.is_some_and(|backoff| backoff.offer.as_ref() == Some(&offer));
        asked_for_it && remembered(context, &desired.hardware.instance_type).is_some()
    };
    let states =
        claims::needed(context, desired.nodes)
            .into_iter()
            .filter_map(|(_, name)| match claims::live(context, &name) {
                Some(claim) if claim.is_true(ClaimConditionType::Launched) => None,
                // Its successor asks for other capacity types or zones.
                Some(claim) if is_outdated(claim, &wanted) => Some(false),
                Some(claim) if is_foreign(claim) => Some(has_lasted(claim, context.now)),
                Some(claim) => Some(refusal(claim).is_some()),
                None => Some(claims::of_name(context, &name).next().is_none() && was_lost(&name)),
            });
    let states: Vec<bool> = states.collect();
    !states.is_empty() && states.into_iter().all(|is_refused| is_refused)
}

/// Fails if no rung can be used: with the reason of each, or with the one reason that all have.
fn check_usable(tried: &[Tried<'_>]) -> Result<(), Problem> {
    let problems: Vec<(&str, &Problem)> = tried
        .iter()
        .filter_map(|(rung, desired)| Some((*rung, desired.as_ref().err()?)))
        .collect();
    match problems.as_slice() {
        [(_, first), ..] if problems.len() == tried.len() => {
            if problems.iter().all(|(_, problem)| problem == first) {
                return Err(Problem::clone(first));
            }
            let each = problems
                .iter()
                .map(|(rung, problem)| format!("{rung}: {}", problem.cause));
            let cause = each.collect::<Vec<_>>().join("; ");
            Err(Problem::new(
                first.reason,
                format!("no instance type can be used: {cause}"),
            ))
        }
        _ => Ok(()),
    }
}

/// Checks the dearest of the rungs that exceed a ceiling by themselves, so that a Workspace cannot climb over it later.
fn check_ceilings(context: &PlanContext<'_>, tried: &[Tried<'_>]) -> Result<(), Problem> {
    let settings = context.settings;
    let refused = tried.iter().filter_map(|(_, desired)| {
        let desired = desired.as_ref().ok()?;
        let name = &desired.hardware.instance_type;
        let each = price::of(settings, name);
        let needs = Cost::of(usize::try_from(desired.nodes).unwrap_or(usize::MAX), each);
        let namespace = context.workspace().namespace();
        let refusal = refuse(&settings.ceilings, namespace, name, needs, Cost::default())?;
        Some((
            each.map(|each| each.saturating_mul(desired.nodes.into())),
            refusal,
        ))
    });
    match refused.max_by_key(|(price, _)| *price) {
        Some((_, refusal)) => Err(refusal.problem()),
        None => Ok(()),
    }
}

/// Notes about rungs that cannot be used, and about better ones that were refused lately.
fn notes(context: &PlanContext<'_>, tried: &[Tried<'_>], taken: usize) -> Vec<Problem> {
    let note = |(place, (rung, desired)): (usize, &Tried<'_>)| match desired {
        Err(problem) => {
            let cause = format!("{rung} is left out: {}", problem.cause);
            Some(Problem::new(WorkspaceReason::InstanceTypeSkipped, cause))
        }
        Ok(desired) if place < taken => {
            let found = remembered(context, &desired.hardware.instance_type)?;
            let cause = format!("{rung} cannot be had{}", why(found));
            Some(Problem::new(WorkspaceReason::InstanceTypeUnavailable, cause))
        }
        Ok(_) => None,
    };
    tried.iter().enumerate().filter_map(note).collect()
}

/// Better rungs that were not refused lately, and that are left out for quota or restrictions.
fn left_out(context: &PlanContext<'_>, tried: &[Tried<'_>], taken: usize) -> Vec<LeftOut> {
    let better = tried.iter().take(taken);
    let short = better.filter_map(|(rung, desired)| {
        let desired = desired.as_ref().ok()?;
        if remembered(context, &desired.hardware.instance_type).is_some() {
            return None;
        }
        Some(LeftOut {
            rung: (*rung).to_owned(),
            problem: shortage::of(context, desired)?,
        })
    });
    short.collect()
}

fn none_left(context: &PlanContext<'_>, tried: &[Tried<'_>]) -> Problem {
    let each = tried.iter().map(|(rung, desired)| match desired {
        Ok(desired) => {
            let found = remembered(context, &desired.hardware.instance_type);
            format!("{rung}{}", found.map(why).unwrap_or_default())
        }
        Err(problem) => format!("{rung} cannot be used: {}", problem.cause),
    });
    let each = each.collect::<Vec<_>>().join("; ");
    Problem::new(
        WorkspaceReason::NoCapacity,
        format!("no instance type can be had now: {each}"),
    )
}

fn why(found: &UnavailableType) -> String {
    let until = found.until.strftime("%H:%M:%S");
    let reason = found.reason.as_str();
    let words = found.message.trim_end_matches('.');
    let words = if words.is_empty() {
        String::new()
    } else {
        format!(": {words}")
    };
    format!(" until {until} UTC ({reason}{words})")
}
