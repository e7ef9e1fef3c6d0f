//! Faults of the cloud: standing faults, faults that are used up, and random faults.

use cloudprovider::{CallKind, ErrorClass, ProviderError};
use jiff::SignedDuration;

use crate::rng::Rng;

/// One way in which a request can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Refuses an instance: no quota.
    Quota,
    /// Refuses an instance: its type is not offered here.
    Sku,
    /// Accepts an instance that fails later: no machine is free.
    Capacity,
    /// Refuses a write: another operation runs.
    Busy,
    /// Refuses any request: there are too many.
    Throttled,
    /// Carries out a write whose answer is lost.
    Lost,
    /// Loses any request on the way.
    Broken,
    /// Accepts an instance and never creates it.
    Stuck,
    /// Creates an instance whose Node never joins.
    NoNode,
    /// Accepts a deletion that fails later.
    DeleteFails,
    /// Refuses any request: the identity is unknown.
    Unauthorized,
    /// Refuses any request with an error of this class.
    Refused(ErrorClass),
    /// Accepts an instance whose creation fails with an error of this class.
    CreateFails(ErrorClass),
    /// Carries a create request out later, and loses its answer.
    Late,
    /// Loses a listing on the way.
    NoListing,
}

impl Fault {
    /// Every fault that a scenario can name.
    pub const ALL: [Self; 11] = [
        Self::Quota,
        Self::Sku,
        Self::Capacity,
        Self::Busy,
        Self::Throttled,
        Self::Lost,
        Self::Broken,
        Self::Stuck,
        Self::NoNode,
        Self::DeleteFails,
        Self::Unauthorized,
    ];

    /// The word in a scenario.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Quota => "quota",
            Self::Sku => "sku",
            Self::Capacity => "capacity",
            Self::Busy => "busy",
            Self::Throttled => "throttled",
            Self::Lost => "lost",
            Self::Broken => "broken",
            Self::Stuck => "stuck",
            Self::NoNode => "no-node",
            Self::DeleteFails => "delete-fails",
            Self::Unauthorized => "unauthorized",
            Self::Refused(_) => "refused",
            Self::CreateFails(_) => "create-fails",
            Self::Late => "late",
            Self::NoListing => "no-listing",
        }
    }

    /// The fault of this word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.word() == word)
    }

    /// Returns true if it applies to requests of this kind; listings count as reads.
    #[must_use]
    pub fn applies_to(self, kind: CallKind) -> bool {
        let write = matches!(kind, CallKind::Create | CallKind::Delete | CallKind::Abort);
        match self {
            Self::Quota | Self::Sku | Self::Capacity | Self::Stuck | Self::NoNode => kind == CallKind::Create,
            Self::CreateFails(_) | Self::Late => kind == CallKind::Create,
            Self::NoListing => false,
            Self::DeleteFails => kind == CallKind::Delete,
            Self::Busy | Self::Lost => write,
            Self::Throttled | Self::Broken | Self::Unauthorized | Self::Refused(_) => true,
        }
    }

    /// The error of faults by which a creation fails.
    #[must_use]
    pub fn failure(self) -> Option<ProviderError> {
        match self {
            Self::Capacity => Some(error(
                ErrorClass::Capacity,
                "AllocationFailed",
                "Allocation failed: no capacity.",
            )),
            Self::CreateFails(class) => Some(error(class, "CreationFailed", "The creation failed.")),
            _ => None,
        }
    }

    /// The error of faults that refuse at once.
    #[must_use]
    pub fn refusal(self) -> Option<ProviderError> {
        let found = match self {
            Self::Quota => error(
                ErrorClass::Quota,
                "ErrCode_InsufficientVCPUQuota",
                "Insufficient vcpu quota requested 24, remaining 0 for family standardNCADSA100v4Family.",
            ),
            Self::Sku => error(
                ErrorClass::SkuUnavailable,
                "SkuNotAvailable",
                "The size is not available here.",
            ),
            Self::Busy => error(
                ErrorClass::Busy,
                "OperationNotAllowed",
                "Another operation is in progress.",
            ),
            Self::Throttled => error(ErrorClass::Throttled, "TooManyRequests", "Too many requests.")
                .with_retry_after(Some(SignedDuration::from_secs(20))),
            Self::Broken => error(ErrorClass::Transient, "Transport", "the connection broke"),
            Self::Unauthorized => error(ErrorClass::Unauthorized, "AuthorizationFailed", "No permission."),
            Self::Refused(class) => error(class, "Refused", "the request is refused"),
            Self::Capacity
            | Self::CreateFails(_)
            | Self::DeleteFails
            | Self::Late
            | Self::Lost
            | Self::NoListing
            | Self::NoNode
            | Self::Stuck => return None,
        };
        Some(found)
    }
}

/// An error without request id and waiting time.
#[must_use]
pub fn error(class: ErrorClass, code: &str, message: &str) -> ProviderError {
    ProviderError::new(class, code, message)
}

/// The active faults.
#[derive(Clone, Debug)]
pub struct Faults {
    standing: Vec<Fault>,
    once: Vec<Fault>,
    /// Number of random faults in a thousand requests, and the faults that they are drawn from.
    pub chance: (u64, Vec<Fault>),
    /// Source of random numbers.
    pub rng: Rng,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            standing: Vec::new(),
            once: Vec::new(),
            chance: (0, Vec::new()),
            rng: Rng::new(0),
        }
    }
}

impl Faults {
    /// Applies a fault to every matching request, until [`Self::clear`].
    pub fn stand(&mut self, fault: Fault) {
        self.standing.push(fault);
    }

    /// Applies a fault to the next matching request.
    pub fn once(&mut self, fault: Fault) {
        self.once.push(fault);
    }

    /// Returns true if a listing is lost now.
    pub(super) fn strike_listing(&mut self) -> bool {
        let found = self.once.iter().position(|fault| *fault == Fault::NoListing);
        found.map(|index| self.once.remove(index)).is_some()
    }

    /// Removes all faults.
    pub fn clear(&mut self) {
        self.standing.clear();
        self.once.clear();
        self.chance.0 = 0;
    }

    /// Draws the fault of a request of this kind.
    pub fn draw(&mut self, kind: CallKind) -> Option<Fault> {
        if let Some(index) = self.once.iter().position(|fault| fault.applies_to(kind)) {
            return Some(self.once.remove(index));
        }
        if let Some(fault) = self.standing.iter().find(|fault| fault.applies_to(kind)) {
            return Some(*fault);
        }
        if !self.rng.permille(self.chance.0) {
            return None;
        }
        let fitting: Vec<Fault> = self
            .chance
            .1
            .iter()
            .copied()
            .filter(|fault| fault.applies_to(kind))
            .collect();
        self.rng.pick(&fitting).copied()
    }
}
