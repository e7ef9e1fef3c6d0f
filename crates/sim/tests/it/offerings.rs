//! Claims that compete for scarce offerings. Each offering is tried in its order, and none is skipped without a refusal. No
//! claim has two instances, and all get ready once machines are there.

use std::collections::BTreeMap;

use cloudprovider::{CapacityType, ErrorClass, InstanceState, LaunchLimits, Offering};
use jiff::SignedDuration;
use kaito_api::ClaimKind;
use kaito_api::labels::{CAPACITY_TYPE, ZONE};
use plan::ObjectRef;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;
use sim::api_server::key;
use sim::cloud::Supply;
use sim::controllers::Program;
use sim::failure::Failure;
use sim::fixtures;
use sim::world::World;

/// Longest time for which a refusal may count. It has the longest pause with its spread, the wait for another claim's request,
/// and the time until a failed instance is gone.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(2);
/// Time within which all claims get ready once machines are there.
const SETTLED: SignedDuration = SignedDuration::from_hours(3);
const ZONES: [&str; 2] = ["1", "2"];

/// The offerings of one claim, in its order.
type Order = Vec<(CapacityType, Option<&'static str>)>;

fn offering((capacity_type, zone): (CapacityType, Option<&'static str>)) -> Offering {
    Offering {
        instance_type: fixtures::INSTANCE_TYPE.to_owned(),
        capacity_type,
        zone: zone.map(str::to_owned),
    }
}

fn orders() -> impl Strategy<Value = Order> {
    use CapacityType as C;
    let types = vec![
        vec![C::OnDemand],
        vec![C::Spot, C::OnDemand],
        vec![C::OnDemand, C::Spot],
    ];
    let zones = vec![vec![], vec!["1"], vec!["1", "2"], vec!["2", "1"]];
    (select(types), select(zones)).prop_map(|(types, zones)| {
        let zones: Vec<Option<&str>> = match zones[..] {
            [] => vec![None],
            _ => zones.into_iter().map(Some).collect(),
        };
        types
            .into_iter()
            .flat_map(|type_| zones.iter().map(move |zone| (type_, *zone)))
            .collect()
    })
}

fn stocks() -> impl Strategy<Value = BTreeMap<Offering, Supply>> {
    let types = [CapacityType::OnDemand, CapacityType::Spot];
    let all: Vec<Offering> = types
        .into_iter()
        .flat_map(|type_| [None, Some("1"), Some("2")].map(|zone| offering((type_, zone))))
        .collect();
    let class = select(vec![
        ErrorClass::Capacity,
        ErrorClass::Quota,
        ErrorClass::SkuUnavailable,
    ]);
    let supply = (0_usize..3, class, any::<bool>()).prop_map(|(machines, class, at_once)| Supply {
        machines,
        class,
        at_once,
    });
    prop::collection::vec(supply, all.len())
        .prop_map(move |supplies| all.iter().cloned().zip(supplies).collect())
}

/// One thing that happens in a run.
#[derive(Clone, Debug)]
enum Turn {
    Pause(i64),
    Crash,
    Stock(BTreeMap<Offering, Supply>),
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let turn = prop_oneof![
        4 => (10_i64..900).prop_map(Turn::Pause),
        1 => Just(Turn::Crash),
        2 => stocks().prop_map(Turn::Stock),
    ];
    prop::collection::vec(turn, 0..12)
}

fn world(hides_failures: bool) -> World {
    let mut setup = fixtures::setup(1);
    setup.provisioner.launch_limits = LaunchLimits {
        zones: &ZONES,
        ..LaunchLimits::default()
    };
    setup.pace.hides_failures = hides_failures;
    World::new(setup)
}

/// Applies a claim that allows these offerings. Returns its key.
fn claim(world: &mut World, kind: ClaimKind, number: u32, order: &Order) -> ObjectRef {
    let mut value = match kind {
        ClaimKind::Machine => fixtures::machine("w", "uid-of-w", number),
        ClaimKind::NodeClaim => fixtures::node_claim("w", "uid-of-w", number),
    };
    let mut types: Vec<&str> = order.iter().map(|(type_, _)| type_.as_str()).collect();
    types.dedup();
    let mut zones: Vec<&str> = order.iter().filter_map(|(_, zone)| *zone).collect();
    zones.truncate(order.len() / types.len());
    let requirements = value["spec"]["requirements"].as_array_mut().unwrap();
    requirements.retain(|requirement| requirement["key"] != CAPACITY_TYPE);
    requirements.push(json!({"key": CAPACITY_TYPE, "operator": "In", "values": types}));
    if !zones.is_empty() {
        requirements.push(json!({"key": ZONE, "operator": "In", "values": zones}));
    }
    let key = key(kind.into(), "", &format!("ws00000000{number}"));
    world.apply(&key, &value).unwrap();
    key
}

/// Checks every request: what stands before its offering in the claim's order was refused, and not long ago.
fn check_order(world: &World, orders: &BTreeMap<String, Order>) -> Result<(), Failure> {
    let attempts = world.cloud.attempts();
    for (number, attempt) in attempts.iter().enumerate() {
        let order = &orders[&attempt.name];
        let before = order.iter().take_while(|one| offering(**one) != attempt.offering);
        for skipped in before {
            let is_reason = |earlier: &&sim::cloud::Attempt| {
                earlier.offering == offering(*skipped)
                    && earlier.is_refused()
                    && attempt.at.duration_since(earlier.at) <= REMEMBERED
            };
            if !attempts[..number].iter().any(|earlier| is_reason(&earlier)) {
                let what = format!(
                    "{} skipped {} without a refusal: {attempt:?}",
                    attempt.name,
                    offering(*skipped)
                );
                return Err(world.failure(what));
            }
        }
    }
    Ok(())
}

fn play(kind: ClaimKind, orders: &[Order], turns: &[Turn], hides_failures: bool) -> Result<(), Failure> {
    let mut world = world(hides_failures);
    let mut by_name = BTreeMap::new();
    let mut keys = Vec::new();
    for (number, order) in orders.iter().enumerate() {
        let key = claim(&mut world, kind, u32::try_from(number).unwrap(), order);
        by_name.insert(key.name.clone(), order.clone());
        keys.push(key);
    }
    for turn in turns {
        match turn {
            Turn::Pause(seconds) => world.advance(SignedDuration::from_secs(*seconds))?,
            Turn::Crash => world.kill(Program::Provisioner),
            Turn::Stock(supply) => world.cloud.supply.clone_from(supply),
        }
    }
    check_order(&world, &by_name)?;
    world.cloud.supply.clear();
    // The longest note is about types that are not offered.
    world.advance(SignedDuration::from_hours(8))?;
    if !world.advance_until(SETTLED, |world| world.unsettled().is_none())? {
        return Err(world.failure("never ready"));
    }
    check_order(&world, &by_name)?;
    assert_eq!(world.cloud.pools().count(), orders.len());
    for instance in world.cloud.pools() {
        let bought = instance.labels.get(CAPACITY_TYPE).map(String::as_str);
        assert_eq!(bought, Some(instance.capacity_type.as_str()));
    }
    keys.iter().for_each(|key| world.delete(key));
    world.advance(SignedDuration::from_mins(30))?;
    assert_eq!(world.cloud.pools().count(), 0);
    Ok(())
}

fn cases(default: u32) -> u32 {
    let asked = std::env::var("PROPTEST_CASES").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn the_next_offering_follows_as_soon_as_the_failed_instance_is_gone() -> Result<(), Failure> {
    use CapacityType as C;
    for kind in ClaimKind::ALL {
        let mut world = world(false);
        let scarce = [(C::Spot, Some("1")), (C::Spot, Some("2"))];
        for (index, at_once) in [(0, false), (1, true)] {
            let supply = Supply {
                machines: 0,
                class: ErrorClass::Capacity,
                at_once,
            };
            world.cloud.supply.insert(offering(scarce[index]), supply);
        }
        let full = vec![
            (C::Spot, Some("1")),
            (C::Spot, Some("2")),
            (C::OnDemand, Some("1")),
            (C::OnDemand, Some("2")),
        ];
        let claim = claim(&mut world, kind, 0, &full);
        assert!(world.advance_until(SETTLED, |world| world.unsettled().is_none())?);
        let tried: Vec<(String, bool)> = world
            .cloud
            .attempts()
            .iter()
            .map(|attempt| (attempt.offering.to_string(), attempt.is_refused()))
            .collect();
        let expected = [
            ("spot in zone 1", true),
            ("spot in zone 2", true),
            ("on-demand in zone 1", false),
        ];
        assert_eq!(
            tried,
            expected.map(|(offering, refused)| (offering.to_owned(), refused))
        );
        // Creation, deletion, and some looks between them: no pause of minutes.
        let pace = &world.cloud.pace;
        let (creation, deletion) = (pace.create, pace.delete);
        let attempts = world.cloud.attempts();
        let wait = attempts[1].at.duration_since(attempts[0].at);
        let looks = SignedDuration::from_secs(60);
        assert!(
            wait <= creation + deletion + looks,
            "{wait} until the next offering of {}",
            claim.name
        );
    }
    Ok(())
}

#[test]
fn ten_claims_do_not_each_learn_what_one_has_learnt() -> Result<(), Failure> {
    use CapacityType as C;
    let mut world = world(false);
    let supply = Supply {
        machines: 0,
        class: ErrorClass::Capacity,
        at_once: false,
    };
    world.cloud.supply.insert(offering((C::Spot, None)), supply);
    let order = vec![(C::Spot, None), (C::OnDemand, None)];
    let first = claim(&mut world, ClaimKind::NodeClaim, 0, &order);
    let has_failed = |world: &World| {
        world
            .cloud
            .pools()
            .any(|pool| pool.state == InstanceState::Failed)
    };
    assert!(world.advance_until(SETTLED, has_failed)?);
    world.advance(SignedDuration::from_secs(20))?;
    for number in 1..10 {
        claim(&mut world, ClaimKind::NodeClaim, number, &order);
    }
    assert!(world.advance_until(SETTLED, |world| world.unsettled().is_none())?);
    let spot = world
        .cloud
        .attempts()
        .iter()
        .filter(|attempt| attempt.is_refused());
    let spot: Vec<&str> = spot.map(|attempt| attempt.name.as_str()).collect();
    assert_eq!(spot, [first.name.as_str()]);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(40)))]

    #[test]
    fn scarce_offerings_are_tried_in_order_and_all_claims_get_ready(
        kind in select(ClaimKind::ALL.to_vec()),
        orders in prop::collection::vec(orders(), 1..5),
        first in stocks(),
        turns in turns(),
        hides_failures in any::<bool>(),
    ) {
        let all: Vec<Turn> = std::iter::once(Turn::Stock(first)).chain(turns).collect();
        play(kind, &orders, &all, hides_failures).map_err(|failure| TestCaseError::fail(failure.to_string()))?;
    }
}
