//! Encryption with real certificates: who gets in, and what happens when the files change.

use std::fs;
use std::path::{Path, PathBuf};

use preset_registry::ServerOptions;
use preset_registry_api::v1::GetPresetRequest;
use preset_registry_api::v1::preset_registry_client::PresetRegistryClient;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serve::TlsFiles;
use tonic::Status;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use crate::running::{Running, eventually};

/// An authority and what it signs.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Certificate and key in PEM.
    pub(crate) fn sign(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (
            params.signed_by(&key, &self.0).unwrap().pem(),
            key.serialize_pem(),
        )
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }
}

fn write(directory: &Path, authority: &Authority) {
    let (certificate, key) = authority.sign("registry.test");
    fs::write(directory.join("tls.key"), key).unwrap();
    fs::write(directory.join("tls.crt"), certificate).unwrap();
}

fn files(directory: &Path, client_authorities: Option<PathBuf>) -> ServerOptions {
    ServerOptions {
        tls: Some(TlsFiles {
            certificate: directory.join("tls.crt"),
            key: directory.join("tls.key"),
            client_authorities,
        }),
        ..ServerOptions::default()
    }
}

async fn ask(
    running: &Running,
    trusted: &Authority,
    identity: Option<(String, String)>,
) -> Result<(), Status> {
    let mut tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(trusted.pem()))
        .domain_name("registry.test");
    if let Some((certificate, key)) = identity {
        tls = tls.identity(Identity::from_pem(certificate, key));
    }
    let endpoint = Endpoint::from_shared(format!("https://{}", running.address)).unwrap();
    let channel = endpoint.tls_config(tls).unwrap().connect_lazy();
    let request = GetPresetRequest {
        name: "phi-4".to_owned(),
    };
    PresetRegistryClient::new(channel)
        .get_preset(request)
        .await
        .map(drop)
}

#[tokio::test]
async fn a_new_certificate_is_used_without_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let (first, second) = (Authority::new(), Authority::new());
    write(directory.path(), &first);
    let running = Running::with(files(directory.path(), None)).await;
    ask(&running, &first, None).await.unwrap();
    assert!(ask(&running, &second, None).await.is_err());
    assert!(running.get("phi-4").await.is_err(), "plain text is answered");

    fs::write(directory.path().join("tls.crt"), "not a certificate").unwrap();
    let failed = "kaito_preset_registry_tls_reloads_total{result=\"failed\"}";
    eventually(async || running.metrics.encode().unwrap().contains(failed)).await;
    ask(&running, &first, None).await.unwrap();

    write(directory.path(), &second);
    eventually(async || ask(&running, &second, None).await.is_ok()).await;
    assert!(ask(&running, &first, None).await.is_err());
}

#[tokio::test]
async fn clients_must_show_a_certificate_when_that_is_wanted() {
    let directory = tempfile::tempdir().unwrap();
    let (servers, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    write(directory.path(), &servers);
    let authorities = directory.path().join("clients.crt");
    fs::write(&authorities, clients.pem()).unwrap();
    let running = Running::with(files(directory.path(), Some(authorities.clone()))).await;
    assert!(ask(&running, &servers, None).await.is_err());
    assert!(
        ask(&running, &servers, Some(strangers.sign("stranger")))
            .await
            .is_err()
    );
    ask(&running, &servers, Some(clients.sign("controller")))
        .await
        .unwrap();
    fs::write(&authorities, strangers.pem()).unwrap();
    eventually(async || ask(&running, &servers, Some(strangers.sign("new"))).await.is_ok()).await;
    assert!(ask(&running, &servers, Some(clients.sign("old"))).await.is_err());
}

#[tokio::test]
async fn bad_files_are_no_start() {
    let directory = tempfile::tempdir().unwrap();
    let metrics = telemetry::Metrics::new();
    let prepare = || preset_registry::PresetServer::prepare(files(directory.path(), None), &metrics);
    let error = prepare().await.unwrap_err();
    assert_eq!(error.to_string(), "failed to set up TLS");
    write(directory.path(), &Authority::new());
    prepare().await.unwrap();
    fs::write(
        directory.path().join("tls.key"),
        KeyPair::generate().unwrap().serialize_pem(),
    )
    .unwrap();
    assert!(prepare().await.is_err(), "a key of another certificate");
}
