//! Trust in an https registry and a token for it, from files or from the cluster that it runs in.
//!
//! A registry publishes the authorities of its certificates and the audience of its tokens in a ConfigMap. The API server makes
//! tokens of a ServiceAccount, if the user may create them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use kube::api::PostParams;
use kube::{Api, Client, Config};
use preset_registry_api::published;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::transport::{Certificate, ClientTlsConfig};
use tonic::{Request, Status};

use crate::args::RegistryArgs;

/// Lifetime of a new token: the shortest that the API server allows.
const TOKEN_SECONDS: i64 = 600;
const TIMEOUT: Duration = Duration::from_secs(15);

/// Trust and token for a connection to a registry.
#[derive(Debug)]
pub(crate) struct RegistryAccess {
    pub(crate) tls: ClientTlsConfig,
    pub(crate) token: ShowToken,
}

/// Adds a token to requests, if there is one.
#[derive(Clone, Debug, Default)]
pub(crate) struct ShowToken(Option<MetadataValue<Ascii>>);

impl Interceptor for ShowToken {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}

impl ShowToken {
    fn new(token: &str) -> anyhow::Result<Self> {
        let mut value: MetadataValue<Ascii> = format!("Bearer {}", token.trim())
            .parse()
            .context("expected a token of one line")?;
        value.set_sensitive(true);
        Ok(Self(Some(value)))
    }
}

impl RegistryAccess {
    /// Reads files, and the cluster where a file is missing.
    ///
    /// # Errors
    /// Fails if a file or an object cannot be read, or the API server refuses a token. The text says what to do.
    pub(crate) async fn of(args: &RegistryArgs) -> anyhow::Result<Self> {
        let token = match &args.registry_token_file {
            Some(path) => {
                let text = std::fs::read_to_string(path);
                Some(text.with_context(|| format!("failed to read {}", path.display()))?)
            }
            None => None,
        };
        if let Some(path) = &args.registry_ca_file {
            let pem = std::fs::read(path).with_context(|| format!("failed to read {}", path.display()))?;
            return Ok(Self {
                tls: ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
                // A registry with a certificate of its own may accept callers without a token.
                token: token
                    .as_deref()
                    .map_or(Ok(ShowToken::default()), ShowToken::new)?,
            });
        }
        let Some((namespace, release)) = args.registry_release.split_once('/') else {
            bail!(
                "--registry-release must be NAMESPACE/RELEASE, not {}",
                args.registry_release
            );
        };
        let asking = Cluster::connect(namespace).await?.access(args, release, token);
        tokio::time::timeout(TIMEOUT, asking)
            .await
            .with_context(|| format!("the API server did not respond within {} s", TIMEOUT.as_secs()))?
    }
}

struct Cluster<'a> {
    client: Client,
    namespace: &'a str,
}

impl<'a> Cluster<'a> {
    async fn connect(namespace: &'a str) -> anyhow::Result<Self> {
        let mut config = Config::infer().await.context(
            "an https registry needs --registry-ca-file, or a kubeconfig of its cluster: set $KUBECONFIG",
        )?;
        config.connect_timeout = Some(Duration::from_secs(5));
        let client = Client::try_from(config).context("failed to use the kubeconfig")?;
        Ok(Self { client, namespace })
    }

    async fn access(
        self,
        args: &RegistryArgs,
        release: &str,
        token: Option<String>,
    ) -> anyhow::Result<RegistryAccess> {
        let name = format!("{release}-preset-registry-ca");
        let namespace = self.namespace;
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        let found = api.get(&name).await.with_context(|| {
            format!("failed to read ConfigMap {namespace}/{name}: set --registry-release, or give --registry-ca-file")
        })?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let data = found.data.unwrap_or_default();
        let authorities = published::authorities(&data, now.as_secs());
        if authorities.is_empty() {
            bail!("ConfigMap {namespace}/{name} has no authority: check that preset-registry runs");
        }
        let audience = found
            .metadata
            .annotations
            .unwrap_or_default()
            .remove(published::AUDIENCE);
        let token = match (token, audience.filter(|audience| !audience.is_empty())) {
            (Some(token), _) => ShowToken::new(&token)?,
            (None, Some(audience)) => ShowToken::new(&self.token(&args.registry_account, &audience).await?)?,
            (None, None) => ShowToken::default(),
        };
        Ok(RegistryAccess {
            tls: ClientTlsConfig::new().ca_certificates(authorities.into_iter().map(Certificate::from_pem)),
            token,
        })
    }

    async fn token(&self, account: &str, audience: &str) -> anyhow::Result<String> {
        let namespace = self.namespace;
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: Some(vec![audience.to_owned()]),
                expiration_seconds: Some(TOKEN_SECONDS),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
        let answer = api
            .create_token_request(account, &PostParams::default(), &request)
            .await;
        let answer = answer.with_context(|| {
            format!(
                "failed to create a token of ServiceAccount {namespace}/{account}: ask for the right, or for a token by \
                 `kubectl -n {namespace} create token {account} --audience {audience}` and give it as --registry-token-file"
            )
        })?;
        let token = answer.status.and_then(|status| status.token);
        token.context("the API server gave no token")
    }
}
