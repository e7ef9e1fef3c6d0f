//! The form of a table of instance types. Built-in tables and an administrator's files have the same one.
//!
//! Checks each entry by itself; the catalog compares entries.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::Spanned;

use crate::price::{PriceSource, TablePrice};
use crate::problem::{FileProblem, Position};
use crate::{Cloud, ComputeCapability, InstanceType, Retirement, Vendor};

/// Longest name: a value of a label on Nodes.
const MAX_NAME: usize = 63;
/// Most characters of a reason, which messages of `kubectl apply` repeat.
const MAX_REASON: usize = 200;
const MAX_GPUS: u32 = 1024;
const MAX_GPU_MEMORY_GIB: u32 = 1 << 20;
/// Reason for which the engines do not run on arm64.
const ARM64: &str = "its processors are arm64, and kaito-base is built for amd64";

/// One YAML document: instance types of one cloud.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    pub(crate) cloud: Cloud,
    /// Prefix of the names of all instance types with GPUs, listed here or not.
    pub(crate) gpu_name_prefix: Option<String>,
    /// Required if there is a price.
    pub(crate) prices: Option<PriceSource>,
    /// Source of the days in `retired`; required if a line has one.
    pub(crate) retirements: Option<String>,
    /// Prices of instance types that another table lists, by name.
    #[serde(default)]
    pub(crate) usd_per_hour: BTreeMap<String, Spanned<TablePrice>>,
    #[serde(default)]
    pub(crate) instance_types: Vec<Spanned<Row>>,
}

/// Architecture of processors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Architecture {
    #[default]
    Amd64,
    Arm64,
}

/// One line of a table, with the fields of [`InstanceType`]; the cloud is the table's.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    pub(crate) name: String,
    gpus: u32,
    /// Memory of one GPU; an alternative to the total.
    gpu_memory_gib: Option<u32>,
    gpu_memory_gib_total: Option<u32>,
    gpu_model: Option<String>,
    vendor: Option<Vendor>,
    #[serde(default)]
    nvme: bool,
    compute_capability: Option<ComputeCapability>,
    vcpus: Option<u32>,
    memory_gib: Option<u32>,
    usd_per_hour: Option<TablePrice>,
    /// Region of the price, if it differs from the table's.
    price_region: Option<String>,
    /// Day since which the cloud creates no such node, `YYYY-MM-DD`.
    retired: Option<String>,
    /// Reason for which no engine runs there, if neither vendor nor architecture is the reason.
    unsupported: Option<String>,
    #[serde(default)]
    architecture: Architecture,
    /// Marks that the installation's image of the engine is built for arm64, unlike kaito-base.
    #[serde(default)]
    arm64_image: bool,
}

impl Table {
    /// Parses the documents of a text; at least one.
    pub(crate) fn parse(text: &str) -> Result<Vec<Self>, FileProblem> {
        let tables: Vec<Self> =
            serde_saphyr::from_multiple(text).map_err(|error| FileProblem::of_parser(&error))?;
        if tables.is_empty() {
            return Err(FileProblem {
                position: None,
                message: "the file must hold a table with `cloud` and `instance_types`".to_owned(),
            });
        }
        Ok(tables)
    }

    /// Converts one line, after its checks. `file` is the administrator's file, if it is one.
    pub(crate) fn entry(&self, row: &Spanned<Row>, file: Option<&str>) -> Result<InstanceType, FileProblem> {
        let prices = self.prices.as_ref();
        let retirements = self.retirements.as_deref();
        match row.value.problem(prices, retirements) {
            Some(problem) => Err(row_problem(row, problem)),
            None => Ok(row.value.clone().on(self.cloud, prices, retirements, file)),
        }
    }
}

/// Problem of one line.
pub(crate) fn row_problem(row: &Spanned<Row>, problem: &str) -> FileProblem {
    let name = row.value.name.escape_debug();
    FileProblem {
        position: Position::of(row.defined),
        message: format!("instance type `{name}`: {problem}"),
    }
}

impl Row {
    fn gpu_memory_gib_total(&self) -> u32 {
        let each = self
            .gpu_memory_gib
            .map(|each| each.saturating_mul(self.gpus.max(1)));
        self.gpu_memory_gib_total.or(each).unwrap_or(0)
    }

