//! The brake on deletions that follow from deleted Nodes. A mistaken mass deletion of Nodes gives a small part of the fleet
//! back, and leaves time to stop the rest. And the memory of Nodes that
//! fail together.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

/// Time over which deletions are counted.
pub const BRAKE_WINDOW: SignedDuration = SignedDuration::from_mins(10);

/// Claims that were given up because their Node was deleted, by UID, each with the time of the permission. A restart forgets
/// them, which costs another share.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeletionBrake(BTreeMap<String, Timestamp>);

impl DeletionBrake {
    /// Permits the deletion of a claim, or returns the time at which it can be asked for again. At most `most` claims are
    /// permitted in [`BRAKE_WINDOW`]. One that was permitted stays so.
    pub(crate) fn permit(&mut self, uid: &str, most: usize, now: Timestamp) -> Result<(), Timestamp> {
        let end = |at: &Timestamp| at.saturating_add(BRAKE_WINDOW).unwrap_or(Timestamp::MAX);
        self.0.retain(|_, at| end(at) > now);
        if self.0.contains_key(uid) {
            return Ok(());
        }
        match self.0.values().min() {
            Some(first) if self.0.len() >= most => Err(end(first)),
            _ => {
                self.0.insert(uid.to_owned(), now);
                Ok(())
            }
        }
    }
}

/// Time without a question after which a failure of many Nodes counts as another one.
const FORGOTTEN: SignedDuration = SignedDuration::from_mins(5);

/// A time in which many Nodes are unhealthy, while the cloud and the API server answer. A restart forgets it, and the time
/// begins again.
#[derive(Clone, Debug)]
pub(crate) struct MassFailure {
    nodes: usize,
    since: Timestamp,
    asked: Timestamp,
}

impl MassFailure {
    /// Records that so many Nodes are unhealthy. Returns the time since which no other one failed.
    pub(crate) fn record(last: &mut Option<Self>, nodes: usize, now: Timestamp) -> Timestamp {
        let is_same = |last: &&mut Self| last.nodes >= nodes && now.duration_since(last.asked) <= FORGOTTEN;
        let since = last.as_mut().filter(is_same).map_or(now, |last| last.since);
        *last = Some(Self {
            nodes,
            since,
            asked: now,
        });
        since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_mass_failure_begins_again_with_each_further_node() {
        let at = |minutes| Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes);
        let mut last = None;
        // Minutes, unhealthy Nodes, and the minute from which the time counts.
        for (minute, nodes, since) in [
            (0, 3, 0),
            (5, 3, 0),
            (9, 2, 0),
            (10, 3, 10),
            (14, 3, 10),
            (20, 3, 20),
            (21, 9, 21),
        ] {
            assert_eq!(
                MassFailure::record(&mut last, nodes, at(minute)),
                at(since),
                "{minute}"
            );
        }
    }

    #[test]
    fn a_share_is_permitted_in_each_window_and_no_claim_twice() {
        let at = |minutes| Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes);
        let mut brake = DeletionBrake::default();
        assert_eq!(brake.permit("a", 2, at(0)), Ok(()));
        assert_eq!(brake.permit("b", 2, at(4)), Ok(()));
        assert_eq!(brake.permit("a", 2, at(5)), Ok(()));
        assert_eq!(brake.permit("c", 2, at(5)), Err(at(10)));
        assert_eq!(brake.permit("c", 2, at(10)), Ok(()));
        assert_eq!(brake.permit("d", 2, at(11)), Err(at(14)));
    }
}
