//! Users' presets: a directory of files over the built-in catalog, followed as it changes.
//!
//! What is served is a function of what the directory holds now. A bad file, and a directory that cannot be read,
//! is told in a log line, a metric and `GetCatalogStatus`, and stops nothing.

mod directory;

use std::path::PathBuf;
use std::sync::Arc;

use preset_catalog::{Catalog, CatalogError, FileProblem, FileReport};
use serve::FileChanges;
use telemetry::{Counter, Gauge, Metrics};

use crate::library::{Library, UserFiles};
use directory::Texts;

/// Follows the directory and publishes what it holds.
#[derive(Debug)]
pub(crate) struct Users {
    directory: PathBuf,
    built_in: Arc<Catalog>,
    library: Arc<Library>,
    files: Gauge<1>,
    presets: Gauge<1>,
    readable: Gauge<0>,
    reloads: Counter<1>,
}

impl Users {
    /// Registers `preset_registry_user_preset_files{state}`, `preset_registry_presets{origin}`,
    /// `preset_registry_user_presets_readable` and `preset_registry_reloads_total{result}`.
    pub(crate) fn new(
        directory: PathBuf,
        built_in: Catalog,
        library: Arc<Library>,
        metrics: &Metrics,
    ) -> Self {
        Self {
            directory,
            built_in: Arc::new(built_in),
            library,
            files: metrics.gauge(
                "preset_registry_user_preset_files",
                "Files of users' presets: loaded, or left out as bad",
                ["state"],
            ),
            presets: metrics.gauge("preset_registry_presets", "Presets that are served", ["origin"]),
            readable: metrics.gauge(
                "preset_registry_user_presets_readable",
                "1 when the directory of users' presets can be read",
                [],
            ),
            reloads: metrics.counter(
                "preset_registry_reloads",
                "Looks at the directory of users' presets",
                ["result"],
            ),
        }
    }

    /// Follows the directory for ever.
    pub(crate) async fn follow(&self) {
        let mut changes = FileChanges::of_directory(&self.directory);
        loop {
            changes.next().await;
            self.reload().await;
        }
    }

    /// Reads the directory and publishes what it holds.
    pub(crate) async fn reload(&self) {
        let (directory, built_in) = (self.directory.clone(), Arc::clone(&self.built_in));
        // Reading waits for the disk and parsing takes its time: neither is for the runtime's own threads.
        let merged = tokio::task::spawn_blocking(move || {
            let texts = directory::read(&directory).map_err(|error| error.to_string())?;
            merge(&built_in, &texts).map_err(|error| error.to_string())
        });
        let merged = merged.await.unwrap_or_else(|error| Err(error.to_string()));
        let (catalog, files) = merged.unwrap_or_else(|error| self.unreadable(&error));
        self.publish(catalog, files);
    }

    /// What cannot be read is not known to be gone: the catalog stays.
    fn unreadable(&self, error: &str) -> (Catalog, UserFiles) {
        let now = self.library.current();
        let files = UserFiles {
            reports: now.files.reports.clone(),
            error: Some(format!("{} cannot be read: {error}", self.directory.display())),
        };
        (Catalog::clone(&now.catalog), files)
    }

    fn publish(&self, catalog: Catalog, files: UserFiles) {
        let before = self.library.current();
        let told = *before.files == files;
        if !told {
            tell(&files);
        }
        self.measure(&catalog, &files);
        let (version, presets) = (catalog.version().to_owned(), catalog.len());
        let changed = self.library.publish(catalog, files);
        if changed {
            tracing::info!(version, presets, "users' presets were read");
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

/// The built-in presets and those of the files.
fn merge(built_in: &Catalog, texts: &Texts) -> Result<(Catalog, UserFiles), CatalogError> {
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
                message: format!("the file cannot be read: {}", text.as_ref().err()?),
            }],
        })
    }));
    reports.sort_by(|a, b| a.file.cmp(&b.file));
    let files = UserFiles { reports, error: None };
    Ok((overlay.catalog, files))
}

fn tell(files: &UserFiles) {
    if let Some(error) = &files.error {
        tracing::error!(error, "users' presets stay as they were read last");
        return;
    }
    for report in &files.reports {
        for problem in &report.problems {
            tracing::error!(file = report.file, %problem, "the file is left out");
        }
        if report.problems.is_empty() {
            tracing::info!(
                file = report.file,
                presets = report.presets.len(),
                "the file is served"
            );
        }
    }
}
