//! Catalog of instance types, parsed from tables and indexed by name.
//!
//! Reads only compiled-in or given text, never files. A table with a contradiction is rejected as a whole.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Deserialize;

use crate::did_you_mean;
use crate::price::{PriceSource, TablePrice};
use crate::{Cloud, ComputeCapability, InstanceType, Retirement, Vendor};

/// Built-in tables: label for messages, text.
const EMBEDDED: [(&str, &str); 4] = [
    ("azure.yaml", include_str!("../data/azure.yaml")),
    ("aws.yaml", include_str!("../data/aws.yaml")),
    ("gcp.yaml", include_str!("../data/gcp.yaml")),
    ("arc.yaml", include_str!("../data/arc.yaml")),
];

/// Most suggestions for an unknown name.
const SUGGESTIONS: usize = 3;

/// Error for an invalid table of instance types.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// The text is not valid YAML of the expected form.
    #[error("{table}: {message}")]
    Malformed {
        /// Label of the table.
        table: String,
        /// Message of the parser, with the position.
        message: String,
    },
    /// An entry contradicts itself or another entry.
    #[error("{table}: instance type `{name}` {problem}")]
    Invalid {
        /// Label of the table.
        table: String,
        /// Name of the entry.
        name: String,
        /// Problem of the entry.
        problem: &'static str,
    },
}

/// One file of `data/`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    cloud: Cloud,
    /// Prefix of the names of all instance types with GPUs, listed here or not.
    gpu_name_prefix: Option<String>,
    /// Required if a line has a price.
    prices: Option<PriceSource>,
    /// Source of the days in `retired`; required if a line has one.
    retirements: Option<String>,
    instance_types: Vec<Row>,
}

/// One line of a table, with the fields of [`InstanceType`]; the cloud is the table's.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    gpus: u32,
    gpu_memory_gib_total: u32,
    gpu_model: Option<String>,
    vendor: Option<Vendor>,
    nvme: bool,
    compute_capability: Option<ComputeCapability>,
    vcpus: Option<u32>,
    memory_gib: Option<u32>,
    usd_per_hour: Option<TablePrice>,
    /// Region of the price, if it differs from the table's.
    price_region: Option<String>,
    /// Day since which the cloud creates no such node, `YYYY-MM-DD`.
    retired: Option<String>,
    /// Reason for which no engine runs there, if the vendor is not the reason.
    unsupported: Option<String>,
}

impl Row {
    fn on(self, cloud: Cloud, prices: Option<&PriceSource>, retirements: Option<&str>) -> InstanceType {
        let list_price = self
            .usd_per_hour
            .zip(prices)
            .map(|(usd, prices)| prices.price(usd, self.price_region));
        let retired = self.retired.zip(retirements).map(|(since, source)| Retirement {
            since,
            source: source.to_owned(),
        });
        let vendors = || self.vendor.and_then(Vendor::unsupported).map(ToOwned::to_owned);
        InstanceType {
            unsupported: self.unsupported.or_else(vendors),
            name: self.name,
            cloud,
            gpus: self.gpus,
            gpu_memory_gib_total: self.gpu_memory_gib_total,
            gpu_model: self.gpu_model,
            vendor: self.vendor,
            nvme: self.nvme,
            compute_capability: self.compute_capability,
            vcpus: self.vcpus,
            memory_gib: self.memory_gib,
            list_price,
            retired,
        }
    }

    /// Returns the first problem of the entry.
    fn problem(&self, prices: Option<&PriceSource>, retirements: Option<&str>) -> Option<&'static str> {
        let has_gpu = self.gpus > 0;
        let nvidia = self.vendor == Some(Vendor::Nvidia);
        let rules = [
            (self.name.trim().is_empty(), "has no name"),
            (
                self.unsupported
                    .as_deref()
                    .is_some_and(|why| why.trim().is_empty() || why.contains('\n')),
                "must say in one line why it is not supported",
            ),
            (
                (self.gpu_memory_gib_total > 0) != has_gpu,
                "must have GPU memory exactly when it has GPUs",
            ),
            (
                self.gpu_model.is_some() != has_gpu,
                "must name a GPU model exactly when it has GPUs",
            ),
            (
                self.vendor.is_some() != has_gpu,
                "must name a vendor exactly when it has GPUs",
            ),
            (
                self.compute_capability.is_some() != nvidia,
                "must have a compute capability exactly when the vendor is NVIDIA",
            ),
            (
                has_gpu && !self.gpu_memory_gib_total.is_multiple_of(self.gpus),
                "must have GPUs of equal memory",
            ),
            (
                self.usd_per_hour.is_some() && prices.is_none(),
                "has a price, and the table does not say where and when it was read",
            ),
            (
                self.retired.is_some() && retirements.is_none(),
                "is retired, and the table does not say where that was read",
            ),
            (
                self.price_region.is_some() && self.usd_per_hour.is_none(),
                "must have a price if it has the region of a price",
            ),
        ];
        rules
            .into_iter()
            .find_map(|(broken, problem)| broken.then_some(problem))
    }
}

