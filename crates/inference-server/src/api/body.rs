//! Reading fields of a request's body, so that every mistake names its field.
//!
//! Fields nobody asks for are left alone: clients send more every year.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::error::ApiError;

/// A JSON object.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    map: Map<String, Value>,
    /// Put before names in errors.
    prefix: &'static str,
}

type Parsed<T> = Result<T, ApiError>;

impl Body {
    pub(crate) fn parse(bytes: &[u8]) -> Parsed<Self> {
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(map)) => Ok(Self { map, prefix: "" }),
            Ok(_) => Err(ApiError::body("it is something else")),
            Err(error) => Err(ApiError::body(error)),
        }
    }

    /// An object inside; an empty one when it is absent.
    pub(crate) fn inner(&self, name: &'static str) -> Parsed<Self> {
        self.nested(name, name)
    }

    /// An object inside, whose fields are named after `prefix` in errors.
    pub(crate) fn nested(&self, name: &str, prefix: &'static str) -> Parsed<Self> {
        let map = match self.get(name) {
            None => Map::new(),
            Some(Value::Object(map)) => map.clone(),
            Some(_) => return Err(self.error(name, "is no object")),
        };
        Ok(Self { map, prefix })
    }

    pub(crate) fn error(&self, name: &str, problem: impl std::fmt::Display) -> ApiError {
        let separator = if self.prefix.is_empty() { "" } else { "." };
        ApiError::field(format!("{}{separator}{name}", self.prefix), problem)
    }

    /// The field, with `null` as absent.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    pub(crate) fn flag(&self, name: &str, default: bool) -> Parsed<bool> {
        self.get(name).map_or(Ok(default), |value| {
            value
                .as_bool()
                .ok_or_else(|| self.error(name, "is neither true nor false"))
        })
    }

    pub(crate) fn text(&self, name: &str) -> Parsed<Option<&str>> {
        let text = |value: &'_ Value| -> bool { value.is_string() };
        match self.get(name) {
            None => Ok(None),
            Some(value) if text(value) => Ok(value.as_str()),
            Some(_) => Err(self.error(name, "is no string")),
        }
    }

    pub(crate) fn number(&self, name: &str, range: RangeInclusive<f64>) -> Parsed<Option<f32>> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        match value.as_f64().filter(|number| range.contains(number)) {
            #[expect(clippy::cast_possible_truncation, reason = "all ranges are small")]
            Some(number) => Ok(Some(number as f32)),
            None => Err(self.error(
                name,
                format!(
                    "is {value}, a number from {} to {} is needed",
                    range.start(),
                    range.end()
                ),
            )),
        }
    }

    pub(crate) fn whole(&self, name: &str, range: RangeInclusive<i64>) -> Parsed<Option<i64>> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let number = value.as_i64().filter(|number| range.contains(number));
        number.map(Some).ok_or_else(|| {
            self.error(
                name,
                format!(
                    "is {value}, a whole number from {} to {} is needed",
                    range.start(),
                    range.end()
                ),
            )
        })
    }

    /// A whole number that counts something.
    pub(crate) fn count(&self, name: &str, range: RangeInclusive<i64>) -> Parsed<Option<usize>> {
        Ok(self
            .whole(name, range)?
            .and_then(|number| usize::try_from(number).ok()))
    }

    /// One string or a list of at most `most`.
    pub(crate) fn texts(&self, name: &str, most: usize) -> Parsed<Vec<String>> {
        let wrong = || {
            self.error(
                name,
                format!("is neither a string nor a list of at most {most} strings"),
            )
        };
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(vec![text.clone()]),
            Some(Value::Array(list)) if list.len() <= most => list
                .iter()
                .map(|value| value.as_str().map(str::to_owned).ok_or_else(wrong))
                .collect(),
            Some(_) => Err(wrong()),
        }
    }

    /// A list of tokens.
    pub(crate) fn tokens(&self, name: &str) -> Parsed<Option<Vec<u32>>> {
        let wrong = || self.error(name, "is no list of token numbers");
        match self.get(name) {
            None => Ok(None),
            Some(Value::Array(list)) => list
                .iter()
                .map(|value| token(value).ok_or_else(wrong))
                .collect::<Parsed<_>>()
                .map(Some),
            Some(_) => Err(wrong()),
        }
    }

    /// Refuses fields that would change the answer and are not carried out, unless they have the value that changes nothing.
    pub(crate) fn refuse(&self, fields: &[(&str, Value)]) -> Parsed<()> {
        match fields
            .iter()
            .find(|(name, neutral)| self.get(name).is_some_and(|value| value != neutral))
        {
            Some((name, neutral)) => {
                Err(self.error(name, format!("is not supported here, other than {neutral}")))
            }
            None => Ok(()),
        }
    }
}

pub(crate) fn token(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|id| u32::try_from(id).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_name_their_field() {
        let body =
            Body::parse(br#"{"a": "x", "n": 3, "t": 2.5, "s": ["p", 1], "o": {"k": 1}, "z": null}"#).unwrap();
        let message = |error: ApiError| error.message;
        assert_eq!(body.whole("n", 1..=8).unwrap(), Some(3));
        assert_eq!(body.whole("z", 1..=8).unwrap(), None);
        assert!(
            message(body.whole("n", 5..=8).unwrap_err()).contains("`n` is 3, a whole number from 5 to 8")
        );
        assert!(message(body.number("t", 0.0..=2.0).unwrap_err()).contains("`t` is 2.5"));
        assert!(message(body.flag("a", true).unwrap_err()).starts_with("`a`"));
        assert!(message(body.texts("s", 4).unwrap_err()).starts_with("`s`"));
        assert!(message(body.inner("o").unwrap().flag("k", true).unwrap_err()).starts_with("`o.k`"));
        assert!(body.refuse(&[("n", 3.into())]).is_ok() && body.refuse(&[("n", 1.into())]).is_err());
        assert!(Body::parse(b"[]").is_err() && Body::parse(b"{").is_err());
    }
}
