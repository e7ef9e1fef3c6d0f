//! The last failed launch, kept as an annotation on the claim so that a restart neither forgets the pause
//! nor repeats a request that the cloud has refused for good.
//!
//! Written only for what memory cannot tell: failures of accepted requests, and terminal refusals. A record of
//! another generation says nothing: the claim was changed since.

use cloudprovider::{CallKind, CallOutcome, ProviderError};
use jiff::Timestamp;
use kaito_api::Claim;
use kaito_api::labels::OPERATION_URL;
use kube::ResourceExt as _;
use serde::{Deserialize, Serialize};

use crate::backoff;
use crate::claim_edit::ClaimEdit;
use crate::context::Ctx;
use crate::launch::error_reasons::{self, Origin};

/// Annotation that holds the last failed launch as JSON.
pub const LAUNCH_FAILURE: &str = "kaito.sh/launch-failure";
/// Annotation that holds when a pool was last asked for, RFC 3339; stored before the request is sent.
pub const LAUNCH_STARTED: &str = "kaito.sh/launch-started";
/// Annotation that holds when the last request for a pool was sent that nobody answered, RFC 3339.
pub(crate) const LAUNCH_UNANSWERED: &str = "kaito.sh/launch-unanswered";

/// One failed launch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LaunchFailure {
    /// When it was noticed; for a refusal, when the answer came.
    pub(crate) at: Timestamp,
    /// How many in a row.
    pub(crate) count: u32,
    /// The claim's generation that failed.
    pub(crate) generation: i64,
    /// Why.
    pub(crate) error: ProviderError,
}

impl LaunchFailure {
    /// The recorded failure; an unreadable one is none.
    pub(crate) fn read(claim: &Claim) -> Option<Self> {
        serde_json::from_str(claim.annotations().get(LAUNCH_FAILURE)?).ok()
    }

    /// The recorded failure, if it is of the claim as it is now.
    pub(crate) fn current(ctx: &Ctx<'_>) -> Option<Self> {
        Self::read(ctx.claim).filter(|failure| failure.generation == ctx.generation())
    }

    /// When another launch may be tried.
    pub(crate) fn due(&self, ctx: &Ctx<'_>) -> Timestamp {
        let class = match self.error.class {
            class if class.is_terminal() => class,
            // A pool that came and went has cost minutes: pause as for capacity, whatever the class.
            _ => cloudprovider::ErrorClass::Capacity,
        };
        backoff::after(
            self.at,
            backoff::pause(CallKind::Create, class, self.count, ctx.settings),
        )
    }
}

/// Notes a failure, and forgets the operation that it ended.
pub(crate) fn note(ctx: &Ctx<'_>, at: Timestamp, error: &ProviderError, edit: &mut ClaimEdit) {
    let count = LaunchFailure::current(ctx)
        .map_or(0, |failure| failure.count)
        .saturating_add(1);
    let error = ProviderError {
        message: error_reasons::cut(&error.message),
        retry_after: None,
        ..error.clone()
    };
    let failure = LaunchFailure {
        at,
        count,
        generation: ctx.generation(),
        error,
    };
    // Strings and numbers only, so this cannot fail.
    if let Ok(text) = serde_json::to_string(&failure) {
        edit.set(ctx.claim, LAUNCH_FAILURE, Some(text));
    }
    edit.set(ctx.claim, OPERATION_URL, None);
}

/// When we last set out to ask for a pool.
pub(crate) fn intended(ctx: &Ctx<'_>) -> Option<Timestamp> {
    ctx.claim.annotations().get(LAUNCH_STARTED)?.parse().ok()
}

/// When a request for a pool last went unanswered.
pub(crate) fn unanswered(ctx: &Ctx<'_>) -> Option<Timestamp> {
    ctx.claim.annotations().get(LAUNCH_UNANSWERED)?.parse().ok()
}

/// When the pool that exists was asked for, as far as anybody knows.
pub(crate) fn started(ctx: &Ctx<'_>) -> Option<Timestamp> {
    intended(ctx).or_else(|| accepted(ctx).map(|call| call.at))
}

/// The last request, when it was an accepted Create.
pub(crate) fn accepted<'a>(ctx: &Ctx<'a>) -> Option<&'a CallOutcome> {
    ctx.last(CallKind::Create).filter(|call| call.error.is_none())
}

/// What stands against asking for a pool.
pub(crate) struct Setback {
    /// Until when.
    pub(crate) until: Timestamp,
    /// Why.
    pub(crate) error: ProviderError,
    /// Where the error came from.
    pub(crate) origin: Origin,
    /// The terminal refusal that is yet to be recorded.
    pub(crate) unrecorded: Option<Timestamp>,
}

/// The newest failure that still counts.
pub(crate) fn setback(ctx: &Ctx<'_>) -> Option<Setback> {
    let recorded = LaunchFailure::current(ctx).map(|failure| Setback {
        until: failure.due(ctx),
        origin: Origin::Pool,
        unrecorded: None,
        error: failure.error,
    });
    let refused = refusal(ctx);
    match (recorded, refused) {
        (Some(recorded), Some(refused)) if refused.until >= recorded.until => Some(refused),
        (Some(recorded), _) => Some(recorded),
        (None, refused) => refused,
    }
}

fn refusal(ctx: &Ctx<'_>) -> Option<Setback> {
    let call = ctx.last(CallKind::Create)?;
    let error = call.error.clone()?;
    // Once recorded, the record alone speaks: it knows which generation was refused.
    if LaunchFailure::read(ctx.claim).is_some_and(|failure| failure.at == call.at) {
        return None;
    }
    Some(Setback {
        until: backoff::due(call, ctx.settings)?,
        origin: Origin::Refusal(call.failures),
        unrecorded: error.class.is_terminal().then_some(call.at),
        error,
    })
}
