//! Prices of the tables: US dollars per hour, with the region, day and source of each price.
//!
//! Parsing is exact and must not use floating point.

use serde::Deserialize;

use crate::ListPrice;

/// Most decimal places of a price.
const MAX_DECIMALS: usize = 6;

/// Region, day and source of the prices of a table.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PriceSource {
    pub(crate) region: String,
    as_of: Day,
    source: String,
}

impl PriceSource {
    pub(crate) fn price(&self, usd: TablePrice, region: Option<String>) -> ListPrice {
        ListPrice {
            usd_micros_per_hour: usd.micros,
            region: region.unwrap_or_else(|| self.region.clone()),
            as_of: self.as_of.0.clone(),
            source: self.source.clone(),
        }
    }
}

/// Error for a text that is neither a price nor a day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadText {
    #[error("`{0}` must be a price in dollars per hour, such as 3.673")]
    Price(String),
    #[error("`{0}` must be a day, such as 2026-06-18")]
    Day(String),
}

/// Parses decimal dollars into millionths of a dollar; the result is positive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct TablePrice {
    micros: u64,
}

impl TryFrom<String> for TablePrice {
    type Error = BadText;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        micros(&text)
            .filter(|micros| *micros > 0)
            .map(|micros| Self { micros })
            .ok_or(BadText::Price(text))
    }
}

/// Parses decimal dollars into millionths of a dollar.
pub(crate) fn micros(text: &str) -> Option<u64> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(decimals) || decimals.len() > MAX_DECIMALS {
        return None;
    }
    let fraction: u64 = format!("{decimals:0<MAX_DECIMALS$}").parse().ok()?;
    whole
        .parse::<u64>()
        .ok()?
        .checked_mul(1_000_000)?
        .checked_add(fraction)
}

/// Formats an amount of money for people: dollars and cents, rounded to the nearest. What is not free never reads as 0.00.
#[must_use]
pub fn dollars(usd_micros: u64) -> String {
    let cents = (usd_micros.saturating_add(5_000) / 10_000).max(u64::from(usd_micros > 0));
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// A day, `YYYY-MM-DD`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Day(String);

impl TryFrom<String> for Day {
    type Error = BadText;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let parts: Vec<&str> = text.split('-').collect();
        match parts[..] {
            [year, month, day]
                if (year.len(), month.len(), day.len()) == (4, 2, 2)
                    && [year, month, day].into_iter().all(digits)
                    && ("01"..="12").contains(&month)
                    && ("01"..="31").contains(&day) =>
            {
                Ok(Self(text))
            }
            _ => Err(BadText::Day(text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_rounded_to_the_nearest_cent() {
        let shown = [3_673_000, 995_000, 98_320_000, 1, 0].map(dollars);
        assert_eq!(shown, ["3.67", "1.00", "98.32", "0.01", "0.00"]);
    }

    #[test]
    fn prices_are_exact() {
        assert_eq!(micros("3.673"), Some(3_673_000));
        assert_eq!(micros("21.957642"), Some(21_957_642));
        assert_eq!(micros("98"), Some(98_000_000));
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in [
            "",
            "0",
            "0.000",
            "$3",
            "-1",
            "3,5",
            "1.",
            ".5",
            "1e3",
            "1.1234567",
            "99999999999999",
        ] {
            assert!(TablePrice::try_from(bad.to_owned()).is_err(), "{bad}");
        }
        for bad in [
            "",
            "2026",
            "2026-13-01",
            "2026-00-01",
            "2026-01-32",
            "26-01-01",
            "2026-1-1",
            "aaaa-01-01",
        ] {
            assert!(Day::try_from(bad.to_owned()).is_err(), "{bad}");
        }
        assert!(Day::try_from("2026-06-18".to_owned()).is_ok());
    }
}
