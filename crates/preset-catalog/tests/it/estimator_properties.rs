//! Properties of all estimates, for random models, nodes and contexts.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use preset_catalog::estimate::{EngineMemory, GpuNode, Misfit, Placement, estimate, estimate_for};
use preset_catalog::{AttentionKind, Catalog, HybridCache, ModelShape};
use proptest::prelude::*;

const GIB: u64 = 1 << 30;

/// A shape whose bytes are multiples of `unit`.
fn shape_in_units(unit: u64) -> impl Strategy<Value = ModelShape> {
    let attention = prop_oneof![
        Just((Some(AttentionKind::Gqa), None)),
        Just((Some(AttentionKind::Mla), None)),
        Just((Some(AttentionKind::Mqa), Some(1))),
        Just((Some(AttentionKind::Gqa), Some(2))),
        Just((Some(AttentionKind::Gqa), Some(8))),
        Just((Some(AttentionKind::Mha), Some(32))),
        Just((None, None)),
    ];
    let layers = prop_oneof![Just(None), (0u32..7).prop_map(|power| Some(1 << power))];
    let sizes = (1..2000 * GIB, 1..2_000_000u64, 0..GIB);
    (attention, layers, sizes, any::<bool>()).prop_map(
        move |((attention, kv_heads), layers, sizes, hybrid)| {
            let (weights, per_token, state) = sizes;
            let hybrid_cache = layers.filter(|_| hybrid).map(|layers| HybridCache {
                full_layers: layers / 2,
                window_layers: layers / 4,
                window_tokens: if layers >= 4 { 128 } else { 0 },
                state_bytes: state / unit * unit,
            });
            ModelShape {
                architecture: "Any".to_owned(),
                attention,
                weights_bytes: (weights / unit).max(1) * unit,
                active_weights_bytes: None,
                max_context_tokens: 1 << 20,
                kv_bytes_per_token: (per_token / unit).max(1) * unit,
                quantization: None,
                layers,
                attention_heads: kv_heads.map(|_| 32),
                kv_heads,
                hybrid_cache,
            }
        },
    )
}

fn any_shape() -> impl Strategy<Value = ModelShape> {
    shape_in_units(1)
}

fn any_node() -> impl Strategy<Value = GpuNode> {
    (1u32..=16, 1..200 * GIB).prop_map(|(gpus, each)| GpuNode {
        gpus,
        memory_bytes_total: u64::from(gpus) * each,
        host_bytes: None,
    })
}

