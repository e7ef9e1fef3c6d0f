//! The catalog with an administrator's tables over the built-in ones.
//!
//! An entry of a file replaces a built-in one as a whole, and each replacement is reported. The result depends only on the
//! files, not on their order. One problem refuses all files.

use std::collections::BTreeMap;

use serde_saphyr::Spanned;

use crate::catalog::{Catalog, CatalogError};
use crate::price::{PriceSource, TablePrice};
use crate::problem::{FileProblem, Position};
use crate::table::Table;
use crate::{Cloud, InstanceType};

/// Most instance types of all files: the table for admission lists each of them for each model.
const MAX_TYPES: usize = 100;

/// A catalog with the tables of an administrator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WithFiles {
    /// The built-in instance types and those of the files.
    pub catalog: Catalog,
    /// Built-in instance types that a file changed, by cloud and name.
    pub changed: Vec<ChangedType>,
}

/// A built-in instance type that an administrator's file changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedType {
    /// Name of the file.
    pub file: String,
    /// Cloud of the instance type.
    pub cloud: Cloud,
    /// Name of the instance type.
    pub name: String,
    /// Names of the fields that differ.
    pub fields: Vec<&'static str>,
}

impl Catalog {
    /// Puts an administrator's files over the catalog: pairs of the name of a file and its text.
    ///
    /// # Errors
    /// Fails if a file is not a table, an entry contradicts itself, or two entries of the files name one instance type.
    pub fn with_files<'a>(
        &self,
        files: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<WithFiles, CatalogError> {
        let files: BTreeMap<&str, &str> = files.into_iter().collect();
        let mut own = Self::default();
        let mut prices = Vec::new();
        for (file, text) in files {
            let refused = |problem| CatalogError {
                table: file.to_owned(),
                problem,
            };
            for mut table in Table::parse(text).map_err(refused)? {
                let listed = std::mem::take(&mut table.usd_per_hour);
                own.add(&table, Some(file)).map_err(refused)?;
                for (name, usd) in listed {
                    prices.push(OwnPrice::new(file, &table, name, usd).map_err(refused)?);
                }
            }
        }
        let count = own.types.len();
        if count > MAX_TYPES {
            return Err(CatalogError {
                table: "instance types".to_owned(),
                problem: FileProblem {
                    position: None,
                    message: format!("all files must list at most {MAX_TYPES} together, not {count}"),
                },
            });
        }
        let mut merged = self.clone();
        merged
            .gpu_name_prefixes
            .extend(own.gpu_name_prefixes.iter().cloned());
        merged
            .types
            .extend(own.types.iter().map(|(key, found)| (key.clone(), found.clone())));
        for price in prices {
            price.set(&mut merged, &own)?;
        }
        let changed = merged.changed_from(self);
        Ok(WithFiles {
            catalog: merged,
            changed,
        })
    }

    fn changed_from(&self, built_in: &Self) -> Vec<ChangedType> {
        let pairs = self.types.iter().filter_map(|(key, new)| {
            let old = built_in.types.get(key)?;
            Some((old, new, new.file.clone()?))
        });
        let changed = pairs.map(|(old, new, file)| ChangedType {
            file,
            cloud: new.cloud,
            name: new.name.clone(),
            fields: differences(old, new),
        });
        changed.collect()
    }
}

/// The price of an instance type that another table lists.
struct OwnPrice {
    file: String,
    cloud: Cloud,
    name: String,
    source: PriceSource,
    usd: Spanned<TablePrice>,
}

impl OwnPrice {
    fn new(file: &str, table: &Table, name: String, usd: Spanned<TablePrice>) -> Result<Self, FileProblem> {
        let Some(source) = table.prices.clone() else {
            return Err(FileProblem {
                position: Position::of(usd.defined),
                message:
                    "the table has `usd_per_hour`, so it must have `prices` with region, as_of and source"
                        .to_owned(),
            });
        };
        Ok(Self {
            file: file.to_owned(),
            cloud: table.cloud,
            name,
            source,
            usd,
        })
    }

    fn set(self, merged: &mut Catalog, own: &Catalog) -> Result<(), CatalogError> {
        let key = (self.cloud, self.name.to_lowercase());
        let known = match merged.types.get_mut(&key) {
            Some(found) if !own.types.contains_key(&key) => found,
            Some(_) => return Err(self.refused("must have its price where it is listed")),
            None => {
                let near = merged.near(self.cloud, &self.name).join(", ");
                let hint = if near.is_empty() {
                    String::new()
                } else {
                    format!("; did you mean {near}?")
                };
                return Err(self.refused(&format!("must be an instance type of {}{hint}", self.cloud)));
            }
        };
        if known.file.is_some() {
            return Err(self.refused("must have one price; another file has one, too"));
        }
        known.list_price = Some(self.source.price(self.usd.value, None));
        known.file = Some(self.file);
        Ok(())
    }

    fn refused(&self, problem: &str) -> CatalogError {
        CatalogError {
            table: self.file.clone(),
            problem: FileProblem {
                position: Position::of(self.usd.defined),
                message: format!("usd_per_hour: `{}` {problem}", self.name.escape_debug()),
            },
        }
    }
}

/// Names of the fields that differ.
fn differences(old: &InstanceType, new: &InstanceType) -> Vec<&'static str> {
    let price = |found: &InstanceType| found.list_price.as_ref().map(|price| price.usd_micros_per_hour);
    let fields = [
        ("gpus", old.gpus != new.gpus),
        (
            "gpu_memory_gib_total",
            old.gpu_memory_gib_total != new.gpu_memory_gib_total,
        ),
        ("gpu_model", old.gpu_model != new.gpu_model),
        ("vendor", old.vendor != new.vendor),
        ("nvme", old.nvme != new.nvme),
        (
            "compute_capability",
            old.compute_capability != new.compute_capability,
        ),
        ("vcpus", old.vcpus != new.vcpus),
        ("memory_gib", old.memory_gib != new.memory_gib),
        ("usd_per_hour", price(old) != price(new)),
        ("retired", old.retired != new.retired),
        ("unsupported", old.unsupported != new.unsupported),
    ];
    let different = fields.into_iter().filter(|(_, is_different)| *is_different);
    different.map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests;
