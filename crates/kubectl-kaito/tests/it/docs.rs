//! The commands of the documentation. Those of the plugin are parsed, and run if they need no cluster; `console` samples of those are
//! compared with what they print. Of kubectl, Helm and cargo the files, kinds, values and names must exist. Every other command stands
//! in a block that says what it needs: a line `<!-- needs … -->` before it.

mod shell;

use std::path::{Path, PathBuf};

use clap::Parser as _;
use serde_json::Value;

use crate::run_in;

/// Commands of the shell and of every system, which need no mark.
const USUAL: [&str; 14] = [
    "cd", "chmod", "date", "do", "done", "echo", "export", "for", "install", "kill", "jobs", "sed", "tail",
    "tr",
];

/// Kinds of others that the documentation names.
const KINDS: [&str; 27] = [
    "all",
    "clusterrole",
    "configmap",
    "configmaps",
    "controllerrevisions",
    "crd",
    "customresourcedefinition",
    "daemonset",
    "deployment",
    "events",
    "job",
    "lease",
    "leases",
    "namespace",
    "node",
    "nodes",
    "persistentvolumeclaim",
    "pod",
    "pods",
    "rolebinding",
    "secret",
    "secrets",
    "service",
    "serviceaccount",
    "statefulset",
    "validatingwebhookconfiguration",
    "storageclass",
];

