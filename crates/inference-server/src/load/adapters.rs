//! The adapters of a directory: read, and merged into a model or kept beside it.

use anyhow::ensure;
use model::{Adapter, Decoder, Lora};

use crate::args::{AdapterMode, Args};

/// Adapters as read.
#[derive(Debug)]
pub(crate) struct Adapters {
    mode: AdapterMode,
    /// By name.
    read: Vec<Adapter>,
}

impl Adapters {
    /// Reads all adapters of the directory that flags name.
    pub(crate) fn open(args: &Args) -> anyhow::Result<Self> {
        let read = read(args)?;
        let name = args.served_name();
        if args.adapter_mode == AdapterMode::Request {
            ensure!(
                read.iter().all(|adapter| adapter.name() != name),
                "an adapter and the model are both called `{name}`: requests could not tell them apart, so give the model \
                 another name with --served-model-name"
            );
        }
        Ok(Self {
            mode: args.adapter_mode,
            read,
        })
    }

    /// Those that become part of the weights.
    pub(crate) fn to_merge(&self) -> &[Adapter] {
        match self.mode {
            AdapterMode::Merge => &self.read,
            AdapterMode::Request => &[],
        }
    }

    /// Names of those that become part of the weights.
    pub(crate) fn merged(&self) -> Vec<String> {
        self.to_merge()
            .iter()
            .map(|adapter| adapter.name().to_owned())
            .collect()
    }

    /// Those that requests choose from.
    pub(crate) fn fitted(&self, decoder: &Decoder) -> anyhow::Result<Vec<Lora>> {
        let beside: &[Adapter] = match self.mode {
            AdapterMode::Merge => &[],
            AdapterMode::Request => &self.read,
        };
        let fitted: Vec<Lora> = beside
            .iter()
            .map(|adapter| decoder.prepare_lora(adapter))
            .collect::<Result<_, _>>()?;
        for lora in &fitted {
            tracing::info!(
                adapter = lora.name(),
                kb = lora.bytes() / 1000,
                "adapter answers requests of its name"
            );
        }
        Ok(fitted)
    }
}

fn read(args: &Args) -> anyhow::Result<Vec<Adapter>> {
    let Ok(entries) = std::fs::read_dir(&args.adapters_dir) else {
        tracing::info!(dir = %args.adapters_dir.display(), "no adapters directory found");
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
        let strength = args
            .adapter_strength
            .iter()
            .find(|(named, _)| *named == name)
            .map_or(1.0, |(_, strength)| *strength);
        adapters.push(Adapter::open(&dir, strength)?);
        tracing::info!(strength, "Adapter added: {name}");
    }
    let unknown = |name: &str| adapters.iter().all(|adapter| adapter.name() != name);
    if let Some((name, _)) = args.adapter_strength.iter().find(|(name, _)| unknown(name)) {
        anyhow::bail!(
            "--adapter-strength names `{name}`, and {} holds no such adapter",
            args.adapters_dir.display()
        );
    }
    Ok(adapters)
}
