//! The TLS configuration of a server, from PEM files that are read again when they change.
//!
//! New connections use the contents read last. Open connections stay.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::reload::{ReadError, Reload, Reloaded};

/// The PEM files of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate of the server, then those that lead to its authority.
    pub certificate: PathBuf,
    /// The private key of the certificate.
    pub key: PathBuf,
    /// Authorities of clients. If set, a client must show a certificate of one of them.
    pub client_authorities: Option<PathBuf>,
}

/// Files that TLS cannot be served from.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A file has no PEM block of the expected kind.
    #[error("expected a {expected} in PEM in {}, found no {expected}", file.display())]
    Missing {
        /// The file.
        file: PathBuf,
        /// The expected kind.
        expected: &'static str,
    },
    /// A PEM block is malformed.
    #[error("expected a {expected} in PEM in {}", file.display())]
    Pem {
        /// The file.
        file: PathBuf,
        /// The expected kind.
        expected: &'static str,
        /// The error of the parser.
        source: rustls::pki_types::pem::Error,
    },
    /// The certificate of an authority cannot be used as one.
    #[error("expected certificates of authorities in {}", file.display())]
    Authority {
        /// The file.
        file: PathBuf,
        /// The error of the TLS library.
        source: rustls::Error,
    },
    /// The authorities of clients cannot be used.
    #[error("failed to set up the check of client certificates")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    /// The certificate and the key do not match, or are of an unsupported kind.
    #[error("the certificate and the key must belong together")]
    Pair(#[source] rustls::Error),
}

impl TlsFiles {
    /// Reads the files, and follows them. `protocol` is the name for ALPN, such as `h2`. Requires a Tokio runtime.
    ///
    /// # Errors
    /// The files cannot be used.
    pub fn follow(
        self,
        protocol: &'static str,
        on_reload: impl Fn(Reload) + Send + 'static,
    ) -> Result<Reloaded<ServerConfig>, TlsError> {
        let mut files = vec![self.certificate.clone(), self.key.clone()];
        files.extend(self.client_authorities.clone());
        Reloaded::open(files, move |contents| self.parse(contents, protocol), on_reload)
    }

    /// Builds a configuration from the contents of the files, in the order of the fields.
    fn parse(&self, contents: &[Vec<u8>], protocol: &str) -> Result<ServerConfig, TlsError> {
        let contents_of = |index: usize| contents.get(index).map_or(&[][..], Vec::as_slice);
        let chain = certificates(&self.certificate, contents_of(0))?;
        let key = key(&self.key, contents_of(1))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Pair)?;
        let builder = match &self.client_authorities {
            None => builder.with_no_client_auth(),
            Some(file) => {
                let roots = Arc::new(authorities(file, contents_of(2))?);
                builder.with_client_cert_verifier(
                    WebPkiClientVerifier::builder_with_provider(roots, provider).build()?,
                )
            }
        };
        let mut config = builder.with_single_cert(chain, key).map_err(TlsError::Pair)?;
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        Ok(config)
    }
}

fn authorities(file: &Path, pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file, pem)? {
        roots.add(certificate).map_err(|source| TlsError::Authority {
            file: file.to_owned(),
            source,
        })?;
    }
    Ok(roots)
}

fn certificates(file: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let no_items = || Err(rustls::pki_types::pem::Error::NoItemsFound);
    certificates
        .and_then(|found| if found.is_empty() { no_items() } else { Ok(found) })
        .map_err(|source| pem_error(file, "certificate", source))
}

fn key(file: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|source| pem_error(file, "private key", source))
}

fn pem_error(file: &Path, expected: &'static str, source: rustls::pki_types::pem::Error) -> TlsError {
    let file = file.to_owned();
    match source {
        rustls::pki_types::pem::Error::NoItemsFound => TlsError::Missing { file, expected },
        source => TlsError::Pem {
            file,
            expected,
            source,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_to_belong_together() {
        let make = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (one, two) = (make(), make());
        let pem = one.cert.pem();
        let key = one.signing_key.serialize_pem();
        let files = TlsFiles {
            certificate: "tls.crt".into(),
            key: "tls.key".into(),
            client_authorities: None,
        };
        let parse = |chain: &str, key: &str| files.parse(&[chain.into(), key.into()], "h2");
        assert!(parse(&pem, &key).is_ok());
        let cases = [
            (pem.as_str(), two.signing_key.serialize_pem(), "together"),
            ("", key.clone(), "no certificate"),
            ("nonsense", key, "no certificate"),
            (&pem, String::new(), "no private key"),
            (&pem, pem.clone(), "no private key"),
        ];
        for (chain, key, problem) in cases {
            let error = parse(chain, &key).unwrap_err();
            assert!(error.to_string().contains(problem), "{error}");
        }
    }
}
