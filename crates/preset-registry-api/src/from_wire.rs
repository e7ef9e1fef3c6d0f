//! Converts messages to catalog types. A message is refused if it is incomplete or breaks a rule of the catalog.
//!
//! Its contents become arguments, variables and numbers of nodes, so a client does not rely on the server's own check.

use preset_catalog::{
    AttentionKind, HybridCache, InferenceProfile, ModelShape, Preset, Problem, Runtime, TuningMethod,
    TuningProfile,
};

use crate::v1;

/// A message that cannot be converted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConversionError {
    /// A required field is absent or empty.
    #[error("preset `{preset}` must have `{field}`")]
    Missing {
        /// The name in the message; empty if that is missing.
        preset: String,
        /// The field, with dots between the levels.
        field: &'static str,
    },
    /// An unknown value, probably of a newer server.
    #[error("preset `{preset}` has the unknown {field} `{value}`")]
    Unknown {
        /// The name in the message.
        preset: String,
        /// The field, with dots between the levels.
        field: &'static str,
        /// The value of the message.
        value: String,
    },
    /// The preset breaks a rule of the catalog.
    #[error("preset `{preset}`: {problem}")]
    Invalid {
        /// The name in the message.
        preset: String,
        /// The first broken rule.
        problem: Problem,
    },
}

impl TryFrom<v1::Preset> for Preset {
    type Error = ConversionError;

    fn try_from(message: v1::Preset) -> Result<Self, Self::Error> {
        let reader = Reader {
            preset: message.name.clone(),
        };
        let shape = message.shape.ok_or_else(|| reader.missing("shape"))?;
        let preset = Self {
            name: reader.text("name", message.name)?,
            aliases: message.aliases,
            hub_id: reader.text("hub_id", message.hub_id)?,
            revision: optional(message.revision),
            head: optional(message.head),
            license: message.license,
            gated: message.gated,
            deprecated: optional(message.deprecated),
            shape: reader.shape(shape)?,
            inference: message
                .inference
                .map(|profile| reader.inference(profile))
                .transpose()?,
            tuning: message.tuning.map(|profile| reader.tuning(profile)).transpose()?,
        };
        match preset.problems().into_iter().next() {
            None => Ok(preset),
            Some(problem) => Err(ConversionError::Invalid {
                preset: reader.preset,
                problem,
            }),
        }
    }
}

/// Converts the parts of one preset. Errors have its name.
struct Reader {
    preset: String,
}

impl Reader {
    fn missing(&self, field: &'static str) -> ConversionError {
        ConversionError::Missing {
            preset: self.preset.clone(),
            field,
        }
    }

    fn unknown(&self, field: &'static str, value: &impl ToString) -> ConversionError {
        ConversionError::Unknown {
            preset: self.preset.clone(),
            field,
            value: value.to_string(),
        }
    }

    fn text(&self, field: &'static str, text: String) -> Result<String, ConversionError> {
        if text.is_empty() {
            Err(self.missing(field))
        } else {
            Ok(text)
        }
    }

    fn shape(&self, message: v1::ModelShape) -> Result<ModelShape, ConversionError> {
        if message.weights_bytes == 0 {
            return Err(self.missing("shape.weights_bytes"));
        }
        Ok(ModelShape {
            attention: self.attention(message.attention)?,
            architecture: message.architecture,
            weights_bytes: message.weights_bytes,
            active_weights_bytes: Some(message.active_weights_bytes).filter(|bytes| *bytes > 0),
            max_context_tokens: message.max_context_tokens,
            kv_bytes_per_token: message.kv_bytes_per_token,
            quantization: optional(message.quantization),
            layers: known(message.layers),
            attention_heads: known(message.attention_heads),
            kv_heads: known(message.kv_heads),
            hybrid_cache: message.hybrid_cache.map(hybrid_cache),
        })
    }

