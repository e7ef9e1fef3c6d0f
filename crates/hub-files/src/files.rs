//! The files of a repository to fetch, and a hub's facts about each. Pure.

use std::collections::BTreeMap;

use http::HeaderMap;
use serde::Deserialize;

use crate::error::{Error, Result};

/// Index of weights in safetensors.
const INDEX: &str = "model.safetensors.index.json";
const SINGLE: &str = "model.safetensors";
/// Index of weights in PyTorch's form.
const PYTORCH_INDEX: &str = "pytorch_model.bin.index.json";
/// Largest index, in bytes.
pub(crate) const INDEX_BYTES: u64 = 64 << 20;
/// Most files with weights.
const SHARDS: usize = 1024;
/// Files beside the weights that our own engine reads.
const OWN: [&str; 5] = [
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
];
/// Endings of files beside the weights that other engines read: settings, tokenizers, templates and the model's code.
const ANY: [&str; 8] = [
    ".json",
    ".jinja",
    ".model",
    ".py",
    ".tiktoken",
    ".txt",
    ".vocab",
    ".spm",
];

/// The form in which an engine reads a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Safetensors and what our own engine reads beside them. `config.json` is not among them.
    OwnEngine,
    /// The hub's layout, with all small files.
    Hub,
    /// Mistral's own layout, with all small files.
    Mistral,
}

impl Selection {
    /// The files beside the weights.
    #[must_use]
    pub fn small(self, files: &[String]) -> Vec<String> {
        let is_wanted = |name: &&String| match self {
            Self::OwnEngine => OWN.contains(&name.as_str()),
            Self::Hub | Self::Mistral => {
                !name.ends_with(".index.json") && ANY.iter().any(|ending| name.ends_with(ending))
            }
        };
        files.iter().filter(is_wanted).cloned().collect()
    }

    /// The weights among the files of a repository.
    pub(crate) fn weights(self, files: &[String]) -> Result<WeightSource> {
        let has = |wanted: &str| files.iter().any(|name| name == wanted);
        let all = |prefix: &str, ending: &str| {
            let is_match = |name: &&String| name.starts_with(prefix) && name.ends_with(ending);
            let found: Vec<String> = files.iter().filter(is_match).cloned().collect();
            Some(found).filter(|found| !found.is_empty())
        };
        let index = |name| has(name).then_some(WeightSource::Indexed(name));
        let mistral = || all("consolidated", ".safetensors").map(WeightSource::Files);
        let found = match self {
            Self::OwnEngine => index(INDEX).or_else(|| has(SINGLE).then(|| WeightSource::single(SINGLE))),
            // An adapter beside the model, or the same weights in another layout, must not come along.
            Self::Hub => index(INDEX)
                .or_else(|| has(SINGLE).then(|| WeightSource::single(SINGLE)))
                .or_else(|| all("model", ".safetensors").map(WeightSource::Files))
                .or_else(mistral)
                .or_else(|| index(PYTORCH_INDEX))
                .or_else(|| all("pytorch_model", ".bin").map(WeightSource::Files)),
            Self::Mistral => mistral().or_else(|| index(INDEX)),
        };
        found.ok_or(Error::NoWeights(self.forms()))
    }

    /// The supported forms, in words.
    fn forms(self) -> &'static str {
        match self {
            Self::OwnEngine => "model.safetensors or its index",
            Self::Hub => "safetensors or PyTorch weights at its top",
            Self::Mistral => "consolidated safetensors at its top",
        }
    }
}

/// The weights of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WeightSource {
    /// The shards that this index lists.
    Indexed(&'static str),
    /// These files.
    Files(Vec<String>),
}

impl WeightSource {
    fn single(name: &str) -> Self {
        Self::Files(vec![name.to_owned()])
    }
}

/// The shards that an index lists. They must be files of the repository.
pub(crate) fn shards(index: &'static str, text: &[u8], files: &[String]) -> Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let problem = |problem| Error::Index { index, problem };
    let parsed: Index =
        serde_json::from_slice(text).map_err(|error| problem(format!("cannot be read: {error}")))?;
    let mut shards: Vec<String> = parsed.weight_map.into_values().collect();
    shards.sort();
    shards.dedup();
    if !(1..=SHARDS).contains(&shards.len()) {
        return Err(problem(format!(
            "must list 1 to {SHARDS} files, not {}",
            shards.len()
        )));
    }
    let ending = if index == PYTORCH_INDEX {
        ".bin"
    } else {
        ".safetensors"
    };
    let odd = |name: &&String| !name.ends_with(ending) || !files.contains(name);
    match shards.iter().find(odd) {
        Some(odd) => Err(problem(format!(
            "must list {ending} files of the repository, not {odd:?}"
        ))),
        None => Ok(shards),
    }
}

/// Reports whether a text may be a commit, a branch or a tag.
pub(crate) fn is_revision(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    let starts_well = text
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric());
    starts_well && text.len() <= 128 && text.bytes().all(allowed) && !text.contains("..")
}

/// Facts of a hub about a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FileFacts {
    /// Size in bytes.
    pub(crate) size: Option<u64>,
    /// SHA-256 in lower-case hexadecimal. Hubs state it for files in git LFS.
    pub(crate) sha256: Option<String>,
}

