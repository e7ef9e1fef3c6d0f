//! Names of the supported families.

/// Supported families, by `model_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Llama 1 to 3, SmolLM 1 and 2, and models of their shape.
    Llama,
    /// Mistral 7B and successors.
    Mistral,
    /// Qwen 2 and 2.5.
    Qwen2,
    /// Qwen 3, dense.
    Qwen3,
    /// Phi-3, Phi-3.5 and Phi-4.
    Phi3,
    /// Gemma.
    Gemma,
    /// Gemma 2.
    Gemma2,
    /// Gemma 3, text.
    Gemma3,
    /// Granite 3, dense.
    Granite,
}

impl Family {
    /// Names of all families in `model_type`.
    pub const NAMES: [&'static str; 9] = [
        "llama",
        "mistral",
        "qwen2",
        "qwen3",
        "phi3",
        "gemma",
        "gemma2",
        "gemma3_text",
        "granite",
    ];

    pub(super) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "llama" | "smollm" => Self::Llama,
            "mistral" => Self::Mistral,
            "qwen2" => Self::Qwen2,
            "qwen3" => Self::Qwen3,
            "phi3" => Self::Phi3,
            "gemma" => Self::Gemma,
            "gemma2" => Self::Gemma2,
            "gemma3_text" | "gemma3" => Self::Gemma3,
            "granite" => Self::Granite,
            _ => return None,
        })
    }

    pub(super) fn is_gemma(self) -> bool {
        matches!(self, Self::Gemma | Self::Gemma2 | Self::Gemma3)
    }

    /// Layers from one with full attention to the next, if windows alternate and the configuration has no other number.
    pub(super) fn full_attention_interval(self) -> Option<usize> {
        match self {
            Self::Gemma2 => Some(2),
            Self::Gemma3 => Some(6),
            _ => None,
        }
    }
}
