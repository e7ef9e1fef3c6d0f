//! The pod of a tuning Job.
//!
//! Steps follow each other as init containers: weights, data, and, where the result is pushed, the tuning
//! itself, so that the only ordinary container is the push. A step that fails then fails the pod; a pusher
//! running beside the tuning would wait for ever for a result that never comes, on a node that is paid for.

use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec, Volume, VolumeMount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kaito_api::labels;

use crate::artifact::{self, Payload};
use crate::tuning::{Destination, Source, Tuning};
use crate::{inference, meta, paths, pod, scheduling, volume};

/// Layers that the tuning scripts would not find in a Phi-3 by themselves.
const PHI3_MODULES: &str = "k_proj,q_proj,v_proj,o_proj,gate_proj,down_proj,up_proj";

/// The pod that tunes the preset.
pub(crate) fn pod_template(tuning: &Tuning<'_>) -> PodTemplateSpec {
    let mut parts = Parts::default();
    parts.add_weights(tuning);
    parts.add_data(tuning);
    parts.add_result(tuning);
    let name = meta::name(tuning.workspace).to_owned();
    let spec = PodSpec {
        affinity: scheduling::affinity(tuning.workspace, tuning.platform),
        containers: parts.containers,
        image_pull_secrets: pod::pull_secrets(tuning.options()),
        init_containers: Some(parts.init),
        restart_policy: Some("Never".to_owned()),
        tolerations: Some(scheduling::tolerations(tuning.platform)),
        volumes: Some(parts.volumes),
        ..PodSpec::default()
    };
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            annotations: Some([(labels::DEFAULT_CONTAINER.to_owned(), name)].into()),
            labels: Some(meta::pod_labels(tuning.workspace)),
            ..ObjectMeta::default()
        }),
        spec: Some(pod::restricted(spec, pod::BASE_USER)),
    }
}

/// The pod as it grows; `mounts` are those of the tuning container.
#[derive(Debug)]
struct Parts {
    init: Vec<Container>,
    containers: Vec<Container>,
    volumes: Vec<Volume>,
    mounts: Vec<VolumeMount>,
}

impl Default for Parts {
    fn default() -> Self {
        let (volumes, mounts) = [volume::home(), volume::weights()].into_iter().unzip();
        Self {
            init: Vec::new(),
            containers: Vec::new(),
            volumes,
            mounts,
        }
    }
}

impl Parts {
    fn add_weights(&mut self, tuning: &Tuning<'_>) {
        let reference = format!(
            "{}/{}",
            tuning.platform.images.preset_registry, tuning.profile.weights_image
        );
        let secrets = tuning
            .options()
            .map(|options| options.image_pull_secrets.as_slice())
            .unwrap_or_default();
        let (_, mount) = volume::weights();
        let (container, credentials) = artifact::puller(
            "model-weights-downloader",
            (&reference, secrets),
            (paths::WEIGHTS, mount),
            tuning.platform,
        );
        self.init.push(container);
        self.volumes.extend(credentials);
    }

    fn add_data(&mut self, tuning: &Tuning<'_>) {
        let mount = || volume::mount("data-volume", paths::DATA);
        let data = match &tuning.input {
            Source::Urls(urls) => {
                let args = ["fetch".to_owned(), format!("--to={}", paths::DATA)]
                    .into_iter()
                    .chain(urls.iter().cloned());
                let container =
                    artifact::container("data-downloader", args.collect(), vec![mount()], tuning.platform);
                self.init.push(container);
                volume::empty("data-volume")
            }
            Source::Payload(Payload::Image {
                reference,
                pull_secrets,
            }) => {
                let from = (reference.as_str(), pull_secrets.as_slice());
                let (container, credentials) =
                    artifact::puller("data-puller", from, (paths::DATA, mount()), tuning.platform);
                self.init.push(container);
                self.volumes.extend(credentials);
                volume::empty("data-volume")
            }
            Source::Payload(Payload::Volume(source)) => volume::named("data-volume", source),
        };
        self.volumes.push(data);
        self.mounts
            .push(volume::mount_read_only("data-volume", paths::DATA));
    }

    fn add_result(&mut self, tuning: &Tuning<'_>) {
        let gpus = tuning.hardware.gpu.gpus;
        self.volumes.extend([
            volume::shm(gpus),
            volume::config("config-volume", &tuning.config()),
        ]);
        self.mounts.push(volume::mount("dshm", paths::SHM));
        self.mounts
            .push(volume::mount_read_only("config-volume", paths::CONFIG));
        self.mounts.push(volume::mount("results-volume", paths::RESULTS));
        let trainer = trainer(tuning, std::mem::take(&mut self.mounts));
        match &tuning.output {
            Destination::Volume(source) => {
                self.volumes.push(volume::named("results-volume", source));
                self.containers.push(trainer);
            }
            Destination::Image {
                reference,
                push_secret,
            } => {
                self.volumes.push(volume::empty("results-volume"));
                self.volumes.push(volume::docker_configs(
                    "push-secret",
                    std::slice::from_ref(push_secret),
                ));
                self.init.push(trainer);
                self.containers.push(pusher(tuning, reference));
            }
        }
    }
}

/// The container that tunes, and serves its metrics meanwhile.
fn trainer(tuning: &Tuning<'_>, mounts: Vec<VolumeMount>) -> Container {
    let gpus = tuning.hardware.gpu.gpus;
    let script = format!(
        "cd /workspace/tfs/ && python3 metrics_server.py & accelerate launch --num_processes={gpus} /workspace/tfs/fine_tuning.py"
    );
    let mut env = pod::home_env();
    if tuning.preset.name.starts_with("phi-3") {
        env.push(pod::env("DEFAULT_TARGET_MODULES", PHI3_MODULES));
    }
    env.push(pod::env("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True"));
    env.extend(pod::hub_token(tuning.options()));
    Container {
        name: meta::name(tuning.workspace).to_owned(),
        image: Some(pod::image(tuning.options(), &tuning.platform.images.base)),
        command: Some(["/bin/sh".to_owned(), "-c".to_owned(), script].into()),
        env: Some(env),
        ports: Some(vec![inference::http_port()]),
        resources: pod::gpus(gpus),
        volume_mounts: Some(mounts),
        ..Container::default()
    }
}

fn pusher(tuning: &Tuning<'_>, reference: &str) -> Container {
    let args = vec![
        "push".to_owned(),
        format!("--from={}", paths::RESULTS),
        format!("--wait-for={}", paths::TUNING_DONE),
        format!("--auth-dir={}", paths::PUSH_SECRET),
        format!("--base-model={}", tuning.preset.name),
        reference.to_owned(),
    ];
    let mounts = vec![
        volume::mount_read_only("results-volume", paths::RESULTS),
        volume::mount_read_only("push-secret", paths::PUSH_SECRET),
    ];
    artifact::container("pusher", args, mounts, tuning.platform)
}
