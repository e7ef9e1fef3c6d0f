//! The image with the weights that a Workspace asks for.

use kaito_api::labels;
use preset_catalog::{InferenceProfile, Preset};

use crate::context::PlanContext;
use crate::problem::Problem;

const GIB: u64 = 1 << 30;

/// Returns the image that the annotation names, if it is set.
pub(super) fn of<'a>(context: &PlanContext<'a>) -> Result<Option<&'a str>, Problem> {
    let Some(text) = context.workspace().annotation(labels::WEIGHTS_IMAGE) else {
        return Ok(None);
    };
    if is_reference(text) {
        return Ok(Some(text));
    }
    Err(Problem::invalid(format!(
        "annotation {} is {text:?} and must be an image, such as registry.example.com/weights/phi-4@sha256:…",
        labels::WEIGHTS_IMAGE
    )))
}

/// Returns the disk that a node needs, in GiB. Its image store has the layers of an image and their files.
pub(super) fn disk_gib(
    context: &PlanContext<'_>,
    (preset, profile): (&Preset, &InferenceProfile),
    image: Option<&str>,
) -> u32 {
    if image.is_none() || !context.settings.image_volumes {
        return profile.disk_gib;
    }
    let layers = preset.shape.weights_bytes.div_ceil(GIB);
    let layers = u32::try_from(layers).unwrap_or(u32::MAX);
    profile.disk_gib.saturating_add(layers)
}

/// Reports whether a text is an image reference. The grammar is that of github.com/distribution/reference.
fn is_reference(text: &str) -> bool {
    let (name, digest) = match text.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (text, None),
    };
    let (name, tag) = match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (name, None),
    };
    let is_repository = |path: &str| path.split('/').all(is_component);
    let has_host = |(host, path): (&str, &str)| is_host(host) && is_repository(path);
    (is_repository(name) || name.split_once('/').is_some_and(has_host))
        && tag.is_none_or(is_tag)
        && digest.is_none_or(is_digest)
}

/// `HOST` or `HOST:PORT`.
fn is_host(text: &str) -> bool {
    let (host, port) = text.split_once(':').unwrap_or((text, "0"));
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let is_end = |c: char| c.is_ascii_alphanumeric();
    host.starts_with(is_end)
        && host.ends_with(is_end)
        && host.chars().all(is_allowed)
        && !port.is_empty()
        && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// Lower-case letters and digits, separated by a dot, one or two underscores, or dashes.
fn is_component(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let mut separators = text.split(is_word).filter(|separator| !separator.is_empty());
    let is_separator = |text: &str| matches!(text, "." | "_" | "__") || text.bytes().all(|byte| byte == b'-');
    text.starts_with(is_word) && text.ends_with(is_word) && separators.all(is_separator)
}

fn is_tag(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.starts_with(is_word) && text.len() <= 128 && text.chars().all(|c| is_word(c) || c == '-' || c == '.')
}

fn is_digest(text: &str) -> bool {
    let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    text.strip_prefix("sha256:")
        .is_some_and(|hex| hex.len() == 64 && hex.chars().all(is_hex))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_have_the_grammar_of_registries() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        for right in [
            "phi-4",
            "phi-4:v1",
            "team/phi-4",
            "registry.example.com/phi-4",
            "registry.example.com:5000/weights/phi__4.x-y:V_1.0-b",
            "10.0.0.1:5000/phi-4",
            &format!("registry.example.com/phi-4:v1@{digest}"),
            &format!("registry.example.com/phi-4@{digest}"),
        ] {
            assert!(is_reference(right), "{right}");
        }
        for wrong in [
            "",
            "Phi-4",
            "registry.example.com/Phi-4",
            "https://registry.example.com/phi-4",
            "registry.example.com//phi-4",
            "registry.example.com/phi-4:",
            "registry.example.com/phi-4@sha256:abc",
            "registry.example.com:x/phi-4",
            "phi..4",
            "phi___4",
            "-phi",
            "phi 4",
            "a:b:c",
            "$(HOME)/x",
        ] {
            assert!(!is_reference(wrong), "{wrong}");
        }
    }
}
