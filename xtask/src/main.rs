//! Every chore of this repository as a command: `cargo xtask <command>`. One file a command.

#![allow(clippy::print_stdout, reason = "a command line tool prints for a person")]

mod cluster;
mod generate;
mod image;
mod prices;
mod release;
mod repository;
mod simulate;
mod site;
mod stack;
mod test;
mod tidy;
mod vllm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Every chore of this repository as a command")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything CI runs, in order, with times
    Test(test::Args),
    /// Run what takes too long for every change: many seeds, many cases, many repetitions
    Nightly(test::Args),
    /// Play seeded schedules of the simulation: faults, crashes, users and tenants
    Simulate(simulate::Args),
    /// Write the generated files, or check that they are up to date
    Gen(generate::Args),
    /// Check the rules of the house that no compiler checks
    Tidy(tidy::Args),
    /// Make small images of our programs, without a container engine
    Image(image::Args),
    /// Build one version and push it: images, chart, plugin, SBOMs, checksums, signatures
    Release(release::Args),
    /// Refresh the list prices of the built-in instance types from a table of a Karpenter provider
    Prices(prices::Args),
    /// Make the site of the documentation
    Site(site::Args),
    /// Show a model that answers from a pod of a real node; without root, three examples on simulated nodes
    Demo(stack::Args),
    /// Measure
    #[command(subcommand)]
    Bench(stack::Bench),
    /// Start, stop or look at a local Kubernetes cluster
    #[command(subcommand)]
    Cluster(cluster::Command),
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Test(args) => test::run(&args),
        Command::Nightly(args) => test::nightly(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Gen(args) => generate::run(args),
        Command::Tidy(args) => tidy::run(&args),
        Command::Image(args) => image::run(&args),
        Command::Release(args) => release::run(&args),
        Command::Prices(args) => prices::run(&args),
        Command::Site(args) => site::run(&args),
        Command::Demo(args) => stack::demo(&args),
        Command::Bench(bench) => stack::bench(&bench),
        Command::Cluster(command) => cluster::run(&command),
    }
}
