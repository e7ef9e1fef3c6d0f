//! The part of a controller that a program brings: how to observe one object, and what to decide about it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use plan::{Kind, Plan, RefusedWrite, Report};

use crate::cache_writer::Watched;
use crate::error::Error;
use crate::key::Key;

/// One kind of object, as a program reconciles it.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use jiff::Timestamp;
/// use k8s_openapi::api::core::v1::Node;
/// use operator_runtime::{Error, Reconciler};
/// use plan::{Kind, NoCloud, Plan};
///
/// /// Keeps a finalizer on every Node.
/// struct Nodes;
///
/// impl Reconciler for Nodes {
///     const KIND: Kind = Kind::Node;
///     type Object = Node;
///     type Observed = Arc<Node>;
///     type Cloud = NoCloud;
///
///     async fn observe(&self, node: Arc<Node>) -> Result<Arc<Node>, Error> {
///         Ok(node)
///     }
///
///     fn plan(&self, _now: Timestamp, _node: &Arc<Node>) -> Plan {
///         Plan {
///             finalizer: plan::Finalizer::Ensure("example.com/node"),
///             ..Plan::default()
///         }
///     }
///
///     async fn call(&self, _: &Node, call: NoCloud) -> Result<Option<Duration>, Error> {
///         match call {}
///     }
/// }
/// ```
pub trait Reconciler: Send + Sync + 'static {
    /// The kind of [`Reconciler::Object`].
    const KIND: Kind;
    /// The reconciled object.
    type Object: Watched;
    /// Everything that the decision depends on.
    type Observed: Send + Sync;
    /// A request to a cloud; [`plan::NoCloud`] where there is none.
    type Cloud: Send + 'static;

    /// Gathers everything about the object, from caches. Absence and failed reads are data; an error is for a
    /// failure that cannot be data, and is retried.
    fn observe(
        &self,
        object: Arc<Self::Object>,
    ) -> impl Future<Output = Result<Self::Observed, Error>> + Send;

    /// Decides: a pure function.
    fn plan(&self, now: Timestamp, observed: &Self::Observed) -> Plan<Self::Cloud>;

    /// Decides what the status says about writes of the plan that were refused: a pure function of the same observation.
    /// By default it says nothing, and the first refusal in a row becomes an event.
    fn report(&self, _now: Timestamp, _observed: &Self::Observed, _refusals: &[RefusedWrite]) -> Report {
        Report::default()
    }

    /// Carries out a call to the cloud, within its own time limits. Returns the longest time until the next
    /// reconcile, if that is sooner than the plan says.
    ///
    /// The program records refusals and observes them in the next reconcile; an error is retried at the runtime's
    /// pace.
    fn call(
        &self,
        object: &Self::Object,
        call: Self::Cloud,
    ) -> impl Future<Output = Result<Option<Duration>, Error>> + Send;

    /// Drops everything remembered about an object that is gone from the API server.
    fn on_deleted(&self, _key: &Key) {}
}
