//! A claim that a former leader asked for has no effect, whenever its request arrives.

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
        let is_finalized = |world: &World| {
            let found = world.api.get(&key(Kind::Workspace, "default", "w"));
            found.is_some_and(|found| !found["metadata"]["finalizers"].is_null())
        };
        assert!(
            world
                .advance_until(SignedDuration::from_mins(5), is_finalized)
                .unwrap()
        );
        let fuse = world.fuses.get_mut(&Program::Workspaces).unwrap();
        (fuse.left, fuse.holds) = (Some(1), true);
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
