//! Catalog of instance types, parsed from tables and indexed by name.
//!
//! Reads only compiled-in or given text, never files. A table with a contradiction is rejected as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use crate::did_you_mean;
use crate::problem::FileProblem;
use crate::table::{Table, row_problem};
use crate::{Cloud, InstanceType};

/// Built-in tables: label for messages, text.
const EMBEDDED: [(&str, &str); 4] = [
    ("azure.yaml", include_str!("../data/azure.yaml")),
    ("aws.yaml", include_str!("../data/aws.yaml")),
    ("gcp.yaml", include_str!("../data/gcp.yaml")),
    ("arc.yaml", include_str!("../data/arc.yaml")),
];

/// Error for an invalid table of instance types.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{table}: {problem}")]
pub struct CatalogError {
    /// Label of the table, such as the name of its file.
    pub table: String,
    /// Problem of the table, with its position.
    pub problem: FileProblem,
}

/// All known instance types, by cloud and name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalog {
    /// Instance types by cloud and lower-case name.
    pub(crate) types: BTreeMap<(Cloud, String), InstanceType>,
    /// Lower case.
    pub(crate) gpu_name_prefixes: BTreeSet<(Cloud, String)>,
}

impl Catalog {
    /// Returns the catalog of the built-in tables, parsed at the first call.
    ///
    /// # Errors
    /// Fails if a table under `data/` is invalid, which the tests of this crate exclude.
    pub fn embedded() -> Result<&'static Self, &'static CatalogError> {
        static CATALOG: OnceLock<Result<Catalog, CatalogError>> = OnceLock::new();
        CATALOG.get_or_init(Self::built_in).as_ref()
    }

    fn built_in() -> Result<Self, CatalogError> {
        let mut catalog = Self::default();
        for (label, text) in EMBEDDED {
            let refused = |problem| CatalogError {
                table: label.to_owned(),
                problem,
            };
            for table in Table::parse(text).map_err(refused)? {
                catalog.add(&table, None).map_err(refused)?;
            }
        }
        Ok(catalog)
    }

    /// Adds the lines of a table, of which none may be known yet.
    pub(crate) fn add(&mut self, table: &Table, file: Option<&str>) -> Result<(), FileProblem> {
        if let Some(prefix) = &table.gpu_name_prefix {
            self.gpu_name_prefixes
                .insert((table.cloud, prefix.to_lowercase()));
        }
        for row in &table.instance_types {
            let found = table.entry(row, file)?;
            let key = (table.cloud, found.name.to_lowercase());
            if let Some(earlier) = self.types.get(&key) {
                let place = earlier.file.as_deref().filter(|place| Some(*place) != file);
                let place = place
                    .map(|place| format!(", and {place} lists it"))
                    .unwrap_or_default();
                return Err(row_problem(row, &format!("must be listed once{place}")));
            }
            self.types.insert(key, found);
        }
        Ok(())
    }

    /// Returns the catalog with these instance types instead of those of their names.
    #[must_use]
    pub fn with_types(&self, types: impl IntoIterator<Item = InstanceType>) -> Self {
        let mut catalog = self.clone();
        let keyed = types
            .into_iter()
            .map(|found| ((found.cloud, found.name.to_lowercase()), found));
        catalog.types.extend(keyed);
        catalog
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
        let name = name.to_lowercase();
        let prefixes = self.gpu_name_prefixes.iter().filter(|(of, _)| *of == cloud);
        prefixes.into_iter().any(|(_, prefix)| name.starts_with(prefix))
    }

    /// Returns the instance types of a cloud that may be suggested, sorted by name: an engine runs there, and the cloud still
    /// creates them.
    #[must_use]
    pub fn suggestions(&self, cloud: Cloud) -> Vec<&InstanceType> {
        let is_usable = |found: &&InstanceType| found.retired.is_none() && found.unsupported.is_none();
        let mut found: Vec<_> = self.of(cloud).filter(is_usable).collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found
    }

    /// Suggests up to three names of this cloud for an unknown name, best first. They have GPUs if the name says so.
    #[must_use]
    pub fn near(&self, cloud: Cloud, name: &str) -> Vec<&str> {
        let needs_gpus = self.names_gpus(cloud, name);
        let suggestions = self.suggestions(cloud).into_iter();
        let names = suggestions
            .filter(|found| found.gpus > 0 || !needs_gpus)
            .map(|found| found.name.as_str());
        did_you_mean::nearest(name, names)
    }
}

#[cfg(test)]
mod tests;
