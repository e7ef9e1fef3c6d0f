//! Certificate and key of the server, from PEM files. Reads no files.

use std::sync::Arc;

use anyhow::Context as _;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// TLS with the certificate (and those that lead to its authority) and its key, both PEM.
///
/// # Errors
/// When either holds nothing usable, or they don't belong together.
pub(crate) fn config(certificates: &[u8], key: &[u8]) -> anyhow::Result<ServerConfig> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificates)
        .collect::<Result<_, _>>()
        .context("--tls-cert-file holds no usable certificate")?;
    anyhow::ensure!(!chain.is_empty(), "--tls-cert-file holds no certificate in PEM");
    let key = PrivateKeyDer::from_pem_slice(key).context("--tls-key-file holds no usable private key")?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("the certificate and the key cannot be used together")?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
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
        assert!(config(pem.as_bytes(), key.as_bytes()).is_ok());
        let cases = [
            (pem.as_str(), two.signing_key.serialize_pem(), "together"),
            ("", key.clone(), "no certificate"),
            ("nonsense", key, "no certificate"),
            (&pem, String::new(), "no usable private key"),
            (&pem, pem.clone(), "no usable private key"),
        ];
        for (chain, key, problem) in cases {
            let error = config(chain.as_bytes(), key.as_bytes()).unwrap_err();
            assert!(format!("{error:#}").contains(problem), "{error:#}");
        }
    }
}
