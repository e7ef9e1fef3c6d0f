//! Writes kubeconfig files with a bearer token.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};

/// The contents of a user's kubeconfig.
#[derive(Debug, Clone, Copy)]
pub struct Kubeconfig<'a> {
    /// The address of the API server.
    pub server: &'a str,
    /// The file with the certificate authority.
    pub ca_file: &'a Path,
    /// The token.
    pub token: &'a str,
}

impl Kubeconfig<'_> {
    /// The text of the file.
    pub fn to_yaml(&self) -> String {
        format!(
            "apiVersion: v1\n\
             kind: Config\n\
             clusters:\n\
             - name: local\n  cluster:\n    server: {server}\n    certificate-authority: {ca}\n\
             users:\n\
             - name: user\n  user:\n    token: {token}\n\
             contexts:\n\
             - name: local\n  context:\n    cluster: local\n    user: user\n\
             current-context: local\n",
            server = self.server,
            ca = quoted(&self.ca_file.to_string_lossy()),
            token = quoted(self.token),
        )
    }
}

/// A YAML string that holds anything.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Writes a kubeconfig that only its owner may read, replacing the file whole.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, text: &str) -> Result<()> {
    let temporary = path.with_extension("new");
    File::options()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| std::fs::rename(&temporary, path))
        .with_context(|| format!("failed to write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_file_is_private_and_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kubeconfig");
        let config = Kubeconfig {
            server: "https://127.0.0.1:6443",
            ca_file: Path::new("/it's/ca.crt"),
            token: "t",
        };
        write(&path, &config.to_yaml()).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("    certificate-authority: '/it''s/ca.crt'\n"));
        assert!(text.contains("    server: https://127.0.0.1:6443\n"));
        assert!(text.contains("    token: 't'\n"));
    }
}
