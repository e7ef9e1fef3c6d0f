//! Claims that a Karpenter serves: a life without trouble, launches that fail for ever, instances that never join.

use jiff::SignedDuration;
use plan::Kind;
use sim::api_server::key;
use sim::json;
use sim::world::World;
use sim::{fixtures, runner};

const PRESET: &str = "phi-3-mini-4k-instruct";

fn world() -> World {
    let mut setup = fixtures::setup(7);
    fixtures::use_karpenter(&mut setup);
    World::new(setup)
}

fn serve(world: &mut World) {
    let workspace = fixtures::inference("w", PRESET, 1);
    world.apply_workspace("default", "w", &workspace, 1).unwrap();
}

/// The condition about claims, as `reason: message`.
fn says(world: &World) -> String {
    let workspace = world.api.get(&key(Kind::Workspace, "default", "w")).unwrap();
    let conditions = json::list(workspace, &["status", "conditions"]).iter();
    let mut of_claims = conditions.filter(|one| json::text(one, &["type"]) == "NodeClaimReady");
    let condition = of_claims.next().unwrap();
    [
        json::text(condition, &["reason"]),
        json::text(condition, &["message"]),
    ]
    .join(": ")
}

#[test]
fn a_model_gets_ready_on_its_node_and_gives_it_back() {
    let mut world = world();
    serve(&mut world);
    runner::settle(&mut world).unwrap();
    runner::stay_quiet(&mut world).unwrap();
    assert_eq!(world.kubelet.karpenter.launches, 1);
    assert_eq!(world.cloud.pools().count(), 0);
    runner::end(&mut world).unwrap();
}

#[test]
fn claims_that_cannot_be_launched_leave_a_karpenter_time_for_others() {
    let mut world = world();
    world.kubelet.karpenter.only_failed_launches();
    serve(&mut world);
    world.advance(SignedDuration::from_mins(5)).unwrap();
    // A Karpenter provisions nothing for pods while there is a claim without an instance.
    let (mut free, mut reasons) = (0, std::collections::BTreeSet::new());
    for _ in 0..3600 {
        world.advance(SignedDuration::from_secs(1)).unwrap();
        free += usize::from(world.api.list(Kind::NodeClaim).count() == 0);
        let said = says(&world);
        let waits = ["NodeClaimNotReady", "AwaitingReconciliation"];
        let waits = waits.iter().any(|reason| said.starts_with(reason));
        assert!(waits || said.contains("the cloud says no"), "{said}");
        reasons.insert(said.split(':').next().unwrap().to_owned());
    }
    assert!(free > 3200, "it was free for {free} of 3600 seconds");
    assert!(
        reasons.contains("NodeClaimNotLaunched") && reasons.contains("NodeClaimLost"),
        "{reasons:?}"
    );
    assert_eq!(world.kubelet.karpenter.launches, 0);
    world.kubelet.karpenter.heal();
    runner::settle(&mut world).unwrap();
}

#[test]
fn instances_that_never_join_are_bought_ever_more_slowly() {
    let mut world = world();
    world.kubelet.karpenter.only_silent_instances();
    serve(&mut world);
    world.advance(SignedDuration::from_hours(5)).unwrap();
    let launches = world.kubelet.karpenter.launches;
    // A quarter of an hour each, and pauses that grow to ten minutes.
    assert!((10..=16).contains(&launches), "{launches}");
    world.kubelet.karpenter.heal();
    runner::settle(&mut world).unwrap();
    runner::end(&mut world).unwrap();
}
