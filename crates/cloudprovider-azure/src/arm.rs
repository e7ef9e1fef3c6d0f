//! Requests to Azure Resource Manager: paths, headers, timeouts and the access token.
//!
//! It returns responses unchanged. It repeats only a request whose token was refused, and only once.

use std::sync::Arc;
use std::time::Duration;

use azure_core::credentials::TokenCredential;
use azure_core::http::headers::HeaderName;
use azure_core::http::policies::Policy;
use azure_core::http::policies::auth::BearerTokenAuthorizationPolicy;
use azure_core::http::{
    ClientOptions, Context, Method, Pipeline, PipelineSendOptions, RawResponse, Request, RetryOptions, Url,
    UserAgentOptions,
};
use cloudprovider::{ErrorClass, ProviderError};

use crate::config::{AzureConfig, ConnectError, Settings};
use crate::credential::{Identity, RenewableCredential};
use crate::endpoint::Endpoint;
use crate::error::{self, Refusal};
use crate::transport::transport;

/// Version of the API: generally available, and with entity tags.
const API_VERSION: &str = "2025-05-01";
/// Headers with the writes or deletions that are left; their global forms are larger.
const REMAINING: [&str; 2] = [
    "x-ms-ratelimit-remaining-subscription-writes",
    "x-ms-ratelimit-remaining-subscription-deletes",
];
/// Audience of the public cloud, also used for plain test servers.
const PUBLIC_SCOPE: &str = "https://management.azure.com/.default";

/// An ARM client of one managed cluster.
#[derive(Debug)]
pub(crate) struct ArmClient {
    pipeline: Pipeline,
    credential: Arc<RenewableCredential>,
    endpoint: Endpoint,
    cluster: [String; 3],
    put_timeout: Duration,
    timeout: Duration,
}

/// A request without its token.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) url: Url,
    /// `If-Match` or `If-None-Match`.
    pub(crate) condition: Option<(&'static str, String)>,
    pub(crate) body: Option<String>,
}

impl Call {
    pub(crate) fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            condition: None,
            body: None,
        }
    }
}

/// A successful response.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    pub(crate) operation_url: Option<String>,
    pub(crate) request_id: Option<String>,
    /// Writes or deletions that Azure Resource Manager permits now.
    pub(crate) remaining: Option<u32>,
}

impl ArmClient {
    pub(crate) fn new(config: AzureConfig, settings: &Settings) -> Result<Self, ConnectError> {
        let transport = transport(&[&config.endpoint, &config.authority])?;
        let scope = scope(&config.endpoint);
        let identity = Identity {
            authority: config.authority,
            tenant: config.tenant,
            client: config.client,
            token_file: config.token_file,
        };
        let credential = Arc::new(RenewableCredential::new(identity, transport.clone())?);
        let bearer =
            BearerTokenAuthorizationPolicy::new(Arc::clone(&credential) as Arc<dyn TokenCredential>, [scope]);
        let options = ClientOptions {
            transport: Some(transport),
            retry: RetryOptions::none(),
            user_agent: UserAgentOptions {
                application_id: Some("kaito-gpu-provisioner".to_owned()),
            },
            ..ClientOptions::default()
        };
        let pipeline = Pipeline::new(
            option_env!("CARGO_PKG_NAME"),
            option_env!("CARGO_PKG_VERSION"),
            options,
            Vec::new(),
            vec![Arc::new(bearer) as Arc<dyn Policy>],
            None,
        );
        Ok(Self {
            pipeline,
            credential,
            endpoint: config.endpoint,
            cluster: [config.subscription, config.resource_group, config.cluster],
            put_timeout: settings.put_timeout,
            timeout: settings.timeout,
        })
    }

