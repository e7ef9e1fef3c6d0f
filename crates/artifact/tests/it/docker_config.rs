//! Credentials for registries, as `docker login` writes them.

use testkit::image_registry::{PASSWORD, USER};

/// A directory with one Docker config file.
pub(crate) fn auth_dir(registry: &str, entry: &serde_json::Value) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let config = serde_json::json!({"auths": {registry: entry}});
    std::fs::write(directory.path().join("push-secret.json"), config.to_string()).unwrap();
    directory
}

/// Name and password, as `docker login` writes them.
pub(crate) fn login() -> serde_json::Value {
    use base64::Engine as _;
    let auth = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PASSWORD}"));
    serde_json::json!({"auth": auth})
}
