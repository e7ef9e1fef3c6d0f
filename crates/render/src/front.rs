//! Our server before an engine that is not ours: a sidecar that listens on the API's port.
//!
//! It adds `/chat`, the page, keys, encryption and limits. The engine listens on the pod's loopback. If it spans nodes, it listens
//! on all addresses, because its health check asks the first pod from the others.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Container, ExecAction, HTTPGetAction, Lifecycle, LifecycleHandler, Probe, ResourceRequirements,
    SleepAction, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::inference::Inference;
use crate::{paths, server, volume};

/// Name of the container, unless the Workspace has it.
const NAME: &str = "front";
/// Name for the front of a Workspace with that name.
const OTHER_NAME: &str = "kaito-front";
/// Seconds that open requests have to finish when the pod ends.
const DRAIN_SECONDS: u32 = 40;
/// Seconds in which clients learn that the pod ends, before it refuses them.
const DELAY_SECONDS: u32 = 5;
/// Seconds in which an engine behind the front stops.
const STOP_SECONDS: u32 = 15;
/// Seconds that our own engine has to finish requests: its default.
const OWN_DRAIN_SECONDS: u32 = 25;

/// Command that ends the front before the engine ends, and waits until its requests are answered. The engine's image has Python.
const DRAIN: &str = "import urllib.request as r; r.urlopen('http://127.0.0.1:5002/drain').read()";

/// Renders the sidecar.
pub(crate) fn container(inference: &Inference<'_>) -> Container {
    let name = if inference.workspace.name() == NAME {
        OTHER_NAME
    } else {
        NAME
    };
    let mut args = vec![
        format!("--engine-url=http://127.0.0.1:{}", paths::ENGINE_PORT),
        format!("--port={}", paths::HTTP_PORT),
        format!("--drain-address=127.0.0.1:{}", paths::DRAIN_PORT),
        format!("--drain-delay-seconds={DELAY_SECONDS}"),
        format!("--drain-seconds={DRAIN_SECONDS}"),
    ];
    args.extend(protection(inference));
    let mounts = mounts(inference);
    Container {
        name: name.to_owned(),
        image: Some(inference.platform.images.inference_server.clone()),
        args: Some(args),
        ports: Some(vec![server::http_port()]),
        // A sidecar: it starts before the engine, runs beside it and ends after it.
        restart_policy: Some("Always".to_owned()),
        liveness_probe: Some(live(inference)),
        readiness_probe: Some(live(inference)),
        resources: Some(resources()),
        volume_mounts: (!mounts.is_empty()).then_some(mounts),
        ..Container::default()
    }
}

/// The front runs even while the engine does not answer.
fn live(inference: &Inference<'_>) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some("/live".to_owned()),
            port: IntOrString::Int(paths::HTTP_PORT),
            scheme: inference.serving.scheme(),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(10),
        timeout_seconds: Some(5),
        ..Probe::default()
    }
}

fn resources() -> ResourceRequirements {
    let amounts = |amounts: &[(&str, &str)]| -> BTreeMap<String, Quantity> {
        let pair = |(name, amount): &(&str, &str)| ((*name).to_owned(), Quantity((*amount).to_owned()));
        amounts.iter().map(pair).collect()
    };
    ResourceRequirements {
        requests: Some(amounts(&[("cpu", "100m"), ("memory", "64Mi")])),
        // There is no limit of processors: throttling would delay every token.
        limits: Some(amounts(&[("memory", "512Mi")])),
        ..ResourceRequirements::default()
    }
}

/// Flags of keys, encryption, web pages of other origins and health, for the front and for our own engine.
pub(crate) fn protection(inference: &Inference<'_>) -> Vec<String> {
    let serving = &inference.serving;
    let keys = serving.api_keys_secret.iter();
    let keys = keys.map(|_| format!("--api-key-file={}/{}", paths::API_KEYS, paths::API_KEYS_KEY));
    let tls = serving.tls_secret.iter().flat_map(|_| {
        [
            format!("--tls-cert-file={}/tls.crt", paths::TLS),
            format!("--tls-key-file={}/tls.key", paths::TLS),
        ]
    });
    let origins = serving.cors_origins.iter();
    let origins = origins.map(|origin| format!("--cors-origin={origin}"));
    let stall = serving
        .stall_seconds
        .map(|seconds| format!("--stall-seconds={seconds}"));
    keys.chain(tls).chain(origins).chain(stall).collect()
}

/// Volumes of keys and of the certificate.
pub(crate) fn volumes(inference: &Inference<'_>) -> Vec<Volume> {
    let serving = &inference.serving;
    let keys = serving.api_keys_secret.iter();
    let keys = keys.map(|secret| volume::secret("api-keys", secret, &[paths::API_KEYS_KEY]));
    let tls = serving.tls_secret.iter();
    keys.chain(tls.map(|secret| volume::secret("tls", secret, &["tls.crt", "tls.key"])))
        .collect()
}

/// Mounts of these volumes.
pub(crate) fn mounts(inference: &Inference<'_>) -> Vec<VolumeMount> {
    let path = |name: &str| {
        if name == "tls" {
            paths::TLS
        } else {
            paths::API_KEYS
        }
    };
    let mount = |volume: &Volume| volume::mount_read_only(&volume.name, path(&volume.name));
    volumes(inference).iter().map(mount).collect()
}

/// End of an engine behind the front, and the seconds that the pod has for it.
///
/// The kubelet stops containers before sidecars, so the engine must wait until the front has answered everything.
pub(crate) fn engine_end() -> (Lifecycle, i64) {
    let command = ["python3", "-c", DRAIN].map(str::to_owned).to_vec();
    let handler = LifecycleHandler {
        exec: Some(ExecAction {
            command: Some(command),
        }),
        ..LifecycleHandler::default()
    };
    let seconds = DELAY_SECONDS + DRAIN_SECONDS + STOP_SECONDS;
    (before_stop(handler), i64::from(seconds))
}

/// End of our own engine, and the seconds that the pod has for it. It refuses connections once it stops, so it waits until clients
/// know that the pod ends.
pub(crate) fn own_end() -> (Lifecycle, i64) {
    let handler = LifecycleHandler {
        sleep: Some(SleepAction {
            seconds: i64::from(DELAY_SECONDS),
        }),
        ..LifecycleHandler::default()
    };
    (
        before_stop(handler),
        i64::from(DELAY_SECONDS + OWN_DRAIN_SECONDS + DELAY_SECONDS),
    )
}

fn before_stop(handler: LifecycleHandler) -> Lifecycle {
    Lifecycle {
        pre_stop: Some(handler),
        ..Lifecycle::default()
    }
}