    fn attention(&self, value: i32) -> Result<Option<AttentionKind>, ConversionError> {
        match v1::AttentionKind::try_from(value) {
            Ok(v1::AttentionKind::Unspecified) => Ok(None),
            Ok(v1::AttentionKind::Mha) => Ok(Some(AttentionKind::Mha)),
            Ok(v1::AttentionKind::Gqa) => Ok(Some(AttentionKind::Gqa)),
            Ok(v1::AttentionKind::Mqa) => Ok(Some(AttentionKind::Mqa)),
            Ok(v1::AttentionKind::Mla) => Ok(Some(AttentionKind::Mla)),
            Err(_) => Err(self.unknown("shape.attention", &value)),
        }
    }

    fn runtime(&self, value: i32) -> Result<Runtime, ConversionError> {
        match v1::Runtime::try_from(value) {
            Ok(v1::Runtime::Vllm) => Ok(Runtime::Vllm),
            Ok(v1::Runtime::Native) => Ok(Runtime::Native),
            Ok(v1::Runtime::Unspecified) | Err(_) => Err(self.unknown("inference.runtimes", &value)),
        }
    }

    fn inference(&self, message: v1::InferenceProfile) -> Result<InferenceProfile, ConversionError> {
        if message.runtimes.is_empty() {
            return Err(self.missing("inference.runtimes"));
        }
        let capability = optional(message.min_compute_capability).map(|text| {
            let parsed = text.parse();
            parsed.map_err(|_| self.unknown("inference.min_compute_capability", &text))
        });
        Ok(InferenceProfile {
            min_compute_capability: capability.transpose()?,
            needs_cuda_toolkit: message.needs_cuda_toolkit,
            runtimes: message
                .runtimes
                .into_iter()
                .map(|value| self.runtime(value))
                .collect::<Result<_, _>>()?,
            disk_gib: message.disk_gib,
            readiness_timeout_seconds: message.readiness_timeout_seconds,
            cpu: message.cpu,
            distributed: message.distributed,
            trust_remote_code: message.trust_remote_code,
            vllm_flags: message.vllm_flags,
            vllm_env: message.vllm_env,
        })
    }

    fn tuning(&self, message: v1::TuningProfile) -> Result<TuningProfile, ConversionError> {
        if message.methods.is_empty() {
            return Err(self.missing("tuning.methods"));
        }
        Ok(TuningProfile {
            methods: message
                .methods
                .iter()
                .map(|method| self.method(method))
                .collect::<Result<_, _>>()?,
            disk_gib: message.disk_gib,
            weights_image: if message.weights_files.is_empty() {
                self.text("tuning.weights_image", message.weights_image)?
            } else {
                message.weights_image
            },
            weights_files: message.weights_files,
        })
    }

    fn method(&self, name: &str) -> Result<TuningMethod, ConversionError> {
        let found = TuningMethod::ALL
            .into_iter()
            .find(|method| method.as_str() == name);
        found.ok_or_else(|| self.unknown("tuning.methods", &name))
    }
}

const fn hybrid_cache(message: v1::HybridCache) -> HybridCache {
    HybridCache {
        full_layers: message.full_layers,
        window_layers: message.window_layers,
        window_tokens: message.window_tokens,
        state_bytes: message.state_bytes,
    }
}

fn known(number: u32) -> Option<u32> {
    (number > 0).then_some(number)
}

