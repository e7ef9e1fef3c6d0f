//! A write of a claim by a former leader has no effect, whenever its request arrives.

use jiff::SignedDuration;
use plan::Kind;
use sim::api_server::key;
use sim::controllers::Program;
use sim::fixtures;
use sim::world::World;

#[test]
fn a_claim_of_a_former_leader_never_appears() {
    let (mut refused, mut created_first) = (0, 0);
    for seed in 0..40 {
        let mut world = World::new(fixtures::setup(seed));
        let workspace = fixtures::inference("w", "phi-3-mini-4k-instruct", 1);
        world.apply_workspace("default", "w", &workspace, 1).unwrap();
        // The finalizer is written, then a claim.
        let fuse = world.fuses.get_mut(&Program::Workspaces).unwrap();
        (fuse.left, fuse.holds) = (Some(2), true);
        world
            .advance(SignedDuration::from_secs(i64::try_from(seed).unwrap() % 20))
            .unwrap();
        world.delete(&key(Kind::Workspace, "default", "w"));
        let is_gone = |world: &World| world.api.list(Kind::Workspace).next().is_none();
        assert!(
            world
                .advance_until(SignedDuration::from_mins(60), is_gone)
                .unwrap()
        );
        world.advance(SignedDuration::from_mins(10)).unwrap();
        assert_eq!(world.api.list(Kind::Machine).count(), 0);
        assert_eq!(world.cloud.pools().count(), 0);
        let said = |text: &str| world.trace().iter().any(|line| line.contains(text));
        refused += usize::from(said("delayed until the lease moved on"));
        created_first += usize::from(said("a held write arrives"));
    }
    assert!(
        refused > 0 && created_first >= refused,
        "{refused} of {created_first} held writes were refused"
    );
}

/// A user deletes a Node, and the deletion of its claim is held. The next leader keeps the claim, since the instance was
/// stopped meanwhile.
#[test]
fn a_late_deletion_spares_a_claim_that_a_later_leader_keeps() {
    let mut spared = 0;
    for seed in 0..8 {
        for writes in 1..3 {
            let mut world = World::new(fixtures::setup(seed));
            let workspace = fixtures::inference("w", "phi-3-mini-4k-instruct", 1);
            world.apply_workspace("default", "w", &workspace, 1).unwrap();
            let is_ready = |world: &World| {
                let (_, found) = world.api.list(Kind::Workspace).next().unwrap();
                found["status"]["state"] == "Ready"
            };
            assert!(
                world
                    .advance_until(SignedDuration::from_hours(2), is_ready)
                    .unwrap()
            );
            let node = world.api.list(Kind::Node).next().unwrap().0.clone();
            let (claim, stored) = world.api.list(Kind::Machine).next().unwrap();
            let (claim, uid) = (claim.clone(), stored["metadata"]["uid"].clone());
            world.delete(&node);
            let fuse = world.fuses.get_mut(&Program::Provisioner).unwrap();
            (fuse.left, fuse.holds) = (Some(writes), true);
            let is_held = |world: &World| world.held_deletion() == Some(&claim);
            let wait = SignedDuration::from_mins(2);
            if !world.advance_until(wait, is_held).unwrap() {
                continue;
            }
            world.stop_pool(&claim.name);
            let version = |world: &World| {
                let found = world.api.get(&claim);
                found.map(|found| found["metadata"]["resourceVersion"].clone())
            };
            let (observed, mut before) = (version(&world), version(&world));
            while world.held_deletion().is_some() {
                before = version(&world);
                world.advance(SignedDuration::from_secs(1)).unwrap();
            }
            // Until the next leader has written something, the deletion is the one that was decided on.
            if before == observed {
                continue;
            }
            world.advance(SignedDuration::from_mins(20)).unwrap();
            let found = world.api.get(&claim).map(|found| &found["metadata"]);
            let kept = found.is_some_and(|found| found["uid"] == uid && found["deletionTimestamp"].is_null());
            assert!(kept, "seed {seed}: {}", world.trace().join("\n"));
            spared += 1;
        }
    }
    assert!(spared > 0, "no held deletion arrived after a change");
}
