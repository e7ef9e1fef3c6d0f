//! The gRPC client of the preset registry. Its connection is replaced when the trusted authorities change.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use preset_registry_api::v1::preset_registry_client::PresetRegistryClient;
use serve::Reloaded;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

use crate::registry_tls::{Authorities, RegistryTrust};

/// Time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// A client that shows our token.
pub(crate) type Client = PresetRegistryClient<InterceptedService<Channel, ShowToken>>;

/// Gives out clients; clones share one connection.
#[derive(Clone, Debug)]
pub(crate) struct RegistryClient(Arc<RegistryConnection>);

#[derive(Debug)]
struct RegistryConnection {
    endpoint: Endpoint,
    authorities: Authorities,
    token: ShowToken,
    /// The channel in use, and the configuration that it was made with.
    current: Mutex<Option<(Option<Arc<ClientTlsConfig>>, Channel)>>,
}

/// Adds our token to requests, if we have one.
#[derive(Clone, Debug)]
pub(crate) struct ShowToken(Option<Arc<Reloaded<MetadataValue<Ascii>>>>);

impl Interceptor for ShowToken {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            let value = MetadataValue::clone(&token.current());
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }
}

impl RegistryClient {
    /// Creates a client of a registry at an `http://` address, or with TLS at an `https://` one. Connects on first use.
    ///
    /// # Errors
    /// The address is not a URL, or its scheme does not fit the trust.
    pub(crate) fn new(address: &str, trust: RegistryTrust) -> anyhow::Result<Self> {
        let endpoint = Endpoint::from_shared(address.to_owned())
            .with_context(|| format!("--preset-registry must be a URL, not {address:?}"))?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(Duration::from_secs(30));
        let encrypted = address.starts_with("https:");
        let trusts = !matches!(trust.authorities, Authorities::None);
        if encrypted && !trusts {
            anyhow::bail!(
                "--preset-registry {address:?} needs --preset-registry-ca-config-map or --preset-registry-ca-file"
            );
        }
        if !encrypted && (trusts || trust.token.is_some()) {
            anyhow::bail!(
                "--preset-registry must be an https URL, not {address:?}: a token must not be sent unencrypted"
            );
        }
        Ok(Self(Arc::new(RegistryConnection {
            endpoint,
            authorities: trust.authorities,
            token: ShowToken(trust.token.map(Arc::new)),
            current: Mutex::new(None),
        })))
    }

    /// Returns a client that trusts the authorities received last. Streams of earlier clients continue.
    ///
    /// # Errors
    /// `UNAVAILABLE` while no authority is known.
    pub(crate) fn get(&self) -> Result<Client, Status> {
        let wanted = match &self.0.authorities {
            Authorities::None => None,
            Authorities::Files(files) => Some(files.current()),
            Authorities::Published(published) => {
                let config = published.borrow().clone();
                Some(
                    config
                        .ok_or_else(|| Status::unavailable("the registry has published no authority yet"))?,
                )
            }
        };
        let channel = self.0.channel(wanted)?;
        Ok(PresetRegistryClient::with_interceptor(
            channel,
            self.0.token.clone(),
        ))
    }
}

impl RegistryConnection {
    fn channel(&self, wanted: Option<Arc<ClientTlsConfig>>) -> Result<Channel, Status> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((used, channel)) = &*current {
            let same = match (&wanted, used) {
                (Some(wanted), Some(used)) => Arc::ptr_eq(wanted, used),
                _ => true,
            };
            if same {
                return Ok(channel.clone());
            }
        }
        let endpoint = match &wanted {
            Some(tls) => self.endpoint.clone().tls_config(ClientTlsConfig::clone(tls)),
            None => Ok(self.endpoint.clone()),
        };
        let endpoint = endpoint
            .map_err(|error| Status::unavailable(format!("failed to use the certificates: {error}")))?;
        let channel = endpoint.connect_lazy();
        *current = Some((wanted, channel.clone()));
        Ok(channel)
    }
}
