//! One write to the API server: its URL, its time limit, and the meaning of its response. It retries nothing.

use std::time::Duration;

use http::Request as HttpRequest;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use kube::client::Body;
use kube::core::Request;
use plan::{Kind, ObjectRef, PendingWrite, Verb, WriteOutcome, outcome};
use telemetry::Counter;

use crate::cache_writer::resource_version;
use crate::error::Error;
use crate::runtime::Runtime;

/// Time limit of one request.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Sends writes under the program's field manager.
#[derive(Clone)]
pub(crate) struct ApiWriter {
    client: Client,
    pub(crate) program: &'static str,
    writes: Counter<3>,
}

/// Result of a write that ends no reconcile.
#[derive(Debug, PartialEq)]
pub(crate) enum WriteResult {
    /// It took effect, unless nothing had to change.
    Written(Option<PendingWrite>),
    /// The object that is meant is gone.
    Absent,
    /// A disruption budget refused it, for now.
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
        let request = built.map_err(|source| Error::Unbuildable {
            what: what(),
            source: Box::new(source),
        })?;
        // Not `Client::request`, which drops the headers: one of them asks for a pause.
        let exchange = async {
            let response = self.client.send(request.map(Body::from)).await?;
            let (parts, body) = response.into_parts();
            Ok::<_, kube::Error>((parts, body.collect_bytes().await?))
        };
        match tokio::time::timeout(TIMEOUT, exchange).await {
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