impl FileFacts {
    /// Reads the facts. For a file in LFS, the redirect states its size and checksum; for others, only the length is known.
    pub(crate) fn read(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name)?.to_str().ok();
        let number = |name: &str| text(name)?.trim().parse().ok();
        let linked = number("x-linked-size");
        let tag = text("x-linked-etag").map(|tag| tag.trim_start_matches("W/").trim_matches('"'));
        let is_sha256 = |tag: &&str| tag.len() == 64 && tag.bytes().all(|byte| byte.is_ascii_hexdigit());
        Self {
            size: linked.or_else(|| number("content-length")),
            sha256: tag.filter(is_sha256).map(str::to_ascii_lowercase),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn files(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn weights(selection: Selection, names: &[&str]) -> Option<WeightSource> {
        selection.weights(&files(names)).ok()
    }

    fn chosen(names: &[&str]) -> Option<WeightSource> {
        Some(WeightSource::Files(files(names)))
    }

    #[test]
    fn what_is_read_is_wanted_and_nothing_else() {
        let all = files(&[
            "README.md",
            "config.json",
            "model.safetensors.index.json",
            "model.onnx",
            "modeling_tiny.py",
            "pytorch_model.bin",
            "tekken.json",
            "tokenizer.json",
            "tokenizer.model",
        ]);
        assert_eq!(Selection::OwnEngine.small(&all), ["tokenizer.json"]);
        for selection in [Selection::Hub, Selection::Mistral] {
            assert_eq!(
                selection.small(&all),
                [
                    "config.json",
                    "modeling_tiny.py",
                    "tekken.json",
                    "tokenizer.json",
                    "tokenizer.model"
                ]
            );
        }
    }

    #[test]
    fn each_engine_gets_one_form_of_the_weights() {
        use Selection::{Hub, Mistral, OwnEngine};
        let (first, second) = ("model-00001.safetensors", "model-00002.safetensors");
        let both = [
            "consolidated.safetensors",
            first,
            second,
            INDEX,
            "adapter_model.safetensors",
        ];
        assert_eq!(weights(OwnEngine, &both), Some(WeightSource::Indexed(INDEX)));
        assert_eq!(weights(Hub, &both), Some(WeightSource::Indexed(INDEX)));
        assert_eq!(weights(Mistral, &both), chosen(&["consolidated.safetensors"]));
        let single = ["pytorch_model.bin", SINGLE, "consolidated.safetensors"];
        assert_eq!(weights(OwnEngine, &single), chosen(&[SINGLE]));
        assert_eq!(weights(Hub, &single), chosen(&[SINGLE]));
        let unlisted = [first, second, "adapter_model.safetensors"];
        assert_eq!(weights(OwnEngine, &unlisted), None);
        assert_eq!(weights(Hub, &unlisted), chosen(&[first, second]));
        let pytorch = ["pytorch_model-1.bin", "training_args.bin"];
        assert_eq!(weights(Hub, &pytorch), chosen(&["pytorch_model-1.bin"]));
        assert_eq!(
            weights(Hub, &[PYTORCH_INDEX, "pytorch_model-1.bin"]),
            Some(WeightSource::Indexed(PYTORCH_INDEX))
        );
        assert_eq!(weights(Mistral, &pytorch), None);
        let error = OwnEngine.weights(&files(&pytorch)).unwrap_err().to_string();
        assert!(error.contains("model.safetensors or its index"), "{error}");
    }

    #[test]
    fn an_index_lists_files_of_the_repository() {
        let all = files(&["a.safetensors", "b.safetensors", "c.bin"]);
        let found = |index, text: &str| shards(index, text.as_bytes(), &all);
        let good = r#"{"weight_map": {"x": "b.safetensors", "y": "a.safetensors", "z": "b.safetensors"}}"#;
        assert_eq!(found(INDEX, good).unwrap(), ["a.safetensors", "b.safetensors"]);
        let other = r#"{"weight_map": {"x": "c.bin"}}"#;
        assert_eq!(found(PYTORCH_INDEX, other).unwrap(), ["c.bin"]);
        for bad in [
            "",
            "[]",
            r#"{"weight_map": {}}"#,
            other,
            r#"{"weight_map": {"x": "other.safetensors"}}"#,
            r#"{"weight_map": {"x": "../a.safetensors"}}"#,
        ] {
            assert!(found(INDEX, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn revisions_are_names_or_commits() {
        for good in ["main", "v1.0", "refs/pr/3", "0123456789abcdef"] {
            assert!(is_revision(good), "{good}");
        }
        for bad in [
            "",
            "..",
            "a/../b",
            "/a",
            "-a",
            "a b",
            "a?b",
            "a#b",
            &"a".repeat(129),
        ] {
            assert!(!is_revision(bad), "{bad}");
        }
    }

    #[test]
    fn checksums_are_told_of_files_kept_aside() {
        let told = |headers: &[(&'static str, &str)]| {
            let headers = headers.iter().map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_str(value).unwrap(),
                )
            });
            FileFacts::read(&headers.collect())
        };
        let hex = "AB".repeat(32);
        let quoted = format!("\"{hex}\"");
        let aside = told(&[
            ("content-length", "12"),
            ("x-linked-size", "1000"),
            ("x-linked-etag", &quoted),
        ]);
        assert_eq!((aside.size, aside.sha256), (Some(1000), Some(hex.to_lowercase())));
        let small = told(&[("content-length", "12"), ("etag", &quoted)]);
        assert_eq!((small.size, small.sha256), (Some(12), None));
        let odd = told(&[
            ("x-linked-etag", "\"0123456789abcdef0123456789abcdef01234567\""),
            ("content-length", "-1"),
        ]);
        assert_eq!(odd, FileFacts::default());
    }
}
