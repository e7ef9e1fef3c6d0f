//! Manifests: files or standard input, with several documents each.

use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, ensure};
use serde_json::Value;

/// Largest size of a manifest, to catch mistakes.
const MAX_BYTES: u64 = 4 << 20;

/// Reads the documents of a file in order, without empty ones. Items of a `List` count as documents.
///
/// # Errors
/// Fails if the file cannot be read or is not YAML.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<Value>> {
    let shown = name(path);
    let text = text(path).with_context(|| format!("failed to read {shown}"))?;
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(&text).with_context(|| format!("{shown} must be YAML"))?;
    Ok(documents.into_iter().flat_map(items).collect())
}

/// Reads the text of a file.
///
/// # Errors
/// Fails if the file cannot be read, is too large or is not text.
pub(crate) fn text(path: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin()
            .lock()
            .take(MAX_BYTES + 1)
            .read_to_string(&mut text)?;
    } else {
        std::fs::File::open(path)?
            .take(MAX_BYTES + 1)
            .read_to_string(&mut text)?;
    }
    ensure!(
        text.len() as u64 <= MAX_BYTES,
        "must be at most {} MiB",
        MAX_BYTES >> 20
    );
    Ok(text)
}

/// Name of a file in messages.
pub(crate) fn name(path: &Path) -> String {
    if path == Path::new("-") {
        "standard input".to_owned()
    } else {
        path.display().to_string()
    }
}

/// Returns true if the document has the group and kind of a Workspace.
pub(crate) fn is_workspace(document: &Value) -> bool {
    let group = document["apiVersion"]
        .as_str()
        .and_then(|version| version.split_once('/'));
    document["kind"] == "Workspace" && group.is_some_and(|(group, _)| group == "kaito.sh")
}

/// Finds the ConfigMap that a Workspace of the same file names.
pub(crate) fn config_map<'a>(documents: &'a [Value], workspace: &Value, name: &str) -> Option<&'a Value> {
    let namespace = |document: &Value| document["metadata"]["namespace"].as_str().map(str::to_owned);
    documents.iter().find(|document| {
        document["kind"] == "ConfigMap"
            && document["metadata"]["name"] == name
            && namespace(document) == namespace(workspace)
    })
}

fn items(mut document: Value) -> Vec<Value> {
    match document {
        Value::Null => Vec::new(),
        _ if document["kind"] == "List" && document["items"].is_array() => {
            let items = document["items"].take();
            serde_json::from_value(items).unwrap_or_default()
        }
        other => vec![other],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<Value> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.yaml");
        std::fs::write(&path, text).unwrap();
        read(&path).unwrap()
    }

    #[test]
    fn several_documents_and_lists() {
        assert_eq!(of("a: 1\n---\n# nothing\n---\na: 2\n").len(), 2);
        assert_eq!(of("kind: List\nitems: [{a: 1}, {a: 2}, {a: 3}]\n").len(), 3);
        assert_eq!(of("{\"a\": 1}").len(), 1);
        assert_eq!(of("").len(), 0);
    }

    #[test]
    fn what_can_t_be_read_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.yaml");
        assert!(format!("{:#}", read(&path).unwrap_err()).contains("failed to read"));
        std::fs::write(&path, "a: [1").unwrap();
        assert!(format!("{:#}", read(&path).unwrap_err()).contains("must be YAML"));
    }
}
