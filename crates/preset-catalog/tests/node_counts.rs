//! The estimator: a table of expected node counts, worked examples, and what holds for every model and node.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use instance_types::Cloud;
use preset_catalog::estimate::{DEFAULT_CONTEXT_TOKENS, GpuNode, Misfit, Placement, Work, estimate, place};
use preset_catalog::{AttentionKind, Catalog, ModelShape, Preset};
use proptest::prelude::*;

const EXPECTED: &str = include_str!("data/node_counts.tsv");
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
    place(
        preset(name),
        node(instance_type),
        Work::Inference { context_tokens },
    )
}

#[test]
fn the_whole_table_of_node_counts() {
    let mut lines = EXPECTED.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let header = lines.next().unwrap();
    let mut cells = 0;
    for line in lines {
        for (instance_type, expected) in header.iter().zip(&line).skip(1) {
            let placement = serve(line[0], instance_type, DEFAULT_CONTEXT_TOKENS).unwrap();
            assert_eq!(
                placement.nodes.to_string(),
                *expected,
                "{} on {instance_type}",
                line[0]
            );
            cells += 1;
        }
    }
    assert_eq!(cells, 60 * 8);
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
    check("phi-4", A10, 2048, "16.64", 2, 2);
    check("qwen2.5-coder-32b-instruct", A100, 2048, "61.33", 2, 2);
    check("phi-4-mini-instruct", A10, 131_072, "1.77", 5, 5);
    assert_eq!(serve("llama-3.3-70b-instruct", A100, 2048).unwrap().nodes, 3);
    let r1 = serve("deepseek-r1-0528", "Standard_ND96isr_H100_v5", 2048).unwrap();
    assert_eq!((r1.min_gpus, r1.nodes), (11, 2));
}

#[test]
fn the_terms_add_up() {
    let memory = serve("qwen2.5-coder-32b-instruct", A100, 2048).unwrap().memory;
    assert_eq!(memory.gpu_bytes, 80 * GIB);
    assert_eq!(memory.available_bytes_per_gpu, 80 * GIB * 84 / 100);
    assert_eq!(memory.kv_cache_bytes_per_gpu, 2048 * 262_144);
    assert_eq!(memory.base_overhead_bytes_per_gpu, (23 * GIB).div_ceil(10));
    assert_eq!(
        format!("{:.2}", memory.weights_bytes as f64 / GIB as f64),
        "62.25"
    );
    let left = memory.available_bytes_per_gpu - memory.overhead_bytes_per_gpu();
    assert_eq!(memory.usable_bytes_per_gpu, left * 100 / 105);
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
    let error = serve("phi-4-mini-instruct", A10, 1_000_000).unwrap_err();
    assert_eq!(
        error.to_string(),
        "one GPU needs 124.37 GiB before any weights (2.30 GiB for the engine, 122.07 GiB of KV cache for \
         1000000 tokens) and has 20.16 GiB for use"
    );
    let mut whole = preset("phi-4").clone();
    whole.inference.as_mut().unwrap().distributed = false;
    let error = place(&whole, node(A10), Work::Inference { context_tokens: 2048 }).unwrap_err();
    assert_eq!(
        error,
        Misfit::NotDistributed {
            min_gpus: 2,
            gpus_per_node: 1
        }
    );
}

fn any_shape() -> impl Strategy<Value = ModelShape> {
    (1..2000 * GIB, 1..2_000_000u64).prop_map(|(weights_bytes, kv_bytes_per_token)| ModelShape {
        architecture: "Any".to_owned(),
        attention: Some(AttentionKind::Gqa),
        weights_bytes,
        max_context_tokens: 1 << 20,
        kv_bytes_per_token,
        quantization: None,
    })
}

fn any_node() -> impl Strategy<Value = GpuNode> {
    (1u32..=16, 1..200 * GIB).prop_map(|(gpus, each)| GpuNode {
        gpus,
        memory_bytes_total: u64::from(gpus) * each,
    })
}

/// GPUs, with a misfit as more than any number.
fn gpus(result: &Result<Placement, Misfit>) -> u64 {
    result
        .as_ref()
        .map_or(u64::MAX, |placement| u64::from(placement.min_gpus))
}

proptest! {
    #[test]
    fn more_context_never_takes_less(shape in any_shape(), node in any_node(), a in 0u32..2_000_000, b in 0u32..2_000_000) {
        let small = estimate(&shape, node, a.min(b));
        let large = estimate(&shape, node, a.max(b));
        prop_assert!(gpus(&small) <= gpus(&large));
    }

    #[test]
    fn more_weights_never_take_less(shape in any_shape(), node in any_node(), more in 0..1000 * GIB, context in 0u32..100_000) {
        let heavier = ModelShape { weights_bytes: shape.weights_bytes + more, ..shape.clone() };
        prop_assert!(gpus(&estimate(&shape, node, context)) <= gpus(&estimate(&heavier, node, context)));
    }

    #[test]
    fn a_placement_holds_the_model(shape in any_shape(), node in any_node(), context in 0u32..200_000) {
        let first = estimate(&shape, node, context);
        prop_assert_eq!(&first, &estimate(&shape, node, context));
        if let Ok(placement) = first {
            prop_assert!(placement.nodes >= 1 && placement.min_gpus >= 1);
            prop_assert!(u64::from(placement.nodes) * u64::from(node.gpus) >= u64::from(placement.min_gpus));
            let room = u128::from(placement.min_gpus) * u128::from(placement.memory.usable_bytes_per_gpu);
            prop_assert!(room >= u128::from(placement.memory.weights_bytes));
            prop_assert_eq!(placement.tensor_parallel * placement.data_parallel, node.gpus);
            prop_assert_eq!(placement.pipeline_parallel, placement.nodes);
            prop_assert!(placement.data_parallel == 1 || placement.nodes == 1);
        }
    }

    #[test]
    fn absurd_numbers_are_answered(weights in any::<u64>(), kv in any::<u64>(), gpus in any::<u32>(), memory in any::<u64>(), context in any::<u32>()) {
        let shape = ModelShape { weights_bytes: weights, kv_bytes_per_token: kv, ..preset("phi-4").shape.clone() };
        if let Ok(placement) = estimate(&shape, GpuNode { gpus, memory_bytes_total: memory }, context) {
            prop_assert!(placement.nodes >= 1);
        }
    }
}
