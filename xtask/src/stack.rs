//! `cargo xtask demo` and `cargo xtask bench`: build the programs, then run one of `crates/benches` that uses them.
//!
//! The chat of `demo -- --chat` is a program of `inference-server`, whose tests play with it.

use std::ffi::OsString;

use anyhow::{Context as _, Result, ensure};

use crate::repository;

/// Our programs, started as processes by the demo and the benchmark of the controllers.
const PROGRAMS: [&str; 4] = [
    "workspace-controller",
    "gpu-provisioner",
    "preset-registry",
    "arm-server",
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
    println!("building the programs (minutes on a fresh machine, seconds afterwards)");
    run("demo", &PROGRAMS, "debug", &[], args)
}

pub(crate) fn bench(bench: &Bench) -> Result<()> {
    println!("building the programs with optimization (several minutes once)");
    let (program, needs, args): (_, &[&str], _) = match bench {
        Bench::Controller(args) => ("bench-controller", &PROGRAMS, args),
        Bench::Registry(args) => ("bench-registry", &["preset-registry"], args),
        Bench::Inference(args) => ("bench-inference", &[], args),
        Bench::Tuning(args) => ("bench-tuning", &[], args),
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
    let status = std::process::Command::new(&path)
        .args(&args.args)
        .current_dir(repository::root())
        .status()
        .with_context(|| format!("failed to run {}", path.display()))?;
    ensure!(status.success(), "{program} ended with {status}");
    Ok(())
}
