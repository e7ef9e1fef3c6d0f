//! Runs the containers of a pod as processes of this machine. Volumes are directories, and images are the programs beside
//! the test. Every path that a container names must be on one of its volumes.
//!
//! It rejects fields that it does not support, so that nothing in a pod is left out silently.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Mutex;
use std::time::SystemTime;

use integration_tests::programs::{Server, program, run};
use k8s_openapi::api::core::v1::{Container, PodSpec, Volume, VolumeMount};
use render::Images;

/// Contents of volumes: keys and their texts, by the name of the ConfigMap or Secret.
#[derive(Default)]
pub(crate) struct Objects {
    pub(crate) config_maps: BTreeMap<String, BTreeMap<String, String>>,
    pub(crate) secrets: BTreeMap<String, BTreeMap<String, String>>,
}

/// A pod whose volumes are there.
pub(crate) struct Pod {
    spec: PodSpec,
    images: Images,
    scratch: tempfile::TempDir,
    /// They end with this value.
    sidecars: Mutex<Vec<Child>>,
}

impl Drop for Pod {
    fn drop(&mut self) {
        for mut sidecar in self.sidecars.lock().unwrap().drain(..) {
            let _ = sidecar.kill();
            let _ = sidecar.wait();
        }
    }
}

impl Pod {
    /// Makes the volumes.
    pub(crate) fn new(spec: PodSpec, images: &Images, objects: &Objects) -> Self {
        let pod = Self {
            spec,
            images: images.clone(),
            scratch: tempfile::tempdir().unwrap(),
            sidecars: Mutex::default(),
        };
        for volume in pod.spec.volumes.iter().flatten() {
            fill(&pod.volume(&volume.name), volume, objects);
        }
        pod
    }

    /// The directory of a volume.
    pub(crate) fn volume(&self, name: &str) -> PathBuf {
        self.scratch.path().join("volumes").join(name)
    }

    /// Runs the init containers, one after the other, and starts the sidecars among them.
    pub(crate) fn init(&self) -> Result<(), String> {
        let mut all = self.spec.init_containers.iter().flatten();
        all.try_for_each(|container| match container.restart_policy.as_deref() {
            Some("Always") => {
                let started = self.command(container).spawn().unwrap();
                self.sidecars.lock().unwrap().push(started);
                Ok(())
            }
            Some(other) => panic!("restartPolicy {other}"),
            None => self.run(container).map(drop),
        })
    }

    /// Runs the only ordinary container to its end; returns its termination message.
    pub(crate) fn finish(&self) -> Result<String, String> {
        self.run(self.only())
    }

    /// Starts the only ordinary container and returns once its readiness probe succeeds.
    pub(crate) fn serve(&self) -> Server {
        let container = self.only();
        let probe = container
            .readiness_probe
            .as_ref()
            .unwrap()
            .http_get
            .as_ref()
            .unwrap();
        assert_eq!(
            probe.port,
            k8s_openapi::apimachinery::pkg::util::intstr::IntOrString::Int(port(container).unwrap())
        );
        Server::start(&mut self.command(container), probe.path.as_ref().unwrap())
    }

    fn only(&self) -> &Container {
        let [container] = self.spec.containers.as_slice() else {
            panic!("{} containers", self.spec.containers.len())
        };
        container
    }

    fn run(&self, container: &Container) -> Result<String, String> {
        let message = self.scratch.path().join(format!("{}-message", container.name));
        fs::write(&message, "").unwrap();
        let before = self.read_only(container);
        let mut command = self.command(container);
        if self.program(container) == "artifact" {
            command.arg(format!("--termination-log={}", message.display()));
        }
        run(&mut command)?;
        // A sidecar may write to the same volume meanwhile.
        if self.sidecars.lock().unwrap().is_empty() {
            assert_eq!(
                self.read_only(container),
                before,
                "{} wrote to a read-only volume",
                container.name
            );
        }
        Ok(fs::read_to_string(message).unwrap())
    }

