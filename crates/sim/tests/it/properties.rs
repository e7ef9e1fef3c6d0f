//! Seeded runs of whole worlds. `SIM_SEEDS` says how many, `SIM_FIRST_SEED` from which on. `SIM_SEED` replays one and
//! prints its trace.

use sim::chaos::Subject;
use sim::world::Setup;
use sim::{fixtures, runner};

fn seeds(default: u64) -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            let first = number("SIM_FIRST_SEED").unwrap_or_default();
            first..first + number("SIM_SEEDS").unwrap_or(default)
        }
    }
}

fn campaign(subject: Subject, default: u64, setup: fn(&mut Setup)) -> [usize; 3] {
    let (mut failed, mut purchases) = (Vec::new(), [0; 3]);
    for seed in seeds(default) {
        match runner::run(seed, subject, setup) {
            Ok(summary) => {
                purchases = std::array::from_fn(|index| purchases[index] + summary.purchases[index]);
                if std::env::var_os("SIM_SEED").is_some() {
                    println!("{}", summary.trace.join("\n"));
                }
            }
            Err(failure) => {
                if failed.is_empty() {
                    println!("{failure}");
                }
                failed.push((seed, failure.what));
            }
        }
    }
    for (seed, what) in &failed {
        println!("SIM_SEED={seed} {subject:?}: {what}");
    }
    assert!(
        failed.is_empty(),
        "{} of the seeds failed; replay one with SIM_SEED=<seed>",
        failed.len()
    );
    let [asked, refused, skipped] = purchases;
    println!(
        "{subject:?}: {asked} requests for instances, {refused} refused, {skipped} instance types left out"
    );
    purchases
}

/// Plays scarcity, and checks that it was felt.
fn scarce_campaign(default: u64, setup: fn(&mut Setup)) {
    let [asked, refused, _] = campaign(Subject::Scarcity, default, setup);
    let is_replay = std::env::var_os("SIM_SEED").is_some();
    assert!(
        is_replay || refused > 0 && asked > refused,
        "{asked} requests, {refused} refused"
    );
}

#[test]
fn claims_survive_chaos() {
    campaign(Subject::Claims, 150, |_| ());
}

#[test]
fn workspaces_survive_chaos() {
    campaign(Subject::Workspaces, 40, |_| ());
}

#[test]
fn workspaces_of_a_karpenter_survive_chaos() {
    campaign(Subject::Workspaces, 15, fixtures::use_karpenter);
}

#[test]
fn workspaces_that_compete_for_scarce_capacity_survive_chaos() {
    scarce_campaign(4, |_| ());
}

#[test]
fn workspaces_that_compete_through_a_karpenter_survive_chaos() {
    scarce_campaign(3, fixtures::use_karpenter);
}
