//! The choice of an offering: the next that the claim allows and that was not refused recently.
//!
//! Three records hold refusals: the memory that all claims share, the note on the claim, and the answer to the last request.
//! A restart loses the first and the last, which costs one attempt for each offering.

use cloudprovider::{CapacityType, ErrorClass, Offering, ProviderError};
use jiff::Timestamp;
use kaito_api::conditions::ClaimReason;

use crate::backoff;
use crate::condition::{self, ConditionUpdate};
use crate::context::PlanContext;
use crate::launch::backoff as launch_backoff;
use crate::launch::error_reasons::{self, Origin};
use crate::launch::offerings::{self, offerings};
use crate::time;

/// An offering that cannot be had now.
pub(crate) struct RefusedOffering {
    offering: Offering,
    error: ProviderError,
    origin: Origin,
    /// Time from which it may be tried again.
    until: Timestamp,
    /// Another claim asks for it meanwhile.
    asking: Option<String>,
}

/// The outcome of a choice.
pub(crate) struct OfferingChoice {
    /// The offering to ask for; `None` if none can be had.
    pub(crate) offering: Option<Offering>,
    /// Those that were refused.
    pub(crate) refused: Vec<RefusedOffering>,
    /// Time from which one may be tried again, if none can be had.
    pub(crate) until: Option<Timestamp>,
}

/// Chooses among the offerings of a claim. The next one is behind the offering that was refused last. At the end of the list
/// the claim pauses, and begins with the first that may be tried again.
pub(crate) fn choose(context: &PlanContext<'_>, allowed: &[Offering]) -> OfferingChoice {
    let start = start(context, allowed);
    let held = |offering: &Offering| refusal(context, offering);
    if let Some(offering) = allowed
        .iter()
        .skip(start)
        .find(|offering| held(offering).is_none())
    {
        return chosen(context, allowed, offering);
    }
    let last = start.checked_sub(1).and_then(|last| held(allowed.get(last)?));
    let again = allowed
        .iter()
        .take(start)
        .find(|offering| held(offering).is_none());
    match again.filter(|_| last.is_none()) {
        Some(offering) => chosen(context, allowed, offering),
        None => {
            let first = allowed.iter().filter_map(held).map(|refused| refused.until).min();
            OfferingChoice {
                offering: None,
                refused: allowed.iter().filter_map(held).collect(),
                until: last.map(|refused| refused.until).max(first),
            }
        }
    }
}

fn chosen(context: &PlanContext<'_>, allowed: &[Offering], offering: &Offering) -> OfferingChoice {
    let before = allowed.iter().take_while(|other| *other != offering);
    OfferingChoice {
        offering: Some(offering.clone()),
        refused: before.filter_map(|offering| refusal(context, offering)).collect(),
        until: None,
    }
}

/// Returns the place in the order at which the claim's walk stands.
fn start(context: &PlanContext<'_>, allowed: &[Offering]) -> usize {
    let found = |offering: Option<&Offering>| allowed.iter().position(|allowed| Some(allowed) == offering);
    let place = |offering| found(offering).unwrap_or_default();
    let behind = |offering| found(offering).map_or(0, |place| place.saturating_add(1));
    let record = &context.record;
    if context.refused_offering().is_some() {
        return behind(record.offering.as_ref());
    }
    let is_refused = context.last_create.is_some_and(|call| call.error.is_some());
    match &record.failure {
        // Another error than that of the offering: the request is repeated as it was.
        _ if is_refused => place(record.offering.as_ref()),
        Some(failure)
            if failure.is_of_offering() && record.started.is_none_or(|started| failure.at >= started) =>
        {
            behind(failure.offering.as_ref())
        }
        Some(failure) if record.started.is_some_and(|started| failure.at < started) => {
            place(record.offering.as_ref())
        }
        // It gets a second try.
        Some(failure) if failure.has_not_joined() => place(failure.offering.as_ref()),
        Some(_) => 0,
        // After a restart the request may have been sent, so it is repeated as it was.
        None if context.last_call.is_none() && record.started.is_some() => place(record.offering.as_ref()),
        None => 0,
    }
}

/// Returns the update of `Launched` after an error that ended a launch: its own words, or the offering that is next.
pub(crate) fn after_failure(
    context: &PlanContext<'_>,
    error: &ProviderError,
    origin: Origin,
) -> ConditionUpdate {
    let failed = match (origin, context.owned()) {
        (Origin::Operation, Some(instance)) => instance.offering(),
        _ => context.record.offering.clone(),
    };
    let allowed = offerings(context.claim, context.class, context.settings).unwrap_or_default();
    let place = allowed
        .iter()
        .position(|allowed| Some(allowed) == failed.as_ref());
    let Some(place) = place.filter(|_| error.class.is_of_offering() && allowed.len() > 1) else {
        return error_reasons::launched(error, origin);
    };
    let next = allowed
        .iter()
        .skip(place.saturating_add(1))
        .find(|offering| refusal(context, offering).is_none());
    let others = allowed.iter().take_while(|offering| Some(*offering) != next);
    let refused = others.enumerate().filter_map(|(index, offering)| {
        let own = (index == place).then(|| RefusedOffering {
            offering: offering.clone(),
            error: error.clone(),
            origin,
            until: time::after(context.now, context.settings.capacity_backoff.0),
            asking: None,
        });
        refusal(context, offering).or(own)
    });
    let choice = OfferingChoice {
        offering: next.cloned(),
        refused: refused.collect(),
        until: None,
    };
    choice.condition(context)
}

