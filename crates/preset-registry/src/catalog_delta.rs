//! The difference of two catalogs.

use preset_catalog::{Catalog, Preset};
use preset_registry_api::v1;

/// The changes that turn `before` into `after`.
pub(crate) fn between(before: &Catalog, after: &Catalog) -> v1::CatalogDelta {
    let mut delta = v1::CatalogDelta::default();
    for preset in after.iter() {
        match by_short_name(before, &preset.name) {
            None => delta.added.push(preset.into()),
            Some(old) if old != preset => delta.changed.push(preset.into()),
            Some(_) => {}
        }
    }
    let gone = before
        .iter()
        .filter(|preset| by_short_name(after, &preset.name).is_none());
    delta.removed.extend(gone.map(|preset| preset.name.clone()));
    delta
}

/// Finds a preset by its short name, which may be the alias of another preset.
fn by_short_name<'a>(catalog: &'a Catalog, name: &str) -> Option<&'a Preset> {
    catalog.find(name).filter(|preset| preset.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn over(text: &str) -> Catalog {
        let built_in = Catalog::embedded().unwrap();
        built_in.overlay([("a.yaml", text)]).unwrap().catalog
    }

    fn entry(hub_id: &str, more: &str) -> String {
        format!(
            "- {{hub_id: {hub_id}, license: mit, architecture: A, weights: 1Gi, max_context_tokens: 1, \
             kv_bytes_per_token: 1{more}}}\n"
        )
    }

    fn applied(before: &Catalog, delta: &v1::CatalogDelta) -> BTreeMap<String, v1::Preset> {
        let mut presets: BTreeMap<_, _> = before
            .iter()
            .map(|preset| (preset.name.clone(), v1::Preset::from(preset)))
            .collect();
        for name in &delta.removed {
            assert!(presets.remove(name).is_some(), "{name} was not there");
        }
        for preset in &delta.added {
            assert!(presets.insert(preset.name.clone(), preset.clone()).is_none());
        }
        for preset in &delta.changed {
            assert!(presets.insert(preset.name.clone(), preset.clone()).is_some());
        }
        presets
    }

    #[test]
    fn applying_the_delta_gives_the_other_catalog() {
        let catalogs = [
            Catalog::embedded().unwrap().clone(),
            over(&entry("acme/x", "")),
            over(&format!(
                "{}{}",
                entry("acme/x", ", aliases: [z]"),
                entry("acme/y", "")
            )),
            over(&entry("acme/phi-4", ", override: true, gated: true")),
            over(&entry("acme/other", ", override: true, aliases: [phi-4]")),
        ];
        for before in &catalogs {
            for after in &catalogs {
                let delta = between(before, after);
                let expected = after.iter().map(|preset| (preset.name.clone(), preset.into()));
                assert_eq!(applied(before, &delta), expected.collect());
                let empty = delta == v1::CatalogDelta::default();
                assert_eq!(empty, before == after, "an unchanged preset is in the delta");
            }
        }
    }
}
