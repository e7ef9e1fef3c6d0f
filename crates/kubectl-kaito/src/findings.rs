//! `lint`: validates manifests as the API server would.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use admission::table::Unlisted;
use anyhow::{Context as _, bail};
use lint::{Linter, NodeSource, Origin, Settings, Violation};
use preset_catalog::Catalog;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::args::{Format, LintArgs, NodeProvisioner};
use crate::documents;
use crate::output::{printable, serialized};
use crate::presets_json::known;
use crate::source::PresetSource;

/// One Workspace and its violations.
struct Finding {
    file: String,
    /// Position in the file, from 1.
    document: usize,
    name: String,
    violations: Vec<Violation>,
    /// Settings without effect, and rights that the author needs; they do not make the object invalid.
    warnings: Vec<Violation>,
}

/// Lints every Workspace of the files.
pub(crate) async fn run(source: &PresetSource, args: &LintArgs) -> anyhow::Result<Answer> {
    let (catalog, unlisted) = catalog(source, args).await?;
    let types = source.instance_types(args.cloud).await?;
    let linter = Linter::new(Settings {
        presets: &catalog,
        instance_types: &types,
        nodes: match args.node_provisioner {
            NodeProvisioner::Machine | NodeProvisioner::NodeClaim => NodeSource::Provisioned,
            NodeProvisioner::Byo => NodeSource::Existing,
        },
        options: args.verdicts.options(args.cloud, unlisted),
    })?;
    let mut found = Vec::new();
    for path in &args.filenames {
        let documents = documents::read(path)?;
        for (index, document) in documents.iter().enumerate() {
            if documents::is_workspace(document) {
                let named = lint::config_of(document);
                let config_map = named.and_then(|name| documents::config_map(&documents, document, name));
                let of_config = config_map.and_then(|config_map| linter.config_map(document, config_map));
                let violations = linter.create(document).into_iter().chain(of_config);
                found.push(Finding {
                    file: documents::name(path),
                    document: index + 1,
                    name: document["metadata"]["name"]
                        .as_str()
                        .unwrap_or("(without a name)")
                        .to_owned(),
                    violations: violations.collect(),
                    warnings: linter.warnings(document),
                });
            }
        }
    }
    if found.is_empty() {
        bail!("no Workspace found in {}", files(args));
    }
    let text = match args.output {
        Format::Table => told(&found),
        format => serialized(format, &found.iter().map(of_finding).collect())?,
    };
    let findings = found.iter().any(|finding| !finding.violations.is_empty());
    Ok(Answer { text, findings })
}

fn files(args: &LintArgs) -> String {
    let names: Vec<String> = args.filenames.iter().map(|path| documents::name(path)).collect();
    names.join(", ")
}

/// Loads the catalog of the source, with the presets of files added.
async fn catalog(source: &PresetSource, args: &LintArgs) -> anyhow::Result<(Catalog, Unlisted)> {
    let (catalog, unlisted) = source.catalog().await?;
    let mut texts = BTreeMap::new();
    for path in &args.presets {
        let text =
            documents::text(path).with_context(|| format!("failed to read {}", documents::name(path)))?;
        texts.insert(documents::name(path), text);
    }
    let overlay = catalog.overlay(texts.iter().map(|(name, text)| (name.as_str(), text.as_str())))?;
    for report in &overlay.files {
        if let Some(problem) = report.problems.first() {
            bail!("{}: {problem}", report.file);
        }
    }
    Ok((overlay.catalog, unlisted))
}

fn told(found: &[Finding]) -> String {
    let mut text = String::new();
    // Writes to a String never fail.
    for finding in found {
        let name = printable(&finding.name);
        if finding.violations.is_empty() {
            let _ = writeln!(text, "{}: Workspace {name} is valid", finding.file);
        }
        for violation in &finding.violations {
            let words = printable(&violation.to_string());
            let _ = writeln!(text, "{}: Workspace {name}: {words}", finding.file);
        }
        for warning in &finding.warnings {
            let words = printable(&warning.to_string());
            let _ = writeln!(text, "{}: Workspace {name}: warning: {words}", finding.file);
        }
    }
    text
}

fn of_finding(finding: &Finding) -> Value {
    let violation = |violation: &Violation| {
        let origin = match violation.origin {
            Origin::Schema => "schema",
            Origin::Definition => "definition",
            Origin::ShapePolicy => "policy",
            Origin::AuthorPolicy => "author",
            Origin::NotePolicy => "note",
            Origin::CatalogPolicy => "catalog",
            Origin::ConfigMap => "configMap",
        };
        known([
            ("path", json!(violation.path)),
            ("message", json!(violation.message)),
            ("remedy", json!(violation.remedy)),
            ("origin", json!(origin)),
        ])
    };
    json!({
        "file": finding.file,
        "document": finding.document,
        "workspace": finding.name,
        "violations": finding.violations.iter().map(violation).collect::<Vec<_>>(),
        "warnings": finding.warnings.iter().map(violation).collect::<Vec<_>>(),
    })
}
