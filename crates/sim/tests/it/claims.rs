//! Runs of one claim of either kind. From any start and through any run of faults a claim that is wanted gets ready, and
//! one that is not wanted goes. No instance is left behind.

use cloudprovider::{ErrorClass, Instance, InstanceState, Ownership};
use jiff::SignedDuration;
use kaito_api::ClaimKind;
use kaito_api::labels::{NODE_POOL, TERMINATION_FINALIZER, WORKSPACE, WORKSPACE_NAMESPACE};
use plan::{Kind, ObjectRef};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use sim::api_server::key;
use sim::cloud::Fault;
use sim::controllers::Program;
use sim::failure::Failure;
use sim::world::World;
use sim::{fixtures, runner};

const NAME: &str = "ws000000000";
/// Time within which everything must be settled once nothing fails any more. A launch that never ends takes an hour.
const SETTLED: SignedDuration = SignedDuration::from_hours(6);
/// Time between two faults.
const STEP: SignedDuration = SignedDuration::from_secs(15);

/// One thing that goes wrong in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    Nothing,
    /// The provisioner acts on objects that have changed, so the API server refuses its writes.
    Conflict,
    /// The next request is refused.
    Refused(ErrorClass),
    /// The next change takes effect, and its answer is lost.
    AnswerLost,
    /// The next create request takes effect later, and its answer is lost.
    Late,
    /// The instance vanishes.
    Vanish,
    /// The program is killed.
    Crash,
    /// Listings show an earlier state.
    StaleList,
    /// The cloud does not list.
    NoList,
}

fn classes() -> impl Strategy<Value = ErrorClass> {
    use ErrorClass as E;
    select(vec![
        E::Busy,
        E::Throttled,
        E::Transient,
        E::Quota,
        E::Capacity,
        E::Unauthorized,
        E::ClusterNotFound,
    ])
}

/// Faults of the next launches; later ones succeed.
fn launches() -> impl Strategy<Value = Vec<Option<Fault>>> {
    let launch = prop_oneof![
        classes().prop_map(|class| Some(Fault::CreateFails(class))),
        Just(Some(Fault::NoNode)),
        Just(Some(Fault::Stuck)),
        Just(None),
    ];
    prop::collection::vec(launch, 0..3)
}

/// Instances that may exist at the start: made before a restart, or by upstream.
fn starts() -> impl Strategy<Value = Option<(bool, InstanceState)>> {
    use InstanceState as S;
    let states = vec![
        S::Creating,
        S::Changing("Scaling".into()),
        S::Succeeded,
        S::Failed,
        S::Canceled,
        S::Deleting,
    ];
    proptest::option::of((any::<bool>(), select(states)))
}

