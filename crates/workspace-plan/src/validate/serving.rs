//! The choices about serving that annotations make, over the defaults of the installation.

use std::net::Ipv4Addr;

use kaito_api::labels;
use preset_catalog::Runtime;
use render::{AdapterMode, Serving};

use crate::annotations::parsed;
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
        cors_origins: parsed(context, labels::CORS_ORIGINS, origins, ORIGINS)?
            .unwrap_or(defaults.cors_origins),
        stall_seconds: parsed(context, labels::STALL_SECONDS, seconds, SECONDS)?.or(defaults.stall_seconds),
        adapter_mode: parsed(context, labels::ADAPTER_MODE, adapter_mode, "merge or request")?
            .unwrap_or(defaults.adapter_mode),
        weights_class: weights_class(context)?.unwrap_or(defaults.weights_class),
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
    };
    check(context, &serving, engine)?;
    Ok(serving)
}

/// Refuses what the engine would silently not do.
fn check(context: &PlanContext<'_>, serving: &Serving, engine: Runtime) -> Result<(), Problem> {
    if engine != Runtime::Vllm {
        return Ok(());
    }
    let is_set = |annotation| context.workspace().annotation(annotation).is_some();
    let needs = [
        (
            serving.api_keys_secret.is_some() || serving.tls_secret.is_some(),
            "API keys and certificates need the front",
        ),
        (is_set(labels::CORS_ORIGINS), "origins need the front"),
        (is_set(labels::STALL_SECONDS), "stall seconds need the front"),
    ];
    if let Some((_, what)) = needs.into_iter().find(|(needs, _)| *needs && !serving.front) {
        return Err(Problem::invalid(format!(
            "{what}, which annotation {} or the installation disables",
            labels::FRONT
        )));
    }
    Ok(())
}

/// Storage class that the annotation asks for, if it is set; `none` switches the installation's off.
fn weights_class(context: &PlanContext<'_>) -> Result<Option<Option<String>>, Problem> {
    let class = |text: &str| match text {
        "none" => Some(None),
        _ => secret(text).map(Some),
    };
    let class = parsed(context, labels::WEIGHTS_STORAGE_CLASS, class, STORAGE_CLASS)?;
    let has_image = context.workspace().annotation(labels::WEIGHTS_IMAGE).is_some();
    if has_image && class.as_ref().is_some_and(Option::is_some) {
        return Err(Problem::invalid(format!(
            "annotation {} has no effect beside {}: volumes keep the weights of the hub; one of them must be absent",
            labels::WEIGHTS_STORAGE_CLASS,
            labels::WEIGHTS_IMAGE
        )));
    }
    Ok(class)
}

const STORAGE_CLASS: &str = "the name of a storage class, or none";
const SECRET_NAME: &str = "the name of a Secret";
const ORIGINS: &str = "origins such as https://chat.example.com, separated by commas, or * or none";
const SECONDS: &str = "a number of seconds from 1 to 999999";

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

/// Origins of web pages; none for `none`.
fn origins(text: &str) -> Option<Vec<String>> {
    match text {
        "none" => Some(Vec::new()),
        "*" => Some(vec!["*".to_owned()]),
        _ => text
            .split(',')
            .map(|origin| self::origin(origin.trim()))
            .collect(),
    }
}

/// An origin as browsers spell it: the server compares texts, and does not start with another spelling.
fn origin(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let (host, port) = rest
        .split_once(':')
        .map_or((rest, None), |(host, port)| (host, Some(port)));
    let default = match scheme {
        "https" => 443,
        "http" => 80,
        _ => return None,
    };
    let is_port = |port: &str| {
        let number: Option<u16> = port.parse().ok();
        number.is_some_and(|number| number != default && number > 0 && number.to_string() == port)
    };
    let is_address = |host: &str| {
        let address: Option<Ipv4Addr> = host.parse().ok();
        address.is_some_and(|address| address.to_string() == host)
    };
    // A last label of digits makes a name an address, in one of several spellings.
    let last = host.rsplit('.').next().unwrap_or_default();
    let is_name = last.starts_with(|c: char| c.is_ascii_lowercase()) && secret(host).is_some();
    let is_origin = (is_name || is_address(host)) && port.is_none_or(is_port);
    is_origin.then(|| text.to_owned())
}

fn seconds(text: &str) -> Option<u32> {
    text.parse()
        .ok()
        .filter(|seconds| (1..=999_999).contains(seconds))
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
        assert_eq!(origins("none"), Some(Vec::new()));
        let two = "https://chat.example.com, http://10.0.0.1:8080";
        let parts = ["https://chat.example.com", "http://10.0.0.1:8080"].map(str::to_owned);
        assert_eq!(origins(two), Some(parts.to_vec()));
        for right in ["*", "http://localhost:3000", "https://a-b.example"] {
            assert_eq!(origins(right), Some(vec![right.to_owned()]));
        }
        for wrong in [
            "",
            "chat.example.com",
            "https://chat.example.com/",
            "https://Chat.example.com",
            "https://chat.example.com:443",
            "http://chat.example.com:080",
            "https://chat.example.com:0",
            "https://10.0.1",
            "https://a.0x1",
            "https://u@chat.example.com",
            "ftp://chat.example.com",
            "https://a.example,*",
            "https://a.example,",
        ] {
            assert_eq!(origins(wrong), None, "{wrong}");
        }
        assert_eq!(
            (seconds("600"), seconds("0"), seconds("1000000")),
            (Some(600), None, None)
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
