//! The strength of a LoRA adapter, written into its configuration.
//!
//! An engine scales an adapter by `lora_alpha / r`. vLLM has no other factor, so the strength is multiplied into
//! `lora_alpha`. The result is exact, because the scale is linear in it, with rank-stabilized LoRA too.

use std::path::Path;
use std::str::FromStr;

use serde_json::{Map, Number, Value};

use crate::error::{Error, Result};

/// PEFT's configuration of an adapter.
const CONFIG: &str = "adapter_config.json";
/// Most bytes of such a file.
const MAX_BYTES: u64 = 1 << 20;

/// Factor of an adapter: from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Strength(f64);

impl FromStr for Strength {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        let number = text.parse::<f64>().ok();
        number
            .filter(|number| (0.0..=1.0).contains(number))
            .map(Self)
            .ok_or_else(|| "expected a number from 0 to 1".to_owned())
    }
}

impl Strength {
    /// Scales the adapter in the directory.
    ///
    /// # Errors
    /// The directory holds no adapter, or its configuration names no scale.
    pub(crate) fn apply(self, directory: &Path) -> Result<()> {
        let path = directory.join(CONFIG);
        let size = std::fs::metadata(&path)
            .map_err(Error::local("read", &path))?
            .len();
        let broken = |problem: &str| Error::Payload {
            payload: path.display().to_string(),
            problem: problem.to_owned(),
        };
        if size > MAX_BYTES {
            return Err(broken(
                "must be the configuration of an adapter, but is too large",
            ));
        }
        let text = std::fs::read(&path).map_err(Error::local("read", &path))?;
        let mut config: Map<String, Value> =
            serde_json::from_slice(&text).map_err(|_| broken("must be a JSON object"))?;
        let alpha = config.get("lora_alpha").and_then(Value::as_f64);
        let alpha =
            alpha.ok_or_else(|| broken("must have a number lora_alpha, which the strength scales"))?;
        config.insert("lora_alpha".to_owned(), self.times(alpha));
        // Modules with a scale of their own.
        if let Some(Value::Object(pattern)) = config.get_mut("alpha_pattern") {
            for alpha in pattern.values_mut() {
                let number = alpha
                    .as_f64()
                    .ok_or_else(|| broken("must have numbers in alpha_pattern"))?;
                *alpha = self.times(number);
            }
        }
        let text = Value::Object(config).to_string();
        std::fs::write(&path, text).map_err(Error::local("write", &path))
    }

    /// The product. It is an integer where it can be, as PEFT writes it.
    fn times(self, alpha: f64) -> Value {
        let product = self.0 * alpha;
        let whole = format!("{product}").parse::<i64>().ok();
        whole
            .map(Value::from)
            .or_else(|| Number::from_f64(product).map(Value::Number))
            .unwrap_or(Value::Null)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn scaled(strength: &str, config: &Value) -> std::result::Result<Value, String> {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join(CONFIG);
        std::fs::write(&path, config.to_string()).unwrap();
        let strength: Strength = strength.parse().unwrap();
        strength
            .apply(scratch.path())
            .map_err(|error| error.to_string())?;
        Ok(serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap())
    }

    #[test]
    fn every_scale_is_multiplied_and_nothing_else() {
        let config = json!({
            "lora_alpha": 16, "r": 8, "alpha_pattern": {"q_proj": 5, "v_proj": 2.5}, "target_modules": ["q_proj"],
        });
        let expected = json!({
            "lora_alpha": 8, "r": 8, "alpha_pattern": {"q_proj": 2.5, "v_proj": 1.25}, "target_modules": ["q_proj"],
        });
        assert_eq!(scaled("0.5", &config), Ok(expected));
        assert_eq!(scaled("1", &config), Ok(config.clone()));
        assert_eq!(scaled("0", &config).unwrap()["lora_alpha"], 0);
        let third = scaled("0.33", &json!({"lora_alpha": 3.0})).unwrap();
        assert_eq!(third["lora_alpha"], 0.33 * 3.0);
    }

    #[test]
    fn what_has_no_scale_is_refused() {
        for broken in [json!({}), json!({"lora_alpha": "16"}), json!([])] {
            assert!(scaled("0.5", &broken).is_err(), "{broken}");
        }
        let empty = tempfile::tempdir().unwrap();
        assert!(Strength(0.5).apply(empty.path()).is_err());
        for wrong in ["", "-0.1", "1.1", "NaN", "half"] {
            assert!(wrong.parse::<Strength>().is_err(), "{wrong}");
        }
    }
}
