//! The choices about serving that annotations make, over the defaults of the installation.

use kaito_api::labels;
use preset_catalog::Runtime;
use render::{AdapterMode, Serving};

use super::annotations::parsed;
use crate::context::PlanContext;
use crate::problem::Problem;

/// Returns the choices for a Workspace that this engine serves.
pub(super) fn of(context: &PlanContext<'_>, engine: Runtime) -> Result<Serving, Problem> {
    let defaults = context.settings.serving.clone();
    let serving = Serving {
        front: parsed(context, labels::FRONT, front, "enabled or disabled")?.unwrap_or(defaults.front),
        api_keys_secret: parsed(context, labels::API_KEYS_SECRET, secret, SECRET_NAME)?
            .or(defaults.api_keys_secret),
        tls_secret: parsed(context, labels::TLS_SECRET, secret, SECRET_NAME)?.or(defaults.tls_secret),
        adapter_mode: parsed(context, labels::ADAPTER_MODE, adapter_mode, "merge or request")?
            .unwrap_or(defaults.adapter_mode),
        cpu: parsed(
            context,
            labels::CPU,
            amount,
            "a number of processors, such as 4 or 500m",
        )?
        .or(defaults.cpu),
        memory: parsed(
            context,
            labels::MEMORY,
            amount,
            "an amount of memory, such as 16Gi",
        )?
        .or(defaults.memory),
        ..defaults
    };
    check(&serving, engine)?;
    Ok(serving)
}

/// Refuses what the engine would silently not do.
fn check(serving: &Serving, engine: Runtime) -> Result<(), Problem> {
    if engine != Runtime::Vllm {
        return Ok(());
    }
    let protects = serving.api_keys_secret.is_some() || serving.tls_secret.is_some();
    if protects && !serving.front {
        return Err(Problem::invalid(format!(
            "API keys and certificates need the front, which annotation {} or the installation disables",
            labels::FRONT
        )));
    }
    Ok(())
}

const SECRET_NAME: &str = "the name of a Secret";

fn front(text: &str) -> Option<bool> {
    match text {
        "enabled" => Some(true),
        "disabled" => Some(false),
        _ => None,
    }
}

fn adapter_mode(text: &str) -> Option<AdapterMode> {
    match text {
        "merge" => Some(AdapterMode::Merge),
        "request" => Some(AdapterMode::Request),
        _ => None,
    }
}

/// A DNS subdomain, as names of Secrets are.
fn secret(text: &str) -> Option<String> {
    let is_label = |label: &str| {
        let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !label.is_empty() && !label.starts_with('-') && !label.ends_with('-') && label.chars().all(is_allowed)
    };
    (text.len() <= 253 && text.split('.').all(is_label)).then(|| text.to_owned())
}

/// A positive quantity, spelled as the API server spells it.
fn amount(text: &str) -> Option<String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let is_positive = digits.parse::<f64>().is_ok_and(|number| number > 0.0);
    is_positive.then(|| render::quantity(text)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_are_parsed() {
        assert_eq!(
            (front("enabled"), front("disabled"), front("true")),
            (Some(true), Some(false), None)
        );
        assert_eq!(
            (adapter_mode("request"), adapter_mode("")),
            (Some(AdapterMode::Request), None)
        );
        for name in ["keys", "a.b-1"] {
            assert_eq!(secret(name).as_deref(), Some(name));
        }
        for wrong in ["", "A", "a_b", "-a", "a..b", "a/b", &"a".repeat(254)] {
            assert_eq!(secret(wrong), None, "{wrong}");
        }
        for (text, spelled) in [
            ("1024Mi", Some("1Gi")),
            ("2000m", Some("2")),
            ("1.5", Some("1500m")),
        ] {
            assert_eq!(amount(text).as_deref(), spelled, "{text}");
        }
        for wrong in ["", "-1", "0", "many", "1GiB", "1 Gi", "nan", "inf"] {
            assert_eq!(amount(wrong), None, "{wrong}");
        }
    }
}
