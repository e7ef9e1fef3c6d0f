//! The manifests of `examples/`, as objects.

use std::path::Path;

use admission_cases::{Case, Expect};
use anyhow::{Context as _, Result};
use serde_json::Value;

/// Every Workspace of the examples, to be created.
pub(crate) fn workspaces() -> Result<Vec<Case>> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut cases = Vec::new();
    for folder in ["inference", "fine-tuning", "upstream"] {
        for entry in std::fs::read_dir(examples.join(folder))? {
            let path = entry?.path();
            let text = std::fs::read_to_string(&path)?;
            let documents: Vec<Value> =
                serde_saphyr::from_multiple(&text).with_context(|| path.display().to_string())?;
            let workspaces = documents
                .into_iter()
                .filter(|object| object["kind"] == "Workspace");
            cases.extend(workspaces.map(|object| Case {
                old: None,
                object,
                expect: Expect::AsPlanned,
            }));
        }
    }
    Ok(cases)
}
