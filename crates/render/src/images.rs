//! Images of our pods; chart values set them.

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
}

impl Default for Images {
    /// Public images: upstream's base image, and our own at their current versions.
    fn default() -> Self {
        let registry = "mcr.microsoft.com/aks/kaito";
        Self {
            preset_registry: registry.to_owned(),
            base: format!("{registry}/kaito-base:0.5.0"),
            inference_server: format!("{registry}/inference-server:0.1.0"),
            tuning_job: format!("{registry}/tuning-job:0.1.0"),
            artifact: format!("{registry}/artifact:0.1.0"),
        }
    }
}
