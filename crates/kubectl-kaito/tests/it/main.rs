//! The program as its users run it: output word for word, exit codes, and the same answers from a registry.
//!
//! `UPDATE_GOLDEN=1 cargo test -p kubectl-kaito` rewrites the expected outputs; review the difference before committing
//! it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod docs;
mod examples;
mod own_types;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use preset_registry::{PresetServer, ServerOptions};
use serve::Readiness;
use telemetry::Metrics;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

struct Ran {
    code: i32,
    out: String,
    err: String,
}

fn run_with(args: &[&str], input: &str) -> Ran {
    run_at(&tests(), args, input)
}

fn run_in(dir: &Path, args: &[&str]) -> Ran {
    run_at(dir, args, "")
}

fn run_at(dir: &Path, args: &[&str], input: &str) -> Ran {
    let mut child = Command::new(env!("CARGO_BIN_EXE_kubectl-kaito"))
        .args(args)
        .current_dir(dir)
        .env_remove("KAITO_REGISTRY")
        .env_remove("KAITO_INSTANCE_TYPE_TABLE")
        .env("NO_PROXY", "*")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that does not read its input may have ended.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn run(args: &[&str]) -> Ran {
    run_with(args, "")
}

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

#[track_caller]
fn golden(name: &str, code: i32, args: &[&str]) {
    let ran = run(args);
    assert_eq!((ran.code, ran.err.as_str()), (code, ""), "{args:?}: {}", ran.out);
    let path = tests().join("golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &ran.out).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(ran.out, expected, "{args:?} differs from {}", path.display());
    if name.ends_with(".txt") {
        let longest = ran.out.lines().map(|line| line.chars().count()).max().unwrap();
        let told = name.starts_with("lint");
        assert!(longest <= 100 || told, "{longest} columns:\n{}", ran.out);
    }
}

#[test]
fn presets() {
    golden("presets-list.txt", 0, &["presets", "list"]);
    golden("presets-list-cpu.txt", 0, &["presets", "list", "--cpu"]);
    golden("presets-list-none.txt", 0, &["presets", "list", "unheard-of"]);
    golden("presets-show.txt", 0, &["presets", "show", "microsoft/Phi-4"]);
    golden(
        "presets-show.yaml",
        0,
        &["presets", "show", "gemma-3-4b-instruct", "-o", "yaml"],
    );
    golden(
        "presets-list.json",
        0,
        &["presets", "list", "smollm2", "-o", "json"],
    );
}

#[test]
fn plans() {
    golden("plan.txt", 0, &["plan", "llama-3.3-70b-instruct"]);
    golden(
        "plan-aws.txt",
        0,
        &["plan", "phi-4", "--cloud", "aws", "--context-tokens", "16384"],
    );
    golden("plan-tuning.txt", 0, &["plan", "phi-4", "--tuning", "--explain"]);
    golden(
        "plan-cpu.txt",
        0,
        &[
            "plan",
            "smollm2-135m-instruct",
            "--instance-type",
            "Standard_D8s_v5",
            "--explain",
        ],
    );
    let one = ["--instance-type", "standard_nd96isr_h100_v5"];
    golden(
        "plan-explain.txt",
        0,
        &["plan", "deepseek-r1-0528", "--explain", one[0], one[1]],
    );
    golden(
        "plan.json",
        0,
        &["plan", "phi-4-mini-instruct", "-o", "json", one[0], one[1]],
    );
    golden(
        "plan-max-nodes.txt",
        1,
        &["plan", "deepseek-r1-0528", "--max-nodes", "1", one[0], one[1]],
    );
    golden(
        "plan-file.txt",
        1,
        &["plan", "-f", "manifests/wrong.yaml", "--max-nodes", "2"],
    );
    golden(
        "plan-retired.txt",
        0,
        &[
            "plan",
            "-f",
            "../../../examples/upstream/kaito_workspace_phi_3.yaml",
        ],
    );
    golden("plan-ladder.txt", 0, &["plan", "-f", "manifests/ladder.yaml"]);
    golden(
        "plan-refused.txt",
        1,
        &[
            "plan",
            "-f",
            "../../../examples/upstream/kaito_workspace_phi_3.yaml",
            "--retired-instance-types=refuse",
        ],
    );
    golden(
        "plan-file.yaml",
        0,
        &[
            "plan",
            "-f",
            "manifests/good.yaml",
            "-o",
            "yaml",
            one[0],
            one[1],
            "--instance-type",
            "Standard_NC24ads_A100_v4",
        ],
    );
}

#[test]
fn manifests_of_plans() {
    golden(
        "plan-manifest.yaml",
        0,
        &["plan", "phi-4", "--context-tokens", "8192", "-o", "manifest"],
    );
    let manifest = std::fs::read_to_string(tests().join("golden/plan-manifest.yaml")).unwrap();
    // What is printed passes the rules of admission.
    let linted = run_with(&["lint", "-f", "-"], &manifest);
    assert_eq!((linted.code, linted.err.as_str()), (0, ""), "{}", linted.out);
    let gated = run(&["plan", "llama-3.3-70b-instruct", "-o", "manifest"]);
    assert!(
        gated.code == 0 && gated.out.starts_with("# Gated at its model hub"),
        "{}",
        gated.out
    );
    let deployed = run(&["deploy", "phi-4", "--context-tokens", "8192", "-o", "manifest"]);
    assert_eq!((deployed.code, &deployed.out), (0, &manifest), "{}", deployed.err);
    let named = run(&[
        "deploy",
        "llama-3.3-70b-instruct",
        "--model-access-secret",
        "hub",
        "--name",
        "mine",
        "-o",
        "manifest",
    ]);
    assert!(
        named.out.contains("name: mine") && named.out.contains("modelAccessSecret: hub"),
        "{}",
        named.out
    );
    let linted = run_with(&["lint", "-f", "-"], &named.out);
    assert_eq!((linted.code, linted.err.as_str()), (0, ""), "{}", linted.out);
    let nothing = ["--instance-type", "Standard_NV36ads_A10_v5", "--max-nodes", "1"];
    let unfit = run(&[&["deploy", "deepseek-r1-0528"][..], &nothing].concat());
    assert!(
        unfit.code == 1 && unfit.out.starts_with("Nothing fits.\nStandard_NV36ads_A10_v5: "),
        "{}",
        unfit.out
    );
}

#[test]
fn help_and_completion() {
    golden("help.golden", 0, &["--help"]);
    let completed = run(&["__complete", "doctor", "--before"]);
    assert_eq!(
        (completed.code, completed.out.as_str()),
        (0, "--before-uninstall\n:4\n")
    );
    let script = run(&["completion", "bash"]);
    let mut shell = Command::new("bash")
        .args(["-n", "/dev/stdin"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    shell
        .stdin
        .take()
        .unwrap()
        .write_all(script.out.as_bytes())
        .unwrap();
    assert!(shell.wait().unwrap().success(), "bash does not parse its script");
}

#[test]
fn lint() {
    golden("lint-good.txt", 0, &["lint", "-f", "manifests/good.yaml"]);
    golden(
        "lint-wrong.txt",
        1,
        &["lint", "-f", "manifests/good.yaml", "manifests/wrong.yaml"],
    );
    golden(
        "lint-wrong.json",
        1,
        &["lint", "-f", "manifests/wrong.yaml", "-o", "json"],
    );
    golden(
        "lint-byo.txt",
        1,
        &["lint", "-f", "manifests/good.yaml", "--node-provisioner", "byo"],
    );
    golden(
        "lint-presets.txt",
        0,
        &[
            "lint",
            "-f",
            "manifests/ours.yaml",
            "--presets",
            "manifests/presets.yaml",
        ],
    );
    golden(
        "lint-ceilings.txt",
        1,
        &[
            "lint",
            "-f",
            "../../../examples/upstream/kaito_workspace_phi_3.yaml",
            "--workspace-price-ceiling=3",
            "--namespace-node-ceiling=0",
        ],
    );
    golden("lint-no-presets.txt", 1, &["lint", "-f", "manifests/ours.yaml"]);
    let good = std::fs::read_to_string(tests().join("manifests/good.yaml")).unwrap();
    let ran = run_with(&["lint", "-f", "-"], &good);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert!(
        ran.out
            .starts_with("standard input: Workspace phi-4-mini is valid"),
        "{}",
        ran.out
    );
}

#[test]
fn what_can_t_be_answered_ends_with_2() {
    let cases: [(&[&str], &str); 21] = [
        (&["plan", "phi-44"], "unknown preset phi-44; did you mean phi-4"),
        (&["presets", "show", "nonsense"], "unknown preset nonsense"),
        (
            &["plan", "phi-4", "--instance-type", "Standard_NC24ads_A100_v5"],
            "did you mean Standard_NC",
        ),
        (&["plan", "phi-4", "--cloud", "moon"], "unknown cloud"),
        (&["plan"], "required"),
        (
            &["plan", "-f", "golden/presets-show.yaml"],
            "no Workspace found in",
        ),
        (
            &["plan", "phi-4", "--measured", "--kubeconfig", "nowhere"],
            "failed to read nowhere",
        ),
        (
            &[
                "plan",
                "phi-4",
                "--quota",
                "--kubeconfig",
                "nowhere",
                "--context",
                "c",
                "-n",
                "n",
            ],
            "failed to read nowhere",
        ),
        (
            &["plan", "phi-4", "--context", "8192"],
            "tokens are --context-tokens",
        ),
        (&["lint", "-f", "nowhere.yaml"], "failed to read nowhere.yaml"),
        (
            &["lint", "-f", "golden/presets-show.yaml"],
            "no Workspace found in",
        ),
        (
            &[
                "lint",
                "-f",
                "manifests/good.yaml",
                "--presets",
                "manifests/good.yaml",
            ],
            "good.yaml: ",
        ),
        (&["presets", "list", "--registry", "not a url"], "must be a URL"),
        (
            &["presets", "list", "--registry", "https://localhost:1"],
            "an https registry needs --registry-ca-file",
        ),
        (
            &["plan", "-f", "manifests/good.yaml", "-o", "manifest"],
            "-o manifest makes",
        ),
        (
            &["plan", "phi-4", "--tuning", "-o", "manifest"],
            "see docs/tuning.md",
        ),
        (&["deploy", "llama-3.3-70b-instruct"], "--model-access-secret"),
        (
            &["deploy", "phi-4", "--name", "Phi 4", "-o", "manifest"],
            "see --name",
        ),
        (&["status", "w", "-A"], "cannot be used with"),
        (
            &["status", "--watch", "--kubeconfig", "nowhere"],
            "failed to read nowhere",
        ),
        (
            &["explain", "w", "--kubeconfig", "nowhere"],
            "failed to read nowhere",
        ),
    ];
    for (args, part) in cases {
        let ran = run(args);
        assert_eq!(ran.code, 2, "{args:?}: {}{}", ran.out, ran.err);
        assert!(
            ran.err.contains(part) && ran.out.is_empty(),
            "{args:?}: {}",
            ran.err
        );
    }
}

/// A registry in this process; it ends with the runtime of the test.
async fn registry(options: ServerOptions) -> String {
    let metrics = Metrics::new();
    let server = PresetServer::prepare(options, &metrics).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let gate = Readiness::new().gate("grpc");
    tokio::spawn(async move {
        server
            .serve(listener, &gate, CancellationToken::new())
            .await
            .unwrap()
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_gives_the_same_answers() {
    let address = registry(ServerOptions::default()).await;
    let questions: [&[&str]; 7] = [
        &["presets", "list", "-o", "json"],
        &["presets", "show", "phi-4"],
        &["plan", "llama-3.3-70b-instruct", "--explain"],
        &["plan", "phi-4", "--tuning", "-o", "yaml"],
        &["plan", "-f", "manifests/wrong.yaml", "--max-nodes", "2"],
        &["lint", "-f", "manifests/good.yaml", "manifests/wrong.yaml"],
        &["lint", "-f", "manifests/good.yaml", "-o", "json"],
    ];
    for question in questions {
        let offline = run(question);
        let online = run(&[question, &["--registry", &address]].concat());
        assert_eq!(
            (online.code, &online.err),
            (offline.code, &offline.err),
            "{question:?}"
        );
        assert_eq!(online.out, offline.out, "{question:?}");
    }
    let ran = run(&["presets", "show", "phi-44", "--registry", &address]);
    assert!(ran.code == 2 && ran.err.contains("phi-4"), "{}", ran.err);
}

#[test]
fn a_registry_that_is_down_is_said() {
    let ran = run(&["presets", "list", "--registry", "http://127.0.0.1:1"]);
    assert!(
        ran.code == 2 && ran.err.contains("the registry failed"),
        "{}",
        ran.err
    );
}

const CONFIGURED: &str = "apiVersion: kaito.sh/v1beta1
kind: Workspace
metadata: {name: large}
resource:
  instanceType: Standard_NC24ads_A100_v4
  labelSelector: {matchLabels: {apps: large}}
inference:
  config: settings
  preset: {name: llama-3.3-70b-instruct, presetOptions: {modelAccessSecret: hub}}
";

fn with_settings(text: &str) -> String {
    format!(
        "{CONFIGURED}---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings}}\ndata:\n  \
         inference_config.yaml: |\n    {text}\n"
    )
}

#[test]
fn settings_of_the_config_map_are_planned_for() {
    let plan = |file: &str| run_with(&["plan", "-f", "-"], file);
    let chosen = |ran: &Ran| {
        let line = ran
            .out
            .lines()
            .find(|line| line.starts_with("*Standard_NC24ads_A100_v4"));
        let words: Vec<String> = line.unwrap().split_whitespace().map(str::to_owned).collect();
        words[1].clone()
    };
    let without = plan(CONFIGURED);
    assert!(
        without.out.contains("ConfigMap settings is not in the file"),
        "{}",
        without.out
    );
    assert_eq!(chosen(&without), "3");
    let with = plan(&with_settings(
        "vllm: {quantization: bitsandbytes, max-model-len: 4096}",
    ));
    assert!(
        with.out.contains("room for 4096 tokens")
            && with
                .out
                .contains("Settings of ConfigMap settings that change the size: weights in 4 bits."),
        "{}{}",
        with.out,
        with.err
    );
    assert_eq!(chosen(&with), "2");
    let wrong = plan(&with_settings("vllm: {max-modl-len: 4096}"));
    assert_eq!(wrong.code, 2);
    assert!(
        wrong.err.contains("unknown flag vllm.max-modl-len"),
        "{}",
        wrong.err
    );
}

#[test]
fn settings_of_the_config_map_are_linted() {
    let lint = |text: &str| run_with(&["lint", "-f", "-"], &with_settings(text));
    let good = lint("vllm: {max-num-seqs: 8}");
    assert_eq!(good.code, 0, "{}", good.out);
    for (text, part) in [
        (
            "vllm: {api-key: a}",
            "inference.config: ConfigMap settings, inference_config.yaml: vllm.api-key cannot be set",
        ),
        (
            "vllm: {max-model-len: 10000000}",
            "is longer than the 131072 of preset llama-3.3-70b-instruct",
        ),
    ] {
        let wrong = lint(text);
        assert_eq!(wrong.code, 1);
        assert!(wrong.out.contains(part), "{}", wrong.out);
    }
}