    fn program(&self, container: &Container) -> &'static str {
        let image = container.image.as_deref().unwrap();
        let known = [
            (&self.images.artifact, "artifact"),
            (&self.images.tuning_job, "tuning-job"),
            (&self.images.inference_server, "inference-server"),
        ];
        let found = known.into_iter().find(|(name, _)| *name == image);
        found
            .unwrap_or_else(|| panic!("image {image} holds no program of ours"))
            .1
    }

    fn command(&self, container: &Container) -> Command {
        assert_eq!(
            container.command, None,
            "our images have no shell, only their entrypoint"
        );
        let mut command = program(self.program(container));
        command.env_clear();
        for variable in container.env.iter().flatten() {
            let value = variable.value.as_deref().expect("a plain value");
            command.env(&variable.name, self.placed(container, value));
        }
        let port = port(container);
        for argument in container.args.iter().flatten() {
            match port {
                // A pod has an address of its own; here ports are shared.
                Some(port) if *argument == format!("--port={port}") => {
                    command.args(["--port=0", "--bind-address=127.0.0.1"])
                }
                _ => command.arg(self.argument(container, argument)),
            };
        }
        command
    }

    /// The argument with the path in it, if there is one, on this machine.
    fn argument(&self, container: &Container, argument: &str) -> String {
        let argument = argument.replace("$$(", "$(");
        match argument.split_once('=') {
            Some((flag, value)) if flag.starts_with("--") => {
                format!("{flag}={}", self.placed(container, value))
            }
            _ => self.placed(container, &argument),
        }
    }

    fn placed(&self, container: &Container, value: &str) -> String {
        if !value.starts_with('/') {
            return value.to_owned();
        }
        let holds = |mount: &&VolumeMount| Path::new(value).starts_with(&mount.mount_path);
        let mounts = container.volume_mounts.iter().flatten().filter(holds);
        let Some(mount) = mounts.max_by_key(|mount| mount.mount_path.len()) else {
            panic!("{} names {value}, where nothing is mounted", container.name)
        };
        let rest = Path::new(value).strip_prefix(&mount.mount_path).unwrap();
        self.mounted(mount).join(rest).display().to_string()
    }

    fn mounted(&self, mount: &VolumeMount) -> PathBuf {
        assert_eq!((&mount.sub_path, &mount.sub_path_expr), (&None, &None));
        let place = self.volume(&mount.name);
        assert!(place.is_dir(), "there is no volume {}", mount.name);
        place
    }

    /// Files on volumes that the container may only read, with size and time.
    fn read_only(&self, container: &Container) -> Vec<(PathBuf, u64, SystemTime)> {
        let mounts = container.volume_mounts.iter().flatten();
        let mut found = Vec::new();
        for mount in mounts.filter(|mount| mount.read_only == Some(true)) {
            list(&self.mounted(mount), &mut found);
        }
        found.sort();
        found
    }
}

fn list(dir: &Path, found: &mut Vec<(PathBuf, u64, SystemTime)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let about = entry.metadata().unwrap();
        if about.is_dir() {
            list(&entry.path(), found);
        } else {
            found.push((entry.path(), about.len(), about.modified().unwrap()));
        }
    }
}

/// The port that the container serves.
fn port(container: &Container) -> Option<i32> {
    container.ports.as_ref()?.first().map(|port| port.container_port)
}

fn fill(place: &Path, volume: &Volume, objects: &Objects) {
    fs::create_dir_all(place).unwrap();
    let write = |name: &str, text: &str| fs::write(place.join(name), text).unwrap();
    if let Some(source) = &volume.secret {
        let keys = &objects.secrets[source.secret_name.as_ref().unwrap()];
        for item in source.items.iter().flatten() {
            write(&item.path, &keys[&item.key]);
        }
    } else if let Some(source) = &volume.config_map {
        for (key, text) in &objects.config_maps[&source.name] {
            write(key, text);
        }
    } else if let Some(projected) = &volume.projected {
        for source in projected.sources.iter().flatten() {
            let secret = source.secret.as_ref().expect("a projected Secret");
            for item in secret.items.iter().flatten() {
                write(&item.path, &objects.secrets[&secret.name][&item.key]);
            }
        }
    } else {
        assert!(
            volume.empty_dir.is_some(),
            "volume {} is of a kind that is not known here",
            volume.name
        );
    }
}
