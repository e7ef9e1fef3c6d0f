//! The name of a ConfigMap that a program publishes, as its flag spells it.

use std::str::FromStr;

/// The name of a ConfigMap, as `namespace/name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigMapName {
    /// The namespace.
    pub namespace: String,
    /// The name in the namespace.
    pub name: String,
}

/// A text that is not of the form `namespace/name`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected NAMESPACE/NAME, not `{0}`")]
pub struct BadConfigMapName(String);

impl FromStr for ConfigMapName {
    type Err = BadConfigMapName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split('/').collect::<Vec<_>>()[..] {
            [namespace, name] if !namespace.is_empty() && !name.is_empty() => Ok(Self {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            }),
            _ => Err(BadConfigMapName(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_namespace_and_a_name() {
        let config_map: ConfigMapName = "kaito-system/catalog".parse().unwrap();
        assert_eq!(
            (config_map.namespace.as_str(), config_map.name.as_str()),
            ("kaito-system", "catalog")
        );
        for bad in ["", "a", "/a", "a/", "a/b/c"] {
            assert_eq!(
                bad.parse::<ConfigMapName>(),
                Err(BadConfigMapName(bad.to_owned()))
            );
        }
    }
}
