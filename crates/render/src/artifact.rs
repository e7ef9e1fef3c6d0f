//! Containers that run our `artifact` tool, which copies payloads between registries, the web and directories.
//!
//! | command line | effect |
//! |---|---|
//! | `fetch --to=DIR [--allow-http] [--allow-host=HOST]… URL…` | downloads each URL to a file in `DIR` |
//! | `weights --to=DIR --hub-endpoint=URL --model=OWNER/NAME [--revision=COMMIT] [--layout=mistral] [--hub-token-file=FILE]` | downloads the files of a model that an engine reads |
//! | `pull --to=DIR [--auth-dir=DIR] [--plain-http=REGISTRY]… [--lora-strength=NUMBER] REFERENCE` | puts `/data` of an image, or the titled files of an artifact, into `DIR` |
//! | `copy --from=DIR --to=DIR --lora-strength=NUMBER` | copies an adapter and writes its strength into the copy |
//! | `check-push --auth-dir=DIR --secret=NAME [--plain-http=REGISTRY]… REFERENCE` | checks that an image may be pushed |
//! | `push --from=DIR --wait-for=FILE --outcome=FILE --auth-dir=DIR --secret=NAME --base-model=NAME [--plain-http=REGISTRY]… REFERENCE` | packs a tuned adapter into an image and pushes it |
//! | `await-push --outcome=FILE --timeout=SECONDS` | waits for that push |
//!
//! `--auth-dir` holds Docker config files (`*.json`); anonymous access is tried last. Each command exits 0 on success.
//! Otherwise it prints the problem to standard error.

use k8s_openapi::api::core::v1::{Container, Volume, VolumeMount};

use crate::platform::Platform;
use crate::{paths, pod, volume};

/// Source of files to mount.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload {
    /// `/data` of an image.
    Image {
        /// The image.
        reference: String,
        /// Secrets of the namespace with the credentials for pulling.
        pull_secrets: Vec<String>,
    },
    /// An unnamed volume; see [`crate::parse_volume`].
    Volume(Box<Volume>),
}

/// Container that runs the tool. It can write to `mounts` and to its home only.
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

/// Container that downloads files to a directory.
pub(crate) fn fetcher(
    name: &str,
    urls: &[String],
    (directory, into): (&str, VolumeMount),
    platform: &Platform,
) -> Container {
    let mut args = vec!["fetch".to_owned(), format!("--to={directory}")];
    args.extend(platform.downloads.flags());
    args.extend(urls.iter().map(|url| pod::escape(url)));
    container(name, args, vec![into], platform)
}

/// Container that pulls an image to a directory, and the volume with its credentials.
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
    args.extend(platform.downloads.registry_flags());
    args.push(reference.to_owned());
    (container(name, args, mounts, platform), credentials)
}
