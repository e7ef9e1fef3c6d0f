//! The pod that serves a preset, whichever engine does it.

use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec, Volume, VolumeMount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use preset_catalog::Runtime;

use crate::inference::Inference;
use crate::{adapter, front, meta, native, paths, pod, scheduling, vllm, volume, weights};

/// Renders the pod template.
pub(crate) fn pod_template(inference: &Inference<'_>) -> PodTemplateSpec {
    let adapters = adapter::parts(&inference.adapters, inference.engine, inference.platform);
    let weights = weights::parts(inference);
    let (mut volumes, mut mounts) = volumes(inference, weights.mount);
    // After the home directory.
    weights
        .volume
        .into_iter()
        .for_each(|volume| volumes.insert(1, volume));
    volumes.extend(weights.credentials);
    volumes.extend(adapters.volumes);
    mounts.extend(adapters.mounts);
    let (container, user) = match inference.engine {
        Runtime::Vllm => (vllm::container(inference), pod::BASE_USER),
        Runtime::Native => (native::container(inference), pod::OUR_USER),
    };
    let mut init: Vec<Container> = weights.step.into_iter().chain(adapters.init).collect();
    let mut end = None;
    match inference.engine {
        Runtime::Vllm if inference.has_front() => {
            // Last, so that it starts once the adapters are there.
            init.push(front::container(inference));
            volumes.extend(front::volumes(inference));
            end = Some(front::engine_end());
        }
        Runtime::Vllm => {}
        Runtime::Native => {
            volumes.extend(front::volumes(inference));
            mounts.extend(front::mounts(inference));
            end = Some(front::own_end());
        }
    }
    let (lifecycle, grace) = end.unzip();
    let mut spec = PodSpec {
        affinity: scheduling::affinity(inference.workspace, inference.platform),
        containers: vec![Container {
            volume_mounts: Some(mounts),
            lifecycle,
            ..container
        }],
        image_pull_secrets: pod::image_pull_secrets(inference.options(), &inference.platform.images),
        init_containers: (!init.is_empty()).then_some(init),
        termination_grace_period_seconds: grace,
        tolerations: Some(scheduling::tolerations(inference.workspace, inference.platform)),
        volumes: Some(volumes),
        ..PodSpec::default()
    };
    inference.platform.outgoing.add_to(&mut spec);
    let outgoing = &inference.platform.outgoing;
    let mut annotations = outgoing.annotations(inference.workspace.name());
    annotations.extend(meta::config_hash(&inference.config_hash));
    let mut labels = meta::pod_labels(inference.workspace);
    labels.extend(outgoing.labels());
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            annotations: (!annotations.is_empty()).then_some(annotations),
            labels: Some(labels),
            ..ObjectMeta::default()
        }),
        spec: Some(pod::restricted(spec, user)),
    }
}

fn volumes(inference: &Inference<'_>, weights: VolumeMount) -> (Vec<Volume>, Vec<VolumeMount>) {
    let (home, home_mount) = volume::home();
    let mut volumes = vec![home, volume::shm(inference.gpus())];
    let mut mounts = vec![home_mount, weights, volume::mount("dshm", paths::SHM)];
    if !inference.config().is_empty() {
        // The flags stand on the command line, so that a pod starts without the ConfigMap too. It may hold a chat template.
        volumes.push(volume::optional_config("config-volume", inference.config()));
        mounts.push(volume::mount_read_only("config-volume", paths::CONFIG));
    }
    (volumes, mounts)
}