impl OfferingChoice {
    /// Returns the update of `Launched`: the offering that is asked for, and why those before it are not.
    pub(crate) fn condition(&self, context: &PlanContext<'_>) -> ConditionUpdate {
        let each = self
            .refused
            .iter()
            .map(|refused| refused.text(self.refused.len()));
        let each = each.collect::<Vec<_>>().join("; ");
        match (&self.offering, &self.refused[..]) {
            (Some(_), []) => condition::requested(context.name),
            (Some(offering), _) => {
                let cause = format!("instance {} is requested as {offering}; {each}", context.name);
                condition::pending(ClaimReason::InstanceCreating, &cause)
            }
            (None, [only]) => only.condition(),
            (None, _) => {
                let class = |class: ErrorClass| self.refused.iter().find(|r| r.error.class == class);
                // The reason that time alone may end comes first.
                let decisive = class(ErrorClass::Capacity)
                    .or_else(|| class(ErrorClass::Quota))
                    .or(self.refused.first());
                let update = decisive.map(RefusedOffering::condition);
                let type_ = self
                    .refused
                    .first()
                    .map_or("", |refused| &refused.offering.instance_type);
                let cause = format!("no offering of {type_} can be had: {each}");
                error_reasons::every_offering(update, &cause)
            }
        }
    }
}

impl RefusedOffering {
    fn condition(&self) -> ConditionUpdate {
        let is_plain = self.offering.capacity_type == CapacityType::OnDemand && self.offering.zone.is_none();
        if is_plain && self.asking.is_none() {
            return error_reasons::launched(&self.error, self.origin);
        }
        let update = error_reasons::launched(&self.error, self.origin);
        error_reasons::every_offering(Some(update), &self.text(1))
    }

    fn text(&self, number: usize) -> String {
        let words = error_reasons::short_cause(&self.error, number);
        let until = self.until.strftime("%Y-%m-%dT%H:%M:%SZ");
        match &self.asking {
            Some(claim) => format!("{}: {words} (claim {claim} asks again)", self.offering),
            None => format!("{}: {words} (not before {until})", self.offering),
        }
    }
}

/// Returns the refusal of an offering that holds longest; `None` if it may be tried now.
fn refusal(context: &PlanContext<'_>, offering: &Offering) -> Option<RefusedOffering> {
    let sources = [
        shared(context, offering),
        noted(context, offering),
        answered(context, offering),
    ];
    let holding = sources
        .into_iter()
        .flatten()
        .filter(|refused| refused.until > context.now);
    holding.max_by_key(|refused| refused.until)
}

/// The memory of all claims.
fn shared(context: &PlanContext<'_>, offering: &Offering) -> Option<RefusedOffering> {
    let refusal = context.refused.get(offering)?;
    let pause = backoff::spread(
        offerings::pause(refusal, context.settings),
        context.claim.uid(),
        refusal.count,
    );
    let pause_end = time::after(refusal.at, pause);
    let probe = refusal.probe.as_ref().filter(|(claim, _)| claim != context.name);
    let until = match probe {
        // The claim that asks may be gone, so the others wait for its answer for a while only.
        Some((_, at)) => pause_end.max(time::after(*at, context.settings.capacity_backoff.1)),
        None => pause_end,
    };
    Some(RefusedOffering {
        offering: offering.clone(),
        error: refusal.error.clone(),
        origin: Origin::Operation,
        until,
        asking: probe.map(|(claim, _)| claim.clone()),
    })
}

/// The note on the claim.
fn noted(context: &PlanContext<'_>, offering: &Offering) -> Option<RefusedOffering> {
    let failure = context
        .record
        .failure
        .as_ref()
        .filter(|failure| failure.is_of_offering())?;
    (failure.offering.as_ref() == Some(offering)).then(|| RefusedOffering {
        offering: offering.clone(),
        error: failure.error.clone(),
        origin: Origin::Operation,
        until: launch_backoff::until(failure, context),
        asking: None,
    })
}

/// The answer to the last request.
fn answered(context: &PlanContext<'_>, offering: &Offering) -> Option<RefusedOffering> {
    let call = context.refused_offering()?;
    context
        .record
        .offering
        .as_ref()
        .filter(|asked| *asked == offering)?;
    Some(RefusedOffering {
        offering: offering.clone(),
        error: call.error.clone()?,
        origin: Origin::RefusedWrite(call.failures),
        until: backoff::due(call, context.claim.uid(), context.settings)?,
        asking: None,
    })
}
