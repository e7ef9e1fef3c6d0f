//! The pause after a reconcile that failed, and the shorter one after a reconcile that wrote. Changes of other objects and
//! listings of the cloud do not end it; a change of the object itself does.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use kube::core::ObjectMeta;
use plan::FailureClass;
use tokio::time::Instant;

use crate::key::Key;

/// Longest time for which changes of other objects are kept waiting. One refused write must not hide for longer what became
/// of the rest: the status follows, too.
const LONGEST: Duration = Duration::from_secs(30);

/// Objects that rest after their last reconcile, each with the time until which it rests.
#[derive(Debug, Default)]
pub(crate) struct Cooldowns(HashMap<Key, Cooldown>);

#[derive(Debug)]
struct Cooldown {
    until: Instant,
    /// Digest of what a user may have changed to repair the failure.
    object: u64,
}

impl Cooldowns {
    /// Records a failed reconcile of an object that is due again after `delay`. A conflict causes no pause: the change that
    /// caused it is what the next reconcile waits for.
    pub(crate) fn record(
        &mut self,
        key: &Key,
        class: FailureClass,
        object: &ObjectMeta,
        delay: Duration,
        now: Instant,
    ) {
        let time = match class {
            FailureClass::Conflict => Duration::ZERO,
            _ => delay.min(LONGEST),
        };
        self.rest(key, object, time, now);
    }

    /// Records a reconcile after which the object rests for this time.
    pub(crate) fn rest(&mut self, key: &Key, object: &ObjectMeta, time: Duration, now: Instant) {
        if time.is_zero() {
            self.0.remove(key);
            return;
        }
        let cooldown = Cooldown {
            until: now + time,
            object: digest(object),
        };
        self.0.insert(key.clone(), cooldown);
    }

    /// Returns the time left for which the object rests; `None` if it may be reconciled.
    pub(crate) fn left(&self, key: &Key, object: &ObjectMeta, now: Instant) -> Option<Duration> {
        let cooldown = self.0.get(key)?;
        let left = cooldown.until.saturating_duration_since(now);
        (!left.is_zero() && cooldown.object == digest(object)).then_some(left)
    }

    /// Forgets the failure of an object.
    pub(crate) fn forget(&mut self, key: &Key) {
        self.0.remove(key);
    }
}

/// Returns a digest of everything in an object that is not status: the generation counts changes of the spec.
fn digest(object: &ObjectMeta) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&object.uid, object.generation, &object.finalizers).hash(&mut hasher);
    (&object.labels, &object.annotations).hash(&mut hasher);
    object.deletion_timestamp.is_some().hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_change_of_the_object_itself_ends_the_pause() {
        let (key, now) = (Key::cluster("a"), Instant::now());
        let object = ObjectMeta {
            generation: Some(1),
            resource_version: Some("1".to_owned()),
            ..ObjectMeta::default()
        };
        let mut cooldowns = Cooldowns::default();
        let minute = Duration::from_mins(1);
        cooldowns.record(&key, FailureClass::Denied, &object, minute, now);
        let mut changed = object.clone();
        changed.resource_version = Some("2".to_owned());
        assert_eq!(cooldowns.left(&key, &changed, now), Some(LONGEST));
        assert_eq!(cooldowns.left(&key, &changed, now + LONGEST), None);
        assert_eq!(cooldowns.left(&Key::cluster("b"), &object, now), None);
        for edit in [
            |object: &mut ObjectMeta| object.generation = Some(2),
            |object: &mut ObjectMeta| object.annotations = Some([("a".to_owned(), "b".to_owned())].into()),
            |object: &mut ObjectMeta| object.deletion_timestamp = Some(jiff::Timestamp::UNIX_EPOCH.into()),
        ] {
            let mut changed = object.clone();
            edit(&mut changed);
            assert_eq!(cooldowns.left(&key, &changed, now), None, "{changed:?}");
        }
        cooldowns.record(&key, FailureClass::Conflict, &object, minute, now);
        assert_eq!(cooldowns.left(&key, &object, now), None);
        cooldowns.rest(&key, &object, minute, now);
        assert_eq!(cooldowns.left(&key, &changed, now), Some(minute));
        cooldowns.rest(&key, &object, Duration::ZERO, now);
        assert_eq!(cooldowns.left(&key, &object, now), None);
    }
}
