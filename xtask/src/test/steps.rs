//! The steps of `cargo xtask test`. Quick ones come first, so that a slip shows within seconds.

use std::io::IsTerminal as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use local_cluster::{Assets, Stderr, Tier, Tool, nodes};

use super::chart;
use super::step::TestStep;
use crate::{generate, repository, simulate, tidy, vllm};

/// Makes a missing cluster program a failure instead of a skipped test.
const CLUSTER_REQUIRED: (&str, &str) = ("KAITO_REQUIRE_CLUSTER", "1");

pub(super) fn all() -> Vec<TestStep> {
    vec![
        step(
            "tools",
            "is everything here that the other steps need",
            "cargo xtask test tools",
            tools,
        ),
        cargo("format", "formatting of all sources", "fmt --all --check"),
        step("tidy", "rules of the house", "cargo xtask tidy", tidy::check),
        step(
            "generated",
            "are generated files up to date",
            "cargo xtask gen --check",
            generate::check,
        ),
        cargo(
            "lints",
            "clippy on everything",
            "clippy --workspace --all-targets -- -D warnings",
        ),
        step(
            "dependencies",
            "licenses, bans and sources, where cargo-deny is installed",
            "cargo deny check bans licenses sources",
            dependencies,
        ),
        // One build of everything with one set of features: the steps below find all of it fresh.
        cargo(
            "build",
            "programs and tests, minutes when cold",
            "build --workspace --all-targets",
        ),
        cargo(
            "tests",
            "all tests but those of programs together",
            "test --workspace --no-fail-fast --exclude integration-tests",
        ),
        cargo(
            "data-plane",
            "programs of the data plane together",
            DATA_PLANE_TESTS,
        ),
        step(
            "cluster",
            "programs of a Kubernetes cluster, ten minutes once",
            CLUSTER,
            cluster_programs,
        ),
        step(
            "chart",
            "lint and render the Helm chart",
            "cargo xtask test chart",
            chart::check,
        ),
        on_cluster(
            "cluster-tests",
            "tests that skip themselves where there is no cluster",
            CLUSTER_TESTS,
        ),
        on_cluster(
            "integration",
            "our programs against real API servers",
            INTEGRATION_TESTS,
        ),
        on_cluster(
            "real-nodes",
            "the chart, a cloud and pods that serve a model; skipped without root",
            REAL_NODES_TESTS,
        ),
    ]
}

/// The steps of `cargo xtask nightly`.
pub(super) fn nightly() -> Vec<TestStep> {
    vec![
        step(
            "simulation",
            "ten thousand schedules",
            "cargo xtask simulate",
            || simulate::play(simulate::NIGHTLY, 0),
        ),
        with_env(
            "properties",
            "property tests with many cases",
            ("PROPTEST_CASES", "5000"),
            "test --workspace --lib",
        ),
        step(
            "vllm",
            "real vLLM: command lines of all presets, a model behind the front and over Ray; 6 GB once",
            "cargo xtask nightly vllm",
            with_vllm,
        ),
        step(
            "dashboard",
            "the plugin's page in a browser, which apt-get installs once",
            "cargo xtask nightly dashboard",
            with_browser,
        ),
        step(
            "repeated",
            "the integration tests ten times in a row: none may fail now and then",
            "cargo xtask nightly repeated",
            || (0..REPETITIONS).try_for_each(|_| run_cargo(INTEGRATION_TESTS, &[CLUSTER_REQUIRED])),
        ),
    ]
}

fn with_vllm() -> Result<()> {
    let python = vllm::python()?;
    let python = python.to_str().context("expected a cache directory in UTF-8")?;
    run_cargo("build --workspace --bins", &[])?;
    run_cargo(VLLM_TESTS, &[("KAITO_VLLM_PYTHON", python)])
}

fn with_browser() -> Result<()> {
    if Command::new(BROWSER).arg("--version").output().is_err() {
        let mut install = Command::new("apt-get");
        install.args(["install", "--yes", "--no-install-recommends", BROWSER]);
        let status = install.status().context("failed to run apt-get")?;
        ensure!(status.success(), "apt-get ended with {status}");
    }
    run_cargo("build --workspace --bins", &[])?;
    run_cargo(
        DASHBOARD_TESTS,
        &[CLUSTER_REQUIRED, ("KAITO_REQUIRE_BROWSER", "1")],
    )
}

/// Browser without a window, as Debian names it.
const BROWSER: &str = "chromium-headless-shell";
const DASHBOARD_TESTS: &str = "test --workspace --test control-plane -- dashboard::";

