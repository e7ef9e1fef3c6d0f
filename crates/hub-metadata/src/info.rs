//! The hub's response about a repository: `/api/models/<id>`.

use serde::Deserialize;

use crate::id::{HubId, Revision, shown};
use crate::lenient::{Scalar, Texts};
use crate::{MetadataError, WeightFiles};

const FILE: &str = "the hub's response about the model";

/// A repository at one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelInfo {
    /// The name in the hub's spelling.
    pub id: HubId,
    /// The commit at the head of the default branch.
    pub revision: Revision,
    /// License identifier; `unknown` if none is stated.
    pub license: String,
    /// Only accounts that accepted the license may read the files.
    pub gated: bool,
    /// Files at the top of the repository.
    pub files: Vec<String>,
}

#[derive(Deserialize)]
struct Answer {
    id: String,
    sha: String,
    #[serde(default)]
    gated: Scalar,
    #[serde(default, rename = "cardData")]
    card: Option<Card>,
    #[serde(default)]
    tags: Texts,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Default, Deserialize)]
struct Card {
    #[serde(default)]
    license: Texts,
    #[serde(default)]
    license_name: Scalar,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

impl ModelInfo {
    /// Parses the hub's response.
    ///
    /// # Errors
    /// The response is malformed, or names no repository or commit.
    pub fn parse(json: &[u8]) -> Result<Self, MetadataError> {
        let answer: Answer = serde_json::from_slice(json).map_err(|error| MetadataError::Malformed {
            file: FILE,
            message: error.to_string(),
        })?;
        Ok(Self {
            id: HubId::parse(&answer.id)?,
            revision: Revision::parse(&answer.sha)?,
            license: license(answer.card.unwrap_or_default(), &answer.tags),
            // `false`, or the way to gain access.
            gated: answer.gated.text().is_some() || answer.gated.is_true(),
            files: answer
                .siblings
                .into_iter()
                .map(|sibling| sibling.rfilename)
                .filter(|name| !name.contains('/'))
                .collect(),
        })
    }

    /// The files with the size of the weights.
    ///
    /// # Errors
    /// The repository has no weights that an engine can load, or too many files.
    pub fn weight_files(&self) -> Result<WeightFiles, MetadataError> {
        WeightFiles::choose(&self.files)
    }
}

fn license(card: Card, tags: &Texts) -> String {
    let stated = card.license.0.into_iter().next();
    let stated = match (stated.as_deref(), card.license_name.text()) {
        (Some("other"), Some(name)) => Some(name.to_owned()),
        _ => stated,
    };
    let tagged = || tags.0.iter().find_map(|tag| tag.strip_prefix("license:"));
    let license = stated
        .or_else(|| tagged().map(str::to_owned))
        .unwrap_or_else(|| "unknown".to_owned());
    shown(&license)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(more: &str) -> String {
        format!(r#"{{"id": "Acme/Model", "sha": "{}"{more}}}"#, "a".repeat(40))
    }

    fn info(more: &str) -> ModelInfo {
        ModelInfo::parse(answer(more).as_bytes()).unwrap()
    }

    #[test]
    fn licenses_in_every_place() {
        for (more, expected) in [
            ("", "unknown"),
            (r#", "tags": ["x", "license:mit"]"#, "mit"),
            (
                r#", "cardData": {"license": "gemma"}, "tags": ["license:mit"]"#,
                "gemma",
            ),
            (
                r#", "cardData": {"license": ["apache-2.0", "mit"]}"#,
                "apache-2.0",
            ),
            (
                r#", "cardData": {"license": "other", "license_name": "acme"}"#,
                "acme",
            ),
            (r#", "cardData": null, "tags": null"#, "unknown"),
        ] {
            assert_eq!(info(more).license, expected, "{more}");
        }
    }

    #[test]
    fn gates_and_files() {
        assert!(!info(r#", "gated": false"#).gated && !info("").gated);
        assert!(info(r#", "gated": "auto""#).gated);
        let files = info(
            r#", "siblings": [{"rfilename": "config.json"}, {"rfilename": "onnx/model.bin", "size": 7}]"#,
        )
        .files;
        assert_eq!(files, ["config.json"]);
    }

    #[test]
    fn what_could_leave_the_repository_is_refused() {
        for bad in [
            answer("").replace("Acme/Model", "../etc"),
            answer("").replace(&"a".repeat(40), "main"),
            answer("").replace(&"a".repeat(40), "../../x"),
            "[]".to_owned(),
            "{}".to_owned(),
        ] {
            assert!(ModelInfo::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
