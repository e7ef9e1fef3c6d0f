//! Sizes in decimal GiB, such as `27.31Gi`, the catalog's only unit.
//!
//! Parsing is exact and must not use floating point.

use schemars::JsonSchema;
use serde::Deserialize;

/// Most decimal places; more would be less than a byte.
const MAX_DECIMALS: usize = 10;

/// Error for a text that is not a size in GiB.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` must be a size in GiB, such as 27.31Gi")]
pub(crate) struct BadSize(String);

/// Bytes, parsed from decimal GiB and rounded up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "SizeText", description = "A size in GiB, such as `27.31Gi`")]
pub(crate) struct Weights {
    pub(crate) bytes: u64,
}

/// The text form of a size.
#[derive(JsonSchema)]
#[schemars(transparent)]
#[expect(dead_code, reason = "exists for its schema")]
struct SizeText(#[schemars(regex(pattern = r"^[0-9]+(\.[0-9]{1,10})?Gi$"))] String);

impl TryFrom<String> for Weights {
    type Error = BadSize;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        parse(&text).map(|bytes| Self { bytes }).ok_or(BadSize(text))
    }
}

fn parse(text: &str) -> Option<u64> {
    let number = text.strip_suffix("Gi")?;
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(decimals) || decimals.len() > MAX_DECIMALS {
        return None;
    }
    let scale = 10u128.pow(u32::try_from(decimals.len()).ok()?);
    let scaled = whole
        .parse::<u128>()
        .ok()?
        .checked_mul(scale)?
        .checked_add(decimals.parse().ok()?)?;
    u64::try_from(scaled.checked_mul(1 << 30)?.div_ceil(scale)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_and_rounded_up() {
        assert_eq!(parse("1Gi"), Some(1 << 30));
        assert_eq!(parse("0.25Gi"), Some(1 << 28));
        // 0.01 GiB is 10737418.24 bytes.
        assert_eq!(parse("0.01Gi"), Some(10_737_419));
        assert_eq!(parse("805.34Gi"), Some(864_727_240_541));
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in [
            "",
            "Gi",
            "1",
            "1Mi",
            "-1Gi",
            ".5Gi",
            "1.Gi",
            "1e3Gi",
            "1.5.1Gi",
            "99999999999Gi",
            " 1Gi",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
