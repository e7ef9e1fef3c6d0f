//! Reading fields of a `config.json` with bounds.

use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// One JSON object; names in errors are prefixed with where it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a> {
    pub(super) map: &'a Map<String, Value>,
    pub(super) prefix: &'a str,
}

impl<'a> Fields<'a> {
    pub(super) fn error(&self, name: &str, problem: impl Into<String>) -> Error {
        Error::config(format!("{}{name}", self.prefix), problem)
    }

    /// The field, with `null` as absent.
    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn object(&self, name: &str) -> Result<Option<&'a Map<String, Value>>> {
        self.get(name)
            .map(|value| value.as_object().ok_or_else(|| self.error(name, "is no object")))
            .transpose()
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>> {
        self.get(name)
            .map(|value| value.as_str().ok_or_else(|| self.error(name, "is no string")))
            .transpose()
    }

    pub(super) fn flag(&self, name: &str, default: bool) -> Result<bool> {
        self.get(name).map_or(Ok(default), |value| {
            value
                .as_bool()
                .ok_or_else(|| self.error(name, "is neither true nor false"))
        })
    }

    /// A whole number from 1 to `limit`.
    pub(super) fn size(&self, name: &str, limit: usize) -> Result<Option<usize>> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        value
            .as_u64()
            .and_then(|number| usize::try_from(number).ok())
            .filter(|number| (1..=limit).contains(number))
            .map(Some)
            .ok_or_else(|| {
                self.error(
                    name,
                    format!("is {value}, a whole number from 1 to {limit} is needed"),
                )
            })
    }

    pub(super) fn needed_size(&self, name: &str, limit: usize) -> Result<usize> {
        self.size(name, limit)?
            .ok_or_else(|| self.error(name, "is missing"))
    }

    /// A finite number.
    pub(super) fn number(&self, name: &str) -> Result<Option<f64>> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        value
            .as_f64()
            .filter(|number| number.is_finite())
            .map(Some)
            .ok_or_else(|| self.error(name, format!("is {value}, a number is needed")))
    }

    /// A finite number above zero.
    pub(super) fn positive(&self, name: &str) -> Result<Option<f64>> {
        match self.number(name)? {
            Some(number) if number <= 0.0 => {
                Err(self.error(name, format!("is {number}, a number above 0 is needed")))
            }
            number => Ok(number),
        }
    }

    /// Exactly `length` finite numbers.
    pub(super) fn numbers(&self, name: &str, length: usize) -> Result<Vec<f64>> {
        let list = self.get(name).and_then(Value::as_array);
        let list = list.ok_or_else(|| self.error(name, "is no list"))?;
        if list.len() != length {
            return Err(self.error(name, format!("has {} numbers, {length} are needed", list.len())));
        }
        let number = |value: &Value| {
            value
                .as_f64()
                .filter(|number| number.is_finite() && *number > 0.0)
        };
        list.iter()
            .map(number)
            .collect::<Option<_>>()
            .ok_or_else(|| self.error(name, "holds something else than numbers above 0"))
    }
}
