//! Validation of the engine's flags and environment: they become arguments and variables of a container.

use crate::preset::InferenceProfile;
use crate::problem::{MAX_NAME_LENGTH, Problem};

/// Flags that the operator writes itself: model and commit, addresses, keys, and code of the model.
const RESERVED_FLAGS: [&str; 16] = [
    "allowed-local-media-path",
    "api-key",
    "code-revision",
    "download-dir",
    "hf-token",
    "host",
    "middleware",
    "model",
    "port",
    "revision",
    "root-path",
    "served-model-name",
    "tokenizer",
    "tokenizer-revision",
    "trust-remote-code",
    "worker-cls",
];

/// Variables that select code, credentials or addresses.
const RESERVED_ENV: [&str; 8] = [
    "HF_ENDPOINT",
    "HF_TOKEN",
    "HOME",
    "HUGGING_FACE_HUB_TOKEN",
    "PATH",
    "VLLM_ALLOW_INSECURE_SERIALIZATION",
    "VLLM_API_KEY",
    "VLLM_PLUGINS",
];

/// Beginnings of such variables.
const RESERVED_ENV_PREFIXES: [&str; 4] = ["KUBERNETES_", "LD_", "PYTHON", "AZURE_"];

/// Most flags, and most variables.
const MAX_ENTRIES: usize = 128;
/// Most bytes of a value.
const MAX_VALUE: usize = 4096;

/// Returns the problems of the flags and of the environment.
pub(super) fn problems(profile: &InferenceProfile) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, value) in &profile.vllm_flags {
        problems.extend(flag_problem(name));
        problems.extend(value_problem("vllm_flags", value));
    }
    for (name, value) in &profile.vllm_env {
        problems.extend(env_problem(name));
        problems.extend(value_problem("vllm_env", value));
    }
    for (field, entries) in [
        ("the number of vllm_flags", profile.vllm_flags.len()),
        ("the number of vllm_env", profile.vllm_env.len()),
    ] {
        if entries > MAX_ENTRIES {
            problems.push(Problem::TooLarge {
                field,
                limit: MAX_ENTRIES as u64,
            });
        }
    }
    problems
}

fn flag_problem(name: &str) -> Option<Problem> {
    let is_first = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_rest = |c: char| is_first(c) || matches!(c, '-' | '_' | '.');
    if !(name.starts_with(is_first) && name.chars().all(is_rest) && name.len() <= MAX_NAME_LENGTH) {
        return Some(Problem::BadFlagName(name.to_owned()));
    }
    // The engine accepts both spellings.
    let spelled = name.replace('_', "-");
    RESERVED_FLAGS
        .contains(&spelled.as_str())
        .then(|| Problem::ReservedFlag(name.to_owned()))
}

fn env_problem(name: &str) -> Option<Problem> {
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let is_rest = |c: char| is_first(c) || c.is_ascii_digit();
    if !(name.starts_with(is_first) && name.chars().all(is_rest) && name.len() <= MAX_NAME_LENGTH) {
        return Some(Problem::BadEnvName(name.to_owned()));
    }
    let upper = name.to_ascii_uppercase();
    let reserved = RESERVED_ENV.contains(&upper.as_str())
        || RESERVED_ENV_PREFIXES
            .iter()
            .any(|prefix| upper.starts_with(prefix));
    reserved.then(|| Problem::ReservedEnv(name.to_owned()))
}

fn value_problem(field: &'static str, value: &str) -> Option<Problem> {
    if value.len() > MAX_VALUE {
        return Some(Problem::TooLarge {
            field,
            limit: MAX_VALUE as u64,
        });
    }
    value
        .chars()
        .any(char::is_control)
        .then_some(Problem::ControlCharacters(field))
}

#[cfg(test)]
mod tests {
    use crate::catalog::Catalog;

    fn found(flags: &[(&str, &str)], env: &[(&str, &str)]) -> Vec<String> {
        let mut preset = Catalog::embedded().unwrap().find("phi-4").unwrap().clone();
        let profile = preset.inference.as_mut().unwrap();
        let owned = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            pairs
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect()
        };
        (profile.vllm_flags, profile.vllm_env) = (owned(flags), owned(env));
        preset.problems().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_flag_is_one_argument_that_the_operator_leaves_alone() {
        assert!(found(&[("max-num-seqs", "4"), ("load_format", ""), ("a.b", "x")], &[]).is_empty());
        for bad in ["", "-x", "--x", "a b", "a=b", "A", "ä", "x\n", &"x".repeat(64)] {
            assert!(found(&[(bad, "")], &[])[0].contains("must be named by"), "{bad}");
        }
        for bad in [
            "trust-remote-code",
            "trust_remote_code",
            "revision",
            "host",
            "api_key",
        ] {
            assert!(
                found(&[(bad, "")], &[])[0].contains("is set by the operator"),
                "{bad}"
            );
        }
        assert_eq!(
            found(&[("x", "a\0b")], &[]),
            ["vllm_flags must not have control characters"]
        );
        assert_eq!(
            found(&[("x", &"y".repeat(5000))], &[]),
            ["vllm_flags must be at most 4096"]
        );
    }

    #[test]
    fn a_variable_selects_neither_code_nor_credentials() {
        assert!(found(&[], &[("VLLM_USE_V1", "1"), ("_x9", "")]).is_empty());
        for bad in ["", "9A", "A-B", "A B", "A=B", "Ä"] {
            assert!(found(&[], &[(bad, "")])[0].contains("must be named by"), "{bad}");
        }
        for bad in [
            "LD_PRELOAD",
            "ld_preload",
            "PYTHONPATH",
            "PATH",
            "HF_TOKEN",
            "VLLM_PLUGINS",
        ] {
            assert!(found(&[], &[(bad, "")])[0].contains("is reserved"), "{bad}");
        }
        let many: Vec<String> = (0..200).map(|number| format!("A{number}")).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "")).collect();
        assert_eq!(found(&[], &many), ["the number of vllm_env must be at most 128"]);
    }
}
