//! `cargo xtask demo` and `cargo xtask bench`: build the programs, then run one of `crates/benches` that uses them.
//!
//! The chat of `demo -- --chat` is a program of `inference-server`, whose tests play with it.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;

use anyhow::{Context as _, Result, ensure};
use local_cluster::nodes;

use crate::repository;

/// Our programs, started as processes by the demo and the benchmark of the controllers.
const PROGRAMS: [&str; 4] = [
    "workspace-controller",
    "gpu-provisioner",
    "preset-registry",
    "arm-server",
];

/// Programs that run in pods, or beside real nodes.
const PROGRAMS_IN_PODS: [&str; 5] = [
    "artifact",
    "inference-server",
    "tuning-job",
    "device-plugin",
    "played-engine",
];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Flags of the program, `--help` among them. `demo -- --chat` is a chat with a small model instead
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Bench {
    /// Time, writes, memory and CPU until Workspaces are ready
    Controller(Args),
    /// Lookups in the preset registry beside a bare server, and the cost of watching it
    Registry(Args),
    /// The decoder beside llama.cpp and transformers, where `--python` has them
    Inference(Args),
    /// Training steps beside PEFT's, where `--python` has it
    Tuning(Args),
    /// Builds of inference-server beside each other: C libraries, allocators
    Builds(Args),
}

pub(crate) fn demo(args: &Args) -> Result<()> {
    if let Some(at) = args.args.iter().position(|arg| arg == "--chat") {
        let mut args = args.args.clone();
        args.remove(at);
        println!("building the model server with optimization (minutes on a fresh machine)");
        if !args
            .iter()
            .any(|arg| arg.to_string_lossy().starts_with("--weights-dir"))
        {
            args.splice(0..0, ["--weights-dir".into(), example_model()?]);
        }
        return run("demo-chat", &[], "release", &["--release"], &Args { args });
    }
    let mut args = args.args.clone();
    let (nodes, programs) = match chosen_nodes(&mut args)? {
        DemoNodes::Real => ("real", [&PROGRAMS[..], &PROGRAMS_IN_PODS].concat()),
        DemoNodes::Simulated => ("simulated", PROGRAMS.to_vec()),
    };
    args.splice(0..0, ["--nodes".into(), nodes.into()]);
    println!("building the programs (minutes on a fresh machine, seconds afterwards)");
    run("demo", &programs, "debug", &[], &Args { args })
}

/// The kind of the nodes of the demo.
#[derive(Clone, Copy, clap::ValueEnum)]
enum DemoNodes {
    Real,
    Simulated,
}

/// Real nodes where this machine can have them, unless `--nodes` says otherwise. Takes that flag out of the arguments.
fn chosen_nodes(args: &mut Vec<OsString>) -> Result<DemoNodes> {
    if let Some(at) = args.iter().position(|arg| arg == "--nodes") {
        let value = args
            .drain(at..(at + 2).min(args.len()))
            .nth(1)
            .unwrap_or_default();
        return clap::ValueEnum::from_str(&value.to_string_lossy(), false)
            .map_err(|_| anyhow::anyhow!("--nodes must be `real` or `simulated`"));
    }
    match nodes::ensure_root() {
        Ok(()) => {
            println!(
                "real nodes: pods run and a model answers (`--nodes simulated` shows more Workspaces without pods)"
            );
            Ok(DemoNodes::Real)
        }
        Err(error) => {
            println!("simulated nodes, whose pods do not run: {error}");
            Ok(DemoNodes::Simulated)
        }
    }
}

pub(crate) fn bench(bench: &Bench) -> Result<()> {
    println!("building the programs with optimization (several minutes once)");
    let (program, needs, args): (_, &[&str], _) = match bench {
        Bench::Controller(args) => ("bench-controller", &PROGRAMS, args),
        Bench::Registry(args) => ("bench-registry", &["preset-registry"], args),
        Bench::Inference(args) => ("bench-inference", &[], args),
        Bench::Tuning(args) => ("bench-tuning", &[], args),
        Bench::Builds(args) => ("bench-builds", &[], args),
    };
    run(program, needs, "release", &["--release"], args)
}

/// Returns the directory of the example model. Fetches and converts it once.
fn example_model() -> Result<OsString> {
    let output = repository::cargo()
        .args(["run", "--release", "--bin", "gguf", "--", "example"])
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("failed to run cargo")?;
    ensure!(output.status.success(), "cargo ended with {}", output.status);
    let lines = String::from_utf8(output.stdout).context("expected a path in UTF-8")?;
    // Lines with a mark report progress.
    let dir = lines.lines().rfind(|line| !line.starts_with('#'));
    Ok(dir.context("`gguf example` printed no directory")?.into())
}

fn run(program: &str, needs: &[&str], profile: &str, flags: &[&str], args: &Args) -> Result<()> {
    let mut build = repository::cargo();
    build.arg("build").args(flags);
    for name in needs.iter().chain([&program]) {
        build.args(["--bin", name]);
    }
    let status = build.status().context("failed to run cargo")?;
    ensure!(status.success(), "cargo ended with {status}");
    let path = repository::target().join(profile).join(program);
    // The program takes this one's place: Ctrl-C is for it, and a shell must wait until it has cleaned up.
    let error = std::process::Command::new(&path)
        .args(&args.args)
        .current_dir(repository::root())
        .exec();
    Err(error).with_context(|| format!("failed to run {}", path.display()))
}