/// Number of cases: `PROPTEST_CASES`, otherwise this many.
fn cases(default: u32) -> u32 {
    let asked = std::env::var("PROPTEST_CASES").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn troubles(vanishing: bool) -> impl Strategy<Value = Vec<Trouble>> {
    let trouble = prop_oneof![
        u32::from(vanishing) => Just(if vanishing { Trouble::Vanish } else { Trouble::Nothing }),
        4 => Just(Trouble::Nothing),
        1 => Just(Trouble::Conflict),
        2 => classes().prop_map(Trouble::Refused),
        1 => Just(Trouble::AnswerLost),
        1 => Just(Trouble::Late),
        1 => Just(Trouble::Crash),
        1 => Just(Trouble::NoList),
        1 => Just(Trouble::StaleList),
    ];
    prop::collection::vec(trouble, 0..40)
}

/// A world with one claim.
struct Run {
    world: World,
    claim: ObjectRef,
}

impl Run {
    fn new(kind: ClaimKind, launches: Vec<Option<Fault>>, start: Option<(bool, InstanceState)>) -> Self {
        let mut setup = fixtures::setup(1);
        setup.pace.create = SignedDuration::from_secs(200);
        setup.pace.refuses_early_delete = true;
        let mut world = World::new(setup);
        let claim = key(kind.into(), "", NAME);
        let mut value = match kind {
            ClaimKind::Machine => fixtures::machine("w", "uid-of-w", 0),
            ClaimKind::NodeClaim => fixtures::node_claim("w", "uid-of-w", 0),
        };
        value["metadata"]["labels"]["by"] = json!("user");
        if start.is_some() {
            // Nothing was ever asked for without it.
            value["metadata"]["finalizers"] = json!([TERMINATION_FINALIZER]);
        }
        world.apply(&claim, &value).unwrap();
        if let Some((upstream, state)) = start {
            let instance = instance(upstream, state, &world.uid(&claim));
            world.cloud.adopt(instance);
        }
        for fault in launches.into_iter().flatten() {
            world.cloud.faults.once(fault);
        }
        Self { world, claim }
    }

    fn trouble(&mut self, trouble: Trouble) -> Result<(), Failure> {
        let calm = self.world.trouble.clone();
        match trouble {
            Trouble::Nothing => {}
            Trouble::Conflict => (self.world.trouble.behind, self.world.trouble.delay_ms) = (4, 10_000),
            Trouble::Refused(class) => self.world.cloud.faults.once(Fault::Refused(class)),
            Trouble::AnswerLost => self.world.cloud.faults.once(Fault::Lost),
            Trouble::Late => self.world.cloud.faults.once(Fault::Late),
            Trouble::Vanish => self.world.lose_pool(NAME),
            Trouble::Crash => self.world.kill(Program::Provisioner),
            Trouble::StaleList => self.world.cloud.pace.list_lag = SignedDuration::from_secs(8),
            Trouble::NoList => self.world.cloud.faults.once(Fault::NoListing),
        }
        self.world.advance(STEP)?;
        self.world.trouble = calm;
        self.world.cloud.pace.list_lag = SignedDuration::ZERO;
        Ok(())
    }

    fn settle(&mut self) -> Result<(), Failure> {
        self.until("ready", |world| {
            world.unsettled().is_none() && !world.cloud.is_late(NAME)
        })
    }

    fn until(&mut self, what: &str, done: impl Fn(&World) -> bool) -> Result<(), Failure> {
        if self.world.advance_until(SETTLED, done)? {
            return Ok(());
        }
        Err(self.world.failure(format!("never {what}")))
    }

    /// Deletes the claim and sees it, its instance and its Node go.
    fn end(&mut self, troubles: &[Trouble]) -> Result<(), Failure> {
        self.world.delete(&self.claim);
        for trouble in troubles {
            self.trouble(*trouble)?;
        }
        let claim = self.claim.clone();
        self.until("released", |world| world.api.get(&claim).is_none())?;
        self.world.advance(SignedDuration::from_mins(2))?;
        assert_eq!(self.world.cloud.pools().count(), 0);
        assert_eq!(self.world.api.list(Kind::Node).count(), 0);
        Ok(())
    }

    fn requests(&self, verb: &str) -> usize {
        let wanted = format!("{verb} {NAME}");
        let requests = self.world.cloud.requests().iter();
        requests.filter(|(_, request)| *request == wanted).count()
    }

    /// Returns the reasons of the plans for the claim, in their order and without repetitions.
    fn reasons(&self) -> Vec<String> {
        let prefix = format!("{} {NAME}: ", self.claim.kind.as_str());
        let plans = self
            .world
            .trace()
            .iter()
            .filter_map(|line| line.split(&prefix).nth(1));
        let mut all: Vec<String> = plans
            .filter_map(|plan| plan.split(", ").next().map(str::to_owned))
            .collect();
        all.dedup();
        all
    }
}

fn instance(upstream: bool, state: InstanceState, claim_uid: &str) -> Instance {
    let labels = [
        (NODE_POOL, "kaito"),
        (WORKSPACE, "w"),
        (WORKSPACE_NAMESPACE, "default"),
    ];
    let owner = if upstream {
        Ownership::Upstream
    } else {
        let claim_uid = claim_uid.to_owned();
        Ownership::Ours { claim_uid }
    };
    Instance {
        name: NAME.to_owned(),
        instance_type: Some(fixtures::INSTANCE_TYPE.to_owned()),
        state,
        owner,
        labels: labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        ..Instance::default()
    }
}

fn pod() -> Value {
    json!({
        "metadata": {"ownerReferences": []},
        "spec": {"nodeName": sim::kubelet::machines::node_name(NAME), "containers": [{"name": "c", "image": "i"}]},
    })
}

#[test]
fn an_undisturbed_life() -> Result<(), Failure> {
    for kind in ClaimKind::ALL {
        let mut run = Run::new(kind, vec![], None);
        run.settle()?;
        let reasons = ["awaiting_listing", "create", "instance_creating", "joined"];
        assert_eq!(run.reasons(), reasons);
        runner::stay_quiet(&mut run.world)?;
        assert_eq!(run.requests("create"), 1);
        for name in ["a", "b"] {
            run.world.apply(&key(Kind::Pod, "default", name), &pod()).unwrap();
        }
        run.end(&[])?;
    }
    Ok(())
}

#[test]
fn deleting_the_node_ends_the_claim() -> Result<(), Failure> {
    for kind in ClaimKind::ALL {
        let mut run = Run::new(kind, vec![], None);
        run.settle()?;
        let nodes: Vec<ObjectRef> = run
            .world
            .api
            .list(Kind::Node)
            .map(|(key, _)| key.clone())
            .collect();
        nodes.iter().for_each(|node| run.world.delete(node));
        let claim = run.claim.clone();
        run.until("released", |world| world.api.get(&claim).is_none())?;
        run.world.advance(SignedDuration::from_mins(2))?;
        assert_eq!(run.world.cloud.pools().count(), 0);
        assert_eq!(run.world.api.list(Kind::Node).count(), 0);
    }
    Ok(())
}

#[test]
fn a_launch_without_an_answer_is_timed_out_too() -> Result<(), Failure> {
    for kind in ClaimKind::ALL {
        let mut run = Run::new(kind, vec![Some(Fault::Stuck)], None);
        run.until("asked for", |world| world.cloud.pool(NAME).is_some())?;
        // The program forgets the answer.
        run.trouble(Trouble::Crash)?;
        run.settle()?;
        assert_eq!(run.requests("create"), 2);
    }
    Ok(())
}

#[test]
fn a_foreign_instance_of_the_name_survives_everything() -> Result<(), Failure> {
    for kind in ClaimKind::ALL {
        let mut run = Run::new(kind, vec![], None);
        run.world.plant_pool(fixtures::foreign_pool(NAME));
        run.world.advance(SignedDuration::from_mins(30))?;
        run.world.check_quiet()?;
        run.world.delete(&run.claim);
        let claim = run.claim.clone();
        run.until("released", |world| world.api.get(&claim).is_none())?;
        assert_eq!(run.world.cloud.pools().count(), 1);
        assert_eq!(run.requests("create"), 0);
    }
    Ok(())
}

#[test]
fn a_late_request_is_waited_for_after_crashes_and_a_refusal() -> Result<(), Failure> {
    use Trouble as T;
    let first = [
        T::Nothing,
        T::Vanish,
        T::Vanish,
        T::Conflict,
        T::Crash,
        T::Late,
        T::Crash,
        T::Refused(ErrorClass::Busy),
    ];
    for kind in ClaimKind::ALL {
        for start in [InstanceState::Failed, InstanceState::Succeeded] {
            // The moments at which requests meet their faults depend on the pauses before: try several.
            for pauses in 0..8 {
                let mut run = Run::new(kind, vec![], Some((false, start.clone())));
                for trouble in std::iter::repeat_n(T::Nothing, pauses).chain(first) {
                    run.trouble(trouble)?;
                }
                run.end(&[T::StaleList])?;
            }
        }
    }
    Ok(())
}

/// Deletes a claim whose Node has a pod that asks not to be disrupted. Returns the time until its instance is deleted.
fn drain_with_skew(kind: ClaimKind, before: i64, after: i64) -> Result<SignedDuration, Failure> {
    let mut run = Run::new(kind, vec![], None);
    run.world.skew = SignedDuration::from_mins(before);
    run.world.kill(Program::Provisioner);
    run.settle()?;
    let mut protected = pod();
    protected["metadata"]["annotations"] = json!({"karpenter.sh/do-not-disrupt": "true"});
    let key = key(Kind::Pod, "default", "busy");
    run.world.apply(&key, &protected).unwrap();
    run.world.advance(SignedDuration::from_mins(1))?;
    let begin = run.world.now();
    run.world.delete(&run.claim);
    run.world.advance(SignedDuration::from_mins(5))?;
    assert_eq!(run.requests("delete"), 0);
    // Another machine takes over, whose clock differs the other way.
    run.world.skew = SignedDuration::from_mins(after);
    run.world.kill(Program::Provisioner);
    run.until("deleted", |world| {
        world
            .cloud
            .requests()
            .iter()
            .any(|(_, what)| what.starts_with("delete"))
    })?;
    let taken = run.world.now().duration_since(begin);
    run.end(&[])?;
    Ok(taken)
}

#[test]
fn a_clock_that_is_wrong_by_minutes_changes_no_drain() -> Result<(), Failure> {
    for kind in ClaimKind::ALL {
        let right = drain_with_skew(kind, 0, 0)?;
        assert!(right >= SignedDuration::from_mins(10), "{right}");
        for (before, after) in [(15, 15), (-15, -15), (15, -15), (-15, 15)] {
            let taken = drain_with_skew(kind, before, after)?;
            let difference = taken.saturating_sub(right).abs();
            assert!(
                difference < SignedDuration::from_secs(40),
                "{before} {after}: {taken}, not {right}"
            );
        }
    }
    Ok(())
}

#[test]
fn stopping_and_starting_an_instance_or_the_cluster_buys_and_deletes_nothing() -> Result<(), Failure> {
    let hours = SignedDuration::from_hours(9);
    for kind in ClaimKind::ALL {
        for cluster in [false, true] {
            // Whatever comes first: the look at the instance, or the news of its Node.
            for pause in [0, 5, 30, 55] {
                let mut run = Run::new(kind, vec![], None);
                run.settle()?;
                run.world.advance(SignedDuration::from_secs(pause))?;
                if cluster {
                    run.world.stop_cluster();
                } else {
                    run.world.stop_pool(NAME);
                }
                run.world.advance(hours)?;
                if cluster {
                    run.world.start_cluster();
                } else {
                    run.world.start_pool(NAME);
                }
                run.world.advance(SignedDuration::from_mins(10))?;
                run.settle()?;
                runner::stay_quiet(&mut run.world)?;
                assert_eq!((run.requests("create"), run.requests("delete")), (1, 0));
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(1000)))]

    #[test]
    fn a_wanted_claim_gets_ready_and_then_goes(kind in select(ClaimKind::ALL.to_vec()), start in starts(), launches in launches(), first in troubles(false), last in troubles(true)) {
        let mut run = Run::new(kind, launches, start);
        let whole = |run: &mut Run| {
            for trouble in first {
                run.trouble(trouble)?;
            }
            run.settle()?;
            runner::stay_quiet(&mut run.world)?;
            run.end(&last)
        };
        whole(&mut run).map_err(|failure| TestCaseError::fail(failure.to_string()))?;
    }

    #[test]
    fn a_claim_deleted_at_any_moment_leaves_nothing(kind in select(ClaimKind::ALL.to_vec()), start in starts(), launches in launches(), first in troubles(true), last in troubles(true)) {
        let mut run = Run::new(kind, launches, start);
        let whole = |run: &mut Run| {
            for trouble in first {
                run.trouble(trouble)?;
            }
            run.end(&last)
        };
        whole(&mut run).map_err(|failure| TestCaseError::fail(failure.to_string()))?;
    }
}
