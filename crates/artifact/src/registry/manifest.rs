//! Manifests: read within limits, checked against their digest, chosen by platform.

use egress::{Request, read};
use oci_image::{Descriptor, ImageIndex, ImageManifest, Platform, digest_of};
use reqwest::header::ACCEPT;
use reqwest::{Method, StatusCode};
use serde::Deserialize;

use super::client::{Registry, refusal, with_header};
use crate::error::{Error, Result};

/// Most bytes of a manifest: the size that the specification asks registries to accept.
const MANIFEST_BYTES: usize = 4 << 20;
/// Most indexes on the way to a manifest. Hostile ones do not end.
const DEPTH: usize = 4;
const ACCEPTED: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json";

/// A manifest of one platform.
#[derive(Clone, Debug)]
pub(crate) struct Manifest {
    /// The manifest.
    pub(crate) image: ImageManifest,
    /// The digest that the reference resolved to: of the index, if there is one.
    pub(crate) digest: String,
}

#[derive(Debug)]
enum Document {
    Image(Box<ImageManifest>),
    Index(Box<ImageIndex>),
}

impl Registry {
    /// Reads the manifest of the reference, for this platform if there are several.
    ///
    /// # Errors
    /// The manifest does not exist, differs from its digest, or is of an old kind.
    pub(crate) async fn manifest(&mut self) -> Result<Manifest> {
        let mut version = self.target.version().to_owned();
        let mut named = None;
        for _ in 0..DEPTH {
            let (document, digest) = self.document(&version).await?;
            let named = named.get_or_insert(digest);
            match document {
                Document::Image(image) => {
                    return Ok(Manifest {
                        image: *image,
                        digest: named.clone(),
                    });
                }
                Document::Index(index) => {
                    let chosen = choose(index.manifests()).ok_or_else(|| Error::NoPayload {
                        image: self.target.reference.to_string(),
                        found: "an empty index",
                    })?;
                    version = chosen.digest().to_string();
                }
            }
        }
        Err(Error::Payload {
            payload: self.target.reference.to_string(),
            problem: "is an index of indexes of indexes".to_owned(),
        })
    }

    async fn document(&mut self, version: &str) -> Result<(Document, String)> {
        let doing = format!("read the manifest of {}", self.target.reference);
        let request = Request::new(&doing, Method::GET, self.url(&format!("manifests/{version}"))?);
        let response = self.execute(&with_header(request, ACCEPT, ACCEPTED)).await?;
        if response.status() != StatusCode::OK {
            return Err(refusal(&doing, response).await);
        }
        let body = read(&doing, response, MANIFEST_BYTES).await?;
        let digest = digest_of(&body)?.to_string();
        if version.contains(':') && version != digest {
            return Err(Error::Corrupt {
                doing,
                problem: format!("the bytes have the digest {digest}, not {version}"),
            });
        }
        let document = parse(&body).map_err(|problem| Error::Protocol { doing, problem })?;
        Ok((document, digest))
    }
}

fn parse(body: &[u8]) -> std::result::Result<Document, String> {
    /// The fields that distinguish the kinds.
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Kind {
        schema_version: u32,
        manifests: Option<serde::de::IgnoredAny>,
    }
    let bad = |error: serde_json::Error| format!("expected a manifest of an image ({error})");
    let kind: Kind = serde_json::from_slice(body).map_err(bad)?;
    if kind.schema_version != 2 {
        return Err("expected a manifest of schema 2: push the image again with a current tool".to_owned());
    }
    if kind.manifests.is_some() {
        return serde_json::from_slice(body)
            .map(Box::new)
            .map(Document::Index)
            .map_err(bad);
    }
    serde_json::from_slice(body)
        .map(Box::new)
        .map(Document::Image)
        .map_err(bad)
}

/// Chooses the manifest for this machine, or else the first of any platform: payloads are the same on all.
fn choose(manifests: &[Descriptor]) -> Option<&Descriptor> {
    let here = Platform::here().architecture;
    let platform = |manifest: &Descriptor| {
        let platform = manifest.platform().as_ref();
        platform.map(|platform| (platform.os().to_string(), platform.architecture().to_string()))
    };
    let fits =
        |manifest: &&Descriptor| platform(manifest).is_some_and(|(os, arch)| os == "linux" && arch == here);
    // Attestations are listed as images of the platform "unknown".
    let is_image = |manifest: &&Descriptor| platform(manifest).is_none_or(|(os, _)| os != "unknown");
    manifests
        .iter()
        .find(fits)
        .or_else(|| manifests.iter().find(is_image))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn index(platforms: &[(&str, &str)]) -> Vec<Descriptor> {
        let entries = platforms.iter().enumerate().map(|(at, (os, arch))| {
            serde_json::json!({
                "mediaType": "application/vnd.oci.image.manifest.v1+json", "size": at,
                "digest": format!("sha256:{at:064x}"), "platform": {"os": os, "architecture": arch},
            })
        });
        let body = serde_json::json!({"schemaVersion": 2, "manifests": entries.collect::<Vec<_>>()});
        let Ok(Document::Index(index)) = parse(body.to_string().as_bytes()) else {
            panic!("no index")
        };
        index.manifests().clone()
    }

    #[test]
    fn the_manifest_of_this_machine_is_chosen() {
        let here = Platform::here().architecture;
        let chosen = |platforms: &[(&str, &str)]| choose(&index(platforms)).map(Descriptor::size);
        assert_eq!(
            chosen(&[("linux", "s390x"), ("windows", &here), ("linux", &here)]),
            Some(2)
        );
        assert_eq!(chosen(&[("unknown", "unknown"), ("linux", "s390x")]), Some(1));
        assert_eq!(chosen(&[]), None);
    }

    #[test]
    fn only_images_are_understood() {
        assert!(
            parse(br#"{"schemaVersion":1,"fsLayers":[]}"#)
                .unwrap_err()
                .contains("schema 2")
        );
        assert!(parse(b"<html>").unwrap_err().contains("expected a manifest"));
        // What upstream's pusher writes: no media type at the top.
        let upstream = format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:{0}","size":2}},"layers":[]}}"#,
            "a".repeat(64)
        );
        assert!(matches!(parse(upstream.as_bytes()), Ok(Document::Image(_))));
    }

    proptest! {
        #[test]
        fn noise_is_no_manifest(text in r#"(\{|\}|"schemaVersion"|"manifests"|"layers"|"config"|:|2|,|\[|\]){0,30}"#) {
            let _ = parse(text.as_bytes());
        }
    }
}
