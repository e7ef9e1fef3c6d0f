//! Rules that derive engine flags and environment variables from a model's name or architecture.
//!
//! A rule sees only these two. Flags that depend on the node or the number of nodes must not be derived here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use instance_types::ComputeCapability;
use serde::Deserialize;

/// Text of the built-in rules.
pub(crate) const VLLM_RULES: &str = include_str!("../data/vllm_rules.yaml");

/// Contents of `data/vllm_rules.yaml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rules {
    flags: BTreeMap<String, Rule>,
    env: BTreeMap<String, Rule>,
    #[serde(default)]
    min_compute_capability: Kernels,
    #[serde(default)]
    needs_cuda_toolkit: ToolkitUsers,
}

/// Models for which the engine compiles kernels.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ToolkitUsers {
    architectures: BTreeSet<String>,
    /// Short names.
    names: BTreeSet<String>,
}

/// Lowest compute capabilities with kernels.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Kernels {
    by_architecture: BTreeMap<String, ComputeCapability>,
    by_quantization: BTreeMap<String, ComputeCapability>,
}

impl Rules {
    /// Returns the built-in rules, parsed at the first call.
    pub(crate) fn embedded() -> Result<&'static Self, &'static str> {
        static RULES: OnceLock<Result<Rules, String>> = OnceLock::new();
        RULES
            .get_or_init(|| serde_saphyr::from_str(VLLM_RULES).map_err(|error| error.to_string()))
            .as_ref()
            .map_err(String::as_str)
    }

    /// Returns the flags of a model: name without dashes, value.
    pub(crate) fn flags(&self, name: &str, architecture: &str) -> BTreeMap<String, String> {
        choose_all(&self.flags, name, architecture)
    }

    /// Returns the lowest compute capability of a model: the higher of architecture's and quantization's.
    pub(crate) fn min_compute_capability(
        &self,
        architecture: &str,
        quantization: Option<&str>,
    ) -> Option<ComputeCapability> {
        let kernels = &self.min_compute_capability;
        let of_architecture = kernels.by_architecture.get(architecture);
        let of_quantization = quantization.and_then(|method| kernels.by_quantization.get(method));
        of_architecture.max(of_quantization).copied()
    }

    /// Reports whether the engine compiles kernels for a model.
    pub(crate) fn needs_cuda_toolkit(&self, name: &str, architecture: &str) -> bool {
        let users = &self.needs_cuda_toolkit;
        users.architectures.contains(architecture) || users.names.contains(name)
    }

    /// Returns the environment of a model.
    pub(crate) fn env(&self, name: &str, architecture: &str) -> BTreeMap<String, String> {
        choose_all(&self.env, name, architecture)
    }
}

fn choose_all(rules: &BTreeMap<String, Rule>, name: &str, architecture: &str) -> BTreeMap<String, String> {
    let chosen = |rule: &Rule| rule.choose(name, architecture).map(str::to_owned);
    rules
        .iter()
        .filter_map(|(key, rule)| Some((key.clone(), chosen(rule)?)))
        .collect()
}

/// Choice of one flag.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Rule {
    default: Option<String>,
    /// Values by prefix of the short name; null omits the flag.
    by_prefix: BTreeMap<String, Option<String>>,
    by_architecture: BTreeMap<String, String>,
}

impl Rule {
    /// Chooses by the longest prefix, otherwise by architecture, otherwise the default.
    fn choose(&self, name: &str, architecture: &str) -> Option<&str> {
        let matching = self
            .by_prefix
            .iter()
            .filter(|(prefix, _)| name.starts_with(prefix.as_str()));
        match matching.max_by_key(|(prefix, _)| prefix.len()) {
            Some((_, value)) => value.as_deref(),
            None => self
                .by_architecture
                .get(architecture)
                .or(self.default.as_ref())
                .map(String::as_str),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = "
flags:
  parser:
    default: plain
    by_prefix: {qwen3: a, qwen3.5: b, qwen3.5-tiny: null}
    by_architecture: {LlamaForCausalLM: c}
  bare: {by_prefix: {qwen: ''}}
env: {}
";

    #[track_caller]
    fn check(name: &str, architecture: &str, parser: Option<&str>) {
        let rules: Rules = serde_saphyr::from_str(RULES).unwrap();
        assert_eq!(
            rules.flags(name, architecture).get("parser").map(String::as_str),
            parser,
            "{name}"
        );
    }

    #[test]
    fn the_longest_prefix_decides_before_the_architecture() {
        check("qwen3-8b", "LlamaForCausalLM", Some("a"));
        check("qwen3.5-2b", "LlamaForCausalLM", Some("b"));
        check("qwen3.5-tiny-1b", "LlamaForCausalLM", None);
        check("smol", "LlamaForCausalLM", Some("c"));
        check("smol", "Other", Some("plain"));
    }

    #[test]
    fn the_higher_of_two_compute_capabilities_counts() {
        let rules: Rules = serde_saphyr::from_str(
            "{flags: {}, env: {}, min_compute_capability: {by_architecture: {Sparse: '9.0'}, by_quantization: {fp8: '8.0'}}}",
        )
        .unwrap();
        let least = |architecture, method| {
            let least = rules.min_compute_capability(architecture, method);
            least.map(|capability| capability.to_string())
        };
        assert_eq!(least("Sparse", Some("fp8")).as_deref(), Some("9.0"));
        assert_eq!(least("Sparse", None).as_deref(), Some("9.0"));
        assert_eq!(least("Other", Some("fp8")).as_deref(), Some("8.0"));
        assert_eq!(least("Other", Some("awq")), None);
    }

    #[test]
    fn the_toolkit_is_needed_by_architecture_or_name() {
        let rules = Rules::embedded().unwrap();
        let needs = |name, architecture| rules.needs_cuda_toolkit(name, architecture);
        assert!(needs("any", "DeepseekV32ForCausalLM"));
        assert!(needs(
            "mistral-small-4-119b-2603",
            "Mistral3ForConditionalGeneration"
        ));
        assert!(!needs(
            "mistral-small-4-119b-2603-nvfp4",
            "Mistral3ForConditionalGeneration"
        ));
    }

    #[test]
    fn a_bare_flag_has_an_empty_value() {
        let rules: Rules = serde_saphyr::from_str(RULES).unwrap();
        assert_eq!(rules.flags("qwen3", "").get("bare").map(String::as_str), Some(""));
        assert!(!rules.flags("phi", "").contains_key("bare"));
    }
}
