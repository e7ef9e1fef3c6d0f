//! The kinds of claims, and what each calls its conditions.

/// The kinds of claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each variant is the kind it is named after")]
pub enum ClaimKind {
    Machine,
    NodeClaim,
}

impl ClaimKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Machine, Self::NodeClaim];

    /// The kind in an object.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Machine => "Machine",
            Self::NodeClaim => "NodeClaim",
        }
    }

    /// The `apiVersion` of the kind.
    #[must_use]
    pub fn api_version(self) -> &'static str {
        match self {
            Self::Machine => "karpenter.sh/v1alpha5",
            Self::NodeClaim => "karpenter.sh/v1",
        }
    }

    /// The plural, as it stands in a URL.
    #[must_use]
    pub fn plural(self) -> &'static str {
        match self {
            Self::Machine => "machines",
            Self::NodeClaim => "nodeclaims",
        }
    }

    /// Name of the resource definition.
    #[must_use]
    pub fn definition(self) -> &'static str {
        match self {
            Self::Machine => "machines.karpenter.sh",
            Self::NodeClaim => "nodeclaims.karpenter.sh",
        }
    }

    /// The other one.
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
    /// Its Node joined and is labelled.
    Registered,
    /// The Node is ready and offers what was asked for.
    Initialized,
    /// All three.
    Ready,
}

impl ClaimConditionType {
    /// The steps on which `Ready` depends, in order.
    pub const STEPS: [Self; 3] = [Self::Launched, Self::Registered, Self::Initialized];

    /// The `type` in an object of the kind.
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
        }
    }
}
