//! Images of our pods. They have no default, since nothing of ours is in a public registry; chart values set them.

/// Image references, complete with registry and tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// Registry and path of preset images, without a trailing slash.
    pub preset_registry: String,
    /// vLLM and the Python tuning scripts.
    pub base: String,
    /// Our inference server.
    pub inference_server: String,
    /// Our tuner.
    pub tuning_job: String,
    /// Our fetch, pull and push tool.
    pub artifact: String,
    /// Names of Secrets with credentials for these images, in the namespace of each Workspace.
    pub pull_secrets: Vec<String>,
}

impl Images {
    /// Returns the images of a registry that holds all of them: ours with a tag, and copies of upstream's.
    #[must_use]
    pub fn of_registry(registry: &str, tag: &str) -> Self {
        let ours = |name: &str| format!("{registry}/{name}:{tag}");
        Self {
            preset_registry: registry.to_owned(),
            base: format!("{registry}/kaito-base:0.5.0"),
            inference_server: ours("inference-server"),
            tuning_job: ours("tuning-job"),
            artifact: ours("artifact"),
            pull_secrets: Vec::new(),
        }
    }
}
