//! Command lines of vLLM as a pod would start it.

use std::collections::BTreeMap;
use std::path::Path;

use instance_types::{Cloud, InstanceType};
use kaito_api::Workspace;
use plan::Manifest;
use preset_catalog::estimate::{self, Placement, Work};
use preset_catalog::fit::{FitOptions, compare_instance_types};
use preset_catalog::{Catalog, Preset, Runtime};
use render::{Downloads, Hardware, Images, Inference, Isolation, Outgoing, Platform, Serving};
use serde_json::{Value, json};

/// Program of the base image. What follows it in a container's command are arguments of the engine.
const WRAPPER: &str = "inference_api.py";
/// Arguments that belong to the base image's wrapper.
const WRAPPER_ONLY: &str = "--kaito-";
/// Context to plan for, in tokens.
const CONTEXT_TOKENS: u32 = 2048;

/// One preset on nodes of one type.
#[derive(Debug)]
pub(crate) struct CommandLine {
    /// Preset and instance type, for messages.
    pub(crate) name: String,
    pub(crate) nodes: u32,
    /// Arguments for vLLM itself.
    pub(crate) args: Vec<String>,
}

/// Renders every built-in preset on its best instance type, and on the best one of another number of GPUs.
pub(crate) fn all() -> Vec<CommandLine> {
    let catalog = Catalog::embedded().unwrap();
    catalog
        .iter()
        .filter(|preset| runs_in_vllm(preset))
        .flat_map(of_preset)
        .collect()
}

fn runs_in_vllm(preset: &Preset) -> bool {
    let profile = preset.inference.as_ref();
    profile.is_some_and(|profile| profile.runtimes.contains(&Runtime::Vllm))
}

/// Renders one preset on its best instance types.
pub(crate) fn of(name: &str) -> Vec<CommandLine> {
    of_preset(Catalog::embedded().unwrap().find(name).unwrap())
}

fn of_preset(preset: &Preset) -> Vec<CommandLine> {
    let types = instance_types::Catalog::embedded().unwrap();
    let gpus: Vec<&InstanceType> = types.of(Cloud::Azure).filter(|kind| kind.gpus > 0).collect();
    // Models that need the CUDA toolkit run in an image that has it, with the same command lines.
    let mut options = FitOptions::default();
    options.engine.cuda_toolkit = true;
    let report = compare_instance_types(preset, &gpus, CONTEXT_TOKENS, &options);
    let mut fits = report.fits();
    let (first, best) = fits
        .next()
        .unwrap_or_else(|| panic!("{} fits nowhere: {report:#?}", preset.name));
    let other = fits.find(|(_, fit)| fit.gpus != best.gpus);
    std::iter::once((first, best))
        .chain(other)
        .map(|(kind, fit)| command_line(preset, kind, fit.placement))
        .collect()
}

/// The container of each pod of a group.
#[derive(Debug)]
pub(crate) struct GroupPod {
    /// Command and arguments.
    pub(crate) command: Vec<String>,
    /// Command of the liveness probe.
    pub(crate) liveness: Vec<String>,
    /// Variables with a value; others come from the pod.
    pub(crate) env: BTreeMap<String, String>,
    /// Port of the engine.
    pub(crate) port: u16,
}

impl GroupPod {
    /// Returns it with scripts of another directory, and with a model in 32-bit floats.
    pub(crate) fn with(mut self, scripts: &Path, theirs: &str, model: &Path) -> Self {
        let ours = format!("{}/", scripts.display());
        for word in self.command.iter_mut().chain(&mut self.liveness) {
            *word = word.replace(theirs, &ours);
            if word.starts_with("--model=") {
                *word = format!("--model={}", model.display());
            } else if word.starts_with("--dtype=") {
                *word = "--dtype=float32".to_owned();
            }
        }
        self
    }
}

