//! The kinds of claims, and the names of their conditions.

/// The kinds of claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each variant is the kind it is named after")]
pub enum ClaimKind {
    Machine,
    NodeClaim,
}

impl ClaimKind {
    /// Both kinds.
    pub const ALL: [Self; 2] = [Self::Machine, Self::NodeClaim];

    /// Value of `kind` in an object.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Machine => "Machine",
            Self::NodeClaim => "NodeClaim",
        }
    }

    /// Value of `apiVersion` in an object.
    #[must_use]
    pub fn api_version(self) -> &'static str {
        match self {
            Self::Machine => "karpenter.sh/v1alpha5",
            Self::NodeClaim => "karpenter.sh/v1",
        }
    }

    /// Plural, as in a URL.
    #[must_use]
    pub fn plural(self) -> &'static str {
        match self {
            Self::Machine => "machines",
            Self::NodeClaim => "nodeclaims",
        }
    }

    /// Name of the CustomResourceDefinition.
    #[must_use]
    pub fn definition(self) -> &'static str {
        match self {
            Self::Machine => "machines.karpenter.sh",
            Self::NodeClaim => "nodeclaims.karpenter.sh",
        }
    }

    /// The other kind.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Machine => Self::NodeClaim,
            Self::NodeClaim => Self::Machine,
        }
    }
}

/// The conditions that a claim of either kind has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClaimConditionType {
    /// The instance exists.
    Launched,
    /// Its Node has joined and is labeled.
    Registered,
    /// The Node is ready and offers all requested resources.
    Initialized,
    /// All three are true.
    Ready,
    /// The Node is healthy. The condition exists only while it is `False`.
    NodeHealthy,
    /// The node differs from what its class says now. The condition exists only while it is `True`.
    Drifted,
}

impl ClaimConditionType {
    /// Steps on which `Ready` depends, in order.
    pub const STEPS: [Self; 3] = [Self::Launched, Self::Registered, Self::Initialized];

    /// Value of `type` in an object of the kind.
    #[must_use]
    pub fn as_str(self, kind: ClaimKind) -> &'static str {
        match (self, kind) {
            (Self::Launched, ClaimKind::Machine) => "MachineLaunched",
            (Self::Registered, ClaimKind::Machine) => "MachineRegistered",
            (Self::Initialized, ClaimKind::Machine) => "MachineInitialized",
            (Self::Launched, ClaimKind::NodeClaim) => "Launched",
            (Self::Registered, ClaimKind::NodeClaim) => "Registered",
            (Self::Initialized, ClaimKind::NodeClaim) => "Initialized",
            (Self::Ready, _) => "Ready",
            (Self::NodeHealthy, _) => "NodeHealthy",
            (Self::Drifted, ClaimKind::Machine) => "MachineDrifted",
            (Self::Drifted, ClaimKind::NodeClaim) => "Drifted",
        }
    }
}
