//! The estimator: a table of expected node counts, worked examples, and what holds for every model and node.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use instance_types::Cloud;
use preset_catalog::estimate::{
    DEFAULT_CONTEXT_TOKENS, EngineMemory, GpuNode, Misfit, Placement, Work, estimate_for, place,
};
use preset_catalog::{Catalog, ModelShape, Preset};

const UPSTREAM: &str = include_str!("data/node_counts.tsv");
const DIFFERENCES: &str = include_str!("data/node_count_differences.tsv");
const DOCUMENT: &str = include_str!("../../../../docs/estimator.md");
const GIB: u64 = 1 << 30;
const A10: &str = "Standard_NV36ads_A10_v5";
const A100: &str = "Standard_NC24ads_A100_v4";

fn node(instance_type: &str) -> GpuNode {
    let types = instance_types::Catalog::embedded().unwrap();
    types
        .lookup(Cloud::Azure, instance_type)
        .expect(instance_type)
        .into()
}

fn preset(name: &str) -> &'static Preset {
    Catalog::embedded().unwrap().find(name).expect(name)
}

fn serve(name: &str, instance_type: &str, context_tokens: u32) -> Result<Placement, Misfit> {
    place(preset(name), node(instance_type), Work::inference(context_tokens))
}

/// The fields of a table, without its header.
fn table(text: &str) -> Vec<Vec<&str>> {
    text.lines()
        .skip(1)
        .map(|line| line.split('\t').collect())
        .collect()
}

/// Model, instance type, upstream's nodes and ours, wherever they differ.
fn differences() -> Vec<[String; 4]> {
    let header: Vec<_> = UPSTREAM.lines().next().unwrap().split('\t').skip(1).collect();
    let mut cells = 0;
    let mut found = Vec::new();
    for line in table(UPSTREAM) {
        for (instance_type, upstream) in header.iter().zip(&line[1..]) {
            let nodes = serve(line[0], instance_type, DEFAULT_CONTEXT_TOKENS)
                .unwrap()
                .nodes
                .to_string();
            if nodes != *upstream {
                found.push([line[0], instance_type, upstream, &nodes].map(str::to_owned));
            }
            cells += 1;
        }
    }
    assert_eq!(cells, 60 * 8);
    found
}

#[test]
fn node_counts_are_upstreams_but_for_a_list() {
    let listed: Vec<_> = table(DIFFERENCES)
        .iter()
        .map(|line| [line[0], line[1], line[2], line[3]].map(str::to_owned))
        .collect();
    let found = differences();
    let text: String = found.iter().map(|line| line.join("\t") + "\n").collect();
    assert_eq!(listed, found, "all differences:\n{text}");
}

#[test]
fn every_difference_has_a_reason_that_is_documented() {
    for line in table(DIFFERENCES) {
        let [name, instance_type, upstream, here, reason] = line[..] else {
            panic!("five columns: {line:?}");
        };
        let row = format!("| {name} | {instance_type} | {upstream} | {here} | {reason} |");
        assert!(DOCUMENT.contains(&row), "docs/estimator.md lacks `{row}`");
        assert!(
            DOCUMENT.contains(&format!("### {reason}\n")),
            "docs/estimator.md does not explain `{reason}`"
        );
    }
    let rows = DOCUMENT
        .lines()
        .filter(|line| line.contains("| Standard_"))
        .count();
    assert_eq!(rows, table(DIFFERENCES).len(), "docs/estimator.md lists more");
}

/// Usable GiB of one GPU to two decimals, GPUs, nodes.
#[track_caller]
fn check(name: &str, instance_type: &str, context_tokens: u32, usable: &str, gpus: u32, nodes: u32) {
    let placement = serve(name, instance_type, context_tokens).unwrap();
    let actual = placement.memory.usable_bytes_per_gpu as f64 / GIB as f64;
    assert_eq!(
        (
            format!("{actual:.2}").as_str(),
            placement.min_gpus,
            placement.nodes
        ),
        (usable, gpus, nodes)
    );
}

#[test]
fn worked_examples() {
    check("phi-4-mini-instruct", A10, 2048, "16.77", 1, 1);
    // Two stages hold half of the cache each.
    check("phi-4", A10, 2048, "16.82", 2, 2);
    check("qwen2.5-coder-32b-instruct", A100, 2048, "61.57", 2, 2);
    // 16 GiB of cache: upstream pays for five nodes, with the whole cache on each.
    check("phi-4-mini-instruct", A10, 131_072, "9.39", 2, 2);
    assert_eq!(serve("llama-3.3-70b-instruct", A100, 2048).unwrap().nodes, 3);
    let r1 = serve("deepseek-r1-0528", "Standard_ND96isr_H100_v5", 2048).unwrap();
    assert_eq!((r1.min_gpus, r1.nodes), (11, 2));
}