    /// Builds the URL of a resource below the cluster. Names keep their letter case.
    pub(crate) fn url(&self, below: &[&str]) -> Url {
        let [subscription, group, cluster] = &self.cluster;
        let mut url = self.endpoint.secure().clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.clear().extend([
                "subscriptions",
                subscription,
                "resourceGroups",
                group,
                "providers",
            ]);
            path.extend(["Microsoft.ContainerService", "managedClusters", cluster])
                .extend(below);
        }
        url.query_pairs_mut().append_pair("api-version", API_VERSION);
        url
    }

    /// Builds the URL of a list of the compute provider in the subscription. The query must be encoded.
    pub(crate) fn compute_url(&self, below: &[&str], query: &str) -> Url {
        let [subscription, ..] = &self.cluster;
        let mut url = self.endpoint.secure().clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.clear()
                .extend(["subscriptions", subscription, "providers", "Microsoft.Compute"])
                .extend(below);
        }
        url.set_query(Some(query));
        url
    }

    /// Returns a URL from a response, unchanged, if it leads back to Azure.
    ///
    /// # Errors
    /// Class `Invalid`, code `ForeignUrl`, if it leads to another server.
    pub(crate) fn follow(&self, url: &str) -> Result<Url, ProviderError> {
        self.endpoint.admit(url).ok_or_else(|| {
            let message = "Azure's response points to another server, which is not followed".to_owned();
            ProviderError::new(ErrorClass::Invalid, "ForeignUrl", message)
        })
    }

    /// Sends a request within its timeout.
    ///
    /// # Errors
    /// For any response that is not a success, and without a response.
    pub(crate) async fn send(&self, call: &Call) -> Result<Response, ProviderError> {
        let limit = if call.method == Method::Put {
            self.put_timeout
        } else {
            self.timeout
        };
        match tokio::time::timeout(limit, self.send_authorized(call)).await {
            Ok(result) => result,
            Err(_) => {
                let message = format!("no response to {} within {} s", call.method, limit.as_secs_f32());
                Err(ProviderError::new(ErrorClass::Transient, "Timeout", message))
            }
        }
    }

    async fn send_authorized(&self, call: &Call) -> Result<Response, ProviderError> {
        let response = self.send_once(call).await?;
        if u16::from(response.status()) != 401 {
            return read(&response);
        }
        self.credential.renew();
        read(&self.send_once(call).await?)
    }

    async fn send_once(&self, call: &Call) -> Result<RawResponse, ProviderError> {
        let mut request = Request::new(call.url.clone(), call.method);
        request.insert_header("accept", "application/json");
        if let Some((name, value)) = &call.condition {
            request.insert_header(*name, value.clone());
        }
        if let Some(body) = &call.body {
            request.insert_header("content-type", "application/json");
            request.set_body(body.clone());
        } else if call.method == Method::Post {
            request.insert_header("content-length", "0");
        }
        let options = PipelineSendOptions {
            skip_checks: true,
            ..PipelineSendOptions::default()
        };
        let sent = self
            .pipeline
            .send(&Context::new(), &mut request, Some(options))
            .await;
        sent.map_err(|error| error::from_transport(&error))
    }
}

fn scope(endpoint: &Endpoint) -> String {
    if endpoint.is_plain() {
        return PUBLIC_SCOPE.to_owned();
    }
    format!("{}/.default", endpoint.secure().as_str().trim_end_matches('/'))
}

fn read(response: &RawResponse) -> Result<Response, ProviderError> {
    let status = u16::from(response.status());
    let header = |name: &'static str| {
        response
            .headers()
            .get_optional_str(&HeaderName::from_static(name))
    };
    let body: &[u8] = response.body();
    let request_id = header("x-ms-request-id").or_else(|| header("x-ms-correlation-request-id"));
    if !error::is_success(status) {
        let (retry_after, date) = (header("retry-after"), header("date"));
        return Err(error::from_refusal(Refusal {
            status,
            body,
            retry_after,
            date,
            request_id,
        }));
    }
    Ok(Response {
        status,
        body: body.to_vec(),
        operation_url: header("azure-asyncoperation").map(str::to_owned),
        request_id: request_id.map(str::to_owned),
        remaining: REMAINING
            .iter()
            .filter_map(|name| header(name)?.parse().ok())
            .min(),
    })
}