    fn on(
        self,
        cloud: Cloud,
        prices: Option<&PriceSource>,
        retirements: Option<&str>,
        file: Option<&str>,
    ) -> InstanceType {
        let gpu_memory_gib_total = self.gpu_memory_gib_total();
        let list_price = self
            .usd_per_hour
            .zip(prices)
            .map(|(usd, prices)| prices.price(usd, self.price_region));
        let retired = self.retired.zip(retirements).map(|(since, source)| Retirement {
            since,
            source: source.to_owned(),
        });
        let arm64 = self.architecture == Architecture::Arm64 && !self.arm64_image;
        let implied = self
            .vendor
            .and_then(Vendor::unsupported)
            .or(arm64.then_some(ARM64));
        InstanceType {
            unsupported: self.unsupported.or_else(|| implied.map(ToOwned::to_owned)),
            name: self.name,
            cloud,
            gpus: self.gpus,
            gpu_memory_gib_total,
            gpu_model: self.gpu_model,
            vendor: self.vendor,
            nvme: self.nvme,
            compute_capability: self.compute_capability,
            vcpus: self.vcpus,
            memory_gib: self.memory_gib,
            list_price,
            retired,
            file: file.map(ToOwned::to_owned),
        }
    }

    /// Returns the first problem of the entry.
    fn problem(&self, prices: Option<&PriceSource>, retirements: Option<&str>) -> Option<&'static str> {
        let has_gpu = self.gpus > 0;
        let nvidia = self.vendor == Some(Vendor::Nvidia);
        let total = self.gpu_memory_gib_total();
        let is_arm64 = self.architecture == Architecture::Arm64;
        let rules = [
            (
                !is_name(&self.name),
                "`name` must be 1 to 63 letters, digits, dashes, dots and underscores, with a letter or digit at both ends",
            ),
            (
                self.unsupported.as_deref().is_some_and(|why| !is_reason(why)),
                "`unsupported` must be a reason in one line of at most 200 characters",
            ),
            (self.gpus > MAX_GPUS, "`gpus` must be at most 1024"),
            (
                self.gpu_memory_gib.is_some() && self.gpu_memory_gib_total.is_some(),
                "must have one of `gpu_memory_gib` and `gpu_memory_gib_total`, not both",
            ),
            (
                (total > 0) != has_gpu,
                "must have `gpu_memory_gib` or `gpu_memory_gib_total` exactly when it has GPUs",
            ),
            (
                total > MAX_GPU_MEMORY_GIB,
                "GPU memory must be at most 1048576 GiB",
            ),
            (
                self.gpu_model.is_some() != has_gpu,
                "must have `gpu_model` exactly when it has GPUs",
            ),
            (
                self.vendor.is_some() != has_gpu,
                "must have `vendor` exactly when it has GPUs",
            ),
            (
                self.compute_capability.is_some() != nvidia,
                "must have `compute_capability` exactly when `vendor` is nvidia",
            ),
            (
                has_gpu && !total.is_multiple_of(self.gpus),
                "`gpu_memory_gib_total` must be a multiple of `gpus`",
            ),
            (
                self.vcpus == Some(0) || self.memory_gib == Some(0),
                "`vcpus` and `memory_gib` must be above 0, or absent if unknown",
            ),
            (
                self.usd_per_hour.is_some() && prices.is_none(),
                "has `usd_per_hour`, so the table must have `prices` with region, as_of and source",
            ),
            (
                self.retired.is_some() && retirements.is_none(),
                "has `retired`, so the table must have `retirements` with the source",
            ),
            (
                self.price_region.is_some() && self.usd_per_hour.is_none(),
                "has `price_region`, so it must have `usd_per_hour`",
            ),
            (
                self.arm64_image && !is_arm64,
                "has `arm64_image`, so `architecture` must be arm64",
            ),
        ];
        rules
            .into_iter()
            .find_map(|(broken, problem)| broken.then_some(problem))
    }
}

fn is_name(text: &str) -> bool {
    let is_end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let is_inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    text.len() <= MAX_NAME
        && is_end(text.chars().next())
        && is_end(text.chars().last())
        && text.chars().all(is_inner)
}

fn is_reason(text: &str) -> bool {
    !text.trim().is_empty() && text.chars().count() <= MAX_REASON && !text.chars().any(char::is_control)
}
