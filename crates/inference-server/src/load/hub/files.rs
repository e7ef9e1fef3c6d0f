//! The files of a repository to fetch, and a hub's facts about each. Pure.

use anyhow::{Context as _, bail, ensure};
use http::HeaderMap;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The description of the model.
pub(super) const CONFIG: &str = "config.json";
const INDEX: &str = "model.safetensors.index.json";
const SINGLE: &str = "model.safetensors";
/// Largest index, in bytes.
pub(super) const INDEX_BYTES: u64 = 64 << 20;
/// Most shards of a model.
const SHARDS: usize = 1024;
/// Files beside the weights that this server reads.
const SMALL: [&str; 5] = [
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
];

/// The weights of a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weights {
    /// The shards that this index lists.
    Indexed(&'static str),
    /// One file.
    Single(&'static str),
}

/// The files beside the weights.
pub(super) fn small(files: &[String]) -> Vec<String> {
    let small = files.iter().filter(|name| SMALL.contains(&name.as_str()));
    small.cloned().collect()
}

impl Weights {
    /// The weights among the files of a repository.
    pub(super) fn of(files: &[String]) -> anyhow::Result<Self> {
        let has = |wanted: &str| files.iter().any(|name| name == wanted);
        if has(INDEX) {
            Ok(Self::Indexed(INDEX))
        } else if has(SINGLE) {
            Ok(Self::Single(SINGLE))
        } else {
            bail!(
                "the repository holds neither {SINGLE} nor {INDEX}: other forms of weights cannot be served here"
            )
        }
    }

    pub(super) fn names(self) -> Vec<String> {
        match self {
            Self::Indexed(name) | Self::Single(name) => vec![name.to_owned()],
        }
    }
}

/// The shards that an index lists. They must be files of the repository.
pub(super) fn shards(index: &[u8], files: &[String]) -> anyhow::Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let index: Index = serde_json::from_slice(index).with_context(|| format!("{INDEX} cannot be read"))?;
    let mut shards: Vec<String> = index.weight_map.into_values().collect();
    shards.sort();
    shards.dedup();
    ensure!(
        (1..=SHARDS).contains(&shards.len()),
        "{INDEX} lists {} files, 1 to {SHARDS} are supported",
        shards.len()
    );
    let odd = |name: &&String| !name.ends_with(".safetensors") || !files.contains(name);
    match shards.iter().find(odd) {
        Some(odd) => bail!("{INDEX} must list safetensors of the repository, not {odd:?}"),
        None => Ok(shards),
    }
}

/// Reports whether a text may be a commit, a branch or a tag.
pub(super) fn is_revision(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    let starts_well = text
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric());
    starts_well && text.len() <= 128 && text.bytes().all(allowed) && !text.contains("..")
}

/// Facts of a hub about a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FileFacts {
    pub(super) size: Option<u64>,
    /// In lower case. Hubs state it for files in git LFS.
    pub(super) sha256: Option<String>,
}

impl FileFacts {
    /// Reads the facts. For a file in LFS, the redirect states its size and checksum; for others, only the length is known.
    pub(super) fn read(headers: &HeaderMap) -> Self {
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

    #[test]
    fn what_is_read_is_wanted_and_nothing_else() {
        let all = files(&[
            "README.md",
            "config.json",
            "model.safetensors",
            "pytorch_model.bin",
            "tokenizer.json",
        ]);
        assert_eq!(small(&all), ["tokenizer.json"]);
        assert_eq!(Weights::of(&all).unwrap(), Weights::Single(SINGLE));
        let sharded = files(&[INDEX, SINGLE]);
        assert_eq!(Weights::of(&sharded).unwrap(), Weights::Indexed(INDEX));
        assert!(Weights::of(&files(&["pytorch_model.bin"])).is_err());
    }

    #[test]
    fn an_index_lists_files_of_the_repository() {
        let all = files(&["a.safetensors", "b.safetensors", "c.bin"]);
        let found = |index: &str| shards(index.as_bytes(), &all);
        let good = r#"{"weight_map": {"x": "b.safetensors", "y": "a.safetensors", "z": "b.safetensors"}}"#;
        assert_eq!(found(good).unwrap(), ["a.safetensors", "b.safetensors"]);
        for bad in [
            "",
            "[]",
            r#"{"weight_map": {}}"#,
            r#"{"weight_map": {"x": "c.bin"}}"#,
            r#"{"weight_map": {"x": "other.safetensors"}}"#,
            r#"{"weight_map": {"x": "../a.safetensors"}}"#,
        ] {
            assert!(found(bad).is_err(), "{bad}");
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
