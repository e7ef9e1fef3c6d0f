//! The order in which a plan is carried out, as data.

use serde_json::Value;

use crate::{Event, Finalizer, ObjectRef, Plan, Verb, Write};

/// One step of carrying out a plan. `C` is a request to a cloud.
#[derive(Clone, Debug, PartialEq)]
pub enum Step<C> {
    /// Add this finalizer to the reconciled object, unless it is there.
    EnsureFinalizer(&'static str),
    /// Write to the API server.
    Write(Write),
    /// Call the cloud.
    Cloud(C),
    /// Write the whole status of the reconciled object.
    Status(Value),
    /// Remove this finalizer from the reconciled object, if it is there.
    ReleaseFinalizer(&'static str),
    /// Publish a Kubernetes Event about the reconciled object. A failure ends nothing.
    Publish(Event),
}

impl<C> Step<C> {
    /// Returns the way of writing and the object of a step that writes to the API server. `reconciled` is the object
    /// that the plan is about.
    #[must_use]
    pub fn write(&self, reconciled: &ObjectRef) -> Option<(Verb, ObjectRef)> {
        let verb = match self {
            Self::Write(write) => return Some((write.verb(), write.target())),
            Self::EnsureFinalizer(_) => Verb::EnsureFinalizer,
            Self::ReleaseFinalizer(_) => Verb::ReleaseFinalizer,
            Self::Status(_) => Verb::Status,
            Self::Cloud(_) | Self::Publish(_) => return None,
        };
        Some((verb, reconciled.clone()))
    }
}

impl<C> Plan<C> {
    /// Returns the steps in the order of execution. [`Execution`](crate::Execution) says what a failed one prevents.
    ///
    /// ```
    /// use plan::{Event, Finalizer, NoCloud, Plan, Step};
    ///
    /// let plan = Plan::<NoCloud> {
    ///     finalizer: Finalizer::Ensure("kaito.sh/example"),
    ///     status: Some(serde_json::json!({ "ready": true })),
    ///     events: vec![Event::normal("Ready", "The example is ready.")],
    ///     ..Plan::default()
    /// };
    /// let steps: Vec<_> = plan.into_steps().collect();
    /// assert!(matches!(
    ///     steps[..],
    ///     [Step::EnsureFinalizer(_), Step::Status(_), Step::Publish(_)]
    /// ));
    /// ```
    pub fn into_steps(self) -> impl Iterator<Item = Step<C>> {
        // Without `..`: a new field of a plan must find its place here.
        let Self {
            finalizer,
            writes,
            cloud,
            status,
            events,
            requeue: _,
            reasons: _,
        } = self;
        let (ensure, release) = match finalizer {
            Finalizer::Leave => (None, None),
            Finalizer::Ensure(name) => (Some(Step::EnsureFinalizer(name)), None),
            Finalizer::Release(name) => (None, Some(Step::ReleaseFinalizer(name))),
        };
        ensure
            .into_iter()
            .chain(writes.into_iter().map(Step::Write))
            .chain(cloud.map(Step::Cloud))
            .chain(status.map(Step::Status))
            .chain(release)
            .chain(events.into_iter().map(Step::Publish))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Evict;

    #[test]
    fn the_finalizer_is_ensured_first_and_released_last() {
        let evict = || {
            Write::Evict(Evict {
                namespace: "n".to_owned(),
                name: "p".to_owned(),
                uid: "u".to_owned(),
            })
        };
        let plan = |finalizer| Plan {
            finalizer,
            writes: vec![evict()],
            cloud: Some("create"),
            status: Some(json!({})),
            events: vec![Event::normal("Done", "done")],
            ..Plan::default()
        };
        let middle = [
            Step::Write(evict()),
            Step::Cloud("create"),
            Step::Status(json!({})),
        ];
        let publish = || Step::Publish(Event::normal("Done", "done"));
        let ensuring: Vec<_> = plan(Finalizer::Ensure("f")).into_steps().collect();
        assert_eq!(ensuring[0], Step::EnsureFinalizer("f"));
        assert_eq!(ensuring[1..4], middle);
        assert_eq!(ensuring[4..], [publish()]);
        let releasing: Vec<_> = plan(Finalizer::Release("f")).into_steps().collect();
        assert_eq!(releasing[..3], middle);
        assert_eq!(releasing[3..], [Step::ReleaseFinalizer("f"), publish()]);
    }
}
