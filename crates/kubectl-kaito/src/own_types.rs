//! The administrator's instance types: read from files, and listed where a plan has one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use instance_types::Catalog;
use preset_catalog::fit::FitReport;

use crate::documents;
use crate::output::{printable, table};

/// Puts the files over the built-in instance types.
///
/// # Errors
/// Fails if a file cannot be read or has a problem; the text names file, line and field.
pub(crate) fn load(paths: &[PathBuf]) -> anyhow::Result<Catalog> {
    let built_in = Catalog::embedded().context("the tables of instance types are invalid")?;
    let read = |path: &PathBuf| {
        let name = documents::name(path);
        let text = documents::text(path).with_context(|| format!("failed to read {name}"))?;
        anyhow::Ok((name, text))
    };
    let files: Vec<(String, String)> = paths.iter().map(read).collect::<anyhow::Result<_>>()?;
    let texts = files.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    Ok(built_in.with_files(texts)?.catalog)
}

/// Lists the files that instance types of a plan come from; empty if all are built in.
pub(crate) fn sources(plan: &FitReport) -> String {
    let mut files: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for candidate in &plan.candidates {
        let found = &candidate.instance_type;
        if let Some(file) = &found.file {
            let name = Path::new(file).file_name().unwrap_or(file.as_ref());
            let types = files.entry(printable(&name.to_string_lossy())).or_default();
            types.push(&found.name);
        }
    }
    if files.is_empty() {
        return String::new();
    }
    let rows = files
        .into_iter()
        .map(|(file, types)| vec![file, printable(&types.join(", "))]);
    format!("\n{}", table(&["SOURCE", "~INSTANCE TYPES"], rows))
}
