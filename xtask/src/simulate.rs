//! `cargo xtask simulate`: schedules of the simulation, as many as one likes, and walks through specs.

use anyhow::{Context as _, Result, ensure};

use crate::repository;

/// Schedules of one night.
pub(crate) const NIGHTLY: u64 = 10_000;
/// Subjects of the simulation. A seed is one schedule of each: of claims, of Workspaces, and of Workspaces that compete for scarce
/// capacity. Workspaces are served by gpu-provisioner, and once more by a Karpenter.
const SUBJECTS: u64 = 5;
/// Seeds for each walk through specs. A walk plays a whole life for every edit.
const SEEDS_PER_WALK: u64 = 10;
/// Fewest walks: with less they do not reach enough.
const FEWEST_WALKS: u64 = 120;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Schedules to play: a fifth of claims, two fifths of Workspaces, two fifths of Workspaces with scarce capacity
    #[arg(long, default_value_t = NIGHTLY)]
    schedules: u64,
    /// First seed; another one plays other schedules
    #[arg(long, default_value_t = 0)]
    first_seed: u64,
}

/// Plays the schedules. A failure names its seed and the command that replays it.
pub(crate) fn run(args: &Args) -> Result<()> {
    play(args.schedules, args.first_seed)
}

/// Plays this many schedules.
///
/// # Errors
/// When one breaks a promise, or the simulation cannot be built.
pub(crate) fn play(schedules: u64, first_seed: u64) -> Result<()> {
    let seeds = schedules.div_ceil(SUBJECTS);
    let walks = (seeds / SEEDS_PER_WALK).max(FEWEST_WALKS);
    println!(
        "seeds {first_seed} to {}: {} schedules, and {walks} walks",
        first_seed + seeds,
        seeds * SUBJECTS
    );
    // Optimized: a thousand worlds take an hour otherwise.
    let line = "test --release --package sim --test it -- survive_chaos walk:: throttled:: --nocapture";
    let mut command = repository::cargo();
    command
        .args(line.split(' '))
        .env("SIM_FIRST_SEED", first_seed.to_string())
        .env("SIM_SEEDS", seeds.to_string())
        .env("SIM_WALKS", walks.to_string());
    let status = command.status().context("failed to run cargo")?;
    ensure!(status.success(), "cargo ended with {status}");
    Ok(())
}