/// Nodes, with a misfit as more than any number.
fn nodes(result: &Result<Placement, Misfit>) -> u64 {
    result
        .as_ref()
        .map_or(u64::MAX, |placement| u64::from(placement.nodes))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn more_context_never_takes_less(shape in any_shape(), node in any_node(), a in 0u32..2_000_000, b in 0u32..2_000_000) {
        let small = estimate(&shape, node, a.min(b));
        let large = estimate(&shape, node, a.max(b));
        prop_assert!(nodes(&small) <= nodes(&large));
    }

    #[test]
    fn more_weights_never_take_less(shape in any_shape(), node in any_node(), more in 0..1000 * GIB, context in 0u32..100_000) {
        let heavier = ModelShape { weights_bytes: shape.weights_bytes + more, ..shape.clone() };
        prop_assert!(nodes(&estimate(&shape, node, context)) <= nodes(&estimate(&heavier, node, context)));
    }

    #[test]
    fn more_cache_a_token_never_takes_less(shape in any_shape(), node in any_node(), more in 0..1_000_000u64, context in 0u32..100_000) {
        let kv_bytes_per_token = shape.kv_bytes_per_token + more;
        let heavier = ModelShape { kv_bytes_per_token, ..shape.clone() };
        prop_assert!(nodes(&estimate(&shape, node, context)) <= nodes(&estimate(&heavier, node, context)));
    }

    #[test]
    fn larger_gpus_never_take_more_nodes(shape in any_shape(), gpus in 1u32..=16, each in 1..200 * GIB, more in 0..100 * GIB, context in 0u32..100_000) {
        let node = |each| GpuNode { gpus, memory_bytes_total: u64::from(gpus) * each, host_bytes: None };
        prop_assert!(nodes(&estimate(&shape, node(each + more), context)) <= nodes(&estimate(&shape, node(each), context)));
    }

    /// The terms fill no GPU, and all GPUs together hold at least all weights.
    #[test]
    fn a_placement_holds_the_model(shape in any_shape(), node in any_node(), context in 0u32..200_000) {
        let first = estimate(&shape, node, context);
        prop_assert_eq!(&first, &estimate(&shape, node, context));
        if let Ok(placement) = first {
            let memory = placement.memory;
            prop_assert!(memory.needed_bytes_per_gpu() < memory.available_bytes_per_gpu);
            prop_assert!(memory.available_bytes_per_gpu <= node.memory_bytes_each());
            let parts = u128::from(placement.tensor_parallel) * u128::from(placement.pipeline_parallel);
            prop_assert!(parts * u128::from(memory.weights_bytes_per_gpu) >= u128::from(memory.weights_bytes));
            let all = u128::from(placement.nodes) * u128::from(node.gpus);
            prop_assert_eq!(parts * u128::from(placement.data_parallel), all);
            prop_assert!(placement.data_parallel == 1 || placement.nodes == 1);
            prop_assert_eq!(placement.min_gpus.div_ceil(node.gpus), placement.nodes);
            prop_assert!(shape.layers.is_none_or(|layers| placement.pipeline_parallel <= layers));
        }
    }

    /// One node fewer would not do: no node is paid for in vain.
    #[test]
    fn no_node_is_idle(shape in any_shape(), node in any_node(), context in 0u32..200_000) {
        if let Ok(placement) = estimate(&shape, node, context) && placement.nodes > 1 {
            let parts = u128::from(placement.nodes - 1) * u128::from(node.gpus);
            let even = u128::from(placement.memory.weights_bytes).div_ceil(parts);
            let whole_layers = shape.layers.map_or(even, |layers| {
                let stages = (placement.pipeline_parallel / placement.nodes) * (placement.nodes - 1);
                let tensor = u128::from(layers) * u128::from(placement.tensor_parallel);
                (u128::from(placement.memory.weights_bytes) * u128::from(layers.div_ceil(stages))).div_ceil(tensor)
            });
            let weights = whole_layers + whole_layers / 20 + 2;
            // One stage fewer holds at most twice the cache.
            let cache = u128::from(placement.memory.kv_cache_bytes_per_gpu) * 2;
            let engine = u128::from(placement.memory.base_overhead_bytes_per_gpu);
            prop_assert!(weights + cache + engine >= u128::from(placement.memory.available_bytes_per_gpu));
        }
    }

    /// Sizes have no scale of their own: with the engine's share scaled too, the same counts come out.
    #[test]
    fn scaling_all_bytes_changes_no_count(
        // A multiple of every divisor that occurs, so that nothing is rounded.
        shape in shape_in_units(10_000 * 64 * 16),
        power in 0u32..5, each in 1..200u64, factor in 1..50u64, context in 0u32..100_000,
    ) {
        let gpus = 1 << power;
        let node = |factor| GpuNode { gpus, memory_bytes_total: u64::from(gpus) * each * 1_000_000_000 * factor, host_bytes: None };
        let engine = |factor| EngineMemory { base_overhead_bytes: 2_400_000_000 * factor, ..EngineMemory::VLLM };
        let larger = ModelShape {
            weights_bytes: shape.weights_bytes * factor,
            kv_bytes_per_token: shape.kv_bytes_per_token * factor,
            hybrid_cache: shape.hybrid_cache.map(|cache| HybridCache { state_bytes: cache.state_bytes * factor, ..cache }),
            ..shape.clone()
        };
        let counts = |result: Result<Placement, Misfit>| result.ok().map(|placement| {
            (placement.nodes, placement.tensor_parallel, placement.pipeline_parallel, placement.data_parallel)
        });
        prop_assert_eq!(
            counts(estimate_for(&engine(1), &shape, node(1), context)),
            counts(estimate_for(&engine(factor), &larger, node(factor), context))
        );
    }

    #[test]
    fn absurd_numbers_are_answered(
        weights in any::<u64>(), kv in any::<u64>(), state in any::<u64>(), gpus in any::<u32>(), memory in any::<u64>(),
        context in any::<u32>(), layers in any::<Option<u32>>(), heads in any::<Option<u32>>(), kv_heads in any::<Option<u32>>(),
        kept in any::<[u32; 3]>(), hybrid in any::<bool>(),
    ) {
        let shape = ModelShape {
            weights_bytes: weights,
            kv_bytes_per_token: kv,
            layers,
            attention_heads: heads,
            kv_heads,
            hybrid_cache: hybrid.then_some(HybridCache {
                full_layers: kept[0], window_layers: kept[1], window_tokens: kept[2], state_bytes: state,
            }),
            ..Catalog::embedded().unwrap().find("phi-4").unwrap().shape.clone()
        };
        match estimate(&shape, GpuNode { gpus, memory_bytes_total: memory, host_bytes: None }, context) {
            Ok(placement) => prop_assert!(placement.nodes >= 1),
            Err(misfit) => prop_assert!(!misfit.to_string().is_empty()),
        }
    }
}
