//! Data sources and destinations of a spec.

use kaito_api::raw::RawObject;
use kaito_api::{AdapterSpec, DataDestination, DataSource};
use render::{Adapter, ImagePush, Payload, TuningInput, TuningOutput};

use crate::problem::Problem;

/// Parses the adapters of an inference.
pub(super) fn adapters(specs: &[AdapterSpec]) -> Result<Vec<Adapter>, Problem> {
    specs
        .iter()
        .enumerate()
        .map(|(at, spec)| adapter(&format!("inference.adapters[{at}]"), spec))
        .collect()
}

fn adapter(place: &str, spec: &AdapterSpec) -> Result<Adapter, Problem> {
    let source = spec.source.as_ref().filter(|source| !source.name.is_empty());
    let source = source.ok_or_else(|| Problem::invalid(format!("{place}.source.name must be set")))?;
    let payload = payload(&format!("{place}.source"), source)?;
    let payload = payload.ok_or_else(|| {
        Problem::invalid(format!(
            "{place}.source names neither an image nor a volumeSource"
        ))
    })?;
    Ok(Adapter {
        name: source.name.clone(),
        strength: spec.strength.clone(),
        payload,
    })
}

/// Parses the data set of a tuning.
pub(super) fn input(source: &DataSource) -> Result<TuningInput, Problem> {
    if !source.urls.is_empty() {
        return Ok(TuningInput::Urls(source.urls.clone()));
    }
    let payload = payload("tuning.input", source)?;
    payload
        .map(TuningInput::Payload)
        .ok_or_else(|| Problem::invalid("tuning.input names no source"))
}

/// Parses the destination of a tuning. A failed push is repeated for this time.
pub(super) fn output(destination: &DataDestination, retry_seconds: u32) -> Result<TuningOutput, Problem> {
    let raw = destination.volume_source.as_ref();
    let kept = raw.map(|raw| volume("tuning.output", raw)).transpose()?;
    let kept = kept.map(Box::new);
    if destination.image.is_empty() || destination.image_push_secret.is_empty() {
        let volume = kept.filter(|_| destination.image.is_empty());
        return volume.map(TuningOutput::Volume).ok_or_else(|| {
            Problem::invalid(
                "tuning.output names neither a volumeSource nor an image with its imagePushSecret",
            )
        });
    }
    let push = ImagePush {
        reference: destination.image.clone(),
        secret: destination.image_push_secret.clone(),
        retry_seconds,
    };
    Ok(TuningOutput::Image(push, kept))
}

fn payload(place: &str, source: &DataSource) -> Result<Option<Payload>, Problem> {
    if let Some(raw) = &source.volume_source {
        return Ok(Some(Payload::Volume(Box::new(volume(place, raw)?))));
    }
    let image = || Payload::Image {
        reference: source.image.clone(),
        pull_secrets: source.image_pull_secrets.clone(),
    };
    Ok((!source.image.is_empty()).then(image))
}

fn volume(place: &str, raw: &RawObject) -> Result<k8s_openapi::api::core::v1::Volume, Problem> {
    render::parse_volume(raw).map_err(|error| Problem::invalid(format!("{place}.volumeSource: {error}")))
}
