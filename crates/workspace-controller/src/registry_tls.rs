//! How the connection to the preset registry is encrypted: flags, and the files that they name.
//!
//! Read once, at the start. A registry whose certificate is renewed by the same authority goes on being trusted.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

/// Files for an `https://` registry, all PEM.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Encryption of the preset registry")]
pub struct RegistryTlsArgs {
    /// Authorities of which the registry's certificate must be; wanted for an `https://` registry.
    #[arg(long, env = "PRESET_REGISTRY_CA_FILE")]
    pub preset_registry_ca_file: Option<PathBuf>,
    /// Certificate that is shown to the registry.
    #[arg(
        long,
        env = "PRESET_REGISTRY_CERT_FILE",
        requires = "preset_registry_key_file",
        requires = "preset_registry_ca_file"
    )]
    pub preset_registry_cert_file: Option<PathBuf>,
    /// Key of that certificate.
    #[arg(
        long,
        env = "PRESET_REGISTRY_KEY_FILE",
        requires = "preset_registry_cert_file"
    )]
    pub preset_registry_key_file: Option<PathBuf>,
}

impl RegistryTlsArgs {
    /// What the files hold; `None` when none is named.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn config(&self) -> anyhow::Result<Option<ClientTlsConfig>> {
        let Some(authorities) = &self.preset_registry_ca_file else {
            return Ok(None);
        };
        let config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(authorities)?));
        let files = (&self.preset_registry_cert_file, &self.preset_registry_key_file);
        Ok(Some(match files {
            (Some(certificate), Some(key)) => {
                config.identity(Identity::from_pem(read(certificate)?, read(key)?))
            }
            _ => config,
        }))
    }
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_named() {
        assert!(RegistryTlsArgs::default().config().unwrap().is_none());
        let args = RegistryTlsArgs {
            preset_registry_ca_file: Some("/nowhere/ca.crt".into()),
            ..RegistryTlsArgs::default()
        };
        let error = args.config().unwrap_err().to_string();
        assert_eq!(error, "/nowhere/ca.crt cannot be read");
    }
}
