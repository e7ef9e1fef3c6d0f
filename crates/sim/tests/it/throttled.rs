//! Many claims at once, and a cloud that counts requests: the limits that the provisioner ships, its planner, and budgets
//! as the cloud documents them. Everything is asked for about as soon as the budgets permit, and nothing is asked for in vain.

use cloudprovider::RateLimits;
use jiff::{SignedDuration, Timestamp};
use plan::{Kind, ObjectRef};
use sim::api_server::key;
use sim::cloud::{Budgets, Counted};
use sim::fixtures;
use sim::world::World;

/// Claims at once. An optimized build, as at night, plays them all in a minute.
const CLAIMS: usize = if cfg!(debug_assertions) { 400 } else { 1000 };
/// Writes of a subscription at once, and those that come back a second.
const WRITES: (f64, f64) = (200.0, 10.0);
/// Reads and deletions of the cloud, likewise.
const READS: (f64, f64) = (60.0, 1.0);
/// The part of the time that the budgets need beyond which the provisioner wastes it.
const WASTE: f64 = 1.2;
/// Longest time without a listing: twice the interval while something changes, and the wait for two requests.
const UNLISTED: SignedDuration = SignedDuration::from_secs(25);

/// A cloud of which other programs leave this part of the writes, and this many claims.
fn world(claims: usize, share: f64) -> (World, Vec<ObjectRef>) {
    let mut setup = fixtures::setup(1);
    setup.limits = Some(RateLimits::default());
    // The machines are not what is played.
    setup.pace.join = SignedDuration::from_hours(9);
    let mut world = World::new(setup);
    world.cloud.budgets = Some(Budgets::shared(share));
    let keys = (0..claims).map(|number| key(Kind::NodeClaim, "", &format!("ws{number:09x}")));
    let keys: Vec<ObjectRef> = keys.collect();
    for (number, key) in keys.iter().enumerate() {
        let ordinal = u32::try_from(number).unwrap();
        let mut claim = fixtures::node_claim("w", "uid-of-w", ordinal);
        claim["metadata"]["labels"]["by"] = serde_json::json!("user");
        world.apply(key, &claim).unwrap();
    }
    (world, keys)
}

/// Time in which the budget lets so many requests pass.
fn bound(requests: usize, (burst, rate): (f64, f64)) -> SignedDuration {
    SignedDuration::from_secs_f64((requests as f64 - burst) / rate)
}

fn counted<'a>(world: &'a World, kind: &str) -> Vec<&'a Counted> {
    let budgets = world.cloud.budgets.as_ref().unwrap();
    budgets.log().iter().filter(|one| one.kind == kind).collect()
}

/// Plays until the requests of this kind were accepted, and returns the time of the last one.
fn until_accepted(world: &mut World, kind: &str, requests: usize, most: SignedDuration) -> SignedDuration {
    let begin = world.now();
    let accepted = |world: &World| {
        counted(world, kind)
            .iter()
            .filter(|one| one.pause.is_none())
            .count()
    };
    let done = world
        .advance_until(most, |world| accepted(world) >= requests)
        .unwrap();
    assert!(done, "{} of {requests} within {most:?}", accepted(world));
    world.now().duration_since(begin)
}

fn assert_listed(world: &World, from: Timestamp) {
    let mut last = from;
    let lists = counted(world, "list").into_iter().filter(|one| one.at >= from);
    for at in lists.map(|one| one.at).chain([world.now()]) {
        assert!(
            at.duration_since(last) <= UNLISTED,
            "no listing from {last} to {at}"
        );
        last = at;
    }
}

#[test]
fn many_claims_are_asked_for_as_fast_as_the_budget_permits() {
    let (mut world, keys) = world(CLAIMS, 1.0);
    let begin = world.now();
    world.advance(SignedDuration::from_secs(10)).unwrap();
    // Others go meanwhile: their budget is another one, and nobody's writes stand before them.
    let made = counted(&world, "put").len();
    assert!((200..CLAIMS).contains(&made), "{made} in 10 s");
    let is_made = |key: &&ObjectRef| world.cloud.pool(&key.name).is_some();
    let gone: Vec<ObjectRef> = keys.iter().filter(is_made).take(40).cloned().collect();
    gone.iter().for_each(|key| world.delete(key));
    let deleted = until_accepted(&mut world, "delete", gone.len(), SignedDuration::from_mins(5));
    assert!(deleted <= SignedDuration::from_secs(30), "{deleted:?}");
    let most = bound(CLAIMS, WRITES).as_secs_f64() * WASTE;
    until_accepted(&mut world, "put", CLAIMS, SignedDuration::from_mins(10));
    let took = world.now().duration_since(begin).as_secs_f64();
    println!("{CLAIMS} requests in {took:.1} s, at best {:.1} s", most / WASTE);
    assert!(took <= most, "{took} s, and at most {most} s are allowed");
    let refusals = world
        .cloud
        .budgets
        .as_ref()
        .unwrap()
        .log()
        .iter()
        .filter(|one| one.pause.is_some());
    assert_eq!(
        refusals.count(),
        0,
        "the cloud refused what our limits should have kept back"
    );
    assert_listed(&world, begin);
}

#[test]
fn what_others_leave_of_the_budget_is_used_without_a_burst_after_a_refusal() {
    let (share, claims) = (0.5, 200);
    let (mut world, _) = world(claims, share);
    let begin = world.now();
    let budget = (WRITES.0 * share, WRITES.1 * share);
    let most = bound(claims, budget).as_secs_f64() * WASTE;
    let took = until_accepted(&mut world, "put", claims, SignedDuration::from_mins(20)).as_secs_f64();
    let puts = counted(&world, "put");
    let refusals: Vec<&&Counted> = puts.iter().filter(|one| one.pause.is_some()).collect();
    println!(
        "{claims} requests in {took:.1} s, at best {:.1} s, {} refused",
        most / WASTE,
        refusals.len()
    );
    assert!(took <= most, "{took} s, and at most {most} s are allowed");
    assert!(!refusals.is_empty(), "nothing was refused");
    for refusal in refusals {
        let end = refusal.at.saturating_add(refusal.pause.unwrap()).unwrap();
        let meanwhile = puts.iter().filter(|one| one.at > refusal.at && one.at < end);
        assert_eq!(
            meanwhile.count(),
            0,
            "requests within the pause after {}",
            refusal.at
        );
        let second = end.saturating_add(SignedDuration::from_secs(1)).unwrap();
        let after = puts.iter().filter(|one| one.at >= end && one.at < second).count();
        assert!(
            after as f64 <= WRITES.1 + 1.0,
            "{after} requests in the second after {end}"
        );
    }
    assert_listed(&world, begin);
}

#[test]
fn many_deletions_leave_room_for_listings() {
    let claims = 200;
    let (mut world, keys) = world(claims, 1.0);
    until_accepted(&mut world, "put", claims, SignedDuration::from_mins(5));
    // Everything is made, and the budgets are full again.
    world.advance(SignedDuration::from_mins(6)).unwrap();
    let begin = world.now();
    keys.iter().for_each(|key| world.delete(key));
    let took = until_accepted(&mut world, "delete", claims, SignedDuration::from_hours(1));
    let lists = counted(&world, "list")
        .iter()
        .filter(|one| one.at >= begin)
        .count();
    let most = bound(claims + 2 * lists, READS).as_secs_f64() * WASTE;
    println!(
        "{claims} deletions in {took:?}, at best {:.1} s, {lists} listings",
        most / WASTE
    );
    assert!(
        took.as_secs_f64() <= most,
        "{took:?}, and at most {most} s are allowed"
    );
    assert_listed(&world, begin);
}
