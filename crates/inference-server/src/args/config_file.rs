//! The user's `inference_config.yaml`.
//!
//! The file is shared with vLLM. Of its section `vllm` only the length of the context applies here.

use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;

use super::dtype::Dtype;
use crate::settings::{AdapterMode, Pipeline};

/// Maximum of a file, in bytes: a ConfigMap holds one MiB.
const MAX_BYTES: u64 = 1 << 20;

/// The file, or an empty one.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ConfigFile {
    #[serde(default)]
    pub(super) native: NativeSection,
    #[serde(default)]
    pub(super) vllm: VllmSection,
}

/// The section `native`. Each field is the flag of that name.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct NativeSection {
    pub(super) dtype: Option<Dtype>,
    pub(super) max_context_tokens: Option<usize>,
    pub(super) threads: Option<usize>,
    pub(super) max_sequences: Option<usize>,
    pub(super) max_waiting: Option<usize>,
    pub(super) step_tokens: Option<usize>,
    pub(super) cache_mib: Option<usize>,
    pub(super) adapter_mode: Option<AdapterMode>,
    pub(super) pipeline: Option<Pipeline>,
    pub(super) chat_template: Option<String>,
}

/// The section `vllm`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct VllmSection {
    #[serde(rename = "max-model-len")]
    pub(super) max_model_len: Option<usize>,
}

impl ConfigFile {
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let failed = || format!("failed to read {}", path.display());
        let length = std::fs::metadata(path).with_context(failed)?.len();
        anyhow::ensure!(
            length <= MAX_BYTES,
            "{} must have at most {MAX_BYTES} bytes",
            path.display()
        );
        let text = std::fs::read_to_string(path).with_context(failed)?;
        Self::parse(&text).with_context(|| format!("failed to parse {}", path.display()))
    }

    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        Ok(serde_saphyr::from_str::<Option<Self>>(text)?.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelled_option_is_refused() {
        let error = ConfigFile::parse("native: {thread: 2}").unwrap_err();
        assert!(error.to_string().contains("thread"), "{error}");
        assert!(ConfigFile::parse("").is_ok());
    }
}
