//! A certificate that this process makes for itself, and the authority that signed it.
//!
//! Neither private key is stored: the authority's is dropped once it has signed, the server's lives in memory. So no Secret is
//! needed, and a stolen ConfigMap signs nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;

/// Time before its making from which a certificate counts, for clients whose clock is behind.
const BACKDATED: Duration = Duration::from_secs(60 * 60);

/// A certificate that cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OwnCertificateError {
    /// A name cannot be in a certificate, or the random generator fails.
    #[error("failed to make a certificate")]
    Make(#[from] rcgen::Error),
    /// The TLS library rejects the certificate.
    #[error("failed to use the certificate")]
    Use(#[from] rustls::Error),
}

/// A certificate with its key, ready to serve.
#[derive(Debug, Clone)]
pub(crate) struct OwnCertificate {
    /// The certificate of the authority, in PEM.
    pub(crate) authority: String,
    /// The configuration that serves the certificate.
    pub(crate) config: Arc<ServerConfig>,
    /// The time at which a new one must be made.
    pub(crate) renew_at: SystemTime,
    /// The end of authority and certificate.
    pub(crate) end: SystemTime,
}

impl OwnCertificate {
    /// Makes a certificate for these names, for `localhost` and for the addresses of loopback. It is to be renewed after half of
    /// its lifetime.
    ///
    /// # Errors
    /// A name is malformed, or the system has no random numbers.
    pub(crate) fn make(
        names: &[String],
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<Self, OwnCertificateError> {
        let end = now + lifetime;
        let authority_key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        set_times(&mut params, now, end);
        // Clients try the authorities whose name the certificate gives, so each has its own.
        let name = format!("preset-registry {}", hex(authority_key.public_key_raw()));
        params.distinguished_name.push(DnType::CommonName, name);
        let authority = params.self_signed(&authority_key)?;
        let issuer = Issuer::from_params(&params, &authority_key);

        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new([names, &["localhost".to_owned()]].concat())?;
        for address in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
            params.subject_alt_names.push(SanType::IpAddress(address));
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params
            .distinguished_name
            .push(DnType::CommonName, "preset-registry");
        set_times(&mut params, now, end);
        let certificate = params.signed_by(&key, &issuer)?;

        let key = PrivateKeyDer::try_from(key.serialize_der())
            .map_err(|error| rustls::Error::General(error.to_owned()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self {
            authority: authority.pem(),
            config: Arc::new(config),
            renew_at: now + lifetime / 2,
            end,
        })
    }
}

fn set_times(params: &mut CertificateParams, now: SystemTime, end: SystemTime) {
    let since_epoch = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    params.not_before = date_time_ymd(1970, 1, 1) + since_epoch(now - BACKDATED);
    params.not_after = date_time_ymd(1970, 1, 1) + since_epoch(end);
}

/// The last bytes of a key, as a name.
fn hex(key: &[u8]) -> String {
    let tail = &key[key.len().saturating_sub(8)..];
    tail.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier as _;
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection};

    use super::*;

    const NAME: &str = "kaito-preset-registry.kaito-system.svc";

    /// Shakes hands in memory, at the present time.
    fn connects(server: &OwnCertificate, authorities: &[&OwnCertificate], name: &str) -> bool {
        let mut roots = RootCertStore::empty();
        for authority in authorities {
            roots
                .add(CertificateDer::from_pem_slice(authority.authority.as_bytes()).unwrap())
                .unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut server = ServerConnection::new(Arc::clone(&server.config)).unwrap();
        while client.is_handshaking() {
            let mut bytes = Vec::new();
            client.write_tls(&mut bytes).unwrap();
            server.read_tls(&mut bytes.as_slice()).unwrap();
            server.process_new_packets().unwrap();
            let mut bytes = Vec::new();
            server.write_tls(&mut bytes).unwrap();
            client.read_tls(&mut bytes.as_slice()).unwrap();
            if client.process_new_packets().is_err() {
                return false;
            }
        }
        true
    }

    #[test]
    fn clients_trust_the_authority_and_no_other() {
        let now = SystemTime::now();
        let make = || OwnCertificate::make(&[NAME.to_owned()], Duration::from_secs(60), now).unwrap();
        let (one, two) = (make(), make());
        for name in [NAME, "localhost", "127.0.0.1", "::1"] {
            assert!(connects(&one, &[&two, &one], name), "{name}");
            assert!(!connects(&one, &[&two], name), "{name}");
        }
        assert!(!connects(&one, &[&one], "example.com"));
        assert_eq!(one.renew_at, now + Duration::from_secs(30));
    }

    #[test]
    fn an_ended_certificate_is_refused() {
        let made = SystemTime::now() - Duration::from_secs(120);
        let old = OwnCertificate::make(&[], Duration::from_secs(60), made).unwrap();
        assert!(!connects(&old, &[&old], "localhost"));
        let verifier = {
            let mut roots = RootCertStore::empty();
            roots
                .add(CertificateDer::from_pem_slice(old.authority.as_bytes()).unwrap())
                .unwrap();
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .unwrap()
        };
        // The authority is no server.
        let authority = CertificateDer::from_pem_slice(old.authority.as_bytes()).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        assert!(
            verifier
                .verify_server_cert(&authority, &[], &name, &[], UnixTime::now())
                .is_err()
        );
    }

    #[test]
    fn a_malformed_name_is_an_error() {
        assert!(
            OwnCertificate::make(&["ä b".to_owned()], Duration::from_secs(60), SystemTime::now()).is_err()
        );
    }
}
