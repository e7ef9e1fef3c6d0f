//! Lookups at a real preset registry on a local port.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use operator_runtime::Key;
use preset_registry::{HubOptions, PresetServer, ServerOptions};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serve::{Readiness, TlsFiles};
use telemetry::Metrics;
use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;
use workspace_controller::presets::Presets;
use workspace_controller::registry_tls::{RegistryTlsArgs, RegistryTrust};
use workspace_plan::PresetLookup;

/// Certificates of an authority and two that it signed, as files.
struct Files {
    directory: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let files = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        files.renew();
        files
    }

    /// Replaces the authority and everything that it signed.
    fn renew(&self) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        fs::write(self.path("ca.crt"), authority.pem()).unwrap();
        for (name, host) in [("server", "localhost"), ("client", "controller")] {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
            let certificate = params.signed_by(&key, &authority).unwrap();
            fs::write(self.path(&format!("{name}.crt")), certificate.pem()).unwrap();
            fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn options(&self) -> ServerOptions {
        ServerOptions {
            tls: Some(TlsFiles {
                certificate: self.path("server.crt"),
                key: self.path("server.key"),
                client_authorities: Some(self.path("ca.crt")),
            }),
            ..ServerOptions::default()
        }
    }

    fn args(&self, identity: bool) -> RegistryTlsArgs {
        RegistryTlsArgs {
            preset_registry_ca_file: Some(self.path("ca.crt")),
            preset_registry_cert_file: identity.then(|| self.path("client.crt")),
            preset_registry_key_file: identity.then(|| self.path("client.key")),
            ..RegistryTlsArgs::default()
        }
    }
}

async fn serve(options: ServerOptions) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve_on(listener, options, CancellationToken::new()));
    address
}

async fn serve_on(listener: TcpListener, options: ServerOptions, token: CancellationToken) {
    let server = PresetServer::prepare(options, &Metrics::new()).await.unwrap();
    let gate = Readiness::new().gate("grpc");
    server.serve(listener, &gate, token).await.unwrap();
}

/// A client, and a way to wait for an answer as the queue of the program does.
struct Asker {
    presets: Presets,
    answered: UnboundedReceiver<Key>,
}

impl Asker {
    fn new(endpoint: &str, trust: RegistryTrust) -> anyhow::Result<Self> {
        let (sender, answered) = tokio::sync::mpsc::unbounded_channel();
        let presets = Presets::new(endpoint, trust, move |key| {
            let _ = sender.send(key);
        })?;
        Ok(Self { presets, answered })
    }

    async fn lookup(&mut self, name: &str) -> PresetLookup {
        let workspace = Key::namespaced("default", "w");
        loop {
            match self.presets.lookup(name, &workspace) {
                PresetLookup::Asking => assert_eq!(self.answered.recv().await, Some(workspace.clone())),
                answer => return answer,
            }
        }
    }
}

#[tokio::test]
async fn who_shows_a_certificate_is_answered() {
    let files = Files::new();
    let endpoint = format!("https://localhost:{}", serve(files.options()).await.port());
    let ask = |identity| {
        let mut asker = Asker::new(&endpoint, files.args(identity).trust(None).unwrap()).unwrap();
        async move { asker.lookup("phi-4").await }
    };
    assert!(matches!(ask(true).await, PresetLookup::Found(preset) if preset.name == "phi-4"));
    assert!(matches!(
        ask(false).await,
        PresetLookup::Unavailable { last_good: None, .. }
    ));
}

#[tokio::test]
async fn renewed_certificates_are_used_without_a_restart() {
    let files = Files::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let token = CancellationToken::new();
    let first = tokio::spawn(serve_on(listener, files.options(), token.clone()));
    let endpoint = format!("https://localhost:{}", address.port());
    let mut presets = Asker::new(&endpoint, files.args(true).trust(None).unwrap()).unwrap();
    assert!(matches!(presets.lookup("phi-4").await, PresetLookup::Found(_)));
    token.cancel();
    first.await.unwrap();
    files.renew();
    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(serve_on(listener, files.options(), CancellationToken::new()));
    // This name was not looked up before, so only the new registry can know it.
    let renewed = async {
        while !matches!(presets.lookup("falcon-7b").await, PresetLookup::Found(_)) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), renewed)
        .await
        .unwrap();
}

#[tokio::test]
async fn an_encrypted_registry_wants_an_authority() {
    let new = |endpoint: &str, trust| Asker::new(endpoint, trust).map(|_| ());
    let error = new("https://localhost:1", RegistryTrust::default())
        .unwrap_err()
        .to_string();
    assert!(error.contains("--preset-registry-ca-file"), "{error}");
    assert!(new("http://localhost:1", RegistryTrust::default()).is_ok());
    // A token must not be sent in plain text.
    let token = tempfile::NamedTempFile::new().unwrap();
    fs::write(token.path(), "secret").unwrap();
    let args = RegistryTlsArgs {
        preset_registry_token_file: Some(token.path().to_owned()),
        ..RegistryTlsArgs::default()
    };
    let error = new("http://localhost:1", args.trust(None).unwrap())
        .unwrap_err()
        .to_string();
    assert!(error.contains("must be an https URL"), "{error}");
}

#[tokio::test]
async fn what_the_registry_says_of_a_hub_is_passed_on() {
    let nobody = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let hub = HubOptions {
        endpoint: format!("http://{nobody}"),
        token_file: None,
        ca_file: None,
        cache_dir: None,
        redirect_hosts: Vec::new(),
        allow_private_endpoint: false,
        commits_only: false,
    };
    let address = serve(ServerOptions {
        hub: Some(hub),
        ..ServerOptions::default()
    })
    .await;
    let mut presets = Asker::new(&format!("http://{address}"), RegistryTrust::default()).unwrap();
    let PresetLookup::Unavailable { message, .. } = presets.lookup("acme/model").await else {
        panic!("a hub that is not there has a model");
    };
    let expected = format!("the hub at http://{nobody} cannot be asked for `acme/model`: no connection");
    assert!(message.contains(&expected), "{message}");
}
