//! Divisions of one replica of a model over the GPUs of its nodes, best first.
//!
//! This module knows heads and layers, not bytes; `memory` decides whether a division fits.

use crate::preset::{AttentionKind, ModelShape};

use super::gpu_node::GpuNode;

/// Division of a model; `tensor` × `stages` × `copies` is the number of GPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Division {
    /// GPUs that share every layer.
    pub(super) tensor: u32,
    /// Pipeline stages.
    pub(super) stages: u32,
    /// Whole copies of the model.
    pub(super) copies: u32,
}

/// Numbers of a division that the user set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Fixed {
    /// GPUs that share every layer.
    pub(super) tensor: Option<u32>,
    /// Pipeline stages.
    pub(super) stages: Option<u32>,
}

impl Fixed {
    fn allows(self, division: &Division) -> bool {
        self.tensor.is_none_or(|tensor| tensor == division.tensor)
            && self.stages.is_none_or(|stages| stages == division.stages)
    }
}

/// Divisions within one node. If each GPU has twice the memory of the weights: whole copies on single GPUs. Otherwise every
/// layer over all GPUs; if the heads do not allow that, copies over fewer GPUs, and finally stages.
pub(super) fn of_one_node(shape: &ModelShape, node: GpuNode, fixed: Fixed) -> Vec<Division> {
    let gpus = node.gpus;
    if let Some(stages) = fixed.stages.filter(|stages| *stages > 1) {
        let widths = tensor_widths(shape, gpus, fixed).into_iter();
        let whole =
            |tensor: &u32| stages <= most_stages(shape) && gpus.is_multiple_of(tensor.saturating_mul(stages));
        return widths
            .filter(whole)
            .map(|tensor| Division {
                tensor,
                stages,
                copies: gpus / tensor.saturating_mul(stages),
            })
            .collect();
    }
    let mut found = Vec::new();
    if gpus > 1 && has_room_for_copies(shape, node) {
        found.push(Division {
            tensor: 1,
            stages: 1,
            copies: gpus,
        });
    }
    let widths = tensor_widths(shape, gpus, fixed);
    let all_gpus = widths.first() == Some(&gpus);
    // The widest division leaves the most memory: narrower ones repeat a larger part of the weights.
    let tried = if all_gpus { 1 } else { widths.len() };
    found.extend(widths.iter().take(tried).map(|tensor| Division {
        tensor: *tensor,
        stages: 1,
        copies: gpus / tensor,
    }));
    if !all_gpus {
        found.extend(of_nodes(shape, gpus, 1, fixed));
    }
    found.retain(|division| fixed.allows(division));
    found
}

/// Division over `nodes` nodes: layers as wide as the heads allow, the rest in stages. `None` if there are more stages than
/// layers.
pub(super) fn of_nodes(shape: &ModelShape, gpus: u32, nodes: u32, fixed: Fixed) -> Option<Division> {
    let tensor = tensor_widths(shape, gpus, fixed).first().copied()?;
    let stages = nodes.checked_mul(gpus / tensor)?;
    let division = Division {
        tensor,
        stages,
        copies: 1,
    };
    (stages <= most_stages(shape) && fixed.allows(&division)).then_some(division)
}

/// Number of nodes that a fixed number of stages takes; `None` if nodes would be left over in part.
pub(super) fn fixed_nodes(shape: &ModelShape, gpus: u32, fixed: Fixed) -> Option<u32> {
    let tensor = tensor_widths(shape, gpus, fixed).first().copied()?;
    let parts = fixed.stages?.checked_mul(tensor)?;
    parts.is_multiple_of(gpus).then_some(parts / gpus)
}

/// Largest useful number of nodes.
pub(super) fn most_nodes(shape: &ModelShape, gpus: u32, fixed: Fixed) -> u32 {
    let Some(tensor) = tensor_widths(shape, gpus, fixed).first().copied() else {
        return 1;
    };
    most_stages(shape) / (gpus / tensor)
}

fn most_stages(shape: &ModelShape) -> u32 {
    shape.layers.unwrap_or(u32::MAX)
}

/// Condition of data parallelism in KAITO 0.12.
fn has_room_for_copies(shape: &ModelShape, node: GpuNode) -> bool {
    let copies = u128::from(shape.weights_bytes) * u128::from(node.gpus) * 2;
    copies < u128::from(node.memory_bytes_total)
}

/// Numbers of GPUs of a node that can share a layer, largest first; not empty if there is a GPU.
fn tensor_widths(shape: &ModelShape, gpus: u32, fixed: Fixed) -> Vec<u32> {
    divisors(gpus)
        .into_iter()
        .rev()
        .filter(|tensor| fixed.tensor.is_none_or(|fixed| fixed == *tensor) && heads_divide(shape, *tensor))
        .collect()
}

/// Condition of vLLM: every GPU gets the same number of query heads. It also gets either whole KV heads, or one that it
/// shares with a whole number of other GPUs.
fn heads_divide(shape: &ModelShape, tensor: u32) -> bool {
    let query = shape
        .attention_heads
        .is_none_or(|heads| heads.is_multiple_of(tensor));
    let latent = shape.attention == Some(AttentionKind::Mla);
    let kv_heads = shape.kv_heads.filter(|heads| *heads > 0 && !latent);
    query && kv_heads.is_none_or(|heads| heads.is_multiple_of(tensor) || tensor.is_multiple_of(heads))
}

/// Divisors in rising order.
fn divisors(number: u32) -> Vec<u32> {
    let small: Vec<u32> = (1..=number.isqrt())
        .filter(|divisor| number.is_multiple_of(*divisor))
        .collect();
    let large = small.iter().rev().map(|divisor| number / divisor);
    let mut all: Vec<u32> = small.iter().copied().chain(large).collect();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Catalog;

    fn shape(name: &str) -> &'static ModelShape {
        &Catalog::embedded().unwrap().find(name).expect(name).shape
    }

    #[test]
    fn divisors_rise() {
        assert_eq!(divisors(1), [1]);
        assert_eq!(divisors(8), [1, 2, 4, 8]);
        assert_eq!(divisors(36), [1, 2, 3, 4, 6, 9, 12, 18, 36]);
        assert!(divisors(0).is_empty());
    }

    #[test]
    fn heads_stay_whole() {
        // 40 query heads and 10 of keys and values.
        assert_eq!(tensor_widths(shape("phi-4"), 8, Fixed::default()), [2, 1]);
        // 71 query heads.
        assert_eq!(tensor_widths(shape("falcon-7b"), 4, Fixed::default()), [1]);
        // 24 query heads, 4 of keys and values: two GPUs share one.
        assert_eq!(
            tensor_widths(shape("qwen3.6-27b"), 8, Fixed::default()),
            [8, 4, 2, 1]
        );
        assert_eq!(
            tensor_widths(shape("deepseek-r1-0528"), 8, Fixed::default()),
            [8, 4, 2, 1]
        );
    }

    #[test]
    fn stages_never_outnumber_layers() {
        let falcon = shape("falcon-7b");
        assert_eq!(most_nodes(falcon, 2, Fixed::default()), 16);
        assert_eq!(
            of_nodes(falcon, 2, 16, Fixed::default()).map(|division| division.stages),
            Some(32)
        );
        assert_eq!(of_nodes(falcon, 2, 17, Fixed::default()), None);
    }
}
