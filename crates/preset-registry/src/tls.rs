//! The certificate of the server and the authorities of its clients: files that are read again when they change.
//!
//! New connections get what was read last; files that cannot be used leave the server with what it had. Connections
//! that are open stay.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use telemetry::{Counter, Metrics};
use tokio::sync::watch;

use crate::files::Changes;

/// Where the PEM files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, then those that lead to its authority.
    pub certificate: PathBuf,
    /// The key of the certificate.
    pub key: PathBuf,
    /// Authorities of clients. With it, who shows no certificate of theirs is refused.
    pub client_authorities: Option<PathBuf>,
}

/// Files from which no TLS can be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or is not PEM of the wanted kind.
    #[error("{} holds no usable {what}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What is wrong.
        source: rustls::pki_types::pem::Error,
    },
    /// An authority's certificate is broken.
    #[error("{} holds a certificate that cannot be an authority", file.display())]
    Authority {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        source: rustls::Error,
    },
    /// The file of authorities is empty.
    #[error("no client could be accepted")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    /// Certificate and key don't belong together, or are of a kind that is not supported.
    #[error("the certificate and the key cannot be used together")]
    Pair(#[source] rustls::Error),
}

/// Follows the files.
#[derive(Debug)]
pub(crate) struct Tls {
    files: TlsFiles,
    current: watch::Sender<Arc<ServerConfig>>,
    reloads: Counter<1>,
}

impl Tls {
    /// Reads the files. Registers `preset_registry_tls_reloads_total{result}`.
    pub(crate) fn new(files: TlsFiles, metrics: &Metrics) -> Result<Self, TlsError> {
        let current = watch::Sender::new(Arc::new(load(&files)?));
        let reloads = metrics.counter(
            "preset_registry_tls_reloads",
            "Looks at the certificate files",
            ["result"],
        );
        Ok(Self {
            files,
            current,
            reloads,
        })
    }

    /// What the next connection is to use.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<ServerConfig>> {
        self.current.subscribe()
    }

    /// Follows the files for ever.
    pub(crate) async fn follow(&self) {
        let mut changes = Changes::of(self.directories());
        loop {
            changes.next().await;
            let files = self.files.clone();
            match tokio::task::spawn_blocking(move || load(&files)).await {
                Ok(Ok(config)) => {
                    self.current.send_replace(Arc::new(config));
                    self.reloads.inc(["loaded"]);
                    tracing::debug!("the certificate files were read");
                }
                Ok(Err(error)) => self.keep(&error),
                Err(error) => self.keep(&error),
            }
        }
    }

    fn keep(&self, error: &dyn std::error::Error) {
        self.reloads.inc(["failed"]);
        let source = error.source().map(ToString::to_string);
        tracing::error!(%error, source, "the certificate stays the one that was read last");
    }

    fn directories(&self) -> Vec<PathBuf> {
        let files = [&self.files.certificate, &self.files.key].into_iter();
        let mut directories: Vec<_> = files
            .chain(&self.files.client_authorities)
            .filter_map(|file| file.parent())
            .map(|directory| {
                if directory.as_os_str().is_empty() {
                    Path::new(".")
                } else {
                    directory
                }
            })
            .map(Path::to_owned)
            .collect();
        directories.sort();
        directories.dedup();
        directories
    }
}

fn load(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let chain = certificates(&files.certificate, "certificate")?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|source| TlsError::File {
        file: files.key.clone(),
        what: "private key",
        source,
    })?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Pair)?;
    let builder = match &files.client_authorities {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let roots = Arc::new(authorities(file)?);
            builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(roots, provider).build()?,
            )
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(TlsError::Pair)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn authorities(file: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file, "authority")? {
        roots.add(certificate).map_err(|source| TlsError::Authority {
            file: file.to_owned(),
            source,
        })?;
    }
    Ok(roots)
}

fn certificates(file: &Path, what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |source| TlsError::File {
        file: file.to_owned(),
        what,
        source,
    };
    let certificates: Vec<_> = CertificateDer::pem_file_iter(file)
        .map_err(failed)?
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    if certificates.is_empty() {
        return Err(failed(rustls::pki_types::pem::Error::NoItemsFound));
    }
    Ok(certificates)
}
