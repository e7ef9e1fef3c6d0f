//! The weight files of a repository, and their total size.
//!
//! Only files at the top count: folders hold the same weights once more in other forms.

use serde::Deserialize;

use crate::MetadataError;
use crate::lenient::Scalar;

/// The largest models have a few hundred.
const MAX_FILES: usize = 512;
const SAFETENSORS_INDEX: &str = "model.safetensors.index.json";
const PYTORCH_INDEX: &str = "pytorch_model.bin.index.json";

/// The source of the size of the weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WeightFiles {
    /// In this file, which [`index_total`] reads.
    Index(&'static str),
    /// In the sizes of these files.
    Files {
        /// Their names; never empty.
        names: Vec<String>,
        /// They are in Mistral's own layout.
        mistral: bool,
    },
}

impl WeightFiles {
    /// Mistral's own layout before the hub's, safetensors before PyTorch, an index before single files.
    pub(crate) fn choose(files: &[String]) -> Result<Self, MetadataError> {
        let matching = |prefix: &str, suffix: &str| -> Vec<String> {
            let is_match = |name: &&String| name.starts_with(prefix) && name.ends_with(suffix);
            files.iter().filter(is_match).cloned().collect()
        };
        let has = |wanted: &str| files.iter().any(|name| name == wanted);
        let consolidated = matching("consolidated", ".safetensors");
        if !consolidated.is_empty() {
            return Self::files(consolidated, true);
        }
        if has(SAFETENSORS_INDEX) {
            return Ok(Self::Index(SAFETENSORS_INDEX));
        }
        let safetensors = matching("", ".safetensors");
        if !safetensors.is_empty() {
            return Self::files(safetensors, false);
        }
        if has(PYTORCH_INDEX) {
            return Ok(Self::Index(PYTORCH_INDEX));
        }
        Self::files(matching("pytorch_model", ".bin"), false)
    }

    fn files(names: Vec<String>, mistral: bool) -> Result<Self, MetadataError> {
        match names.len() {
            0 => Err(MetadataError::NoWeights),
            1..=MAX_FILES => Ok(Self::Files { names, mistral }),
            more => Err(MetadataError::TooManyFiles(more)),
        }
    }
}

/// Bytes of all weights, from the text of an index of weight files.
///
/// # Errors
/// The text is not such an index, or states no size.
pub fn index_total(json: &[u8]) -> Result<u64, MetadataError> {
    const FILE: &str = "the index of the weight files";
    #[derive(Deserialize)]
    struct Index {
        metadata: Option<Metadata>,
    }
    #[derive(Deserialize)]
    struct Metadata {
        #[serde(default)]
        total_size: Scalar,
    }
    let index: Index = serde_json::from_slice(json).map_err(|error| MetadataError::Malformed {
        file: FILE,
        message: error.to_string(),
    })?;
    let total = index.metadata.and_then(|metadata| metadata.total_size.whole());
    total.filter(|bytes| *bytes > 0).ok_or(MetadataError::Missing {
        file: FILE,
        what: "how large they are",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(files: &[&str]) -> Result<WeightFiles, MetadataError> {
        let files: Vec<_> = files.iter().map(|name| (*name).to_owned()).collect();
        WeightFiles::choose(&files)
    }

    #[test]
    fn the_best_form_is_chosen() {
        let files = |names: &[&str], mistral| {
            Ok(WeightFiles::Files {
                names: names.iter().map(|name| (*name).to_owned()).collect(),
                mistral,
            })
        };
        let index = "model.safetensors.index.json";
        assert_eq!(
            choose(&["consolidated.safetensors", index, "model-1.safetensors"]),
            files(&["consolidated.safetensors"], true)
        );
        assert_eq!(
            choose(&["model-1.safetensors", index]),
            Ok(WeightFiles::Index(index))
        );
        assert_eq!(
            choose(&["pytorch_model.bin", "model.safetensors"]),
            files(&["model.safetensors"], false)
        );
        assert_eq!(
            choose(&["pytorch_model.bin", "training_args.bin"]),
            files(&["pytorch_model.bin"], false)
        );
        assert_eq!(
            choose(&["model.gguf", "README.md"]),
            Err(MetadataError::NoWeights)
        );
        let many: Vec<_> = (0..513).map(|index| format!("{index}.safetensors")).collect();
        assert_eq!(WeightFiles::choose(&many), Err(MetadataError::TooManyFiles(513)));
    }

    #[test]
    fn totals() {
        let total = |json: &str| index_total(json.as_bytes()).ok();
        assert_eq!(
            total(r#"{"metadata": {"total_size": 14}, "weight_map": {"a": "b"}}"#),
            Some(14)
        );
        assert_eq!(total(r#"{"metadata": {"total_size": 14.0}}"#), Some(14));
        for bad in [
            "",
            "{}",
            "[]",
            r#"{"metadata": {}}"#,
            r#"{"metadata": {"total_size": 0}}"#,
        ] {
            assert_eq!(total(bad), None, "{bad}");
        }
    }
}
