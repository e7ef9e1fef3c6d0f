//! Requests to OpenAI's API of a Workspace's pod, each through a tunnel of its own: a pod may be replaced between two of them.

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kaito_api::{Workspace, labels};
use kube::Api;
use serde_json::Value;

use super::events::{self, Events, Piece};
use crate::cluster::{ClusterAccess, in_time};
use crate::output::printable;
use crate::tunnel::PodPort;

/// Variable with a key, for users who may not read Secrets.
const KEY_VARIABLE: &str = "KAITO_API_KEY";
/// Key of the Secret with the API keys, one a line.
const KEYS: &str = "keys";

/// The server of a Workspace.
pub(super) struct ModelServer<'a> {
    access: &'a ClusterAccess,
    workspace: &'a Workspace,
    key: Option<String>,
}

/// An answer that is still written.
pub(super) struct Answering {
    body: Incoming,
    events: Events,
}

impl<'a> ModelServer<'a> {
    /// Reads the key, if there is one.
    ///
    /// # Errors
    /// Fails if the named Secret cannot be read or has no keys.
    pub(super) async fn new(
        access: &'a ClusterAccess,
        workspace: &'a Workspace,
        secret: Option<&str>,
    ) -> anyhow::Result<Self> {
        let key = match secret {
            Some(name) => Some(key_of(access, name).await?),
            None => std::env::var(KEY_VARIABLE).ok().filter(|key| !key.is_empty()),
        };
        Ok(Self {
            access,
            workspace,
            key,
        })
    }

    /// Names of the model and its adapters.
    ///
    /// # Errors
    /// Fails if the server does not answer as OpenAI's API does.
    pub(super) async fn models(&self) -> anyhow::Result<Vec<String>> {
        let response = in_time_of_pod(self.send(Method::GET, "/v1/models", String::new())).await?;
        let body = response.into_body().collect().await?.to_bytes();
        let list: Value = serde_json::from_slice(&body).context("expected a list of models")?;
        let models = list["data"].as_array().into_iter().flatten();
        let names: Vec<String> = models
            .filter_map(|model| model["id"].as_str().map(str::to_owned))
            .collect();
        if names.is_empty() {
            bail!("expected a list of models, got {}", printable(&list.to_string()));
        }
        Ok(names)
    }

    /// Asks for an answer.
    ///
    /// # Errors
    /// Fails if the server refuses.
    pub(super) async fn ask(&self, body: &Value) -> anyhow::Result<Answering> {
        let response = self
            .send(Method::POST, "/v1/chat/completions", body.to_string())
            .await?;
        Ok(Answering {
            body: response.into_body(),
            events: Events::default(),
        })
    }

    async fn send(&self, method: Method, path: &str, body: String) -> anyhow::Result<Response<Incoming>> {
        let target = PodPort::find(self.access, self.workspace.name()).await?;
        let (stream, complaint) = target.connect(self.access).await?.plain(&target).await?;
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &target.host)
            .header(CONTENT_TYPE, "application/json");
        if let Some(key) = &self.key {
            request = request.header(AUTHORIZATION, format!("Bearer {key}"));
        }
        let request = request.body(Full::new(Bytes::from(body)));
        let request = request.context("the key must be printable ASCII")?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // It ends with the response, or with the program.
        tokio::spawn(connection);
        let response = match sender.send_request(request).await {
            Ok(response) => response,
            Err(error) => {
                let error = anyhow::Error::from(error).context("failed to send the request to the pod");
                return Err(complaint.added_to(error).await);
            }
        };
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refused(response).await)
    }

    async fn refused(&self, response: Response<Incoming>) -> anyhow::Error {
        let status = response.status();
        let body = response.into_body().collect().await;
        let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let text = String::from_utf8_lossy(&body);
        let error = serde_json::from_str::<Value>(&text).ok();
        let error = error.as_ref().and_then(|error| error.get("error"));
        let words = error.map_or_else(|| text.clone().into_owned(), events::message_of);
        let secret = self.workspace.annotation(labels::API_KEYS_SECRET);
        anyhow::anyhow!(explained(
            status,
            &printable(words.trim()),
            secret,
            self.key.is_some()
        ))
    }
}

impl Answering {
    /// The next pieces of the answer; `None` at its end.
    ///
    /// # Errors
    /// Fails if the connection or the server does.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Vec<Piece>>> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.context("the pod ended the connection before the end of its answer")?;
            if let Some(bytes) = frame.data_ref() {
                return self.events.push(bytes).map(Some);
            }
        }
        Ok(None)
    }
}

async fn key_of(access: &ClusterAccess, name: &str) -> anyhow::Result<String> {
    let namespace = &access.namespace;
    let secrets: Api<Secret> = Api::namespaced(access.client.clone(), namespace);
    let secret = in_time(secrets.get(name))
        .await
        .with_context(|| format!("failed to read Secret {namespace}/{name}"))?;
    let keys = secret.data.as_ref().and_then(|data| data.get(KEYS));
    keys.and_then(first_key)
        .with_context(|| format!("Secret {namespace}/{name} must have API keys, one a line, under `{KEYS}`"))
}

fn first_key(keys: &ByteString) -> Option<String> {
    let text = String::from_utf8_lossy(&keys.0);
    // The server ignores comments.
    let mut lines = text.lines().map(str::trim);
    let first = lines.find(|line| !line.is_empty() && !line.starts_with('#'));
    first.map(str::to_owned)
}

/// Waits for a short answer of the pod.
async fn in_time_of_pod<T>(request: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let limit = std::time::Duration::from_secs(30);
    tokio::time::timeout(limit, request)
        .await
        .with_context(|| format!("the pod did not answer within {} s", limit.as_secs()))?
}

/// Says why a request was refused, and what helps.
fn explained(status: StatusCode, words: &str, secret: Option<&str>, has_key: bool) -> String {
    match status {
        StatusCode::UNAUTHORIZED if has_key => {
            format!("the Workspace does not know this key: {words}")
        }
        StatusCode::UNAUTHORIZED => format!(
            "the Workspace asks for a key: say --key-from-secret {}, or set {KEY_VARIABLE}",
            secret.unwrap_or("NAME")
        ),
        StatusCode::NOT_FOUND if words.is_empty() => {
            "the pod must serve OpenAI's API, but does not know this path".to_owned()
        }
        StatusCode::TOO_MANY_REQUESTS => {
            format!("the model has as many requests as it allows, try again: {words}")
        }
        status => format!("the model answers {}: {words}", status.as_u16()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_helps() {
        let of = |status: u16, secret, has_key| {
            explained(StatusCode::from_u16(status).unwrap(), "words", secret, has_key)
        };
        assert!(of(401, Some("keys"), false).contains("--key-from-secret keys, or set KAITO_API_KEY"));
        assert!(of(401, None, false).contains("--key-from-secret NAME"));
        assert_eq!(
            of(401, Some("keys"), true),
            "the Workspace does not know this key: words"
        );
        assert!(of(429, None, false).contains("try again"));
        assert_eq!(of(400, None, false), "the model answers 400: words");
    }

    #[test]
    fn the_first_key_is_sent() {
        let key = |text: &str| first_key(&ByteString(text.as_bytes().to_vec()));
        assert_eq!(key("# old\n\n a \nb"), Some("a".to_owned()));
        assert_eq!(key(" \n"), None);
    }
}