/// Flags of kubectl whose value is the next word.
const WITH_VALUE: [&str; 14] = [
    "--namespace",
    "-n",
    "--selector",
    "-l",
    "--output",
    "-o",
    "--label-columns",
    "--sort-by",
    "--for",
    "--timeout",
    "--context",
    "--kubeconfig",
    "--container",
    "-c",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A block of commands.
struct Block {
    /// Page and line, for messages.
    place: String,
    is_console: bool,
    is_marked: bool,
    text: String,
}

fn blocks() -> Vec<Block> {
    let mut pages: Vec<PathBuf> = ["README.md", "CONTRIBUTING.md", "examples/README.md"]
        .iter()
        .map(|page| root().join(page))
        .collect();
    for entry in std::fs::read_dir(root().join("docs")).unwrap() {
        pages.push(entry.unwrap().path());
    }
    pages.retain(|page| page.extension().is_some_and(|extension| extension == "md"));
    pages.sort();
    pages.iter().flat_map(|page| of_page(page)).collect()
}

fn of_page(page: &Path) -> Vec<Block> {
    let text = std::fs::read_to_string(page).unwrap();
    let name = page.file_name().unwrap().to_str().unwrap();
    let (mut found, mut open, mut before) = (Vec::new(), None::<(String, Block)>, "");
    for (number, line) in text.lines().enumerate() {
        let fence = line.trim().strip_prefix("```");
        match (&mut open, fence) {
            (None, Some(language)) => {
                let block = Block {
                    place: format!("{name}:{}", number + 1),
                    is_console: language == "console",
                    is_marked: before.starts_with("<!-- needs "),
                    text: String::new(),
                };
                open = Some((language.to_owned(), block));
            }
            (Some(_), Some(_)) => {
                let (language, block) = open.take().unwrap();
                if ["sh", "console", "bash"].contains(&language.as_str()) {
                    found.push(block);
                }
            }
            (Some((_, block)), None) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
        if !line.trim().is_empty() {
            before = line.trim();
        }
    }
    found
}

/// Commands of a block with the output that it shows for each; of scripts it shows none.
fn shown(block: &Block) -> Vec<(String, String)> {
    if !block.is_console {
        return vec![(block.text.clone(), String::new())];
    }
    let mut all = Vec::new();
    for part in format!("\n{}", block.text).split("\n$ ").skip(1) {
        let (command, output) = part.split_once('\n').unwrap_or((part, ""));
        all.push((command.to_owned(), output.trim_end().to_owned()));
    }
    all
}

#[test]
fn every_command_is_checked_or_marked() {
    let mut problems = Vec::new();
    let (mut plugin, mut ran) = (0, 0);
    for block in blocks() {
        for (text, output) in shown(&block) {
            for command in shell::commands(&text) {
                let words: Vec<&str> = command.iter().map(String::as_str).collect();
                let found = match words.as_slice() {
                    ["kubectl", "kaito", rest @ ..] | ["kubectl-kaito", rest @ ..] => {
                        plugin += 1;
                        of_plugin(rest, &output, &mut ran)
                    }
                    ["kubectl", rest @ ..] => of_kubectl(rest),
                    ["helm", rest @ ..] => of_helm(rest),
                    ["cargo", rest @ ..] => of_cargo(rest),
                    [program, ..] if block.is_marked || USUAL.contains(program) => None,
                    _ => Some("a line `<!-- needs … -->` before the block must say what it needs".to_owned()),
                };
                problems
                    .extend(found.map(|problem| format!("{}: {}: {problem}", block.place, words.join(" "))));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(
        plugin >= 25 && ran >= 5,
        "{plugin} commands of the plugin, {ran} ran"
    );
}

/// Parses a command of the plugin, and runs it if it needs neither a cluster nor files that are not there.
fn of_plugin(words: &[&str], output: &str, ran: &mut u32) -> Option<String> {
    let line = [&["kubectl-kaito"], words].concat();
    if let Err(error) = kubectl_kaito::Args::try_parse_from(line) {
        return error.use_stderr().then(|| error.to_string());
    }
    let verb = words
        .iter()
        .find(|word| !word.starts_with('-'))
        .copied()
        .unwrap_or_default();
    let is_offline = ["presets", "plan", "lint", "completion"].contains(&verb) || words.contains(&"manifest");
    let needs = ["--registry", "--quota", "--measured"];
    let has_files = files(words).iter().all(|file| root().join(file).is_file());
    if !is_offline || !has_files || words.iter().any(|word| needs.contains(word)) {
        return None;
    }
    *ran += 1;
    let end = run_in(&root(), words);
    if end.code > 1 {
        return Some(format!("ended with {}: {}", end.code, end.err));
    }
    (!output.is_empty() && output != end.out.trim_end()).then(|| format!("prints\n{}", end.out))
}

/// Files that a command reads.
fn files<'a>(words: &[&'a str]) -> Vec<&'a str> {
    let flags = ["-f", "--filename", "--instance-type-table", "--presets"];
    let pairs = words.windows(2).filter(|pair| flags.contains(&pair[0]));
    pairs.map(|pair| pair[1]).collect()
}

fn of_kubectl(words: &[&str]) -> Option<String> {
    let ours = |file: &&&str| {
        ["examples/", "charts/", "deploy/", "docs/"]
            .iter()
            .any(|dir| file.starts_with(dir))
    };
    if let Some(file) = files(words)
        .iter()
        .find(|file| ours(file) && !root().join(file).exists())
    {
        return Some(format!("{file} does not exist"));
    }
    let mut positional = Vec::new();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        if WITH_VALUE.contains(word) {
            rest.next();
        } else if !word.starts_with('-') {
            positional.push(*word);
        }
    }
    let kinds = match positional.as_slice() {
        [
            "get" | "describe" | "delete" | "annotate" | "label" | "wait" | "scale" | "create",
            kinds,
            ..,
        ] => *kinds,
        ["rollout", _, kinds, ..] => *kinds,
        _ => return None,
    };
    let known: Vec<String> = kaito_api::crd::all()
        .into_iter()
        .flat_map(|crd| [crd.spec.names.plural, crd.spec.names.kind.to_lowercase()])
        .collect();
    let is_known = |kind: &&str| {
        let kind = kind.split('/').next().unwrap_or_default();
        KINDS.contains(&kind) || known.iter().any(|known| known == kind) || kind == "token"
    };
    let unknown = kinds.split(',').find(|kind| !is_known(kind));
    unknown
        .filter(|_| files(words).is_empty())
        .map(|kind| format!("unknown kind {kind}"))
}

fn of_helm(words: &[&str]) -> Option<String> {
    let schema = schema();
    let after = words
        .windows(2)
        .filter(|pair| ["--set", "--set-string", "--set-json"].contains(&pair[0]));
    let inline = words.iter().filter_map(|word| word.strip_prefix("--set="));
    let settings: Vec<&str> = after.map(|pair| pair[1]).chain(inline).collect();
    let unknown = settings.iter().find(|setting| {
        let key = setting.split_once('=').map_or(**setting, |(key, _)| key);
        !is_value(&schema, key)
    });
    if let Some(setting) = unknown {
        return Some(format!("the chart has no value {setting}"));
    }
    let chart = words.iter().find(|word| word.starts_with("charts/"));
    chart
        .filter(|chart| !root().join(chart).is_dir())
        .map(|chart| format!("{chart} does not exist"))
}

fn schema() -> Value {
    let text = std::fs::read_to_string(root().join("charts/kaito/values.schema.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Reports whether the chart has a value of this path, such as `image.registry`.
fn is_value(schema: &Value, path: &str) -> bool {
    let resolved = |part: &Value| -> Value {
        let target = part["$ref"]
            .as_str()
            .and_then(|to| schema.pointer(to.trim_start_matches('#')));
        target.unwrap_or(part).clone()
    };
    let mut at = schema.clone();
    // A dot of a label's key is escaped.
    for key in path.replace("\\.", "\u{0}").split('.') {
        let (key, is_item) = key.split_once('[').map_or((key, false), |(key, _)| (key, true));
        let known = at["properties"].get(key);
        let next = match (known, &at["additionalProperties"]) {
            (Some(known), _) => resolved(known),
            (None, Value::Bool(false)) => return false,
            (None, _) => return true,
        };
        at = if is_item { resolved(&next["items"]) } else { next };
    }
    true
}

fn of_cargo(words: &[&str]) -> Option<String> {
    let text = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    match words {
        ["xtask", verb, ..] => {
            let mut variant = (*verb).to_owned();
            variant[..1].make_ascii_uppercase();
            let is_known = text("xtask/src/main.rs").contains(&format!("    {variant}("));
            (!is_known).then(|| format!("cargo xtask has no verb {verb}"))
        }
        ["run", ..] => {
            let program = words
                .windows(2)
                .find(|pair| pair[0] == "--bin")
                .map(|pair| pair[1])?;
            let names = [program.to_owned(), format!("{program}.rs")];
            let mut crates = std::fs::read_dir(root().join("crates")).unwrap();
            let is_there = crates.any(|one| {
                let one = one.unwrap().path();
                one.ends_with(program) || names.iter().any(|name| one.join("src/bin").join(name).exists())
            });
            (!is_there).then(|| format!("expected a program of this workspace, not {program}"))
        }
        ["build" | "test" | "deny" | "clippy" | "fmt", ..] => None,
        _ => Some("expected a verb of cargo".to_owned()),
    }
}

/// Values of the chart that the text names, such as `costs.tuningNodeRetention`, exist.
#[test]
fn every_value_of_the_chart_that_a_page_names_exists() {
    let schema = schema();
    let mut problems = Vec::new();
    for entry in std::fs::read_dir(root().join("docs")).unwrap() {
        let path = entry.unwrap().path();
        // The page about upstream's KAITO names values of its chart.
        if path.extension().is_none_or(|extension| extension != "md") || path.ends_with("migrate.md") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for code in text.split('`').skip(1).step_by(2) {
            let key = code.split_once('=').map_or(code, |(key, _)| key);
            let is_path = key.contains('.') && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '.');
            let first = key.split('.').next().unwrap_or_default();
            let is_named = is_path && !key.ends_with('.') && schema["properties"].get(first).is_some();
            if is_named && !is_value(&schema, key) {
                problems.push(format!("{}: the chart has no value {key}", path.display()));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// The sample of `lint` is that of a manifest of the tests.
#[test]
fn the_sample_of_lint_is_true() {
    let page = std::fs::read_to_string(root().join("docs/cli.md")).unwrap();
    let (_, sample) = page
        .split_once("$ kubectl kaito lint -f workspace.yaml\n")
        .unwrap();
    let (sample, _) = sample.split_once("```").unwrap();
    let end = crate::run(&["lint", "-f", "manifests/wrong.yaml"]);
    let printed = end.out.replace("manifests/wrong.yaml", "workspace.yaml");
    for line in sample.lines() {
        assert!(
            printed.lines().any(|printed| printed == line),
            "{line}\n{printed}"
        );
    }
}
