//! Free machines by offering, and the eviction of spot machines.

use std::time::Duration;

use serde_json::{Map, Value};

use super::World;
use super::offering::Offering;
use super::pool::Pool;
use crate::config::OfferingRule;
use crate::envelope::ArmError;
use crate::errors::About;

impl World {
    /// Returns the rule by which no machine of an offering is free for one more node.
    pub(super) fn scarcity(
        &self,
        properties: &Map<String, Value>,
        about: &About,
    ) -> Option<(ArmError, bool)> {
        let wanted = Offering::of(properties);
        let mut rules = self.behavior.offerings.iter().filter(|rule| wanted.is_of(rule));
        let spent = rules.find(|rule| self.nodes_of(rule) >= rule.most)?;
        Some((spent.error.build(about), spent.at_once))
    }

    fn nodes_of(&self, rule: &OfferingRule) -> u64 {
        // A pool that failed has no machine.
        let pools = self.pools.values().filter(|pool| pool.has_machines());
        let counted = pools.filter(|pool| Offering::of(&pool.properties).is_of(rule));
        counted.map(Pool::count).sum()
    }

    /// Evicts the machines of a spot pool: at once, or some time after a notice on their Nodes. The pool stays as it is.
    /// Returns false if it does not exist or is not a spot pool.
    pub(crate) fn evict(&mut self, now: Duration, name: &str, notice: Duration) -> bool {
        let spot = self
            .pools
            .get(name)
            .is_some_and(|pool| Offering::of(&pool.properties).spot);
        if spot {
            let at = now.saturating_add(notice);
            for plan in self.nodes.values_mut().filter(|plan| plan.pool == name) {
                plan.gone_at = Some(plan.gone_at.map_or(at, |gone| gone.min(at)));
                plan.evicted = !notice.is_zero();
            }
        }
        spot
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::Behavior;
    use crate::world::tests::world;
    use crate::world::{Condition, NodeTask};

    const SIZE: &str = "Standard_NC24ads_A100_v4";

    /// Creates a pool, and returns its state once its operation has ended.
    fn made(world: &mut World, name: &str, more: &Value) -> Result<String, u16> {
        let mut sent = json!({"properties": {"vmSize": SIZE}});
        for (key, value) in more.as_object().into_iter().flatten() {
            sent["properties"][key] = value.clone();
        }
        let answer = world.put(Duration::ZERO, name, &sent, &Condition::default(), None, true);
        answer.map_err(|error| error.status)?;
        world.advance(Duration::ZERO);
        let view = world.view().into_iter().find(|pool| pool.name == name);
        Ok(view.map(|pool| pool.state).unwrap_or_default())
    }

    #[test]
    fn machines_are_counted_by_size_zone_and_priority() {
        let rule = |zone: Option<&str>, spot, most, at_once| OfferingRule {
            vm_size: "standard_nc*".into(),
            zone: zone.map(str::to_owned),
            spot,
            most,
            at_once,
            ..OfferingRule::default()
        };
        let offerings = vec![
            rule(Some("1"), Some(false), 1, false),
            rule(Some("2"), None, 0, true),
            rule(Some(""), None, 1, true),
        ];
        let mut world = world(Behavior {
            offerings,
            ..Behavior::quick(0)
        });
        let zone = |zone: &str| json!({"availabilityZones": [zone]});
        assert_eq!(made(&mut world, "a", &zone("1")).as_deref(), Ok("Succeeded"));
        assert_eq!(made(&mut world, "b", &zone("1")).as_deref(), Ok("Failed"));
        let spot = json!({"availabilityZones": ["1"], "scaleSetPriority": "Spot"});
        assert_eq!(made(&mut world, "c", &spot).as_deref(), Ok("Succeeded"));
        assert_eq!(made(&mut world, "d", &zone("2")), Err(400));
        assert_eq!(made(&mut world, "e", &zone("3")).as_deref(), Ok("Succeeded"));
        assert_eq!(made(&mut world, "f", &json!({})).as_deref(), Ok("Succeeded"));
        assert_eq!(made(&mut world, "g", &json!({})), Err(400));
        // A failed pool takes no machine, and one that is gone gives its own back.
        world.vanish(Duration::ZERO, "a");
        assert_eq!(made(&mut world, "h", &zone("1")).as_deref(), Ok("Succeeded"));
    }

    #[test]
    fn spot_pools_have_a_quota_of_their_own_and_are_checked() {
        let mut world = world(Behavior {
            spot_quota: Some(24),
            quota: [(SIZE.to_owned(), 24)].into(),
            ..Behavior::quick(0)
        });
        let spot =
            || json!({"scaleSetPriority": "Spot", "scaleSetEvictionPolicy": "Delete", "spotMaxPrice": -1});
        assert!(made(&mut world, "a", &spot()).is_ok());
        assert_eq!(made(&mut world, "b", &spot()), Err(400));
        assert!(made(&mut world, "c", &json!({})).is_ok());
        assert_eq!(made(&mut world, "d", &json!({})), Err(400));
        for wrong in [
            json!({"spotMaxPrice": -1}),
            json!({"scaleSetPriority": "Spot", "mode": "System"}),
            json!({"availabilityZones": ["4"]}),
        ] {
            assert_eq!(made(&mut world, "e", &wrong), Err(400));
        }
    }

    #[test]
    fn an_eviction_takes_the_node_and_leaves_the_pool() {
        let mut world = world(Behavior::quick(0));
        made(
            &mut world,
            "a",
            &json!({"scaleSetPriority": "Spot", "availabilityZones": ["2"]}),
        )
        .unwrap();
        made(&mut world, "b", &json!({})).unwrap();
        let tasks = world.node_tasks(Duration::ZERO);
        let Some(NodeTask::Make(plan)) = tasks.first() else {
            panic!("{tasks:?}");
        };
        assert_eq!((plan.zone.as_str(), tasks.len()), ("eastus-2", 2));
        let name = plan.name.clone();
        let notice = Duration::from_secs(30);
        assert!(
            !world.evict(Duration::ZERO, "b", notice),
            "only spot machines are evicted"
        );
        assert!(world.evict(Duration::ZERO, "a", notice));
        assert_eq!(
            world.node_tasks(Duration::ZERO),
            [NodeTask::Announce(name.clone())]
        );
        assert_eq!(world.node_tasks(notice), [NodeTask::Remove(name)]);
        assert_eq!(world.view().len(), 2);
    }
}
