//! Facts about GPU models that sizing does not need.
//!
//! They belong to the model, not to the instance type: a type of any source has them if it names its GPU.

use std::sync::OnceLock;

use serde::Deserialize;

use crate::InstanceType;

const TEXT: &str = include_str!("../data/gpu_models.yaml");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// Source of the figures, for readers of the file.
    #[serde(rename = "source")]
    _source: String,
    gpu_models: Vec<BandwidthRow>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BandwidthRow {
    model: String,
    #[serde(default)]
    from_gib: u64,
    gb_per_second: u64,
}

impl InstanceType {
    /// Returns the memory bandwidth of one GPU in GB (10⁹ bytes) a second, by the vendor's figure; `None` if it is not known.
    #[must_use]
    pub fn gpu_gb_per_second(&self) -> Option<u64> {
        let (model, gib) = (self.gpu_model.as_deref()?, self.gpu_memory_bytes_each() >> 30);
        let rows = rows().iter();
        let known = rows.filter(|row| row.model.eq_ignore_ascii_case(model) && row.from_gib <= gib);
        known.max_by_key(|row| row.from_gib).map(|row| row.gb_per_second)
    }
}

/// A table that cannot be read has no rows; a test excludes it.
fn rows() -> &'static [BandwidthRow] {
    static ROWS: OnceLock<Vec<BandwidthRow>> = OnceLock::new();
    ROWS.get_or_init(|| {
        serde_saphyr::from_str::<Table>(TEXT).map_or_else(|_| Vec::new(), |table| table.gpu_models)
    })
}

#[cfg(test)]
mod tests {
    use crate::{Catalog, Cloud};

    fn of(cloud: Cloud, name: &str) -> Option<u64> {
        Catalog::embedded()
            .unwrap()
            .lookup(cloud, name)
            .unwrap()
            .gpu_gb_per_second()
    }

    #[test]
    fn the_model_and_its_memory_decide() {
        assert_eq!(of(Cloud::Azure, "Standard_ND96asr_v4"), Some(1555));
        assert_eq!(of(Cloud::Azure, "Standard_NC24ads_A100_v4"), Some(1935));
        assert_eq!(of(Cloud::Azure, "Standard_ND96isr_H100_v5"), Some(3350));
        assert_eq!(of(Cloud::Azure, "Standard_NC40ads_H100_v5"), Some(3900));
        assert_eq!(of(Cloud::Azure, "Standard_D8s_v5"), None);
    }

    #[test]
    fn almost_all_types_of_nvidia_have_a_figure() {
        let catalog = Catalog::embedded().unwrap();
        let without: std::collections::BTreeSet<&str> = Cloud::ALL
            .into_iter()
            .flat_map(|cloud| catalog.of(cloud))
            .filter(|found| found.compute_capability.is_some() && found.gpu_gb_per_second().is_none())
            .filter_map(|found| found.gpu_model.as_deref())
            .collect();
        assert_eq!(without.into_iter().collect::<Vec<_>>(), ["NVIDIA RTX PRO 4500"]);
    }
}
