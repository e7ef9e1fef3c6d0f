//! The closed set of kinds that plans name or contain.

use k8s_openapi::api::apps::v1::{ControllerRevision, Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kaito_api::{ClaimKind, Machine, NodeClaim};
use serde_json::Value;

/// A whole object to apply.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each variant is the kind it is named after")]
#[expect(
    clippy::large_enum_variant,
    reason = "a plan boxes the manifest, so the variants need not be"
)]
pub enum Manifest {
    Machine(Machine),
    NodeClaim(NodeClaim),
    ConfigMap(ConfigMap),
    NetworkPolicy(NetworkPolicy),
    ControllerRevision(ControllerRevision),
    Service(Service),
    Deployment(Deployment),
    StatefulSet(StatefulSet),
    Job(Job),
}

/// A kind that a plan may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each variant is the kind it is named after")]
pub enum Kind {
    Workspace,
    Machine,
    NodeClaim,
    ConfigMap,
    NetworkPolicy,
    ControllerRevision,
    Service,
    Deployment,
    StatefulSet,
    Job,
    PersistentVolumeClaim,
    Node,
    Pod,
    Event,
}

impl Kind {
    /// Returns the kind of a claim, also in constants.
    #[must_use]
    pub const fn of_claim(kind: ClaimKind) -> Self {
        match kind {
            ClaimKind::Machine => Self::Machine,
            ClaimKind::NodeClaim => Self::NodeClaim,
        }
    }

    /// Returns `kind` as it stands in an object.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Workspace => "Workspace",
            Self::Machine => ClaimKind::Machine.as_str(),
            Self::NodeClaim => ClaimKind::NodeClaim.as_str(),
            Self::ConfigMap => "ConfigMap",
            Self::NetworkPolicy => "NetworkPolicy",
            Self::ControllerRevision => "ControllerRevision",
            Self::Service => "Service",
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::Job => "Job",
            Self::PersistentVolumeClaim => "PersistentVolumeClaim",
            Self::Node => "Node",
            Self::Pod => "Pod",
            Self::Event => "Event",
        }
    }

    /// Returns the `apiVersion` of the kind.
    #[must_use]
    pub fn api_version(self) -> &'static str {
        match self {
            Self::Workspace => "kaito.sh/v1beta1",
            Self::Machine => ClaimKind::Machine.api_version(),
            Self::NodeClaim => ClaimKind::NodeClaim.api_version(),
            Self::ConfigMap
            | Self::Service
            | Self::PersistentVolumeClaim
            | Self::Node
            | Self::Pod
            | Self::Event => "v1",
            Self::ControllerRevision | Self::Deployment | Self::StatefulSet => "apps/v1",
            Self::Job => "batch/v1",
            Self::NetworkPolicy => "networking.k8s.io/v1",
        }
    }

    /// Returns the plural as it stands in a URL.
    #[must_use]
    pub fn plural(self) -> &'static str {
        match self {
            Self::Workspace => "workspaces",
            Self::Machine => ClaimKind::Machine.plural(),
            Self::NodeClaim => ClaimKind::NodeClaim.plural(),
            Self::ConfigMap => "configmaps",
            Self::NetworkPolicy => "networkpolicies",
            Self::ControllerRevision => "controllerrevisions",
            Self::Service => "services",
            Self::Deployment => "deployments",
            Self::StatefulSet => "statefulsets",
            Self::Job => "jobs",
            Self::PersistentVolumeClaim => "persistentvolumeclaims",
            Self::Node => "nodes",
            Self::Pod => "pods",
            Self::Event => "events",
        }
    }
}

impl From<ClaimKind> for Kind {
    fn from(kind: ClaimKind) -> Self {
        Self::of_claim(kind)
    }
}

/// Kind, namespace and name of one object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// Kind.
    pub kind: Kind,
    /// Namespace; `None` for cluster-scoped kinds.
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
}

impl Manifest {
    /// Kind of the object.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Machine(_) => Kind::Machine,
            Self::NodeClaim(_) => Kind::NodeClaim,
            Self::ConfigMap(_) => Kind::ConfigMap,
            Self::NetworkPolicy(_) => Kind::NetworkPolicy,
            Self::ControllerRevision(_) => Kind::ControllerRevision,
            Self::Service(_) => Kind::Service,
            Self::Deployment(_) => Kind::Deployment,
            Self::StatefulSet(_) => Kind::StatefulSet,
            Self::Job(_) => Kind::Job,
        }
    }

    /// Metadata of the object.
    #[must_use]
    pub fn metadata(&self) -> &ObjectMeta {
        match self {
            Self::Machine(o) => &o.metadata,
            Self::NodeClaim(o) => &o.metadata,
            Self::ConfigMap(o) => &o.metadata,
            Self::NetworkPolicy(o) => &o.metadata,
            Self::ControllerRevision(o) => &o.metadata,
            Self::Service(o) => &o.metadata,
            Self::Deployment(o) => &o.metadata,
            Self::StatefulSet(o) => &o.metadata,
            Self::Job(o) => &o.metadata,
        }
    }

    /// Mutable metadata of the object.
    pub fn metadata_mut(&mut self) -> &mut ObjectMeta {
        match self {
            Self::Machine(o) => &mut o.metadata,
            Self::NodeClaim(o) => &mut o.metadata,
            Self::ConfigMap(o) => &mut o.metadata,
            Self::NetworkPolicy(o) => &mut o.metadata,
            Self::ControllerRevision(o) => &mut o.metadata,
            Self::Service(o) => &mut o.metadata,
            Self::Deployment(o) => &mut o.metadata,
            Self::StatefulSet(o) => &mut o.metadata,
            Self::Job(o) => &mut o.metadata,
        }
    }

    /// Returns kind, namespace and name of the object.
    #[must_use]
    pub fn target(&self) -> ObjectRef {
        let metadata = self.metadata();
        ObjectRef {
            kind: self.kind(),
            namespace: metadata.namespace.clone(),
            name: metadata.name.clone().unwrap_or_default(),
        }
    }

    /// Returns the object as JSON with `apiVersion` and `kind`, as server-side apply expects it.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let value = match self {
            Self::Machine(o) => serde_json::to_value(o),
            Self::NodeClaim(o) => serde_json::to_value(o),
            Self::ConfigMap(o) => serde_json::to_value(o),
            Self::NetworkPolicy(o) => serde_json::to_value(o),
            Self::ControllerRevision(o) => serde_json::to_value(o),
            Self::Service(o) => serde_json::to_value(o),
            Self::Deployment(o) => serde_json::to_value(o),
            Self::StatefulSet(o) => serde_json::to_value(o),
            Self::Job(o) => serde_json::to_value(o),
        };
        // These types have only strings as map keys, so serializing them cannot fail.
        value.unwrap_or(Value::Null)
    }
}

macro_rules! from_kind {
    ($($kind:ident),+) => { $(impl From<$kind> for Manifest {
        fn from(object: $kind) -> Self {
            Self::$kind(object)
        }
    })+ };
}
from_kind!(
    Machine,
    NodeClaim,
    ConfigMap,
    NetworkPolicy,
    ControllerRevision,
    Service,
    Deployment,
    StatefulSet,
    Job
);