#[test]
fn the_terms_add_up() {
    let memory = serve("qwen2.5-coder-32b-instruct", A100, 2048).unwrap().memory;
    assert_eq!(memory.gpu_bytes, 80 * GIB);
    assert_eq!(memory.available_bytes_per_gpu, 80 * GIB * 84 / 100);
    // 32 of 64 layers on each of two nodes.
    assert_eq!(memory.kv_cache_bytes_per_gpu, 2048 * 262_144 / 2);
    assert_eq!(memory.weights_bytes_per_gpu, memory.weights_bytes.div_ceil(2));
    assert_eq!(
        memory.activations_bytes_per_gpu,
        (memory.weights_bytes_per_gpu * 5).div_ceil(100)
    );
    assert_eq!(memory.base_overhead_bytes_per_gpu, (23 * GIB).div_ceil(10));
    assert_eq!(
        format!("{:.2}", memory.weights_bytes as f64 / GIB as f64),
        "62.25"
    );
    let left = memory.available_bytes_per_gpu - memory.overhead_bytes_per_gpu();
    assert_eq!(memory.usable_bytes_per_gpu, left * 100 / 105);
    assert_eq!(
        memory.needed_bytes_per_gpu() + memory.headroom_bytes_per_gpu(),
        memory.available_bytes_per_gpu
    );
}

/// Bytes of cache on one GPU.
fn cache(name: &str, instance_type: &str, context_tokens: u32) -> u64 {
    let placement = serve(name, instance_type, context_tokens).unwrap();
    placement.memory.kv_cache_bytes_per_gpu
}

#[test]
fn each_kind_of_attention_has_its_cache() {
    // 8 heads over 8 GPUs.
    assert_eq!(
        cache("llama-3.3-70b-instruct", "Standard_ND96isr_H100_v5", 4096),
        4096 * 327_680 / 8
    );
    // Latent: whole on every GPU. 61 layers in one stage.
    assert_eq!(
        cache("deepseek-r1-0528", "Standard_ND96isr_H200_v5", 4096),
        4096 * 70_272
    );
    // 4 heads over 8 GPUs: each is kept twice.
    assert_eq!(
        cache("minimax-m2.7", "Standard_ND96isr_H100_v5", 4096),
        4096 * 253_952 / 8
    );
    let mut shared = preset("minimax-m2.7").clone();
    shared.shape.kv_heads = Some(4);
    let work = Work::inference(4096);
    let placement = place(&shared, node("Standard_ND96isr_H100_v5"), work).unwrap();
    assert_eq!(placement.memory.kv_cache_bytes_per_gpu, 4096 * 253_952 / 4);
    // 12 of 24 layers keep 4096 tokens and 12 keep 128.
    assert_eq!(
        cache("gpt-oss-20b", A100, 4096),
        (12 * 4096 + 12 * 128) * (49_152 / 24)
    );
    // Two stages: half of the 8 layers that keep the context and one more, over 2 GPUs; and half of the state.
    let name = "nvidia-nemotron-3-super-120b-a12b-bf16";
    let state = preset(name).shape.hybrid_cache.unwrap().state_bytes;
    assert_eq!(
        cache(name, "Standard_NC48ads_A100_v4", 4096),
        5 * 4096 * (90_112 / 88) / 2 + state.div_ceil(4)
    );
    // 4 of 56 layers, and 0.14 GiB of state.
    let state = preset("nvidia-nemotron-nano-9b-v2")
        .shape
        .hybrid_cache
        .unwrap()
        .state_bytes;
    assert_eq!(
        cache("nvidia-nemotron-nano-9b-v2", A100, 4096),
        4 * 4096 * (229_376 / 56) + state
    );
}

#[test]
fn an_exact_fit_is_none() {
    let engine = EngineMemory {
        available_percent: 100,
        weights_percent: 100,
        activations_percent: 0,
        base_overhead_bytes: 0,
        offload_bytes: 0,
    };
    let mut shape = preset("phi-4").shape.clone();
    let gpu = GpuNode {
        gpus: 1,
        memory_bytes_total: 8 * GIB,
        host_bytes: None,
    };
    let nodes = |shape: &ModelShape| estimate_for(&engine, shape, gpu, 0).unwrap().nodes;
    shape.weights_bytes = 8 * GIB - 1;
    assert_eq!(nodes(&shape), 1);
    shape.weights_bytes = 8 * GIB;
    assert_eq!(nodes(&shape), 2);
}

