//! What a program brings: how to look at one object and what to make of it. The rest is the runtime's.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use plan::{Kind, Plan};

use crate::cache::Watched;
use crate::error::Error;
use crate::key::Key;

/// One kind of object, as a program reconciles it.
pub trait Reconciler: Send + Sync + 'static {
    /// The kind of [`Reconciler::Object`].
    const KIND: Kind;
    /// The object that is reconciled.
    type Object: Watched;
    /// Everything the decision looks at.
    type Observed: Send + Sync;
    /// What a plan may ask of a cloud; [`plan::NoCloud`] where there is none.
    type Cloud: Send + 'static;

    /// Gathers what belongs to the object, from stores; absence and failed reads are data. An error is for what
    /// cannot be data, and is retried.
    fn observe(
        &self,
        object: Arc<Self::Object>,
    ) -> impl Future<Output = Result<Self::Observed, Error>> + Send;

    /// Decides: a pure function.
    fn plan(&self, now: Timestamp, observed: &Self::Observed) -> Plan<Self::Cloud>;

    /// Carries out a call to the cloud, within its own time limits. Refusals are recorded by the program and
    /// observed at the next pass; an error is for what is to be retried at the runtime's pace. Answers when to
    /// look again at the latest, if that is sooner than the plan says.
    fn call(
        &self,
        object: &Self::Object,
        call: Self::Cloud,
    ) -> impl Future<Output = Result<Option<Duration>, Error>> + Send;

    /// The object is gone from the API server: drop what is remembered about it.
    fn gone(&self, _key: &Key) {}
}
