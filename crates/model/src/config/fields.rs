//! Bounded fields of a `config.json`.

use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// One JSON object. Names in errors have its place as a prefix.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a> {
    pub(super) map: &'a Map<String, Value>,
    pub(super) prefix: &'a str,
}

impl<'a> Fields<'a> {
    pub(super) fn error(&self, name: &str, problem: impl Into<String>) -> Error {
        Error::config(format!("{}{name}", self.prefix), problem)
    }

    /// Returns the field; `null` counts as absent.
    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn object(&self, name: &str) -> Result<Option<&'a Map<String, Value>>> {
        self.get(name)
            .map(|value| {
                value
                    .as_object()
                    .ok_or_else(|| self.error(name, "must be an object"))
            })
            .transpose()
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>> {
        self.get(name)
            .map(|value| value.as_str().ok_or_else(|| self.error(name, "must be a string")))
            .transpose()
    }

    pub(super) fn flag(&self, name: &str, default: bool) -> Result<bool> {
        self.get(name).map_or(Ok(default), |value| {
            value
                .as_bool()
                .ok_or_else(|| self.error(name, "must be true or false"))
        })
    }

    /// Returns a whole number from 1 to `limit`.
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
                    format!("must be a whole number from 1 to {limit}, got {value}"),
                )
            })
    }

    pub(super) fn needed_size(&self, name: &str, limit: usize) -> Result<usize> {
        self.size(name, limit)?
            .ok_or_else(|| self.error(name, "is missing"))
    }

    /// Returns a finite number.
    pub(super) fn number(&self, name: &str) -> Result<Option<f64>> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        value
            .as_f64()
            .filter(|number| number.is_finite())
            .map(Some)
            .ok_or_else(|| self.error(name, format!("must be a number, got {value}")))
    }

    /// Returns a finite number above zero.
    pub(super) fn positive(&self, name: &str) -> Result<Option<f64>> {
        match self.number(name)? {
            Some(number) if number <= 0.0 => Err(self.error(name, format!("must be above 0, got {number}"))),
            number => Ok(number),
        }
    }

    /// Returns exactly `length` finite numbers above zero.
    pub(super) fn numbers(&self, name: &str, length: usize) -> Result<Vec<f64>> {
        let list = self.get(name).and_then(Value::as_array);
        let list = list.ok_or_else(|| self.error(name, "must be a list"))?;
        if list.len() != length {
            return Err(self.error(name, format!("must have {length} numbers, got {}", list.len())));
        }
        let number = |value: &Value| {
            value
                .as_f64()
                .filter(|number| number.is_finite() && *number > 0.0)
        };
        list.iter()
            .map(number)
            .collect::<Option<_>>()
            .ok_or_else(|| self.error(name, "must hold numbers above 0 only"))
    }
}
