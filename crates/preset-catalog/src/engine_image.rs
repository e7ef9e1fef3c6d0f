//! Facts about the images of GPU engines: the GPUs that their kernels need, and tools that they lack.
//!
//! The table holds our default images. The administrator states the facts about any other image.

use instance_types::ComputeCapability;

/// Requirements of an engine's image on GPUs, and its contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineImage {
    /// Lowest CUDA compute capability that all models need; absent if any GPU works.
    pub min_compute_capability: Option<ComputeCapability>,
    /// True if it contains the CUDA toolkit, with which some models compile kernels.
    pub cuda_toolkit: bool,
}

/// Known images by name without registry, path and tag.
///
/// kaito-base 0.5.0 is vLLM 0.25.1 without `nvcc`; upstream requires Ampere for it.
const KNOWN: [(&str, EngineImage); 1] = [("kaito-base", EngineImage::KAITO_BASE)];

impl EngineImage {
    /// The default image of vLLM and of the tuning scripts.
    pub const KAITO_BASE: Self = Self {
        min_compute_capability: Some(ComputeCapability::BFLOAT16),
        cuda_toolkit: false,
    };

    /// An image about which nothing is known: nothing is refused for its sake.
    pub const UNKNOWN: Self = Self {
        min_compute_capability: None,
        cuda_toolkit: true,
    };

    /// Returns the facts about an image, whatever registry it comes from.
    #[must_use]
    pub fn of(image: &str) -> Self {
        let name = image.rsplit('/').next().unwrap_or(image);
        let name = name.split([':', '@']).next().unwrap_or(name);
        let known = KNOWN.into_iter().find(|(known, _)| *known == name);
        known.map_or(Self::UNKNOWN, |(_, facts)| facts)
    }

    /// Returns the facts with those that the administrator states.
    #[must_use]
    pub fn stated(self, min_compute_capability: Option<ComputeCapability>, toolkit: Option<bool>) -> Self {
        Self {
            min_compute_capability: min_compute_capability.or(self.min_compute_capability),
            cuda_toolkit: toolkit.unwrap_or(self.cuda_toolkit),
        }
    }
}

impl Default for EngineImage {
    fn default() -> Self {
        Self::KAITO_BASE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_known_in_any_registry_and_version() {
        for image in [
            "kaito-base",
            "mcr.microsoft.com/aks/kaito/kaito-base:0.5.0",
            "mirror.example.com:5000/kaito-base:0.6.0@sha256:00",
        ] {
            assert_eq!(EngineImage::of(image), EngineImage::KAITO_BASE, "{image}");
        }
        for image in ["", "vllm/vllm-openai:v0.26.0", "acme/my-kaito-base:1"] {
            assert_eq!(EngineImage::of(image), EngineImage::UNKNOWN, "{image}");
        }
    }

    #[test]
    fn the_administrator_overrules_the_table() {
        let old = "7.0".parse().unwrap();
        let stated = EngineImage::KAITO_BASE.stated(Some(old), Some(true));
        assert_eq!(stated.min_compute_capability, Some(old));
        assert!(stated.cuda_toolkit);
        assert_eq!(
            EngineImage::KAITO_BASE.stated(None, None),
            EngineImage::KAITO_BASE
        );
    }
}
