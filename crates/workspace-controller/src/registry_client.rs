//! The gRPC client of the preset registry. Its connection is replaced when the certificate files change.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use preset_registry_api::v1::preset_registry_client::PresetRegistryClient;
use serve::Reloaded;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

/// Time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

type Client = PresetRegistryClient<Channel>;

/// Gives out clients; clones share one connection.
#[derive(Clone, Debug)]
pub(crate) struct RegistryClient(Arc<RegistryConnection>);

#[derive(Debug)]
struct RegistryConnection {
    endpoint: Endpoint,
    tls: Option<Reloaded<ClientTlsConfig>>,
    /// The client in use, and the configuration that it was made with.
    current: Mutex<(Option<Arc<ClientTlsConfig>>, Client)>,
}

impl RegistryClient {
    /// Creates a client of a registry at an `http://` address, or with TLS at an `https://` one. Connects on first use.
    ///
    /// # Errors
    /// The address is not a URL, an `https://` one comes without TLS, or the certificates cannot be used.
    pub(crate) fn new(address: &str, tls: Option<Reloaded<ClientTlsConfig>>) -> anyhow::Result<Self> {
        let endpoint = Endpoint::from_shared(address.to_owned())
            .with_context(|| format!("--preset-registry must be a URL, not {address:?}"))?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(Duration::from_secs(30));
        if tls.is_none() && address.starts_with("https:") {
            anyhow::bail!("--preset-registry {address:?} needs --preset-registry-ca-file");
        }
        let config = tls.as_ref().map(Reloaded::current);
        let client = connect(&endpoint, config.as_deref())?;
        Ok(Self(Arc::new(RegistryConnection {
            endpoint,
            tls,
            current: Mutex::new((config, client)),
        })))
    }

    /// A client that uses the certificates read last. Streams of earlier clients continue.
    pub(crate) fn get(&self) -> Client {
        let wanted = self.0.tls.as_ref().map(Reloaded::current);
        let mut current = self.0.current.lock().unwrap_or_else(PoisonError::into_inner);
        let same = match (&wanted, &current.0) {
            (Some(wanted), Some(used)) => Arc::ptr_eq(wanted, used),
            _ => true,
        };
        if !same {
            match connect(&self.0.endpoint, wanted.as_deref()) {
                Ok(client) => *current = (wanted, client),
                Err(error) => {
                    tracing::error!(
                        error = format!("{error:#}"),
                        "failed to use new certificates, keeping the previous ones"
                    );
                    current.0 = wanted;
                }
            }
        }
        current.1.clone()
    }
}

fn connect(endpoint: &Endpoint, tls: Option<&ClientTlsConfig>) -> anyhow::Result<Client> {
    let endpoint = match tls {
        Some(tls) => endpoint
            .clone()
            .tls_config(tls.clone())
            .context("failed to use the certificates for the preset registry")?,
        None => endpoint.clone(),
    };
    Ok(PresetRegistryClient::new(endpoint.connect_lazy()))
}
