//! Users' presets: a directory of files over the built-in catalog, read again when it changes.
//!
//! The served catalog is a function of the directory's contents. A malformed file or an unreadable directory shows in a log
//! line, a metric and `GetCatalogStatus`, and stops nothing.

use std::path::PathBuf;
use std::sync::Arc;

use preset_catalog::{Catalog, CatalogError, FileProblem, FileReport};
use serve::{DirectoryTexts, FileChanges};
use telemetry::{Counter, Gauge, Metrics};

use crate::catalog_store::{CatalogStore, UserFiles};

/// Follows the directory and publishes its presets.
#[derive(Debug)]
pub(crate) struct UserPresets {
    directory: PathBuf,
    built_in: Arc<Catalog>,
    catalogs: Arc<CatalogStore>,
    files: Gauge<1>,
    presets: Gauge<1>,
    readable: Gauge<0>,
    reloads: Counter<1>,
}

impl UserPresets {
    /// Registers `kaito_preset_registry_user_preset_files{state}`, `kaito_preset_registry_presets{origin}`,
    /// `kaito_preset_registry_user_presets_readable` and `kaito_preset_registry_reloads_total{result}`.
    pub(crate) fn new(
        directory: PathBuf,
        built_in: Catalog,
        catalogs: Arc<CatalogStore>,
        metrics: &Metrics,
    ) -> Self {
        Self {
            directory,
            built_in: Arc::new(built_in),
            catalogs,
            files: metrics.gauge(
                "kaito_preset_registry_user_preset_files",
                "Files of users' presets, loaded or left out as malformed",
                ["state"],
            ),
            presets: metrics.gauge(
                "kaito_preset_registry_presets",
                "Presets that are served",
                ["origin"],
            ),
            readable: metrics.gauge(
                "kaito_preset_registry_user_presets_readable",
                "1 when the directory of users' presets can be read",
                [],
            ),
            reloads: metrics.counter(
                "kaito_preset_registry_reloads",
                "Reads of the directory of users' presets, by result",
                ["result"],
            ),
        }
    }

    /// Follows the directory forever.
    pub(crate) async fn follow(&self) {
        let mut changes = FileChanges::of_directory(&self.directory);
        loop {
            changes.next().await;
            self.reload().await;
        }
    }

    /// Reads the directory and publishes its presets.
    pub(crate) async fn reload(&self) {
        let (directory, built_in) = (self.directory.clone(), Arc::clone(&self.built_in));
        // Reading and parsing block, so they run on another thread.
        let merged = tokio::task::spawn_blocking(move || {
            let texts = serve::read_directory(&directory).map_err(|error| error.to_string())?;
            merge(&built_in, &texts).map_err(|error| error.to_string())
        });
        let merged = merged.await.unwrap_or_else(|error| Err(error.to_string()));
        let (catalog, files) = merged.unwrap_or_else(|error| self.unreadable(&error));
        self.publish(catalog, files);
    }

    /// The state after a failed read. The catalog stays: an unreadable file may still exist.
    fn unreadable(&self, error: &str) -> (Catalog, UserFiles) {
        let now = self.catalogs.current();
        let files = UserFiles {
            reports: now.files.reports.clone(),
            error: Some(format!("failed to read {}: {error}", self.directory.display())),
        };
        (Catalog::clone(&now.catalog), files)
    }

    fn publish(&self, catalog: Catalog, files: UserFiles) {
        let before = self.catalogs.current();
        if *before.files != files {
            log(&files);
        }
        self.measure(&catalog, &files);
        let (version, presets) = (catalog.version().to_owned(), catalog.len());
        let changed = self.catalogs.publish(catalog, files);
        if changed {
            tracing::info!(version, presets, "reloaded users' presets");
        }
        self.reloads.inc([if changed { "changed" } else { "same" }]);
    }

    fn measure(&self, catalog: &Catalog, files: &UserFiles) {
        let number = |count: usize| u32::try_from(count).map_or(f64::MAX, f64::from);
        let bad = files
            .reports
            .iter()
            .filter(|report| !report.problems.is_empty())
            .count();
        let brought = catalog
            .iter()
            .filter(|preset| catalog.is_users(&preset.name))
            .count();
        self.files.set(["bad"], number(bad));
        self.files.set(["loaded"], number(files.reports.len() - bad));
        self.presets.set(["user"], number(brought));
        self.presets.set(["built_in"], number(catalog.len() - brought));
        self.readable.set([], f64::from(u8::from(files.error.is_none())));
    }
}

/// Puts the presets of the files over the built-in ones.
fn merge(built_in: &Catalog, texts: &DirectoryTexts) -> Result<(Catalog, UserFiles), CatalogError> {
    let readable = texts
        .iter()
        .filter_map(|(name, text)| Some((name.as_str(), text.as_deref().ok()?)));
    let overlay = built_in.overlay(readable)?;
    let mut reports = overlay.files;
    reports.extend(texts.iter().filter_map(|(name, text)| {
        Some(FileReport {
            file: name.clone(),
            presets: Vec::new(),
            problems: vec![FileProblem {
                position: None,
                message: format!("failed to read the file: {}", text.as_ref().err()?),
            }],
        })
    }));
    reports.sort_by(|a, b| a.file.cmp(&b.file));
    let files = UserFiles { reports, error: None };
    Ok((overlay.catalog, files))
}

fn log(files: &UserFiles) {
    if let Some(error) = &files.error {
        tracing::error!(error, "failed to read users' presets, keeping the previous ones");
        return;
    }
    for report in &files.reports {
        for problem in &report.problems {
            tracing::error!(file = report.file, %problem, "left out malformed preset file");
        }
        if report.problems.is_empty() {
            tracing::info!(
                file = report.file,
                presets = report.presets.len(),
                "loaded preset file"
            );
        }
    }
}
