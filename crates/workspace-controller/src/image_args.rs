//! Flags that name the images of Workspace pods. None has a default: the images are where the administrator put them.

use admission::table::EngineImageArgs;
use render::Images;
use thiserror::Error;

/// Images of the deployed containers. All are required.
#[derive(Clone, Debug, clap::Args)]
pub struct ImageArgs {
    /// Registry and path of preset images.
    #[arg(long, env = "PRESET_REGISTRY_NAME")]
    pub preset_registry_name: Option<String>,
    /// Image of the GPU engine.
    #[command(flatten)]
    pub engine: EngineImageArgs,
    /// Image of the inference server.
    #[arg(long, env = "INFERENCE_SERVER_IMAGE")]
    pub inference_server_image: Option<String>,
    /// Image of the tuner.
    #[arg(long, env = "TUNING_JOB_IMAGE")]
    pub tuning_job_image: Option<String>,
    /// Image of the artifact tool.
    #[arg(long, env = "ARTIFACT_IMAGE")]
    pub artifact_image: Option<String>,
    /// Secret with credentials for the images, in the namespace of each Workspace; may be repeated.
    #[arg(
        long,
        env = "IMAGE_PULL_SECRETS",
        value_delimiter = ',',
        value_name = "SECRET"
    )]
    pub image_pull_secret: Vec<String>,
}

/// Images without a reference.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "the images of Workspace pods must be named: push them with `cargo xtask image --push REGISTRY`, then set {}; \
     the chart does so from image.registry and workspaceImages",
    .flags.join(", ")
)]
pub struct UnnamedImages {
    flags: Vec<&'static str>,
}

impl ImageArgs {
    /// Returns the images.
    ///
    /// # Errors
    /// Fails if one is not named.
    pub fn images(&self) -> Result<Images, UnnamedImages> {
        let mut flags = Vec::new();
        let mut named = |flag, value: &Option<String>| {
            let value = value.as_deref().unwrap_or_default();
            if value.is_empty() {
                flags.push(flag);
            }
            value.to_owned()
        };
        let images = Images {
            preset_registry: named("--preset-registry-name", &self.preset_registry_name),
            base: named("--base-image", &self.engine.base_image),
            inference_server: named("--inference-server-image", &self.inference_server_image),
            tuning_job: named("--tuning-job-image", &self.tuning_job_image),
            artifact: named("--artifact-image", &self.artifact_image),
            pull_secrets: self.image_pull_secret.clone(),
        };
        if flags.is_empty() {
            Ok(images)
        } else {
            Err(UnnamedImages { flags })
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    const REGISTRY: &str = "registry.example.com/kaito";

    fn images(flags: &[&str]) -> Result<Images, UnnamedImages> {
        let args = crate::Args::try_parse_from([&["workspace-controller"], flags].concat());
        args.unwrap().images.images()
    }

    #[test]
    fn no_image_has_a_default() {
        let error = images(&[]).unwrap_err();
        assert_eq!(error.flags.len(), 5);
        let said = images(&[
            "--preset-registry-name=registry.example.com/kaito",
            "--base-image=registry.example.com/kaito/kaito-base:0.5.0",
            "--inference-server-image=registry.example.com/kaito/inference-server:1",
            "--tuning-job-image=",
        ]);
        assert_eq!(
            said.unwrap_err().to_string(),
            "the images of Workspace pods must be named: push them with `cargo xtask image --push REGISTRY`, then set \
             --tuning-job-image, --artifact-image; the chart does so from image.registry and workspaceImages"
        );
    }

    #[test]
    fn all_images_are_named() {
        let ours = |name: &str| format!("--{name}-image={REGISTRY}/{name}:0.1.0");
        let said = images(&[
            &format!("--preset-registry-name={REGISTRY}"),
            &format!("--base-image={REGISTRY}/kaito-base:0.5.0"),
            &ours("inference-server"),
            &ours("tuning-job"),
            &ours("artifact"),
        ]);
        assert_eq!(said, Ok(Images::of_registry(REGISTRY, "0.1.0")));
    }
}