#[test]
fn heads_and_layers_stay_whole() {
    // 10 KV heads cannot be divided over 8 GPUs: four copies over two each.
    assert_eq!(
        serve("phi-4", "Standard_ND96asr_v4", 2048).map(division),
        Ok((2, 1, 4))
    );
    // 71 heads cannot be divided at all: two stages in one node.
    assert_eq!(
        serve("falcon-7b", "Standard_NC12s_v3", 2048).map(division),
        Ok((1, 2, 1))
    );
    // 61 layers over 13 nodes are at most 5 a node; over 11, as memory alone would have it, they are 6.
    let r1 = serve("deepseek-r1-0528", A100, 2048).unwrap();
    assert_eq!((r1.nodes, r1.min_gpus), (13, 13));
    assert_eq!(
        r1.memory.weights_bytes_per_gpu,
        (r1.memory.weights_bytes * 5).div_ceil(61)
    );
}

fn division(placement: Placement) -> (u32, u32, u32) {
    (
        placement.tensor_parallel,
        placement.pipeline_parallel,
        placement.data_parallel,
    )
}

fn parallelism(name: &str, instance_type: &str) -> [u32; 3] {
    let placement = serve(name, instance_type, 2048).unwrap();
    [
        placement.tensor_parallel,
        placement.pipeline_parallel,
        placement.data_parallel,
    ]
}

#[test]
fn parallelism_follows_size_and_nodes() {
    assert_eq!(parallelism("phi-4-mini-instruct", A10), [1, 1, 1]);
    // 2 copies of 7.15 GiB twice over are less than 48 GiB; of 14.96 GiB they are not.
    assert_eq!(
        parallelism("phi-4-mini-instruct", "Standard_NV72ads_A10_v5"),
        [1, 1, 2]
    );
    assert_eq!(
        parallelism("llama-3.1-8b-instruct", "Standard_NV72ads_A10_v5"),
        [2, 1, 1]
    );
    assert_eq!(
        parallelism("llama-3.3-70b-instruct", "Standard_NC48ads_A100_v4"),
        [2, 2, 1]
    );
    assert_eq!(
        parallelism("deepseek-r1-0528", "Standard_ND96isr_H100_v5"),
        [8, 2, 1]
    );
}

#[test]
fn falcon_on_machine_era_nodes() {
    assert_eq!(
        serve("falcon-7b-instruct", "Standard_NC12s_v3", 2048)
            .unwrap()
            .nodes,
        1
    );
    assert_eq!(serve("falcon-7b", "Standard_NC6s_v3", 2048).unwrap().nodes, 2);
    assert_eq!(
        serve("falcon-40b", "Standard_NC96ads_A100_v4", 2048)
            .unwrap()
            .nodes,
        1
    );
}

#[test]
fn cpu_presets_take_one_node_without_a_gpu() {
    let placement = serve("smollm2-135m-instruct", "Standard_D8s_v5", 8192).unwrap();
    assert_eq!(
        (placement.nodes, placement.gpus_per_node, placement.min_gpus),
        (1, 0, 0)
    );
    assert_eq!(
        serve("smollm2-135m-instruct", A10, 8192).unwrap().gpus_per_node,
        1
    );
    assert_eq!(serve("phi-4", "Standard_D8s_v5", 2048), Err(Misfit::NoGpu));
    assert_eq!(
        serve("phi-4", "Standard_NG32ads_V620_v1", 2048),
        Err(Misfit::NoGpu)
    );
}

#[test]
fn tuning_takes_one_node() {
    let tune = |name: &str, instance_type: &str| place(preset(name), node(instance_type), Work::Tuning);
    assert_eq!(tune("qwen2.5-coder-32b-instruct", A10).unwrap().nodes, 1);
    assert_eq!(tune("phi-4", "Standard_D8s_v5"), Err(Misfit::NoGpu));
    assert_eq!(tune("gemma-3-4b-it", A100), Err(Misfit::NotTunable));
}

#[test]
fn misfits_say_what_is_needed() {
    assert_eq!(serve("phi-2", A100, 2048), Err(Misfit::NotServed));
    let tiny = GpuNode {
        gpus: 1,
        memory_bytes_total: 2 * GIB,
        host_bytes: None,
    };
    let work = Work::inference(4096);
    let error = place(preset("phi-4-mini-instruct"), tiny, work).unwrap_err();
    assert_eq!(
        error.to_string(),
        "one GPU needs 2.32 GiB before any weights (2.30 GiB for the engine, 0.02 GiB of KV cache for 4096 \
         tokens) and has 1.68 GiB for use"
    );
    let error = serve("deepseek-r1-0528", "Standard_NC4as_T4_v3", 2048).unwrap_err();
    assert_eq!(
        error.to_string(),
        "divided over as many GPUs as its layers allow (61), the model still needs 13.56 GiB of each, which has \
         13.44 GiB for use"
    );
    let mut whole = preset("phi-4").clone();
    whole.inference.as_mut().unwrap().distributed = false;
    let error = place(&whole, node(A10), Work::inference(2048)).unwrap_err();
    assert_eq!(
        error,
        Misfit::NotDistributed {
            min_gpus: 2,
            gpus_per_node: 1
        }
    );
}
