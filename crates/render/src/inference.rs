//! A preset that is served: what it needs, and the pod that serves it.

use k8s_openapi::api::core::v1::{
    Container, ContainerPort, EnvVar, PodSpec, PodTemplateSpec, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kaito_api::{PresetOptions, Workspace};
use plan::Manifest;
use preset_catalog::estimate::Placement;
use preset_catalog::{InferenceProfile, Preset, Runtime};

use crate::adapter::{self, Adapter};
use crate::hardware::Hardware;
use crate::platform::Platform;
use crate::{deployment, meta, native, paths, pod, scheduling, stateful_set, vllm, volume};

/// A preset to serve, with everything that was decided about it.
#[derive(Clone, Debug)]
pub struct Inference<'a> {
    /// Who wants it.
    pub workspace: &'a Workspace,
    /// What is served.
    pub preset: &'a Preset,
    /// How the preset is served.
    pub profile: &'a InferenceProfile,
    /// Which engine serves it.
    pub engine: Runtime,
    /// On how many nodes and GPUs.
    pub placement: Placement,
    /// What each node has.
    pub hardware: &'a Hardware,
    /// Longest context, in tokens; `None` leaves it to the engine.
    pub max_context: Option<u32>,
    /// Adapters to load beside the model.
    pub adapters: Vec<Adapter>,
    /// The installation.
    pub platform: &'a Platform,
}

impl Inference<'_> {
    /// The workload: a Deployment on one node, a StatefulSet on several.
    #[must_use]
    pub fn workload(&self) -> Manifest {
        if self.spans_nodes() {
            stateful_set::of(self).into()
        } else {
            deployment::of(self).into()
        }
    }

    /// The model is divided over several nodes.
    #[must_use]
    pub fn spans_nodes(&self) -> bool {
        self.placement.nodes > 1
    }

    /// GPUs of each pod.
    pub(crate) fn gpus(&self) -> u32 {
        if self.engine == Runtime::Native && self.profile.cpu {
            0
        } else {
            self.placement.gpus_per_node
        }
    }

    pub(crate) fn options(&self) -> Option<&PresetOptions> {
        Some(
            &self
                .workspace
                .spec
                .inference
                .as_ref()?
                .preset
                .as_ref()?
                .preset_options,
        )
    }

    /// Name of the user's ConfigMap; empty without one.
    pub(crate) fn config(&self) -> &str {
        self.workspace
            .spec
            .inference
            .as_ref()
            .map(|inference| inference.config.as_str())
            .unwrap_or_default()
    }

    /// Path of the user's settings, if there are any.
    pub(crate) fn config_file(&self) -> Option<String> {
        (!self.config().is_empty()).then(|| format!("{}/{}", paths::CONFIG, paths::INFERENCE_CONFIG_KEY))
    }
}

/// The pod that serves the preset.
pub(crate) fn pod_template(inference: &Inference<'_>) -> PodTemplateSpec {
    let adapters = adapter::parts(&inference.adapters, inference.platform);
    let (mut volumes, mut mounts) = volumes(inference);
    if let Some((volume, mount)) = (inference.engine == Runtime::Native)
        .then(|| native::token(inference))
        .flatten()
    {
        volumes.push(volume);
        mounts.push(mount);
    }
    volumes.extend(adapters.volumes);
    mounts.extend(adapters.mounts);
    let (container, user) = match inference.engine {
        Runtime::Vllm => (vllm::container(inference), pod::BASE_USER),
        Runtime::Native => (native::container(inference), pod::OUR_USER),
    };
    let spec = PodSpec {
        affinity: scheduling::affinity(inference.workspace, inference.platform),
        containers: vec![Container {
            volume_mounts: Some(mounts),
            ..container
        }],
        image_pull_secrets: pod::pull_secrets(inference.options()),
        init_containers: (!adapters.init.is_empty()).then_some(adapters.init),
        tolerations: Some(scheduling::tolerations(inference.platform)),
        volumes: Some(volumes),
        ..PodSpec::default()
    };
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(meta::pod_labels(inference.workspace)),
            ..ObjectMeta::default()
        }),
        spec: Some(pod::restricted(spec, user)),
    }
}

fn volumes(inference: &Inference<'_>) -> (Vec<Volume>, Vec<VolumeMount>) {
    let shm = (volume::shm(inference.gpus()), volume::mount("dshm", paths::SHM));
    let (mut volumes, mut mounts): (Vec<_>, Vec<_>) =
        [volume::home(), volume::weights(), shm].into_iter().unzip();
    if !inference.config().is_empty() {
        volumes.push(volume::config("config-volume", inference.config()));
        mounts.push(volume::mount_read_only("config-volume", paths::CONFIG));
    }
    (volumes, mounts)
}

/// What the containers of both engines have alike; the name is the Workspace's, as upstream tools expect.
pub(crate) fn server(inference: &Inference<'_>, image: &str, env: Vec<EnvVar>) -> Container {
    Container {
        name: meta::name(inference.workspace).to_owned(),
        image: Some(pod::image(inference.options(), image)),
        env: Some(env),
        ports: Some(vec![http_port()]),
        resources: pod::gpus(inference.gpus()),
        ..Container::default()
    }
}

/// The port of every server of ours.
pub(crate) fn http_port() -> ContainerPort {
    ContainerPort {
        name: Some("http".to_owned()),
        container_port: paths::HTTP_PORT,
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }
}
