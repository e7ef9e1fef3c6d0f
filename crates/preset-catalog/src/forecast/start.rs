//! Stages of the first start: what the cluster measured before, otherwise assumptions.

use std::borrow::Cow;

use instance_types::InstanceType;

use crate::estimate::gib;
use crate::preset::{InferenceProfile, Preset, Runtime};

use super::estimate::Estimate;

/// Source of the assumptions.
const ASSUMED: &str = "assumption of docs/estimator.md";

/// A node with GPUs: AKS takes five to ten minutes.
const GPU_NODE_SECONDS: u64 = 480;
const NODE_SECONDS: u64 = 180;
/// Image of the GPU engine, compressed.
const IMAGE_BYTES: u64 = 10 << 30;
/// Image of our own server.
const NATIVE_IMAGE_BYTES: u64 = 100 << 20;
/// Bytes of an image that are pulled and unpacked in a second.
const PULL_BYTES_PER_SECOND: u64 = 100 << 20;
/// Bytes of weights that come from a hub in a second: two gigabits.
const DOWNLOAD_BYTES_PER_SECOND: u64 = 250_000_000;
/// Bytes of weights that a node's disk or page cache gives in a second.
const LOAD_BYTES_PER_SECOND: u64 = 1_000_000_000;
/// Start of the GPU engine without weights: imports, compilation, CUDA graphs.
const ENGINE_SECONDS: u64 = 90;
const NATIVE_ENGINE_SECONDS: u64 = 5;

/// Stages of a first start, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The nodes are created, join, and offer their GPUs.
    Node,
    /// The weights are downloaded to each node.
    Weights,
    /// The image of the engine is pulled.
    Image,
    /// The engine starts and loads the weights.
    Load,
}

impl Stage {
    /// Returns the name for tables and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Weights => "weights",
            Self::Image => "image",
            Self::Load => "load",
        }
    }
}

/// A start that was measured. A stage that was not needed, or whose end is not known, is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StartSample {
    /// Short name of the preset.
    pub preset: String,
    /// Instance type of the nodes; empty for existing nodes.
    pub instance_type: String,
    /// Seconds from the claims to nodes that offer their GPUs.
    pub node_seconds: Option<u64>,
    /// Bytes of the weights on each node, and the seconds of their download.
    pub download: Option<(u64, u64)>,
    /// Seconds from the weights to started containers.
    pub image_seconds: Option<u64>,
    /// Seconds from started containers to the first answer.
    pub load_seconds: Option<u64>,
}

/// Starts of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StartHistory {
    /// The starts, in any order.
    pub samples: Vec<StartSample>,
}

impl StartHistory {
    /// Returns the median of what some samples measured, and their number.
    fn median(&self, measured: impl Fn(&StartSample) -> Option<u64>) -> Option<(u64, usize)> {
        let mut values: Vec<u64> = self.samples.iter().filter_map(measured).collect();
        values.sort_unstable();
        let middle = values.len() / 2;
        values.get(middle).map(|value| (*value, values.len()))
    }
}

pub(super) fn stages(
    preset: &Preset,
    instance_type: &InstanceType,
    history: &StartHistory,
) -> Vec<(Stage, Estimate)> {
    let Some(profile) = &preset.inference else {
        return Vec::new();
    };
    let on_gpus = instance_type.nvidia_gpus() > 0;
    let is_same_type = |sample: &StartSample| sample.instance_type.eq_ignore_ascii_case(&instance_type.name);
    let is_same_kind = |sample: &StartSample| is_same_type(sample) && sample.preset == preset.name;
    let of_type = |name: &str| format!(" on {name}");
    let type_name = of_type(&instance_type.name);
    vec![
        (
            Stage::Node,
            history
                .median(|sample| sample.node_seconds.filter(|_| is_same_type(sample)))
                .map_or_else(|| assumed_node(on_gpus), |found| measured(found, &type_name)),
        ),
        (Stage::Weights, weights(preset, profile, history)),
        (
            Stage::Image,
            history
                .median(|sample| sample.image_seconds.filter(|_| is_same_type(sample)))
                .map_or_else(
                    || assumed_image(profile, on_gpus),
                    |found| measured(found, &type_name),
                ),
        ),
        (
            Stage::Load,
            history
                .median(|sample| sample.load_seconds.filter(|_| is_same_kind(sample)))
                .map_or_else(
                    || assumed_load(preset, on_gpus),
                    |found| measured(found, &format!(" of {}{type_name}", preset.name)),
                ),
        ),
    ]
}

fn measured((value, count): (u64, usize), of_what: &str) -> Estimate {
    let starts = if count == 1 { "start" } else { "starts" };
    Estimate {
        value,
        formula: format!("median of {count} {starts}{of_what}"),
        source: "measured in this cluster".into(),
    }
}

fn assumed(value: u64, formula: String) -> Estimate {
    Estimate {
        value,
        formula,
        source: Cow::Borrowed(ASSUMED),
    }
}

fn assumed_node(on_gpus: bool) -> Estimate {
    if on_gpus {
        assumed(GPU_NODE_SECONDS, "a node with GPUs and their driver".to_owned())
    } else {
        assumed(NODE_SECONDS, "a node without GPUs".to_owned())
    }
}

/// The bandwidth of earlier downloads holds for other models, too.
fn weights(preset: &Preset, profile: &InferenceProfile, history: &StartHistory) -> Estimate {
    // Part of the repository may not be loaded, and is downloaded.
    let bytes = preset
        .shape
        .weights_bytes
        .max(u64::from(profile.download_gib().saturating_sub(1)) << 30);
    let bandwidth = |sample: &StartSample| {
        let (bytes, seconds) = sample.download?;
        bytes.checked_div(seconds).filter(|bandwidth| *bandwidth > 0)
    };
    let size = gib(bytes);
    match history.median(bandwidth) {
        Some((per_second, count)) => Estimate {
            value: bytes.div_ceil(per_second),
            ..measured(
                (0, count),
                &format!(": {size} GiB with {} MB/s", per_second / 1_000_000),
            )
        },
        None => assumed(
            bytes.div_ceil(DOWNLOAD_BYTES_PER_SECOND),
            format!("{size} GiB with {} MB/s", DOWNLOAD_BYTES_PER_SECOND / 1_000_000),
        ),
    }
}

fn assumed_image(profile: &InferenceProfile, on_gpus: bool) -> Estimate {
    let is_native = !on_gpus && profile.runtimes.contains(&Runtime::Native);
    let bytes = if is_native {
        NATIVE_IMAGE_BYTES
    } else {
        IMAGE_BYTES
    };
    assumed(
        bytes.div_ceil(PULL_BYTES_PER_SECOND),
        format!("{} GiB with {} MiB/s", gib(bytes), PULL_BYTES_PER_SECOND >> 20),
    )
}

fn assumed_load(preset: &Preset, on_gpus: bool) -> Estimate {
    let start = if on_gpus {
        ENGINE_SECONDS
    } else {
        NATIVE_ENGINE_SECONDS
    };
    let bytes = preset.shape.weights_bytes;
    assumed(
        start.saturating_add(bytes.div_ceil(LOAD_BYTES_PER_SECOND)),
        format!(
            "{start} s of start + {} GiB with {} MB/s",
            gib(bytes),
            LOAD_BYTES_PER_SECOND / 1_000_000
        ),
    )
}
