//! The instance types of an installation: the built-in ones and those of the administrator's files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use instance_types::Catalog;

/// Flags about the administrator's instance types.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Instance types")]
pub struct InstanceTypeArgs {
    /// Directory of the administrator's files of instance types, such as a mounted ConfigMap; read at the start. A file with a
    /// problem ends the program.
    #[arg(long, env = "INSTANCE_TYPES_DIR")]
    pub instance_types_dir: Option<PathBuf>,
}

impl InstanceTypeArgs {
    /// Reads the files, puts them over the built-in instance types, and logs what they change.
    ///
    /// # Errors
    /// The directory or a file cannot be read, or a file has a problem; the text names file, line and field.
    pub fn load(&self) -> anyhow::Result<Arc<Catalog>> {
        let built_in = Catalog::embedded().map_err(|error| anyhow!("{error}"))?;
        let Some(directory) = &self.instance_types_dir else {
            return Ok(Arc::new(built_in.clone()));
        };
        let files = read(directory)
            .with_context(|| format!("failed to read instance types in {}", directory.display()))?;
        let texts = files.iter().map(|(file, text)| (file.as_str(), text.as_str()));
        let loaded = built_in
            .with_files(texts)
            .with_context(|| format!("failed to load instance types in {}", directory.display()))?;
        for changed in &loaded.changed {
            tracing::warn!(
                file = changed.file,
                cloud = changed.cloud.as_str(),
                name = changed.name,
                fields = changed.fields.join(", "),
                "replaced built-in instance type"
            );
        }
        tracing::info!(files = files.len(), "loaded instance types");
        Ok(Arc::new(loaded.catalog))
    }
}

fn read(directory: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let texts = serve::read_directory(directory)?;
    let files = texts.into_iter().map(|(file, text)| match text {
        Ok(text) => Ok((file, text)),
        Err(error) => Err(anyhow!("{file}: {error}")),
    });
    files.collect()
}

#[cfg(test)]
mod tests {
    use instance_types::Cloud;

    use super::*;

    fn load(files: &[(&str, &str)]) -> Result<Arc<Catalog>, String> {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        let args = InstanceTypeArgs {
            instance_types_dir: Some(directory.path().to_owned()),
        };
        args.load().map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn files_are_put_over_the_built_in_types() {
        let built_in = Catalog::embedded().unwrap();
        assert_eq!(*InstanceTypeArgs::default().load().unwrap(), *built_in);
        assert_eq!(*load(&[("notes.txt", "x")]).unwrap(), *built_in);
        let loaded = load(&[(
            "ours.yaml",
            "cloud: other\ninstance_types:\n- {name: box, gpus: 0}\n",
        )])
        .unwrap();
        assert!(loaded.lookup(Cloud::Other, "box").is_some());
    }

    #[test]
    fn an_error_names_file_line_and_field() {
        let error = load(&[(
            "ours.yaml",
            "cloud: azure\ninstance_types:\n- {name: box, gpu: 0}\n",
        )])
        .unwrap_err();
        assert!(
            error.contains("ours.yaml: line 3 column 15: unknown field `gpu`"),
            "{error}"
        );
        let args = InstanceTypeArgs {
            instance_types_dir: Some("/nowhere".into()),
        };
        let error = format!("{:#}", args.load().unwrap_err());
        assert!(
            error.contains("failed to read instance types in /nowhere"),
            "{error}"
        );
    }
}
