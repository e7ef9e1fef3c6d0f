//! Ranges of numbers, and parameters that must keep a value without effect.

use std::ops::RangeInclusive;

use serde_json::Value;

use crate::api::error::ApiError;

/// Checks that an integer is in a range.
pub(crate) fn integer(
    name: &str,
    value: Option<i64>,
    range: RangeInclusive<i64>,
) -> Result<Option<i64>, ApiError> {
    match value.filter(|value| !range.contains(value)) {
        None => Ok(value),
        Some(wrong) => Err(out_of_range(name, *range.start(), *range.end(), wrong)),
    }
}

/// Checks that an integer is in a range without negative numbers.
pub(crate) fn count(
    name: &str,
    value: Option<i64>,
    range: RangeInclusive<i64>,
) -> Result<Option<usize>, ApiError> {
    Ok(integer(name, value, range)?.and_then(|value| usize::try_from(value).ok()))
}

/// Checks that a number is in a range.
pub(crate) fn number(
    name: &str,
    value: Option<f64>,
    range: RangeInclusive<f64>,
) -> Result<Option<f32>, ApiError> {
    match value.filter(|value| !range.contains(value)) {
        #[expect(clippy::cast_possible_truncation, reason = "all ranges are small")]
        None => Ok(value.map(|value| value as f32)),
        Some(wrong) => Err(out_of_range(name, *range.start(), *range.end(), wrong)),
    }
}

fn out_of_range<T: std::fmt::Display>(name: &str, min: T, max: T, wrong: T) -> ApiError {
    ApiError::parameter(name, format!("must be between {min} and {max}, not {wrong}"))
}

/// Refuses a parameter that would change the completion and is not supported, unless it has the value that changes nothing.
pub(crate) fn refuse_unless(neutral: &Value, name: &str, value: Option<&Value>) -> Result<(), ApiError> {
    match value.filter(|value| *value != neutral) {
        None => Ok(()),
        Some(_) if neutral.is_null() => Err(ApiError::parameter(name, "is not supported")),
        Some(_) => Err(ApiError::parameter(
            name,
            format!("must be {neutral}: other values are not supported"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ranges_are_checked() {
        assert_eq!(count("n", Some(3), 1..=8).unwrap(), Some(3));
        assert_eq!(count("n", None, 1..=8).unwrap(), None);
        let error = count("n", Some(3), 5..=8).unwrap_err();
        assert_eq!(error.message, "`n` must be between 5 and 8, not 3");
        let error = number("temperature", Some(2.5), 0.0..=2.0).unwrap_err();
        assert_eq!(error.message, "`temperature` must be between 0 and 2, not 2.5");
        assert_eq!(number("temperature", Some(0.5), 0.0..=2.0).unwrap(), Some(0.5));
    }

    #[test]
    fn unsupported_parameters_must_be_neutral() {
        let one = json!(1);
        assert!(refuse_unless(&one, "best_of", None).is_ok());
        assert!(refuse_unless(&one, "best_of", Some(&json!(1))).is_ok());
        let error = refuse_unless(&one, "best_of", Some(&json!(3))).unwrap_err();
        assert_eq!(
            error.message,
            "`best_of` must be 1: other values are not supported"
        );
        let error = refuse_unless(&Value::Null, "dimensions", Some(&json!(3))).unwrap_err();
        assert_eq!(error.message, "`dimensions` is not supported");
    }
}
