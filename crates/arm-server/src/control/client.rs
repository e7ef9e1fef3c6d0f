//! A typed client of the control API, for tests.

use reqwest::{Method, RequestBuilder};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Behaviour, ClusterView, Counters, FaultRule, NumberedFault, PoolEdit, PoolView, Recorded};

/// The server did not do as it was told.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// No answer, or one that cannot be read.
    #[error("the control API did not answer: {0}")]
    Http(#[from] reqwest::Error),
    /// Refused.
    #[error("the control API answered {status}: {text}")]
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
    /// When no HTTP client can be made.
    pub fn new(url: &str) -> Result<Self> {
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // Another thread may have been faster, which is as good.
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
    /// When the server does not answer or refuses.
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

    /// Takes a fault back.
    ///
    /// # Errors
    /// As [`Self::add_fault`], and when there is none of this number.
    pub async fn remove_fault(&self, id: u64) -> Result<()> {
        self.tell(self.request(Method::DELETE, &format!("/faults/{id}")))
            .await
    }

    /// Takes every fault back.
    ///
    /// # Errors
    /// As [`Self::add_fault`].
    pub async fn clear_faults(&self) -> Result<()> {
        self.tell(self.request(Method::DELETE, "/faults")).await
    }

    /// How the server behaves.
    ///
    /// # Errors
    /// As [`Self::add_fault`].
    pub async fn behaviour(&self) -> Result<Behaviour> {
        self.ask(self.request(Method::GET, "/behaviour")).await
    }

    /// Changes how the server behaves.
    ///
    /// # Errors
    /// As [`Self::add_fault`].
    pub async fn set_behaviour(&self, behaviour: &Behaviour) -> Result<()> {
        self.tell(self.with(Method::PUT, "/behaviour", behaviour)).await
    }

    /// Changes how the managed cluster is.
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

    /// Makes or changes a pool as somebody else would.
    ///
    /// # Errors
    /// As [`Self::add_fault`].
    pub async fn edit_pool(&self, name: &str, edit: &PoolEdit) -> Result<()> {
        self.tell(self.with(Method::PUT, &format!("/pools/{name}"), edit))
            .await
    }

    /// Takes a pool away as somebody else would, at once.
    ///
    /// # Errors
    /// As [`Self::add_fault`], and when there is none of this name.
    pub async fn remove_pool(&self, name: &str) -> Result<()> {
        self.tell(self.request(Method::DELETE, &format!("/pools/{name}")))
            .await
    }

    /// The requests after number `since`, oldest first.
    ///
    /// # Errors
    /// As [`Self::add_fault`].
    pub async fn requests(&self, since: u64) -> Result<Vec<Recorded>> {
        self.ask(self.request(Method::GET, &format!("/requests?since={since}")))
            .await
    }

    /// Forgets requests and counters.
    ///
    /// # Errors
    /// As [`Self::add_fault`].
    pub async fn clear_requests(&self) -> Result<()> {
        self.tell(self.request(Method::DELETE, "/requests")).await
    }

    /// How often what was asked.
    ///
    /// # Errors
    /// As [`Self::add_fault`].
    pub async fn counters(&self) -> Result<Counters> {
        self.ask(self.request(Method::GET, "/counters")).await
    }

    /// Makes every access token invalid.
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
