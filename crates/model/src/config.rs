//! `config.json` of every supported family, as one description: [`Spec`].
//!
//! All differences between families in the forward pass are fields of [`Spec`]. Only this module and `family` know families.
//! Configurations of transformers 4 (`rope_theta`, `rope_scaling`) and 5 (`rope_parameters`) are supported.

mod family;
mod family_name;
mod fields;
mod generation;
mod limits;
mod rope;
mod spec;

use std::path::Path;

use serde_json::{Map, Value};

pub use family_name::Family;
pub use generation::GenerationConfig;
pub use kernels::Activation;
pub use rope::Rope;
pub use spec::{LayerSpec, Spec};

use crate::error::{Error, Result};
use crate::read;
use fields::Fields;

/// Largest `config.json`, in bytes.
const CONFIG_BYTES: u64 = 4 << 20;

impl Spec {
    /// Reads `config.json` of a model's directory.
    ///
    /// # Errors
    /// When the file is missing or malformed, a field is out of bounds, or the family is not supported.
    pub fn open(dir: &Path) -> Result<Self> {
        let config: Map<String, Value> = read::json(&dir.join("config.json"), CONFIG_BYTES)?;
        Self::parse(&config)
    }

    /// Parses the object in a `config.json`.
    ///
    /// # Errors
    /// When a field is missing or out of bounds, or the family is not supported.
    pub fn parse(config: &Map<String, Value>) -> Result<Self> {
        if config
            .get("quantization_config")
            .is_some_and(|value| !value.is_null())
        {
            return Err(Error::config(
                "quantization_config",
                "must be absent: quantized checkpoints are not supported, use the unquantized one and `--dtype q8` or `q4`",
            ));
        }
        // Models with vision keep the fields of the language model in an object of their own.
        match config.get("text_config").and_then(Value::as_object) {
            Some(text) => family::spec(Fields {
                map: text,
                prefix: "text_config.",
            }),
            None => family::spec(Fields {
                map: config,
                prefix: "",
            }),
        }
    }
}
