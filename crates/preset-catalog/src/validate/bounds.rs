//! Largest sizes: a number beyond them buys nodes or memory that no model needs.

use crate::preset::Preset;
use crate::problem::Problem;

const GIB: u64 = 1 << 30;

/// Most aliases, tuning files and the like.
const MAX_ITEMS: usize = 1024;
/// Most bytes of a text.
const MAX_TEXT: usize = 512;

/// Returns the sizes that are too large, and texts that are too long or not printable.
pub(super) fn problems(preset: &Preset) -> Vec<Problem> {
    let mut problems: Vec<Problem> = sizes(preset)
        .into_iter()
        .filter(|(_, value, limit)| value > limit)
        .map(|(field, _, limit)| Problem::TooLarge { field, limit })
        .collect();
    for (field, text) in texts(preset) {
        if text.len() > MAX_TEXT {
            problems.push(Problem::TooLarge {
                field,
                limit: MAX_TEXT as u64,
            });
        }
        if text.chars().any(char::is_control) {
            problems.push(Problem::ControlCharacters(field));
        }
    }
    problems
}

fn sizes(preset: &Preset) -> Vec<(&'static str, u64, u64)> {
    let shape = &preset.shape;
    let items = MAX_ITEMS as u64;
    let mut sizes = vec![
        // The largest published model has less than 2 TiB.
        ("weights", shape.weights_bytes, 16 * 1024 * GIB),
        ("max_context_tokens", shape.max_context_tokens.into(), 1 << 28),
        ("kv_bytes_per_token", shape.kv_bytes_per_token, 1 << 28),
        ("layers", shape.layers.unwrap_or(0).into(), 4096),
        ("attention_heads", shape.attention_heads.unwrap_or(0).into(), 4096),
        ("kv_heads", shape.kv_heads.unwrap_or(0).into(), 4096),
        ("the number of aliases", preset.aliases.len() as u64, items),
    ];
    if let Some(cache) = &shape.hybrid_cache {
        sizes.push(("hybrid_cache.window_tokens", cache.window_tokens.into(), 1 << 28));
        sizes.push(("hybrid_cache.state", cache.state_bytes, 1024 * GIB));
    }
    if let Some(inference) = &preset.inference {
        sizes.push(("disk_gib", inference.disk_gib.into(), 32 * 1024));
        sizes.push((
            "readiness_timeout_seconds",
            inference.readiness_timeout_seconds.into(),
            24 * 60 * 60,
        ));
    }
    if let Some(tuning) = &preset.tuning {
        let files = tuning.weights_files.len() as u64;
        sizes.push(("tuning.disk_gib", tuning.disk_gib.into(), 32 * 1024));
        sizes.push(("the number of tuning.weights_files", files, items));
    }
    sizes
}

fn texts(preset: &Preset) -> Vec<(&'static str, &str)> {
    let shape = &preset.shape;
    let mut texts = vec![
        ("license", preset.license.as_str()),
        ("architecture", &shape.architecture),
        ("quantization", shape.quantization.as_deref().unwrap_or_default()),
        ("deprecated", preset.deprecated.as_deref().unwrap_or_default()),
    ];
    if let Some(tuning) = &preset.tuning {
        texts.push(("tuning.weights_image", &tuning.weights_image));
        let files = tuning.weights_files.iter();
        texts.extend(files.map(|file| ("tuning.weights_files", file.as_str())));
    }
    texts
}

#[cfg(test)]
mod tests {
    use crate::catalog::Catalog;
    use crate::preset::Preset;

    #[track_caller]
    fn refused(change: impl FnOnce(&mut Preset), expected: &str) {
        let mut preset = Catalog::embedded().unwrap().find("phi-4").unwrap().clone();
        change(&mut preset);
        let found: Vec<String> = preset.problems().iter().map(ToString::to_string).collect();
        assert!(found.iter().any(|text| text.contains(expected)), "{found:?}");
    }

    #[test]
    fn no_size_buys_a_cluster() {
        refused(
            |preset| preset.shape.weights_bytes = u64::MAX,
            "weights must be at most",
        );
        refused(
            |preset| preset.shape.kv_bytes_per_token = u64::MAX,
            "kv_bytes_per_token must be at most",
        );
        refused(
            |preset| preset.inference.as_mut().unwrap().disk_gib = u32::MAX,
            "disk_gib must be at most",
        );
        refused(
            |preset| preset.tuning.as_mut().unwrap().weights_image = format!("a:{}", "b".repeat(600)),
            "tuning.weights_image must be at most",
        );
        refused(
            |preset| preset.license = "mit\nx".to_owned(),
            "license must not have control characters",
        );
    }

    #[test]
    fn code_runs_only_from_a_commit() {
        refused(
            |preset| preset.revision = Some("main".to_owned()),
            "must be a commit",
        );
        refused(
            |preset| {
                preset.revision = None;
                preset.inference.as_mut().unwrap().trust_remote_code = true;
            },
            "trust_remote_code requires a revision",
        );
    }
}
