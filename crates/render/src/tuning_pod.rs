//! The pod of a tuning Job.
//!
//! Steps run one after the other as init containers: the check of the right to push, weights and data. The tuning itself is one
//! too if its result is pushed. A failed step fails the pod. The push is repeated beside the container that waits for it: see `push.rs`.

use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec, Volume, VolumeMount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kaito_api::labels;

use crate::artifact::{self, Payload};
use crate::model_commit::{DEFAULT_BRANCH, TUNING_WEIGHTS_STEP};
use crate::tuning::{Tuner, Tuning, TuningInput, TuningOutput};
use crate::{meta, paths, pod, push, scheduling, tuner, volume};

/// Renders the pod template.
pub(crate) fn pod_template(tuning: &Tuning<'_>) -> PodTemplateSpec {
    let mut parts = Parts::new(tuning.profile.disk_gib);
    parts.add_check(tuning);
    parts.add_weights(tuning);
    parts.add_data(tuning);
    parts.add_result(tuning);
    let name = tuner::name(tuning.workspace);
    let user = match tuning.tuner {
        Tuner::Scripts => pod::BASE_USER,
        Tuner::Native => pod::OUR_USER,
    };
    let mut spec = PodSpec {
        affinity: scheduling::affinity(tuning.workspace, tuning.platform),
        containers: parts.containers,
        image_pull_secrets: pod::image_pull_secrets(tuning.options(), &tuning.platform.images),
        init_containers: Some(parts.init),
        restart_policy: Some("Never".to_owned()),
        tolerations: Some(scheduling::tolerations(tuning.workspace, tuning.platform)),
        volumes: Some(parts.volumes),
        ..PodSpec::default()
    };
    tuning.platform.outgoing.add_to(&mut spec);
    let outgoing = &tuning.platform.outgoing;
    let mut annotations = outgoing.annotations(&name);
    annotations.extend(meta::config_hash(&tuning.config_hash));
    annotations.insert(labels::DEFAULT_CONTAINER.to_owned(), name);
    let mut pod_labels = meta::pod_labels(tuning.workspace);
    pod_labels.extend(outgoing.labels());
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            annotations: Some(annotations),
            labels: Some(pod_labels),
            ..ObjectMeta::default()
        }),
        spec: Some(pod::restricted(spec, user)),
    }
}

/// The pod under construction; `mounts` are those of the tuning container.
#[derive(Debug)]
struct Parts {
    init: Vec<Container>,
    containers: Vec<Container>,
    volumes: Vec<Volume>,
    mounts: Vec<VolumeMount>,
}

impl Parts {
    fn new(disk_gib: u32) -> Self {
        let weights = (volume::weights(disk_gib), volume::weights_mount());
        let (volumes, mounts) = [volume::home(), weights].into_iter().unzip();
        Self {
            init: Vec::new(),
            containers: Vec::new(),
            volumes,
            mounts,
        }
    }

    fn add_check(&mut self, tuning: &Tuning<'_>) {
        if let TuningOutput::Image(image, _) = &tuning.output {
            self.init.push(push::check(tuning, image));
        }
    }

    fn add_weights(&mut self, tuning: &Tuning<'_>) {
        if !tuning.profile.weights_files.is_empty() {
            self.init.push(hub_download(tuning));
            return;
        }
        let reference = format!(
            "{}/{}",
            tuning.platform.images.preset_registry, tuning.profile.weights_image
        );
        let secrets = pod::pull_secrets(tuning.options(), &tuning.platform.images);
        let mount = volume::weights_mount();
        let (container, credentials) = artifact::puller(
            TUNING_WEIGHTS_STEP,
            (&reference, &secrets),
            (paths::WEIGHTS, mount),
            tuning.platform,
        );
        self.init.push(container);
        self.volumes.extend(credentials);
    }

    fn add_data(&mut self, tuning: &Tuning<'_>) {
        let mount = || volume::mount("data-volume", paths::DATA);
        let data = match &tuning.input {
            TuningInput::Urls(urls) => {
                let to = (paths::DATA, mount());
                self.init
                    .push(artifact::fetcher("data-downloader", urls, to, tuning.platform));
                volume::empty("data-volume")
            }
            TuningInput::Payload(Payload::Image {
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
            TuningInput::Payload(Payload::Volume(source)) => volume::named("data-volume", source),
        };
        self.volumes.push(data);
        self.mounts
            .push(volume::mount_read_only("data-volume", paths::DATA));
    }

    fn add_result(&mut self, tuning: &Tuning<'_>) {
        if tuning.tuner == Tuner::Scripts {
            self.volumes.push(volume::shm(tuning.hardware.gpu.gpus));
            self.mounts.push(volume::mount("dshm", paths::SHM));
        }
        self.volumes
            .push(volume::config("config-volume", &tuning.config()));
        self.mounts
            .push(volume::mount_read_only("config-volume", paths::CONFIG));
        self.mounts
            .push(volume::mount("results-volume", paths::TUNING_RESULTS));
        let trainer = tuner::container(tuning, std::mem::take(&mut self.mounts));
        match &tuning.output {
            TuningOutput::Volume(source) => {
                self.volumes.push(volume::named("results-volume", source));
                self.containers.push(trainer);
            }
            TuningOutput::Image(image, kept) => {
                let results = match kept {
                    Some(source) => volume::named("results-volume", source),
                    None => volume::empty("results-volume"),
                };
                self.volumes.push(results);
                self.volumes.extend(push::volumes(image));
                self.init.push(trainer);
                self.init.push(push::pusher(tuning, image));
                self.containers.push(push::result(tuning, image));
            }
        }
    }
}

/// Container that downloads the weights from the model hub.
fn hub_download(tuning: &Tuning<'_>) -> Container {
    let preset = tuning.preset;
    let revision = preset.revision.as_deref().unwrap_or(DEFAULT_BRANCH);
    let hub = tuning.platform.downloads.hub.trim_end_matches('/');
    let url = |file: &String| format!("{hub}/{}/resolve/{revision}/{file}", preset.hub_id);
    let urls: Vec<String> = tuning.profile.weights_files.iter().map(url).collect();
    let mount = volume::weights_mount();
    let mut container = artifact::fetcher(
        TUNING_WEIGHTS_STEP,
        &urls,
        (paths::WEIGHTS, mount),
        tuning.platform,
    );
    let args = container.args.get_or_insert_default();
    // Before the URLs, which come last.
    let at = args.len().saturating_sub(urls.len());
    args.splice(at..at, tuning.platform.downloads.hub_flags());
    container
}
