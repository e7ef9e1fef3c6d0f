//! The parts that the containers of all our servers share.

use k8s_openapi::api::core::v1::{Container, ContainerPort, EnvVar, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use preset_catalog::Runtime;

use crate::inference::Inference;
use crate::{canonical, paths, pod};

/// Container of an inference engine. It has the Workspace's name, as upstream tools expect.
pub(crate) fn container(inference: &Inference<'_>, image: &str, env: Vec<EnvVar>) -> Container {
    Container {
        name: inference.workspace.name().to_owned(),
        image: Some(pod::image(inference.options(), image)),
        env: Some(env),
        // The front has the API's port.
        ports: (!inference.has_front()).then(|| vec![http_port()]),
        resources: resources(inference),
        ..Container::default()
    }
}

/// Port of every server of ours.
pub(crate) fn http_port() -> ContainerPort {
    ContainerPort {
        name: Some("http".to_owned()),
        container_port: paths::HTTP_PORT,
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }
}

/// Resources of an engine: its GPUs, and what the Workspace asks for.
///
/// Without a wish an engine on GPUs requests nothing else: it may use all of its node. Our own engine requests memory for the
/// weights, without which it would be the first pod to be evicted.
fn resources(inference: &Inference<'_>) -> Option<ResourceRequirements> {
    let serving = inference.serving;
    let is_own = inference.engine == Runtime::Native;
    let own_memory = inference
        .host
        .map(|host| format!("{}Mi", host.least_bytes().div_ceil(1 << 20)));
    let own_memory = own_memory.as_deref().and_then(canonical::quantity);
    let cpu = serving.cpu.clone().or_else(|| is_own.then(|| "500m".to_owned()));
    let memory = serving.memory.clone().or(own_memory);
    let mut all = pod::gpus(inference.gpus()).unwrap_or_default();
    let amounts = [("cpu", cpu), ("memory", memory)];
    for (name, amount) in amounts
        .into_iter()
        .filter_map(|(name, amount)| Some((name, amount?)))
    {
        let requests = all.requests.get_or_insert_default();
        requests.insert(name.to_owned(), Quantity(amount));
    }
    if let Some(memory) = &serving.memory {
        let limits = all.limits.get_or_insert_default();
        limits.insert("memory".to_owned(), Quantity(memory.clone()));
    }
    (all != ResourceRequirements::default()).then_some(all)
}
