//! Names of vLLM's flags, from `data/vllm_flags.yaml`.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Deserialize;
use serde_json::Value;

use super::error::EngineConfigError;

/// Contents of the file. Each text lists names between blanks.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FlagFile {
    values: String,
    switches: String,
    bare: String,
    refused: BTreeMap<String, String>,
}

/// Kind of a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FlagKind<'a> {
    Value,
    /// `--name` or `--no-name`.
    Switch,
    /// `--name` alone.
    Bare,
    /// A Workspace cannot set it, for this reason.
    Refused(&'a str),
}

/// All flags by name.
#[derive(Debug)]
pub(super) struct FlagTable {
    flags: BTreeMap<String, FlagKind<'static>>,
}

impl FlagTable {
    /// Returns the built-in table, parsed at the first call.
    pub(super) fn embedded() -> Result<&'static Self, &'static str> {
        static FILE: OnceLock<Result<FlagFile, String>> = OnceLock::new();
        static TABLE: OnceLock<FlagTable> = OnceLock::new();
        let text = include_str!("../../data/vllm_flags.yaml");
        let file = FILE
            .get_or_init(|| serde_saphyr::from_str(text).map_err(|error| error.to_string()))
            .as_ref()
            .map_err(String::as_str)?;
        Ok(TABLE.get_or_init(|| Self::of(file)))
    }

    fn of(file: &'static FlagFile) -> Self {
        let simple = [
            (&file.values, FlagKind::Value),
            (&file.switches, FlagKind::Switch),
            (&file.bare, FlagKind::Bare),
        ];
        let refused = file.refused.iter();
        let refused = refused.map(|(why, names)| (names, FlagKind::Refused(why)));
        let all = simple.into_iter().chain(refused);
        let flags =
            all.flat_map(|(names, kind)| names.split_whitespace().map(move |name| (name.to_owned(), kind)));
        Self {
            flags: flags.collect(),
        }
    }

    /// Returns the kind of a normalized name. A dotted one sets a part of the flag before the first dot.
    pub(super) fn kind(&self, name: &str) -> Option<FlagKind<'static>> {
        if let Some((base, _)) = name.split_once('.') {
            return self
                .flags
                .get(base)
                .copied()
                .filter(|kind| matches!(kind, FlagKind::Value | FlagKind::Refused(_)));
        }
        let inverse = || {
            let kind = *self.flags.get(name.strip_prefix("no-")?)?;
            matches!(kind, FlagKind::Switch).then_some(kind)
        };
        self.flags.get(name).copied().or_else(inverse)
    }

    /// Names that a Workspace can set.
    pub(super) fn settable(&self) -> impl Iterator<Item = &str> {
        let all = self.flags.iter();
        all.filter(|(_, kind)| !matches!(kind, FlagKind::Refused(_)))
            .map(|(name, _)| name.as_str())
    }
}

impl FlagKind<'_> {
    /// Kind of a flag of another engine than ours, by its value.
    pub(super) fn guessed(value: &Value) -> Self {
        match value {
            Value::Bool(_) => Self::Switch,
            _ => Self::Value,
        }
    }

    /// Returns name and value as they stand on the command line.
    pub(super) fn rendered(self, name: &str, text: String) -> Result<(String, String), EngineConfigError> {
        let is_on = match text.to_ascii_lowercase().as_str() {
            "" | "true" => Some(true),
            "false" => Some(false),
            _ => None,
        };
        let wrong = |must: &str| EngineConfigError::malformed(format!("vllm.{name} must be {must}"));
        match (self, is_on) {
            (Self::Value | Self::Refused(_), _) if text.is_empty() => Err(wrong("set to a value")),
            (Self::Value | Self::Refused(_), _) => Ok((name.to_owned(), text)),
            (Self::Switch | Self::Bare, Some(true)) => Ok((name.to_owned(), String::new())),
            (Self::Switch, Some(false)) => Ok((opposite(name), String::new())),
            (Self::Switch, None) => Err(wrong("true or false")),
            (Self::Bare, _) => Err(wrong("true, or absent")),
        }
    }
}

/// The other form of a switch.
fn opposite(name: &str) -> String {
    match name.strip_prefix("no-") {
        Some(positive) => positive.to_owned(),
        None => format!("no-{name}"),
    }
}

/// Returns a name as the parser reads it: without dashes before it, and with dashes for underscores up to the first dot.
pub(super) fn normalized(key: &str) -> String {
    let key = key.trim().trim_start_matches('-');
    match key.split_once('.') {
        Some((base, rest)) => format!("{}.{rest}", base.replace('_', "-")),
        None => key.replace('_', "-"),
    }
}

/// Refuses a speculative decoding with a second model.
pub(super) fn check_draft(name: &str, text: &str) -> Result<(), EngineConfigError> {
    let Some(rest) = name.strip_prefix("speculative-config") else {
        return Ok(());
    };
    let names_model = match rest.strip_prefix('.') {
        Some(part) => part.split('.').next() == Some("model"),
        None => match serde_json::from_str::<Value>(text) {
            Ok(value) => value.get("model").is_some_and(|model| *model != "ngram"),
            Err(_) => {
                return Err(EngineConfigError::malformed(
                    "vllm.speculative-config must be JSON",
                ));
            }
        },
    };
    let why = "a second model would be neither sized nor pinned; the method ngram needs none";
    if names_model {
        Err(EngineConfigError::refused(name, why))
    } else {
        Ok(())
    }
}
