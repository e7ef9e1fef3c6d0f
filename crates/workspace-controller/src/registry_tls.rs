//! TLS to the preset registry: flags, and the files that they name, which are read again when they change.

use std::path::PathBuf;

use anyhow::Context as _;
use serve::Reloaded;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

/// PEM files for an `https://` registry.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Encryption of the preset registry")]
pub struct RegistryTlsArgs {
    /// Authorities that the registry's certificate must come from; required for an `https://` registry.
    #[arg(long, env = "PRESET_REGISTRY_CA_FILE")]
    pub preset_registry_ca_file: Option<PathBuf>,
    /// Client certificate for the registry.
    #[arg(
        long,
        env = "PRESET_REGISTRY_CERT_FILE",
        requires = "preset_registry_key_file",
        requires = "preset_registry_ca_file"
    )]
    pub preset_registry_cert_file: Option<PathBuf>,
    /// Private key of the client certificate.
    #[arg(
        long,
        env = "PRESET_REGISTRY_KEY_FILE",
        requires = "preset_registry_cert_file"
    )]
    pub preset_registry_key_file: Option<PathBuf>,
}

impl RegistryTlsArgs {
    /// Reads the files and follows them; `None` if no file is named. Requires a Tokio runtime.
    ///
    /// # Errors
    /// A file cannot be read or used.
    pub fn config(&self) -> anyhow::Result<Option<Reloaded<ClientTlsConfig>>> {
        let Some(authorities) = &self.preset_registry_ca_file else {
            return Ok(None);
        };
        let mut files = vec![authorities.clone()];
        if let (Some(certificate), Some(key)) =
            (&self.preset_registry_cert_file, &self.preset_registry_key_file)
        {
            files.extend([certificate.clone(), key.clone()]);
        }
        Reloaded::open(files, parse, |_| ()).map(Some)
    }
}

fn parse(contents: &[Vec<u8>]) -> anyhow::Result<ClientTlsConfig> {
    let config = ClientTlsConfig::new();
    let config = match contents {
        [authorities] => config.ca_certificate(Certificate::from_pem(authorities)),
        [authorities, certificate, key] => config
            .ca_certificate(Certificate::from_pem(authorities))
            .identity(Identity::from_pem(certificate, key)),
        _ => anyhow::bail!("expected one file or three"),
    };
    // Only a use of the configuration parses the PEM, so that half of a new pair is refused here.
    Endpoint::from_static("https://registry")
        .tls_config(config.clone())
        .context("failed to use the certificates for the preset registry")?;
    Ok(config)
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
        assert_eq!(error, "failed to read /nowhere/ca.crt");
    }
}
