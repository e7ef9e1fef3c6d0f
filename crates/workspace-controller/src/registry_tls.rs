//! Trust in the preset registry and our identity there: flags, and the files that they name, which are read again when they
//! change.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use serve::Reloaded;
use tokio::sync::watch;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

/// Encryption and identity for an `https://` registry. Files are PEM.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Encryption of the preset registry")]
pub struct RegistryTlsArgs {
    /// ConfigMap, as NAMESPACE/NAME, in which the registry publishes the authorities of its certificates.
    #[arg(
        long,
        env = "PRESET_REGISTRY_CA_CONFIG_MAP",
        conflicts_with = "preset_registry_ca_file"
    )]
    pub preset_registry_ca_config_map: Option<String>,
    /// Authorities that the registry's certificate must come from.
    #[arg(long, env = "PRESET_REGISTRY_CA_FILE")]
    pub preset_registry_ca_file: Option<PathBuf>,
    /// File with our token for the registry, such as a projected ServiceAccount token.
    #[arg(long, env = "PRESET_REGISTRY_TOKEN_FILE")]
    pub preset_registry_token_file: Option<PathBuf>,
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

/// The authorities that are trusted, and our token.
#[derive(Debug, Default)]
pub struct RegistryTrust {
    pub(crate) authorities: Authorities,
    pub(crate) token: Option<Reloaded<MetadataValue<Ascii>>>,
}

/// The authorities of the registry.
#[derive(Debug, Default)]
pub(crate) enum Authorities {
    /// Plain text.
    #[default]
    None,
    /// From files.
    Files(Reloaded<ClientTlsConfig>),
    /// From the registry's ConfigMap; `None` before it was read.
    Published(watch::Receiver<Option<Arc<ClientTlsConfig>>>),
}

impl RegistryTlsArgs {
    /// Reads the files and follows them. `published` has the authorities of the ConfigMap, if one is named. Requires a Tokio
    /// runtime.
    ///
    /// # Errors
    /// A file cannot be read or used.
    pub fn trust(
        &self,
        published: Option<watch::Receiver<Option<Arc<ClientTlsConfig>>>>,
    ) -> anyhow::Result<RegistryTrust> {
        let authorities = match (published, &self.preset_registry_ca_file) {
            (Some(published), _) => Authorities::Published(published),
            (None, Some(file)) => Authorities::Files(self.files(file.clone())?),
            (None, None) => Authorities::None,
        };
        let token = self.preset_registry_token_file.clone();
        let token = token.map(|file| Reloaded::open(vec![file], parse_token, |_| ()));
        Ok(RegistryTrust {
            authorities,
            token: token.transpose()?,
        })
    }

    fn files(&self, authorities: PathBuf) -> anyhow::Result<Reloaded<ClientTlsConfig>> {
        let mut files = vec![authorities];
        if let (Some(certificate), Some(key)) =
            (&self.preset_registry_cert_file, &self.preset_registry_key_file)
        {
            files.extend([certificate.clone(), key.clone()]);
        }
        Reloaded::open(files, parse, |_| ())
    }
}

fn parse(contents: &[Vec<u8>]) -> anyhow::Result<ClientTlsConfig> {
    let config = match contents {
        [authorities] => trusting([authorities]),
        [authorities, certificate, key] => {
            trusting([authorities]).identity(Identity::from_pem(certificate, key))
        }
        _ => anyhow::bail!("expected one file or three"),
    };
    checked(config)
}

fn parse_token(contents: &[Vec<u8>]) -> anyhow::Result<MetadataValue<Ascii>> {
    let token = contents.first().map(Vec::as_slice).unwrap_or_default();
    let token = std::str::from_utf8(token).context("expected a token")?.trim();
    anyhow::ensure!(!token.is_empty(), "expected a token, found an empty file");
    let mut value: MetadataValue<Ascii> = format!("Bearer {token}").parse().context("expected a token")?;
    value.set_sensitive(true);
    Ok(value)
}

/// Returns a configuration that trusts these authorities.
pub(crate) fn trusting<T: AsRef<[u8]>>(authorities: impl IntoIterator<Item = T>) -> ClientTlsConfig {
    let authorities = authorities.into_iter().map(Certificate::from_pem);
    ClientTlsConfig::new().ca_certificates(authorities)
}

/// Only a use of a configuration parses the PEM, so that half of a new pair is refused here.
pub(crate) fn checked(config: ClientTlsConfig) -> anyhow::Result<ClientTlsConfig> {
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
        assert!(RegistryTlsArgs::default().trust(None).unwrap().token.is_none());
        for args in [
            RegistryTlsArgs {
                preset_registry_ca_file: Some("/nowhere/file".into()),
                ..RegistryTlsArgs::default()
            },
            RegistryTlsArgs {
                preset_registry_token_file: Some("/nowhere/file".into()),
                ..RegistryTlsArgs::default()
            },
        ] {
            let error = args.trust(None).unwrap_err().to_string();
            assert_eq!(error, "failed to read /nowhere/file");
        }
    }

    #[test]
    fn a_token_is_one_line_and_never_shown() {
        let parse = |text: &str| parse_token(&[text.as_bytes().to_vec()]);
        let token = parse(" abc\n").unwrap();
        assert_eq!(token.to_str().unwrap(), "Bearer abc");
        assert!(!format!("{token:?}").contains("abc"));
        for bad in ["", " \n", "a\nb"] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
