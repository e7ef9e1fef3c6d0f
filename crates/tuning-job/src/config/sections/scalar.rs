//! Numbers and flags, which YAML readers parse differently.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Reads a number, or text that is one: YAML readers disagree about `1e-4`.
pub(super) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let parsed = value
        .as_f64()
        .or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()));
    parsed.ok_or_else(|| serde::de::Error::custom(format!("expected a number, got {value}")))
}

pub(super) fn whole64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let parsed = value
        .as_u64()
        .or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()));
    parsed.ok_or_else(|| serde::de::Error::custom(format!("expected a whole number, got {value}")))
}

pub(super) fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    whole64(deserializer).and_then(|value| usize::try_from(value).map_err(serde::de::Error::custom))
}

/// Reads a number of steps; a negative one means none.
pub(super) fn steps<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let value = number(deserializer)?;
    if value.fract() != 0.0 || value.abs() > 1e12 {
        return Err(serde::de::Error::custom(format!(
            "expected a number of steps, got {value}"
        )));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole and positive"
    )]
    Ok((value > 0.0).then_some(value as u64))
}

pub(super) fn length<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    whole(deserializer).map(Some)
}

/// Reads a flag, or text that is one.
pub(super) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let value = Value::deserialize(deserializer)?;
    match (
        value.as_bool(),
        value.as_str().map(str::to_ascii_lowercase).as_deref(),
    ) {
        (Some(flag), _) => Ok(flag),
        (_, Some("true" | "yes")) => Ok(true),
        (_, Some("false" | "no")) => Ok(false),
        _ => Err(serde::de::Error::custom(format!(
            "expected true or false, got {value}"
        ))),
    }
}
