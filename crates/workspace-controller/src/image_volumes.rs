//! Support of kubelets for images as volumes. The API server is asked once, at the start of the program.

use std::time::Duration;

use clap::ValueEnum;
use k8s_openapi::apimachinery::pkg::version::Info;
use kube::Client;
use tokio_util::sync::CancellationToken;

/// The first minor version of Kubernetes 1 that mounts images without a feature gate.
const FIRST_MINOR: u32 = 35;
const RETRY: Duration = Duration::from_secs(2);

/// Use of images as volumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ImageVolumes {
    /// From Kubernetes 1.35 on.
    Auto,
    /// Always: the nodes support it.
    Enabled,
    /// Never: a container pulls the images.
    Disabled,
}

impl ImageVolumes {
    /// Reports whether images are mounted. Waits until the API server answers; false if the token is canceled before.
    pub(crate) async fn supported(self, client: &Client, token: &CancellationToken) -> bool {
        match self {
            Self::Enabled => true,
            Self::Disabled => false,
            Self::Auto => ask(client, token).await,
        }
    }
}

async fn ask(client: &Client, token: &CancellationToken) -> bool {
    loop {
        match client.apiserver_version().await {
            Ok(version) => {
                let supported = has_image_volumes(&version);
                let (major, minor) = (version.major, version.minor);
                tracing::info!(major, minor, supported, "checked support of image volumes");
                return supported;
            }
            Err(kube::Error::Api(status)) if (400..500).contains(&status.code) && status.code != 429 => {
                tracing::warn!(
                    reason = status.message,
                    "failed to read the version of the API server, mounting no images; set --image-volumes"
                );
                return false;
            }
            Err(error) => {
                tracing::warn!(%error, "failed to read the version of the API server, retrying");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = token.cancelled() => return false,
        }
    }
}

/// Reports whether kubelets of this version mount images. Clouds add a plus sign to the minor version.
fn has_image_volumes(version: &Info) -> bool {
    let number = |text: &str| text.trim_end_matches(|c: char| !c.is_ascii_digit()).parse().ok();
    let (major, minor): (Option<u32>, Option<u32>) = (number(&version.major), number(&version.minor));
    major > Some(1) || major == Some(1) && minor >= Some(FIRST_MINOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_mounted_from_a_version_on() {
        let is = |major: &str, minor: &str| {
            has_image_volumes(&Info {
                major: major.to_owned(),
                minor: minor.to_owned(),
                ..Info::default()
            })
        };
        assert!(is("1", "35") && is("1", "37+") && is("2", "0"));
        assert!(!is("1", "34") && !is("1", "9") && !is("", "") && !is("1", "x"));
    }
}
