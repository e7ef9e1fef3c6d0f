//! Reading Kubernetes quantities.
//!
//! Grammar: <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>. Only reading:
//! quantities are written as whole numbers with a suffix by those who write them.

/// Text of a quantity, as CRDs of Kubernetes projects write it.
pub(crate) const PATTERN: &str = r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$";

/// A quantity in whole units (bytes, cores, devices), rounded up; `None` when the text is not a quantity or
/// does not fit.
#[must_use]
pub fn ceil_units(text: &str) -> Option<u128> {
    let text = text.trim();
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '+'))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (numerator, denominator) = parse_decimal(number.strip_prefix('+').unwrap_or(number))?;
    let (multiply, divide) = scale(suffix)?;
    let numerator = numerator.checked_mul(multiply)?;
    Some(numerator.div_ceil(denominator.checked_mul(divide)?))
}

/// A quantity of bytes in whole GiB, rounded up.
#[must_use]
pub fn ceil_gib(text: &str) -> Option<u64> {
    u64::try_from(ceil_units(text)?.div_ceil(1 << 30)).ok()
}

fn parse_decimal(number: &str) -> Option<(u128, u128)> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.len() > 18 || whole.contains('+') {
        return None;
    }
    let denominator = 10u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let part: u128 = if fraction.is_empty() {
        0
    } else {
        fraction.parse().ok()?
    };
    Some((whole.checked_mul(denominator)?.checked_add(part)?, denominator))
}

fn scale(suffix: &str) -> Option<(u128, u128)> {
    let binary = |power: u32| Some((1u128 << (10 * power), 1));
    let decimal = |power: u32| Some((1000u128.pow(power), 1));
    match suffix {
        "" => Some((1, 1)),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        "k" => decimal(1),
        "M" => decimal(2),
        "G" => decimal(3),
        "T" => decimal(4),
        "P" => decimal(5),
        "E" => decimal(6),
        "m" => Some((1, 1000)),
        "u" => Some((1, 1_000_000)),
        "n" => Some((1, 1_000_000_000)),
        _ => exponent(suffix),
    }
}

fn exponent(suffix: &str) -> Option<(u128, u128)> {
    let digits = suffix.strip_prefix(['e', 'E'])?;
    let power: i32 = digits.parse().ok()?;
    let size = 10u128.checked_pow(power.unsigned_abs())?;
    Some(if power < 0 { (1, size) } else { (size, 1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_grammar_allows() {
        for (text, want) in [
            ("0", 0),
            ("100", 100),
            ("1.5Gi", 3 << 29),
            ("1024Gi", 1 << 40),
            ("100m", 1),
            ("2000m", 2),
            ("1e3", 1000),
            ("1E", 1_000_000_000_000_000_000),
            (".5Ki", 512),
            ("+1k", 1000),
        ] {
            assert_eq!(ceil_units(text), Some(want), "{text}");
        }
        assert_eq!(ceil_gib("80Gi"), Some(80));
        assert_eq!(ceil_gib("1"), Some(1));
    }

    #[test]
    fn refuses_the_rest() {
        for text in ["", "Gi", "1Gib", "-1", "1.2.3", "1e", "abc", "1+1"] {
            assert_eq!(ceil_units(text), None, "{text}");
        }
    }
}
