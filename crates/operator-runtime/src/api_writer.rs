//! One write to the API server: its URL, its time limit, and the meaning of its response. It retries nothing.
//!
//! No write is sent, or takes effect, after the lease may be another replica's.

use std::time::Duration;

use http::{Request as HttpRequest, Uri};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use kube::client::Body;
use kube::core::Request;
use plan::{Kind, ObjectRef, PendingWrite, Verb, WriteOutcome, outcome};
use telemetry::Counter;

use crate::cache_writer::resource_version;
use crate::error::Error;
use crate::fence::Fence;
use crate::runtime::Runtime;

/// Longest time of one request.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Sends writes under the program's field manager.
#[derive(Clone)]
pub(crate) struct ApiWriter {
    client: Client,
    pub(crate) program: &'static str,
    pub(crate) fence: Fence,
    writes: Counter<3>,
}

/// Result of a write that ends no reconcile.
#[derive(Debug, PartialEq)]
pub(crate) enum WriteResult {
    /// It took effect, unless nothing had to change.
    Written(Option<PendingWrite>),
    /// The object that is meant is gone.
    Absent,
    /// A disruption budget refused it, or an earlier write may still take effect.
    Blocked,
}

/// The part of a response that we read: the object's metadata, or nothing of a bare status.
#[derive(Debug, Default, serde::Deserialize)]
struct Response {
    #[serde(default)]
    metadata: ObjectMeta,
}

pub(crate) type Built = Result<HttpRequest<Vec<u8>>, kube::core::request::Error>;

impl ApiWriter {
    pub(crate) fn new(runtime: &Runtime) -> Self {
        Self {
            client: runtime.client.clone(),
            program: runtime.program,
            fence: runtime.fence.clone(),
            writes: runtime.metrics.writes.clone(),
        }
    }

    /// Sends a write after which the object exists, and returns its version.
    pub(crate) async fn write(
        &self,
        verb: Verb,
        target: &ObjectRef,
        built: Built,
    ) -> Result<WriteResult, Error> {
        let response = self.send(verb, target, built).await;
        interpret(verb, response, |response| {
            let version = resource_version(&response.metadata);
            // A version that cannot be compared is not awaited.
            (version > 0).then_some(PendingWrite::Version {
                kind: target.kind,
                version,
            })
        })
    }

    /// Sends a write after which the object with this UID is terminating or gone.
    pub(crate) async fn remove(
        &self,
        verb: Verb,
        target: ObjectRef,
        uid: String,
        built: Built,
    ) -> Result<WriteResult, Error> {
        let response = self.send(verb, &target, built).await;
        interpret(verb, response, |_| Some(PendingWrite::Deleted { target, uid }))
    }

    async fn send(&self, verb: Verb, target: &ObjectRef, built: Built) -> Result<Response, Error> {
        let result = self.exchange(verb, target, built).await;
        let label = match &result {
            Ok(_) => "ok",
            Err(error) => error.label(),
        };
        self.writes.inc([target.kind.as_str(), verb.as_str(), label]);
        result
    }

    async fn exchange(&self, verb: Verb, target: &ObjectRef, built: Built) -> Result<Response, Error> {
        let what = || format!("{} {}", verb.as_str(), describe(target));
        let unbuildable =
            |source: Box<dyn std::error::Error + Send + Sync>| Error::Unbuildable { what: what(), source };
        let mut request = built.map_err(|source| unbuildable(source.into()))?;
        let Some(permit) = self.fence.permit() else {
            return Err(Error::NotLeader { what: what() });
        };
        let limit = permit.left.map_or(TIMEOUT, |left| left.min(TIMEOUT));
        *request.uri_mut() = limited(request.uri(), limit).map_err(|source| unbuildable(source.into()))?;
        // Not `Client::request`, which drops the headers: one of them asks for a pause.
        let exchange = async {
            let response = self.client.send(request.map(Body::from)).await?;
            let (parts, body) = response.into_parts();
            Ok::<_, kube::Error>((parts, body.collect_bytes().await?))
        };
        match tokio::time::timeout(limit, exchange).await {
            Ok(Ok((parts, body))) if parts.status.is_success() => serde_json::from_slice(&body)
                .map_err(|error| Error::from_kube(what(), kube::Error::SerdeError(error))),
            Ok(Ok((parts, body))) => {
                let code = parts.status.as_u16();
                Err(Error::of_response(what(), code, &parts.headers, &body))
            }
            Ok(Err(error)) => Err(Error::from_kube(what(), error)),
            Err(_) => Err(Error::Timeout { what: what() }),
        }
    }
}

/// Adds the time limit to the URL: the server gives up as early as we do.
fn limited(uri: &Uri, limit: Duration) -> Result<Uri, http::uri::InvalidUri> {
    let gap = if uri.query().is_some_and(|query| !query.is_empty()) {
        "&"
    } else if uri.query().is_some() {
        ""
    } else {
        "?"
    };
    format!("{uri}{gap}timeout={}ms", limit.as_millis()).parse()
}

fn interpret(
    verb: Verb,
    response: Result<Response, Error>,
    pending: impl FnOnce(&Response) -> Option<PendingWrite>,
) -> Result<WriteResult, Error> {
    let error = match response {
        Ok(response) => return Ok(WriteResult::Written(pending(&response))),
        Err(error) => error,
    };
    match error.code().map(|code| outcome(verb, code)) {
        Some(WriteOutcome::Absent) => Ok(WriteResult::Absent),
        Some(WriteOutcome::Blocked) => Ok(WriteResult::Blocked),
        Some(WriteOutcome::Failed(class)) => Err(error.with_class(class)),
        None => Err(error),
    }
}

/// Returns the collection that contains the object, as requests are built from it.
pub(crate) fn collection(target: &ObjectRef) -> Request {
    Request::new(path(target.kind, target.namespace.as_deref()))
}

fn path(kind: Kind, namespace: Option<&str>) -> String {
    let version = kind.api_version();
    let prefix = if version.contains('/') { "/apis" } else { "/api" };
    match namespace {
        Some(namespace) => format!("{prefix}/{version}/namespaces/{namespace}/{}", kind.plural()),
        None => format!("{prefix}/{version}/{}", kind.plural()),
    }
}

fn describe(target: &ObjectRef) -> String {
    match &target.namespace {
        Some(namespace) => format!("{} {namespace}/{}", target.kind.as_str(), target.name),
        None => format!("{} {}", target.kind.as_str(), target.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_knows_the_time_limit() {
        let limited = |uri: &'static str| {
            super::limited(&Uri::from_static(uri), Duration::from_millis(2500))
                .unwrap()
                .to_string()
        };
        assert_eq!(limited("/api/v1/a"), "/api/v1/a?timeout=2500ms");
        assert_eq!(limited("/api/v1/a?"), "/api/v1/a?timeout=2500ms");
        assert_eq!(limited("/api/v1/a?b=c"), "/api/v1/a?b=c&timeout=2500ms");
    }

    #[test]
    fn paths_follow_group_and_scope() {
        assert_eq!(path(Kind::Pod, Some("a")), "/api/v1/namespaces/a/pods");
        assert_eq!(path(Kind::Node, None), "/api/v1/nodes");
        assert_eq!(
            path(Kind::Deployment, Some("a")),
            "/apis/apps/v1/namespaces/a/deployments"
        );
        assert_eq!(path(Kind::Machine, None), "/apis/karpenter.sh/v1alpha5/machines");
        assert_eq!(path(Kind::NodeClaim, None), "/apis/karpenter.sh/v1/nodeclaims");
    }
}