/// Runs of the integration tests in one night.
const REPETITIONS: usize = 10;

const CLUSTER: &str = "cargo xtask test cluster";
const DATA_PLANE_TESTS: &str = "test --workspace --test data-plane";
const VLLM_TESTS: &str = "test --workspace --test vllm -- --nocapture";
const CLUSTER_TESTS: &str = "test --workspace --test cluster --test env";
// Chosen by name among all packages, not by `--package`, which would mean other features and a rebuild.
const INTEGRATION_TESTS: &str = "test --workspace --test control-plane";
// The uninstallation is the last one by its name. With more threads it could begin before another test has the operator.
const REAL_NODES_TESTS: &str = "test --workspace --test real-nodes -- --test-threads=2";

fn step(
    name: &'static str,
    what: &'static str,
    again: &str,
    action: impl Fn() -> Result<()> + 'static,
) -> TestStep {
    TestStep {
        name,
        what,
        again: again.to_owned(),
        action: Box::new(action),
    }
}

fn cargo(name: &'static str, what: &'static str, line: &'static str) -> TestStep {
    step(name, what, &format!("cargo {line}"), move || run_cargo(line, &[]))
}

fn on_cluster(name: &'static str, what: &'static str, line: &'static str) -> TestStep {
    with_env(name, what, CLUSTER_REQUIRED, line)
}

fn with_env(
    name: &'static str,
    what: &'static str,
    env: (&'static str, &'static str),
    line: &'static str,
) -> TestStep {
    let again = format!("{}={} cargo {line}", env.0, env.1);
    step(name, what, &again, move || run_cargo(line, &[env]))
}

fn run_cargo(line: &str, env: &[(&str, &str)]) -> Result<()> {
    let mut command = repository::cargo();
    command.args(line.split(' ')).envs(env.iter().copied());
    if std::env::var_os("CARGO_TERM_COLOR").is_none() {
        let color = if std::io::stdout().is_terminal() {
            "always"
        } else {
            "never"
        };
        command.env("CARGO_TERM_COLOR", color);
    }
    let status = command.status().context("failed to run cargo")?;
    ensure!(status.success(), "cargo ended with {status}");
    Ok(())
}

/// Checks dependencies against `deny.toml`.
fn dependencies() -> Result<()> {
    let installed = repository::cargo().args(["deny", "--version"]).output();
    if !installed.is_ok_and(|output| output.status.success()) {
        println!("skipped: cargo-deny is not installed");
        return Ok(());
    }
    run_cargo("deny check bans licenses sources", &[])
}

fn tools() -> Result<()> {
    let needed = [
        ("cargo", ["fmt", "--version"], "rustup component add rustfmt"),
        ("cargo", ["clippy", "--version"], "rustup component add clippy"),
    ];
    for (program, args, remedy) in needed {
        let status = Command::new(program).args(args).stdout(Stdio::null()).status();
        ensure!(
            status.is_ok_and(|status| status.success()),
            "no {program} {}: {remedy}",
            args[0]
        );
    }
    let go = Command::new("go").arg("version").stdout(Stdio::null()).status();
    if go.is_err() && !Assets::at_hand(CLUSTER_TOOLS) {
        anyhow::bail!("no Go toolchain and no programs of a cluster: install Go 1.26 or newer");
    }
    Ok(())
}

/// Programs that later steps use.
const CLUSTER_TOOLS: &[Tool] = &[
    Tool::Etcd,
    Tool::KubeApiserver,
    Tool::KubeControllerManager,
    Tool::KubeScheduler,
    Tool::Kwok,
    Tool::Helm,
    Tool::Karpenter,
    Tool::KarpenterDefinitions,
];

fn cluster_programs() -> Result<()> {
    debug_assert!(
        Tier::WithNodes
            .tools()
            .iter()
            .all(|tool| CLUSTER_TOOLS.contains(tool))
    );
    let mut tools = CLUSTER_TOOLS.to_vec();
    match nodes::ensure_root() {
        Ok(()) => {
            nodes::ensure_programs(&Stderr)?;
            tools.extend(Tier::RealNodes.tools());
        }
        Err(error) => println!("tests with real nodes will be skipped: {error}"),
    }
    for (tool, path) in Assets::obtain(&tools, &Stderr)?.iter() {
        println!("{:<26} {:<10} {}", tool.name(), tool.version(), path.display());
    }
    Ok(())
}
