//! The documents of an image: configuration and manifest.

use std::collections::{BTreeMap, HashMap};

use oci_spec::image::{
    Arch, Descriptor, ImageManifestBuilder, MediaType, Os, PlatformBuilder, SCHEMA_VERSION,
};
use serde::Serialize;

use crate::digest::digest_of;
use crate::error::Result;
use crate::json::canonical;
use crate::layer::Layer;

/// The platform of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    /// Go's name of the architecture: `amd64`, `arm64`.
    pub architecture: String,
}

impl Platform {
    /// The platform that this program was built for.
    pub fn here() -> Self {
        Self::of(std::env::consts::ARCH)
    }

    /// Translates Rust's name of an architecture.
    pub fn of(architecture: &str) -> Self {
        let name = match architecture {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "powerpc64" => "ppc64le",
            other => other,
        };
        Self {
            architecture: name.to_owned(),
        }
    }
}

/// An image to build. It carries no time, so equal content is an equal image.
#[derive(Clone, Debug)]
pub struct Image {
    /// The platform.
    pub platform: Platform,
    /// The layers, lowest first.
    pub layers: Vec<Layer>,
    /// The program with its arguments; empty for an image that only carries data.
    pub entrypoint: Vec<String>,
    /// `UID:GID`, or empty.
    pub user: String,
    /// Annotations of the manifest.
    pub annotations: BTreeMap<String, String>,
}

/// The documents, ready to store or push.
#[derive(Clone, Debug)]
pub struct Assembled {
    /// The configuration's bytes.
    pub config: Vec<u8>,
    /// The descriptor of the configuration.
    pub config_descriptor: Descriptor,
    /// The manifest's bytes.
    pub manifest: Vec<u8>,
    /// The descriptor of the manifest, with the platform. Its digest is that of the image.
    pub manifest_descriptor: Descriptor,
}

/// The configuration, as `application/vnd.oci.image.config.v1+json` defines it.
#[derive(Serialize)]
struct Configuration<'a> {
    architecture: &'a str,
    os: &'a str,
    config: Execution<'a>,
    rootfs: RootFs<'a>,
    history: Vec<History>,
}

#[derive(Serialize)]
struct Execution<'a> {
    #[serde(rename = "User", skip_serializing_if = "str::is_empty")]
    user: &'a str,
    #[serde(rename = "Entrypoint", skip_serializing_if = "<[String]>::is_empty")]
    entrypoint: &'a [String],
    #[serde(rename = "WorkingDir")]
    working_dir: &'a str,
}

#[derive(Serialize)]
struct RootFs<'a> {
    r#type: &'a str,
    diff_ids: Vec<&'a str>,
}

/// One entry for each layer, since some tools count them.
#[derive(Serialize)]
struct History {
    created_by: &'static str,
}

impl Image {
    /// Builds the documents.
    ///
    /// # Errors
    /// The specification's types refuse a value.
    pub fn assemble(&self) -> Result<Assembled> {
        let config = canonical(&self.configuration())?;
        let config_descriptor =
            Descriptor::new(MediaType::ImageConfig, config.len() as u64, digest_of(&config)?);
        let layers = self.layers.iter().map(|layer| layer.descriptor.clone());
        let mut manifest = ImageManifestBuilder::default()
            .schema_version(SCHEMA_VERSION)
            .media_type(MediaType::ImageManifest)
            .config(config_descriptor.clone())
            .layers(layers.collect::<Vec<_>>());
        if !self.annotations.is_empty() {
            manifest = manifest.annotations(self.annotations.clone().into_iter().collect::<HashMap<_, _>>());
        }
        let manifest = canonical(&manifest.build()?)?;
        let mut manifest_descriptor = Descriptor::new(
            MediaType::ImageManifest,
            manifest.len() as u64,
            digest_of(&manifest)?,
        );
        let platform = PlatformBuilder::default()
            .os(Os::Linux)
            .architecture(Arch::from(self.platform.architecture.as_str()))
            .build()?;
        manifest_descriptor.set_platform(Some(platform));
        Ok(Assembled {
            config,
            config_descriptor,
            manifest,
            manifest_descriptor,
        })
    }

    fn configuration(&self) -> Configuration<'_> {
        let history = |_: &Layer| History { created_by: "kaito" };
        Configuration {
            architecture: &self.platform.architecture,
            os: "linux",
            config: Execution {
                user: &self.user,
                entrypoint: &self.entrypoint,
                working_dir: "/",
            },
            rootfs: RootFs {
                r#type: "layers",
                diff_ids: self.layers.iter().map(|layer| layer.diff_id.as_ref()).collect(),
            },
            history: self.layers.iter().map(history).collect(),
        }
    }
}
