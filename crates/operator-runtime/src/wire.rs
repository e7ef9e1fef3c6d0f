//! One request to the API server: its URL, its time limit, and what its answer means. It retries nothing.

use std::time::Duration;

use http::Request as HttpRequest;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use kube::core::Request;
use plan::{Kind, ObjectRef};
use telemetry::Counter;

use crate::error::Error;

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(15);

/// The way to the API server.
#[derive(Clone)]
pub(crate) struct Wire {
    pub(crate) client: Client,
    pub(crate) program: &'static str,
    pub(crate) writes: Counter<3>,
}

/// What we read of an answer: the object's metadata, or nothing of a bare status.
#[derive(Debug, Default, serde::Deserialize)]
pub(crate) struct Reply {
    #[serde(default)]
    pub(crate) metadata: ObjectMeta,
}

pub(crate) type Built = Result<HttpRequest<Vec<u8>>, kube::core::request::Error>;

impl Wire {
    /// Sends one request and reads the metadata that comes back.
    pub(crate) async fn send(
        &self,
        verb: &'static str,
        target: &ObjectRef,
        built: Built,
    ) -> Result<Reply, Error> {
        let result = self.exchange(verb, target, built).await;
        let label = match &result {
            Ok(_) => "ok",
            Err(error) => error.label(),
        };
        self.writes.inc([target.kind.as_str(), verb, label]);
        result
    }

    async fn exchange(&self, verb: &'static str, target: &ObjectRef, built: Built) -> Result<Reply, Error> {
        let what = || format!("{verb} {}", describe(target));
        let request = built.map_err(|source| Error::Unbuildable {
            what: what(),
            source: Box::new(source),
        })?;
        match tokio::time::timeout(TIMEOUT, self.client.request::<Reply>(request)).await {
            Ok(answer) => answer.map_err(|error| Error::from_kube(what(), error)),
            Err(_) => Err(Error::Timeout { what: what() }),
        }
    }
}

/// The collection an object is in, as requests are built from it.
pub(crate) fn collection(target: &ObjectRef) -> Request {
    Request::new(path(target.kind, target.namespace.as_deref()))
}

fn path(kind: Kind, namespace: Option<&str>) -> String {
    let version = kind.api_version();
    let root = if version.contains('/') { "/apis" } else { "/api" };
    match namespace {
        Some(namespace) => format!("{root}/{version}/namespaces/{namespace}/{}", kind.plural()),
        None => format!("{root}/{version}/{}", kind.plural()),
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
