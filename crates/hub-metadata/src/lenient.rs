//! JSON as Python writes it, and values of any type.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Largest whole number that is exact in every JSON implementation.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// Python's words for numbers that JSON lacks.
const NOT_JSON: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];

/// Replaces numbers that JSON lacks by `null`.
pub(crate) fn standard(text: &[u8]) -> Cow<'_, [u8]> {
    let may_have = |word: &[u8]| text.windows(word.len()).any(|window| window == word);
    if !NOT_JSON[1..].iter().any(|word| may_have(word)) {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let (mut rest, mut in_string) = (text, false);
    while let [first, after @ ..] = rest {
        if in_string && *first == b'\\' && !after.is_empty() {
            out.extend_from_slice(&rest[..2]);
            rest = &rest[2..];
            continue;
        }
        in_string ^= *first == b'"';
        let word = NOT_JSON.iter().find(|word| !in_string && rest.starts_with(word));
        match word {
            Some(word) => {
                out.extend_from_slice(b"null");
                rest = &rest[word.len()..];
            }
            None => {
                out.push(*first);
                rest = after;
            }
        }
    }
    Cow::Owned(out)
}

/// A value of any type. Numbers, texts and booleans are kept.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) enum Scalar {
    Number(f64),
    Text(String),
    Truth(bool),
    /// Null, a list or an object.
    #[default]
    Other,
}

impl Scalar {
    /// The value as a whole number that is not negative, also from `7.0` or `"7"`.
    pub(crate) fn whole(&self) -> Option<u64> {
        match self {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "whole and in range, as was checked"
            )]
            Self::Number(number) => {
                (number.fract() == 0.0 && (0.0..=MAX_EXACT).contains(number)).then_some(*number as u64)
            }
            Self::Text(text) => text.trim().parse().ok(),
            Self::Truth(_) | Self::Other => None,
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) if !text.trim().is_empty() => Some(text),
            _ => None,
        }
    }

    pub(crate) fn is_true(&self) -> bool {
        *self == Self::Truth(true)
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyScalar)
    }
}

struct AnyScalar;

#[expect(clippy::cast_precision_loss, reason = "numbers beyond 2^53 are refused later")]
impl<'de> Visitor<'de> for AnyScalar {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
        Ok(Scalar::Truth(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Scalar, E> {
        Ok(Scalar::Number(value as f64))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Scalar, E> {
        Ok(Scalar::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Scalar, E> {
        Ok(Scalar::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Scalar, E> {
        Ok(Scalar::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Scalar, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }
}

/// The texts of a list of any types, or one text.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Texts(pub(crate) Vec<String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyTexts;
        impl<'de> Visitor<'de> for AnyTexts {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of texts")
            }

            fn visit_str<E>(self, value: &str) -> Result<Texts, E> {
                Ok(Texts(vec![value.to_owned()]))
            }

            fn visit_unit<E>(self) -> Result<Texts, E> {
                Ok(Texts::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Texts, A::Error> {
                let mut texts = Vec::new();
                while let Some(value) = list.next_element::<Scalar>()? {
                    texts.extend(value.text().map(str::to_owned));
                }
                Ok(Texts(texts))
            }
        }
        deserializer.deserialize_any(AnyTexts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pythons_numbers_become_null() {
        for (text, expected) in [
            (
                r#"{"a": NaN, "b": [Infinity,-Infinity]}"#,
                r#"{"a": null, "b": [null,null]}"#,
            ),
            (r#"{"NaN": "Infinity \" NaN"}"#, r#"{"NaN": "Infinity \" NaN"}"#),
            (r#"{"a": "\\", "b": NaN}"#, r#"{"a": "\\", "b": null}"#),
            (r#"{"a": 1}"#, r#"{"a": 1}"#),
            ("NaN\\", "null\\"),
        ] {
            assert_eq!(String::from_utf8_lossy(&standard(text.as_bytes())), expected);
        }
    }

    #[test]
    fn whole_numbers_in_every_spelling() {
        let whole = |json: &str| serde_json::from_str::<Scalar>(json).unwrap().whole();
        for json in ["7", "7.0", "\"7\"", "\" 7 \"", "0.7e1"] {
            assert_eq!(whole(json), Some(7), "{json}");
        }
        for json in [
            "-7",
            "7.5",
            "1e300",
            "true",
            "null",
            "[7]",
            "{\"a\":7}",
            "\"seven\"",
            "9007199254740993000",
        ] {
            assert_eq!(whole(json), None, "{json}");
        }
    }
}
