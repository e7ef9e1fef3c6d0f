//! The API server's grammars of names. It knows no objects.

/// RFC 1123 label: container and volume names.
pub(super) fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len()) && text.bytes().all(is_lower_or_dash) && has_lower_ends(text)
}

/// RFC 1035 label: names of Services.
pub(super) fn is_service_name(text: &str) -> bool {
    is_label(text) && text.starts_with(|c: char| c.is_ascii_lowercase())
}

/// RFC 1123 subdomain: names of most objects.
pub(super) fn is_subdomain(text: &str) -> bool {
    let part = |part: &str| !part.is_empty() && part.bytes().all(is_lower_or_dash) && has_lower_ends(part);
    (1..=253).contains(&text.len()) && text.split('.').all(part)
}

/// Name of a port: an IANA service name.
pub(super) fn is_port_name(text: &str) -> bool {
    (1..=15).contains(&text.len())
        && text.bytes().all(is_lower_or_dash)
        && has_lower_ends(text)
        && !text.contains("--")
        && text.bytes().any(|b| b.is_ascii_lowercase())
}

/// Key of a label, annotation or taint, and a finalizer: an optional DNS prefix and a name.
pub(super) fn is_qualified(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => is_subdomain(prefix) && is_simple(name),
        None => is_simple(text),
    }
}

/// Value of a label.
pub(super) fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_simple(text)
}

/// Reason of a condition or an event: one word, a letter first.
pub(super) fn is_reason(text: &str) -> bool {
    text.len() <= 128
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// Name of an environment variable that every shell accepts.
pub(super) fn is_variable(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

/// Key of a ConfigMap.
pub(super) fn is_config_key(text: &str) -> bool {
    (1..=253).contains(&text.len())
        && !matches!(text, "." | "..")
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

fn is_simple(text: &str) -> bool {
    let inside = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let end = |c: char| c.is_ascii_alphanumeric();
    (1..=63).contains(&text.len()) && text.bytes().all(inside) && text.starts_with(end) && text.ends_with(end)
}

fn is_lower_or_dash(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'
}

fn has_lower_ends(text: &str) -> bool {
    !text.starts_with('-') && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling() {
        let long = "a".repeat(64);
        for (rule, good, bad) in [
            (
                is_label as fn(&str) -> bool,
                vec!["a", "0a", "a-b"],
                vec!["", "A", "-a", "a-", "a.b", &long],
            ),
            (is_service_name, vec!["a1"], vec!["1a", "a.b", &long]),
            (
                is_subdomain,
                vec!["a.b", "0", &long],
                vec!["a..b", ".a", "a_b", ""],
            ),
            (
                is_port_name,
                vec!["http", "p2p"],
                vec!["80", "a--b", "HTTP", "sixteenlettersxx"],
            ),
            (
                is_qualified,
                vec!["a/B_c", "a", "k8s.io/x.y"],
                vec!["a/", "/a", "a/b/c", "A/b", "", &long],
            ),
            (is_label_value, vec!["", "a.B"], vec!["a b", "-a", &long]),
            (is_reason, vec!["NodeNotReady"], vec!["", "9a", "a b", "A-b"]),
            (is_variable, vec!["A_1"], vec!["", "1A", "A B", "A="]),
            (is_config_key, vec!["a.yaml"], vec!["", "..", "a/b"]),
        ] {
            good.iter()
                .for_each(|text| assert!(rule(text), "{text:?} is good"));
            bad.iter()
                .for_each(|text| assert!(!rule(text), "{text:?} is bad"));
        }
    }
}
