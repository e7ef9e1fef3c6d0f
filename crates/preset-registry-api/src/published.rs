//! The ConfigMap in which the registry publishes the authorities of its certificates: the format that both sides use.

use std::collections::BTreeMap;

/// Annotation with the audience of callers' tokens; empty if tokens are not checked.
pub const AUDIENCE: &str = "kaito.sh/token-audience";

/// Beginning of the first line of a value; the end of its certificates follows, in seconds since 1970.
pub const UNTIL: &str = "# valid until ";

/// End of the keys.
const SUFFIX: &str = ".crt";
/// Most authorities that a client trusts. There are two for each replica at most.
const MAX_AUTHORITIES: usize = 64;

/// Returns the key of a replica.
#[must_use]
pub fn key(replica: &str) -> String {
    format!("{replica}{SUFFIX}")
}

/// Returns the end of the certificates of a value, in seconds since 1970; `None` without a readable one.
#[must_use]
pub fn until(text: &str) -> Option<u64> {
    text.lines().next()?.strip_prefix(UNTIL)?.trim().parse().ok()
}

/// Returns the authorities of all replicas in PEM, without ended ones and at most 64 values, those that end last first.
///
/// `now` is in seconds since 1970.
#[must_use]
pub fn authorities(data: &BTreeMap<String, String>, now: u64) -> Vec<&str> {
    let values = data.iter().filter(|(key, _)| key.ends_with(SUFFIX));
    let mut live: Vec<(u64, &str)> = values
        .filter_map(|(_, text)| Some((until(text)?, text.as_str())))
        .filter(|(until, _)| *until >= now)
        .collect();
    live.sort_by_key(|(until, _)| std::cmp::Reverse(*until));
    live.into_iter()
        .map(|(_, text)| text)
        .take(MAX_AUTHORITIES)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ended_and_foreign_values_are_left_out() {
        let value = |until: u64| format!("{UNTIL}{until}\n-----BEGIN");
        let data = BTreeMap::from([
            (key("a"), value(10)),
            (key("b"), value(20)),
            (key("c"), value(30)),
            (key("d"), "-----BEGIN".to_owned()),
            ("note".to_owned(), value(40)),
        ]);
        let found = authorities(&data, 15);
        assert_eq!(found, [value(30).as_str(), value(20).as_str()]);
        let many = (0..100).map(|n| (key(&n.to_string()), value(n))).collect();
        assert_eq!(authorities(&many, 0).len(), 64);
    }
}
