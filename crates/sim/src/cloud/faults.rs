//! What goes wrong at the cloud: standing faults, faults that are used up, and faults by chance.

use cloudprovider::{CallKind, ErrorClass, ProviderError};
use jiff::SignedDuration;

use crate::rng::Rng;

/// One way in which a request can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A pool is refused: no quota.
    Quota,
    /// A pool is refused: no such instance type here.
    Sku,
    /// A pool is accepted and fails later: no machine is free.
    Capacity,
    /// A write is refused: another operation runs.
    Busy,
    /// Any request is refused: too many of them.
    Throttled,
    /// A write is carried out and its answer is lost.
    Lost,
    /// Any request is lost on the way.
    Broken,
    /// A pool is accepted and never made.
    Stuck,
    /// A pool is made and its Node never joins.
    NoNode,
    /// A deletion is accepted and fails later.
    DeleteFails,
    /// Any request is refused: who are you?
    Unauthorized,
}

impl Fault {
    /// Every fault.
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
        }
    }

    /// The fault of this word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.word() == word)
    }

    /// Whether it can strike a request of this kind; listings count as reads.
    #[must_use]
    pub fn strikes(self, kind: CallKind) -> bool {
        let write = matches!(kind, CallKind::Create | CallKind::Delete | CallKind::Abort);
        match self {
            Self::Quota | Self::Sku | Self::Capacity | Self::Stuck | Self::NoNode => kind == CallKind::Create,
            Self::DeleteFails => kind == CallKind::Delete,
            Self::Busy | Self::Lost => write,
            Self::Throttled | Self::Broken | Self::Unauthorized => true,
        }
    }

    /// The refusal, for faults that refuse at once.
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
            Self::Capacity | Self::Lost | Self::Stuck | Self::NoNode | Self::DeleteFails => return None,
        };
        Some(found)
    }
}

/// An error without request id and waiting time.
#[must_use]
pub fn error(class: ErrorClass, code: &str, message: &str) -> ProviderError {
    ProviderError::new(class, code, message)
}

/// Which faults are in force.
#[derive(Clone, Debug)]
pub struct Faults {
    standing: Vec<Fault>,
    once: Vec<Fault>,
    /// How often in a thousand requests chance strikes, and with which of these faults.
    pub chance: (u64, Vec<Fault>),
    /// The dice.
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
    /// Strikes every request it can, until switched off.
    pub fn stand(&mut self, fault: Fault) {
        self.standing.push(fault);
    }

    /// Strikes the next request it can.
    pub fn once(&mut self, fault: Fault) {
        self.once.push(fault);
    }

    /// Everything goes well from now on.
    pub fn clear(&mut self) {
        self.standing.clear();
        self.once.clear();
        self.chance.0 = 0;
    }

    /// The fault that strikes a request of this kind now.
    pub fn strike(&mut self, kind: CallKind) -> Option<Fault> {
        if let Some(index) = self.once.iter().position(|fault| fault.strikes(kind)) {
            return Some(self.once.remove(index));
        }
        if let Some(fault) = self.standing.iter().find(|fault| fault.strikes(kind)) {
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
            .filter(|fault| fault.strikes(kind))
            .collect();
        self.rng.pick(&fitting).copied()
    }
}
