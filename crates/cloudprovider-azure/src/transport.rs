//! The HTTP client below the Azure pipeline.
//!
//! It uses plain HTTP for exactly the addresses where that is permitted, follows no redirects and repeats no request.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::http::{AsyncRawResponse, HttpClient, Request, Transport};

use crate::config::ConnectError;
use crate::endpoint::{Endpoint, authority, respelled};

/// Timeout of opening a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Creates the transport of pipelines to these endpoints.
///
/// # Errors
/// When the HTTP client cannot be created, for example without root certificates.
pub(crate) fn transport(endpoints: &[&Endpoint]) -> Result<Transport, ConnectError> {
    install_crypto();
    let plain: Vec<(String, u16)> = endpoints
        .iter()
        .filter(|endpoint| endpoint.is_plain())
        .map(|endpoint| endpoint.authority())
        .map(|(host, port)| (host.to_owned(), port))
        .collect();
    let mut builder = reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none());
    if !plain.is_empty() {
        // Plain endpoints are on this machine or near it, where a proxy cannot reach them.
        builder = builder.no_proxy();
    }
    let client = builder
        .build()
        .map_err(|error| ConnectError::HttpClient(error.to_string()))?;
    Ok(Transport::new(Arc::new(Client {
        client: Arc::new(client),
        plain,
    })))
}

/// Installs a cryptography provider, which the HTTP client lacks. One that the program installed stays.
fn install_crypto() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Another thread may have installed one first, which is equally good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}

#[derive(Debug)]
struct Client {
    client: Arc<dyn HttpClient>,
    plain: Vec<(String, u16)>,
}

#[async_trait]
impl HttpClient for Client {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let (host, port) = authority(request.url());
        if !self.plain.iter().any(|(h, p)| h == host && *p == port) {
            return self.client.execute_request(request).await;
        }
        let mut request = request.clone();
        if let Some(url) = respelled(request.url().clone(), "http") {
            *request.url_mut() = url;
        }
        self.client.execute_request(&request).await
    }
}
