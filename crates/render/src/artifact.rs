//! Containers that run our `artifact` tool, which moves payloads between registries, the web and directories.
//!
//! | command line | what it does |
//! |---|---|
//! | `fetch --to=DIR [--allow-http] [--allow-host=HOST]… URL…` | downloads each URL to a file in `DIR` |
//! | `pull --to=DIR [--auth-dir=DIR] REFERENCE` | puts `/data` of an image, or the titled files of an artifact, into `DIR` |
//! | `push --from=DIR --wait-for=FILE --auth-dir=DIR --base-model=NAME REFERENCE` | packs a tuned adapter into an image and pushes it |
//!
//! `--auth-dir` holds Docker config files (`*.json`); anonymous access is tried first. Each command exits 0 when
//! all is done, and not 0, with a sentence on its standard error, when something is missing.

use k8s_openapi::api::core::v1::{Container, Volume, VolumeMount};

use crate::platform::Platform;
use crate::{paths, pod, volume};

/// Where something to be mounted comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload {
    /// `/data` of an image.
    Image {
        /// The image.
        reference: String,
        /// Secrets of the namespace with which it is pulled.
        pull_secrets: Vec<String>,
    },
    /// A volume, unnamed; see [`crate::parse_volume`].
    Volume(Box<Volume>),
}

/// A container that runs the tool; it writes only where `mounts` say, and to its home.
pub(crate) fn container(
    name: &str,
    args: Vec<String>,
    mounts: Vec<VolumeMount>,
    platform: &Platform,
) -> Container {
    let (_, home) = volume::home();
    let mut env = pod::home_env();
    env.push(pod::env("TMPDIR", paths::HOME));
    Container {
        name: name.to_owned(),
        image: Some(platform.images.artifact.clone()),
        args: Some(args),
        env: Some(env),
        volume_mounts: Some(mounts.into_iter().chain([home]).collect()),
        ..Container::default()
    }
}

/// A container that downloads files to a directory.
pub(crate) fn fetcher(
    name: &str,
    urls: &[String],
    (directory, into): (&str, VolumeMount),
    platform: &Platform,
) -> Container {
    let mut args = vec!["fetch".to_owned(), format!("--to={directory}")];
    args.extend(platform.downloads.flags());
    args.extend(urls.iter().map(|url| pod::literally(url)));
    container(name, args, vec![into], platform)
}

/// A container that pulls an image to a directory, and the volume that holds its credentials.
pub(crate) fn puller(
    name: &str,
    (reference, secrets): (&str, &[String]),
    (directory, into): (&str, VolumeMount),
    platform: &Platform,
) -> (Container, Option<Volume>) {
    let mut args = vec!["pull".to_owned(), format!("--to={directory}")];
    let mut mounts = vec![into];
    let credentials =
        (!secrets.is_empty()).then(|| volume::docker_configs(&format!("{name}-secrets"), secrets));
    if let Some(credentials) = &credentials {
        args.push(format!("--auth-dir={}", paths::PULL_SECRETS));
        mounts.push(volume::mount_read_only(&credentials.name, paths::PULL_SECRETS));
    }
    args.push(reference.to_owned());
    (container(name, args, mounts, platform), credentials)
}
