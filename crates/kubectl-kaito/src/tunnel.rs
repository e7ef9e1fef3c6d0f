//! A connection to the pod behind the Service of a Workspace, through the API server: what `kubectl port-forward` does.
//!
//! Opens no port of this machine.

mod certificate;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context as _, bail};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::Api;
use kube::api::ListParams;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};

use crate::cluster::{ClusterAccess, in_time, list};

/// Name of the Service's port with TLS.
const HTTPS: &str = "https";
/// Time in which a kubelet says why it refuses a port.
const EXPLANATION: Duration = Duration::from_millis(500);

/// A stream of bytes in both directions.
pub(crate) trait Bytes: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Bytes for T {}

/// A port of a pod, at which a Workspace serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PodPort {
    pod: String,
    port: u16,
    /// The pod expects TLS.
    pub(crate) tls: bool,
    /// Name of the Service in the cluster.
    pub(crate) host: String,
}

/// An open connection.
pub(crate) struct Tunnel {
    stream: DuplexStream,
    /// Ends with the kubelet's complaint if there is one.
    complaint: Complaint,
}

/// The words of a kubelet that cannot reach the port.
pub(crate) struct Complaint(Pin<Box<dyn Future<Output = Option<String>> + Send>>);

impl PodPort {
    /// Finds a pod that is ready behind the Service of the Workspace.
    ///
    /// # Errors
    /// Fails if the Service or its pods cannot be read, or none is ready.
    pub(crate) async fn find(access: &ClusterAccess, workspace: &str) -> anyhow::Result<Self> {
        let namespace = &access.namespace;
        let services: Api<Service> = Api::namespaced(access.client.clone(), namespace);
        let service = in_time(services.get(workspace))
            .await
            .with_context(|| format!("failed to read Service {namespace}/{workspace}"))?;
        let spec = service.spec.as_ref();
        let selector = spec.and_then(|spec| spec.selector.as_ref());
        let labels: Vec<String> = selector
            .into_iter()
            .flatten()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        if labels.is_empty() {
            bail!("Service {namespace}/{workspace} must select pods");
        }
        let pods: Api<Pod> = Api::namespaced(access.client.clone(), namespace);
        let params = ListParams::default().labels(&labels.join(","));
        let pods = list(&pods, &params, &mut Vec::new()).await?;
        let pods = pods.with_context(|| format!("you may not list pods in namespace {namespace}"))?;
        let host = format!("{workspace}.{namespace}.svc");
        of(&service, &pods, host).with_context(|| {
            format!(
                "no pod of Workspace {namespace}/{workspace} is ready: see `kubectl kaito status {workspace}`"
            )
        })
    }

    /// Connects through the API server.
    ///
    /// # Errors
    /// Fails if the API server refuses or the pod is gone.
    pub(crate) async fn connect(&self, access: &ClusterAccess) -> anyhow::Result<Tunnel> {
        let pods: Api<Pod> = Api::namespaced(access.client.clone(), &access.namespace);
        let forwarded = in_time(pods.portforward(&self.pod, &[self.port])).await;
        let mut forwarder = forwarded.map_err(|error| refused(error, &access.namespace, &self.pod))?;
        let stream = forwarder.take_stream(self.port);
        let complaint = forwarder.take_error(self.port);
        let (stream, complaint) = stream.zip(complaint).context("failed to forward the port")?;
        Ok(Tunnel {
            stream,
            complaint: Complaint(Box::pin(complaint)),
        })
    }
}

impl Tunnel {
    /// The bytes as the pod sends them.
    pub(crate) fn raw(self) -> (DuplexStream, Complaint) {
        (self.stream, self.complaint)
    }

    /// The bytes without TLS, if the pod expects it.
    ///
    /// # Errors
    /// Fails if the pod and we agree on no encryption.
    pub(crate) async fn plain(self, target: &PodPort) -> anyhow::Result<(Box<dyn Bytes>, Complaint)> {
        if !target.tls {
            return Ok((Box::new(self.stream), self.complaint));
        }
        let stream = certificate::encrypted(self.stream, &target.host).await;
        let stream = stream.context("failed to agree on TLS with the pod")?;
        Ok((Box::new(stream), self.complaint))
    }
}

impl Complaint {
    /// Adds the kubelet's words to an error, if it says some soon.
    pub(crate) async fn added_to(self, error: anyhow::Error) -> anyhow::Error {
        match tokio::time::timeout(EXPLANATION, self.0).await {
            Ok(Some(words)) if !words.trim().is_empty() => error.context(words.trim().to_owned()),
            _ => error,
        }
    }
}

fn refused(error: anyhow::Error, namespace: &str, pod: &str) -> anyhow::Error {
    use kube::client::UpgradeConnectionError;
    let status = match error.downcast_ref() {
        Some(kube::Error::UpgradeConnection(UpgradeConnectionError::ProtocolSwitch(status))) => {
            status.as_u16()
        }
        Some(kube::Error::Api(status)) => status.code,
        _ => 0,
    };
    match status {
        403 => error.context(format!(
            "you may not forward ports in namespace {namespace}: it needs the verbs get and create on pods/portforward"
        )),
        _ => error.context(format!("failed to forward a port of pod {pod}")),
    }
}

/// Finds the port and a pod that serves it; the first by name, so that a conversation stays at one.
fn of(service: &Service, pods: &[Pod], host: String) -> Option<PodPort> {
    let ports = service.spec.as_ref()?.ports.as_ref()?;
    let port = ports
        .iter()
        .find(|port| ["http", HTTPS].contains(&port.name.as_deref().unwrap_or_default()))?;
    let number = match &port.target_port {
        Some(IntOrString::Int(number)) => *number,
        // The Services that we make name numbers.
        Some(IntOrString::String(_)) => return None,
        None => port.port,
    };
    let mut ready: Vec<&str> = pods
        .iter()
        .filter(|pod| is_ready(pod))
        .filter_map(|pod| pod.metadata.name.as_deref())
        .collect();
    ready.sort_unstable();
    Some(PodPort {
        pod: (*ready.first()?).to_owned(),
        port: u16::try_from(number).ok()?,
        tls: port.name.as_deref() == Some(HTTPS),
        host,
    })
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    pod.metadata.deletion_timestamp.is_none()
        && conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, ready: &str, is_leaving: bool) -> Pod {
        let mut pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": name},
            "status": {"conditions": [{"type": "Ready", "status": ready}]},
        }))
        .unwrap();
        if is_leaving {
            let time = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
            pod.metadata.deletion_timestamp = Some(time);
        }
        pod
    }

    fn service(name: &str) -> Service {
        serde_json::from_value(json!({"spec": {"ports": [
            {"name": "torch", "port": 29500, "targetPort": 29500}, {"name": name, "port": 80, "targetPort": 5000},
        ]}}))
        .unwrap()
    }

    #[test]
    fn the_first_ready_pod_serves() {
        let pods = [
            pod("w-a", "True", true),
            pod("w-d", "True", false),
            pod("w-b", "False", false),
            pod("w-c", "True", false),
        ];
        let found = of(&service("http"), &pods, "w.n.svc".to_owned());
        let expected = PodPort {
            pod: "w-c".to_owned(),
            port: 5000,
            tls: false,
            host: "w.n.svc".to_owned(),
        };
        assert_eq!(found, Some(expected));
        assert!(of(&service("https"), &pods, String::new()).is_some_and(|found| found.tls));
        assert_eq!(of(&service("grpc"), &pods, String::new()), None);
        assert_eq!(of(&service("http"), &pods[..1], String::new()), None);
    }
}
