//! A typed client of the control API, for tests.

use reqwest::{Method, RequestBuilder};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Behavior, ClusterView, Counters, FaultRule, NumberedFault, PoolEdit, PoolView, Recorded};

/// A failed request to the control API.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// No response, or one that cannot be read.
    #[error("failed to call the control API: {0}")]
    Http(#[from] reqwest::Error),
    /// The server refused the request.
    #[error("the control API responded {status}: {text}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Body.
        text: String,
    },
}

type Result<T> = std::result::Result<T, ControlError>;

/// A client of the control API of one server.
#[derive(Clone, Debug)]
pub struct ControlClient {
    base: String,
    client: reqwest::Client,
}

impl ControlClient {
    /// A client of the server at this URL, such as `http://127.0.0.1:8080`.
    ///
    /// # Errors
    /// When no HTTP client can be created.
    pub fn new(url: &str) -> Result<Self> {
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // Another thread may have installed one first, which is equally good.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let client = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self {
            base: format!("{}/_control", url.trim_end_matches('/')),
            client,
        })
    }

    /// Scripts a fault; returns its number.
    ///
    /// # Errors
    /// When the server does not respond, or refuses.
    pub async fn add_fault(&self, rule: &FaultRule) -> Result<u64> {
        let answer: NumberedFault = self.ask(self.with(Method::POST, "/faults", rule)).await?;
        Ok(answer.id)
    }

    /// The scripted faults.
    ///
    /// # Errors
    /// As [`Self::add_fault`].
    pub async fn faults(&self) -> Result<Vec<NumberedFault>> {
        self.ask(self.request(Method::GET, "/faults")).await
    }

    /// Removes a fault.
    ///
    /// # Errors
    /// As [`Self::add_fault`], and when no fault has this number.
    pub async fn remove_fault(&self, id: u64) -> Result<()> {
        self.tell(self.request(Method::DELETE, &format!("/faults/{id}")))
            .await
    }

    /// Removes every fault.
    ///
    /// # Errors
    /// As [`Self::add_fault`].
    pub async fn clear_faults(&self) -> Result<()> {
        self.tell(self.request(Method::DELETE, "/faults")).await
    }

    /// Reads the behavior of the server.
    ///
    /// # Errors
    /// As [`Self::add_fault`].
    pub async fn behavior(&self) -> Result<Behavior> {
        self.ask(self.request(Method::GET, "/behavior")).await
    }

    /// Changes the behavior of the server.
    ///
    /// # Errors
    /// As [`Self::add_fault`].
    pub async fn set_behavior(&self, behavior: &Behavior) -> Result<()> {
        self.tell(self.with(Method::PUT, "/behavior", behavior)).await
    }

    /// Changes the state of the managed cluster.
    ///
    /// # Errors
    /// As [`Self::add_fault`].
    pub async fn set_cluster(&self, cluster: &ClusterView) -> Result<()> {
        self.tell(self.with(Method::PUT, "/cluster", cluster)).await
    }

    /// Every pool.
    ///
    /// # Errors
    /// As [`Self::add_fault`].
    pub async fn pools(&self) -> Result<Vec<PoolView>> {
        self.ask(self.request(Method::GET, "/pools")).await
    }

    /// Creates or changes a pool as another user.
    ///
    /// # Errors
    /// As [`Self::add_fault`].
    pub async fn edit_pool(&self, name: &str, edit: &PoolEdit) -> Result<()> {
        self.tell(self.with(Method::PUT, &format!("/pools/{name}"), edit))
            .await
    }

    /// Removes a pool at once, as another user.
    ///
    /// # Errors
    /// As [`Self::add_fault`], and when no pool has this name.
    pub async fn remove_pool(&self, name: &str) -> Result<()> {
        self.tell(self.request(Method::DELETE, &format!("/pools/{name}")))
            .await
    }

    /// Evicts the machines of a spot pool: at once, or this many milliseconds after their Nodes get the notice.
    ///
    /// # Errors
    /// As [`Self::add_fault`], and when no spot pool has this name.
    pub async fn evict_pool(&self, name: &str, notice_ms: u64) -> Result<()> {
        let path = format!("/pools/{name}/evict?notice_ms={notice_ms}");
        self.tell(self.request(Method::POST, &path)).await
    }

    /// The requests after number `since`, oldest first.
    ///
    /// # Errors
    /// As [`Self::add_fault`].
    pub async fn requests(&self, since: u64) -> Result<Vec<Recorded>> {
        self.ask(self.request(Method::GET, &format!("/requests?since={since}")))
            .await
    }

    /// Deletes requests and counters.
    ///
    /// # Errors
    /// As [`Self::add_fault`].
    pub async fn clear_requests(&self) -> Result<()> {
        self.tell(self.request(Method::DELETE, "/requests")).await
    }

    /// Numbers of requests.
    ///
    /// # Errors
    /// As [`Self::add_fault`].
    pub async fn counters(&self) -> Result<Counters> {
        self.ask(self.request(Method::GET, "/counters")).await
    }

    /// Revokes every access token.
    ///
    /// # Errors
    /// As [`Self::add_fault`].
    pub async fn revoke_tokens(&self) -> Result<()> {
        self.tell(self.request(Method::POST, "/tokens/revoke")).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    fn with(&self, method: Method, path: &str, body: &impl Serialize) -> RequestBuilder {
        self.request(method, path).json(body)
    }

    async fn send(&self, request: RequestBuilder) -> Result<reqwest::Response> {
        let response = request.send().await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        Err(ControlError::Refused {
            status,
            text: response.text().await.unwrap_or_default(),
        })
    }

    async fn ask<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T> {
        Ok(self.send(request).await?.json().await?)
    }

    async fn tell(&self, request: RequestBuilder) -> Result<()> {
        self.send(request).await.map(|_| ())
    }
}