/// All known instance types, by cloud and name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalog {
    /// Instance types by cloud and lower-case name.
    types: BTreeMap<(Cloud, String), InstanceType>,
    /// Lower case.
    gpu_name_prefixes: BTreeMap<Cloud, String>,
}

impl Catalog {
    /// Returns the catalog of the built-in tables, parsed at the first call.
    ///
    /// # Errors
    /// Fails if a table under `data/` is invalid, which the tests of this crate exclude.
    pub fn embedded() -> Result<&'static Self, &'static CatalogError> {
        static CATALOG: OnceLock<Result<Catalog, CatalogError>> = OnceLock::new();
        CATALOG.get_or_init(|| Self::from_tables(EMBEDDED)).as_ref()
    }

    /// Parses tables: pairs of a label for messages and the YAML text of one cloud.
    ///
    /// # Errors
    /// Fails if a text is not a table, an entry contradicts itself, or a name occurs twice in a cloud.
    pub fn from_tables<'a>(
        tables: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, CatalogError> {
        let mut catalog = Self::default();
        for (label, text) in tables {
            catalog.add(label, text)?;
        }
        Ok(catalog)
    }

    fn add(&mut self, label: &str, text: &str) -> Result<(), CatalogError> {
        let table: Table = serde_saphyr::from_str(text).map_err(|error| CatalogError::Malformed {
            table: label.to_owned(),
            message: error.to_string(),
        })?;
        if let Some(prefix) = &table.gpu_name_prefix {
            self.gpu_name_prefixes.insert(table.cloud, prefix.to_lowercase());
        }
        let prices = table.prices.as_ref();
        let retirements = table.retirements.as_deref();
        for row in table.instance_types {
            let name = row.name.clone();
            let key = (table.cloud, name.to_lowercase());
            let invalid = |problem| CatalogError::Invalid {
                table: label.to_owned(),
                name,
                problem,
            };
            match row.problem(prices, retirements) {
                Some(problem) => return Err(invalid(problem)),
                None if self.types.contains_key(&key) => return Err(invalid("must be listed once")),
                None => self.types.insert(key, row.on(table.cloud, prices, retirements)),
            };
        }
        Ok(())
    }

    /// Returns the instance type with this name; letter case is ignored.
    #[must_use]
    pub fn lookup(&self, cloud: Cloud, name: &str) -> Option<&InstanceType> {
        self.types.get(&(cloud, name.to_lowercase()))
    }

    /// Returns the instance types of one cloud, sorted by name.
    pub fn of(&self, cloud: Cloud) -> impl Iterator<Item = &InstanceType> {
        self.types
            .values()
            .filter(move |instance_type| instance_type.cloud == cloud)
    }

    /// Returns true if the cloud gives such names to instance types with GPUs, listed here or not.
    #[must_use]
    pub fn names_gpus(&self, cloud: Cloud, name: &str) -> bool {
        let prefix = self.gpu_name_prefixes.get(&cloud);
        prefix.is_some_and(|prefix| name.to_lowercase().starts_with(prefix))
    }

    /// Suggests up to three names of this cloud for an unknown name, best first. They are not retired, and have GPUs if the name
    /// says so.
    #[must_use]
    pub fn near(&self, cloud: Cloud, name: &str) -> Vec<&str> {
        let needs_gpus = self.names_gpus(cloud, name);
        did_you_mean::nearest(
            name,
            self.of(cloud)
                .filter(|instance_type| {
                    instance_type.retired.is_none() && (instance_type.gpus > 0 || !needs_gpus)
                })
                .map(|instance_type| instance_type.name.as_str()),
            SUGGESTIONS,
        )
    }
}

#[cfg(test)]
mod tests;
