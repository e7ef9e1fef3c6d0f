//! Adapters of a directory, to merge into a model or to keep beside it.

use anyhow::ensure;
use model::{Adapter, Decoder, Lora};

use crate::settings::{AdapterMode, AdapterSettings};

/// Adapters as read from the directory, by name.
#[derive(Debug)]
pub(super) struct Adapters {
    mode: AdapterMode,
    adapters: Vec<Adapter>,
}

impl Adapters {
    /// Reads all adapters of the directory.
    pub(super) fn open(settings: &AdapterSettings, model_name: &str) -> anyhow::Result<Self> {
        let adapters = read(settings)?;
        if settings.mode == AdapterMode::Request {
            ensure!(
                adapters.iter().all(|adapter| adapter.name() != model_name),
                "an adapter and the model must have different names, but both are `{model_name}`: set another \
                 --served-model-name"
            );
        }
        Ok(Self {
            mode: settings.mode,
            adapters,
        })
    }

    /// Returns the adapters to merge into the weights.
    pub(super) fn to_merge(&self) -> &[Adapter] {
        match self.mode {
            AdapterMode::Merge => &self.adapters,
            AdapterMode::Request => &[],
        }
    }

    /// Returns the names of the adapters to merge.
    pub(super) fn merged_names(&self) -> Vec<String> {
        self.to_merge()
            .iter()
            .map(|adapter| adapter.name().to_owned())
            .collect()
    }

    /// Returns the adapters that requests may name, fitted to the model.
    pub(super) fn fit(&self, decoder: &Decoder) -> anyhow::Result<Vec<Lora>> {
        let adapters: &[Adapter] = match self.mode {
            AdapterMode::Merge => &[],
            AdapterMode::Request => &self.adapters,
        };
        let loras: Vec<Lora> = adapters
            .iter()
            .map(|adapter| decoder.prepare_lora(adapter))
            .collect::<Result<_, _>>()?;
        for lora in &loras {
            tracing::info!(
                adapter = lora.name(),
                kb = lora.bytes() / 1000,
                "serving adapter under its name"
            );
        }
        Ok(loras)
    }
}

fn read(settings: &AdapterSettings) -> anyhow::Result<Vec<Adapter>> {
    let directory = &settings.directory;
    let Ok(entries) = std::fs::read_dir(directory) else {
        tracing::info!(directory = %directory.display(), "no adapters directory found");
        return Ok(Vec::new());
    };
    let mut dirs: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join("adapter_config.json").exists())
        .collect();
    dirs.sort();
    let mut adapters = Vec::new();
    for dir in dirs {
        let name = dir
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let strength = settings
            .strengths
            .iter()
            .find(|(named, _)| *named == name)
            .map_or(1.0, |(_, strength)| *strength);
        adapters.push(Adapter::open(&dir, strength)?);
        // Upstream's tests search the log for this text.
        tracing::info!(strength, "Adapter added: {name}");
    }
    let is_unknown = |name: &str| adapters.iter().all(|adapter| adapter.name() != name);
    if let Some((name, _)) = settings.strengths.iter().find(|(name, _)| is_unknown(name)) {
        anyhow::bail!(
            "--adapter-strength has the unknown adapter `{name}`: {} does not contain it",
            directory.display()
        );
    }
    Ok(adapters)
}
