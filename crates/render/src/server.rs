//! The parts that the containers of all our servers share.

use k8s_openapi::api::core::v1::{Container, ContainerPort, EnvVar};

use crate::inference::Inference;
use crate::{paths, pod};

/// Container of an inference engine. It has the Workspace's name, as upstream tools expect.
pub(crate) fn container(inference: &Inference<'_>, image: &str, env: Vec<EnvVar>) -> Container {
    Container {
        name: inference.workspace.name().to_owned(),
        image: Some(pod::image(inference.options(), image)),
        env: Some(env),
        // The front has the API's port.
        ports: (!inference.has_front()).then(|| vec![http_port()]),
        resources: pod::resources(inference),
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
