//! One seeded run from an empty world to an empty world: chaos, calm, convergence, quiet, deletion.

use jiff::SignedDuration;
use plan::{Kind, ObjectRef};
use workspace_plan::ProvisionerMode;

use crate::chaos::{self, Subject, scarcity};
use crate::failure::Failure;
use crate::fixtures;
use crate::rng::Rng;
use crate::world::{Setup, World};

/// Time within which everything is ready after faults stopped. A stuck launch and a Node that does not join may time
/// out one after the other.
const TO_READY: SignedDuration = SignedDuration::from_mins(180);
/// The same after scarcity: a type that was not offered is asked for again after hours.
const TO_READY_AFTER_SCARCITY: SignedDuration = SignedDuration::from_hours(12);
/// Time within which everything is gone after deletion.
const TO_NOTHING: SignedDuration = SignedDuration::from_mins(90);
/// Time for which nothing may be written in a settled world.
const QUIET: SignedDuration = SignedDuration::from_mins(60);

/// Ceiling of nodes of a namespace, in some runs: fewer than all Workspaces need, enough for each.
const CEILING: u32 = 3;

/// Result of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Simulated time from the end of faults until everything was ready.
    pub to_ready: SignedDuration,
    /// Writes and requests of the programs.
    pub work: usize,
    /// Requests to the cloud for instances, those that it refused, and instance types that were left out.
    pub purchases: [usize; 3],
    /// Events of the run.
    pub trace: Vec<String>,
}

/// Plays the run of a seed.
///
/// # Errors
/// The first broken promise.
pub fn run(seed: u64, subject: Subject, setup: impl FnOnce(&mut Setup)) -> Result<Summary, Failure> {
    let mut rng = Rng::new(seed ^ 0x5eed);
    let mut settings = fixtures::setup(seed);
    settings.waits_for_own_writes = !rng.permille(250);
    settings.skew = SignedDuration::from_mins(*rng.pick(&[0, -15, 15]).unwrap_or(&0));
    if rng.permille(500) {
        settings.workspaces.mode = ProvisionerMode::NodeClaim;
    }
    // A ceiling concerns the claims of Workspaces only.
    if rng.permille(300) && subject != Subject::Claims {
        settings.workspaces.ceilings.namespace.nodes = Some(CEILING);
    }
    setup(&mut settings);
    if subject == Subject::Scarcity {
        scarcity::prepare(&mut settings, &mut rng);
    }
    let mut world = World::new(settings);
    plant(&mut world)?;
    chaos::trouble(&mut world, &mut rng);
    chaos::begin(&mut world, subject, &mut rng);
    // Refusals count for minutes, and some for hours.
    let (acts, longest, most) = match subject {
        Subject::Scarcity => (24, 900, TO_READY_AFTER_SCARCITY),
        Subject::Claims | Subject::Workspaces => (14, 300, TO_READY),
    };
    for _ in 0..rng.between(2, acts) {
        let pause = i64::try_from(rng.between(1, longest)).unwrap_or(1);
        world.advance(SignedDuration::from_secs(pause))?;
        chaos::act(&mut world, subject, &mut rng);
        if rng.permille(250) {
            world.check_fixpoint()?;
        }
    }
    chaos::calm(&mut world, subject);
    let to_ready = settle_within(&mut world, most)?;
    world.note("--- everything is settled ---");
    stay_quiet(&mut world)?;
    end(&mut world)?;
    Ok(Summary {
        to_ready,
        work: world.work_done(),
        purchases: world.purchases(),
        trace: world.trace().to_vec(),
    })
}

/// Adds objects and pools of other owners to the world.
///
/// # Errors
/// If the server refuses them.
pub fn plant(world: &mut World) -> Result<(), Failure> {
    for (key, value) in fixtures::foreign_objects() {
        if let Err(error) = world.plant(&key, value) {
            return Err(world.failure(error.to_string()));
        }
    }
    world.plant_pool(fixtures::foreign_pool("system"));
    Ok(())
}

fn unsettled(world: &World) -> Option<String> {
    world.unsettled().or_else(|| world.surplus_claim())
}

/// Plays until everything is ready, and returns the simulated time that it took.
///
/// # Errors
/// If it takes too long, or a promise is broken.
pub fn settle(world: &mut World) -> Result<SignedDuration, Failure> {
    settle_within(world, TO_READY)
}

fn settle_within(world: &mut World, most: SignedDuration) -> Result<SignedDuration, Failure> {
    let begin = world.now();
    if !world.advance_until(most, |world| unsettled(world).is_none())? {
        let why = unsettled(world).unwrap_or_default();
        return Err(world.failure(format!(
            "not settled {} minutes after faults stopped: {why}",
            most.as_mins()
        )));
    }
    Ok(world.now().duration_since(begin))
}

/// Plays a settled world for a while: nothing may be written, and nothing may be lost.
///
/// # Errors
/// If something is.
pub fn stay_quiet(world: &mut World) -> Result<(), Failure> {
    world.advance(SignedDuration::from_mins(20))?;
    if let Some(why) = unsettled(world) {
        return Err(world.failure(format!("settled once, and then not: {why}")));
    }
    world.check_quiet()?;
    let before = world.work_done();
    world.advance(QUIET)?;
    if world.work_done() != before {
        let writes: Vec<String> = world
            .api
            .log()
            .iter()
            .rev()
            .take(5)
            .map(|line| format!("{} {} {:?}", line.actor, line.verb, line.key))
            .collect();
        return Err(world.failure(format!("a settled world is written to: {}", writes.join("; "))));
    }
    match world.lost_field() {
        Some(object) => Err(world.failure(format!("a field of {object} was lost"))),
        None => Ok(()),
    }
}

/// Deletes everything and plays until nothing is left.
///
/// # Errors
/// If something stays, or a promise is broken.
pub fn end(world: &mut World) -> Result<(), Failure> {
    world.note("--- everything is deleted ---");
    let mut all: Vec<ObjectRef> = world
        .api
        .list(Kind::Workspace)
        .map(|(key, _)| key.clone())
        .collect();
    let users = |(_, value): &(_, &std::sync::Arc<serde_json::Value>)| {
        crate::json::text(value, &["metadata", "labels", "by"]) == "user"
    };
    all.extend(world.managed_claims().filter(users).map(|(key, _)| key.clone()));
    all.iter().for_each(|key| world.delete(key));
    if !world.advance_until(TO_NOTHING, |world| world.leftover().is_none())? {
        let what = world.leftover().unwrap_or_default();
        return Err(world.failure(format!(
            "{what} is left {} minutes after deletion",
            TO_NOTHING.as_mins()
        )));
    }
    Ok(())
}