/// Renders a preset on two nodes with one GPU each.
pub(crate) fn group(preset: &str) -> GroupPod {
    let catalog = Catalog::embedded().unwrap();
    let types = instance_types::Catalog::embedded().unwrap();
    let kind = types.lookup(Cloud::Azure, "Standard_NV36ads_A10_v5").unwrap();
    let preset = catalog.find(preset).unwrap();
    let hardware = Hardware::from(kind);
    let placement = Placement {
        nodes: 2,
        gpus_per_node: 1,
        min_gpus: 2,
        tensor_parallel: 1,
        pipeline_parallel: 2,
        data_parallel: 1,
        ..estimate::place(preset, hardware.gpu, Work::inference(CONTEXT_TOKENS)).unwrap()
    };
    let workload = workload(preset, kind, placement).to_value();
    assert_eq!(workload["kind"], "StatefulSet");
    let container = &workload["spec"]["template"]["spec"]["containers"][0];
    let command = words(container);
    let port = command.iter().find_map(|word| word.strip_prefix("--port="));
    let port = port.unwrap().parse().unwrap();
    let variables = container["env"].as_array().unwrap().iter();
    let pair = |variable: &Value| {
        let value = variable["value"].as_str()?;
        Some((variable["name"].as_str()?.to_owned(), value.to_owned()))
    };
    GroupPod {
        env: variables.filter_map(pair).collect(),
        command,
        liveness: words(&container["livenessProbe"]["exec"]),
        port,
    }
}

/// Command and arguments of a container.
fn words(container: &Value) -> Vec<String> {
    ["command", "args"]
        .iter()
        .flat_map(|key| container[*key].as_array().into_iter().flatten())
        .map(|word| word.as_str().unwrap().to_owned())
        .collect()
}

fn command_line(preset: &Preset, instance_type: &InstanceType, placement: Placement) -> CommandLine {
    CommandLine {
        name: format!("{} on {}", preset.name, instance_type.name),
        nodes: placement.nodes,
        args: engine_args(&workload(preset, instance_type, placement)),
    }
}

fn workload(preset: &Preset, instance_type: &InstanceType, placement: Placement) -> Manifest {
    let platform = Platform {
        images: Images::of_registry("registry.example.com/kaito", "0.1.0"),
        downloads: Downloads::default(),
        claimed: true,
        aks: true,
        outgoing: Outgoing::default(),
        image_volumes: true,
        node_taints: Vec::new(),
        isolation: Isolation::default(),
    };
    let hardware = instance_type.into();
    let inference = Inference {
        workspace: &workspace(preset, &instance_type.name),
        preset,
        profile: preset.inference.as_ref().unwrap(),
        engine: Runtime::Vllm,
        placement,
        host: None,
        hardware: &hardware,
        max_context: None,
        user_flags: Default::default(),
        config_hash: String::new(),
        weights_image: None,
        adapters: Vec::new(),
        serving: &Serving::default(),
        platform: &platform,
    };
    render::workload(&inference)
}

fn workspace(preset: &Preset, instance_type: &str) -> Workspace {
    let object = json!({
        "apiVersion": "kaito.sh/v1beta1",
        "kind": "Workspace",
        "metadata": {"name": "w", "namespace": "team", "uid": "u1"},
        "resource": {"instanceType": instance_type, "labelSelector": {"matchLabels": {"apps": "w"}}},
        "inference": {"preset": {"name": preset.name}},
    });
    serde_json::from_value(object).unwrap()
}

/// The engine's arguments in the pod of a workload, without those that only the wrapper knows.
fn engine_args(workload: &Manifest) -> Vec<String> {
    let value = workload.to_value();
    let containers = value.pointer("/spec/template/spec/containers").unwrap();
    containers
        .as_array()
        .unwrap()
        .iter()
        .map(words)
        .find_map(|words| {
            let wrapper = words.iter().position(|word| word.ends_with(WRAPPER))?;
            Some(words[wrapper + 1..].to_vec())
        })
        .expect("a container runs the engine")
        .into_iter()
        .filter(|arg| !arg.starts_with(WRAPPER_ONLY))
        .collect()
}