fn optional(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use preset_catalog::Catalog;
    use prost::Message as _;

    use super::*;

    fn message(name: &str) -> v1::Preset {
        Catalog::embedded().unwrap().find(name).unwrap().into()
    }

    #[test]
    fn every_preset_survives_the_wire() {
        for preset in Catalog::embedded().unwrap().iter() {
            let bytes = v1::Preset::from(preset).encode_to_vec();
            assert_eq!(
                bytes,
                v1::Preset::from(preset).encode_to_vec(),
                "equal messages have equal bytes"
            );
            let decoded = v1::Preset::decode(bytes.as_slice()).unwrap();
            assert_eq!(&Preset::try_from(decoded).unwrap(), preset);
        }
    }

    #[track_caller]
    fn refused(change: impl FnOnce(&mut v1::Preset), expected: &str) {
        let mut message = message("phi-4");
        change(&mut message);
        assert_eq!(Preset::try_from(message).unwrap_err().to_string(), expected);
    }

    #[test]
    fn a_message_must_say_enough() {
        refused(|preset| preset.name.clear(), "preset `` must have `name`");
        refused(
            |preset| preset.hub_id.clear(),
            "preset `phi-4` must have `hub_id`",
        );
        refused(|preset| preset.shape = None, "preset `phi-4` must have `shape`");
        refused(
            |preset| preset.shape.as_mut().unwrap().weights_bytes = 0,
            "preset `phi-4` must have `shape.weights_bytes`",
        );
        refused(
            |preset| preset.inference.as_mut().unwrap().runtimes.clear(),
            "preset `phi-4` must have `inference.runtimes`",
        );
        refused(
            |preset| preset.tuning.as_mut().unwrap().methods.clear(),
            "preset `phi-4` must have `tuning.methods`",
        );
        refused(
            |preset| preset.tuning.as_mut().unwrap().weights_image.clear(),
            "preset `phi-4` must have `tuning.weights_image`",
        );
    }

    #[test]
    fn what_is_unknown_is_named() {
        refused(
            |preset| preset.inference.as_mut().unwrap().runtimes = vec![0],
            "preset `phi-4` has the unknown inference.runtimes `0`",
        );
        refused(
            |preset| preset.inference.as_mut().unwrap().runtimes = vec![1, 9],
            "preset `phi-4` has the unknown inference.runtimes `9`",
        );
        refused(
            |preset| preset.shape.as_mut().unwrap().attention = 7,
            "preset `phi-4` has the unknown shape.attention `7`",
        );
        refused(
            |preset| preset.tuning.as_mut().unwrap().methods = vec!["full".to_owned()],
            "preset `phi-4` has the unknown tuning.methods `full`",
        );
    }

    #[test]
    fn a_server_that_lies_is_refused() {
        let inference = |preset: &mut v1::Preset, change: fn(&mut v1::InferenceProfile)| {
            change(preset.inference.as_mut().unwrap());
        };
        refused(
            |preset| preset.hub_id = "../phi-4".to_owned(),
            "preset `phi-4`: hub id `../phi-4` must have the form owner/repository",
        );
        refused(
            |preset| {
                preset.revision.clear();
                inference(preset, |profile| profile.trust_remote_code = true);
            },
            "preset `phi-4`: trust_remote_code requires a revision: write the commit whose code may run",
        );
        refused(
            |preset| {
                inference(preset, |profile| {
                    profile.vllm_flags.insert("model".to_owned(), "evil/x".to_owned());
                });
            },
            "preset `phi-4`: engine flag `model` is set by the operator: remove it",
        );
        refused(
            |preset| {
                inference(preset, |profile| {
                    profile.vllm_env.insert("LD_PRELOAD".to_owned(), "x".to_owned());
                });
            },
            "preset `phi-4`: environment variable `LD_PRELOAD` is reserved: remove it",
        );
        refused(
            |preset| preset.shape.as_mut().unwrap().weights_bytes = u64::MAX,
            "preset `phi-4`: weights must be at most 17592186044416",
        );
    }

    #[test]
    fn a_preset_may_be_neither_served_nor_tuned() {
        let preset = Preset::try_from(message("phi-2")).unwrap();
        assert!(preset.inference.is_none() && preset.tuning.is_none() && preset.deprecated.is_some());
    }

    #[test]
    fn the_descriptor_holds_the_service() {
        let set = v1::FILE_DESCRIPTOR_SET;
        assert!(
            set.windows(14)
                .any(|window| window == b"PresetRegistry".as_slice())
        );
    }
}
