//! `cargo xtask prices`: list prices of the built-in instance types, read from a table that a Karpenter provider generates.
//!
//! The files with instance types are edited line by line, so that their comments stay. It must not touch the price of a retired
//! type, which is the last one it had.

mod table;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum;

use crate::repository;
use table::PriceTable;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Cloud whose prices are refreshed
    cloud: PricedCloud,
    /// Table of prices in a checkout of the Karpenter provider that the data file names as its source
    table: PathBuf,
    /// Day of the prices, such as 2026-08-03, if the table does not have it
    #[arg(long, value_name = "DAY")]
    as_of: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PricedCloud {
    Aws,
    Azure,
    Gcp,
}

impl PricedCloud {
    fn name(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::Azure => "azure",
            Self::Gcp => "gcp",
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let shown = args.table.display();
    let text = fs::read_to_string(&args.table).with_context(|| format!("failed to read {shown}"))?;
    let table = PriceTable::parse(&text).with_context(|| format!("failed to read {shown}"))?;
    let as_of = match (&args.as_of, &table.as_of) {
        (Some(day), _) | (None, Some(day)) => day,
        (None, None) => bail!("{shown} does not tell the day of its prices: expected --as-of DAY"),
    };
    let path = repository::root().join(format!("crates/instance-types/data/{}.yaml", args.cloud.name()));
    let old = fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
    let refreshed = refreshed(&old, &table, as_of)?;
    for note in &refreshed.notes {
        println!("{note}");
    }
    if refreshed.text == old {
        println!(
            "the prices of {as_of} are in {} already",
            repository::shown(&path)
        );
        return Ok(());
    }
    fs::write(&path, refreshed.text).with_context(|| format!("failed to write {}", path.display()))?;
    println!("wrote {}; go on with cargo xtask gen", repository::shown(&path));
    Ok(())
}

/// The data file with new prices, and what a reviewer should know.
#[derive(Debug)]
struct Refreshed {
    text: String,
    notes: Vec<String>,
}

fn refreshed(old: &str, table: &PriceTable, as_of: &str) -> Result<Refreshed> {
    let region = old
        .lines()
        .find_map(|line| line.trim().strip_prefix("region: "))
        .context("expected a line with the region of the prices")?;
    let (mut lines, mut notes, mut found) = (Vec::new(), Vec::new(), 0);
    for line in old.lines() {
        let Some(entry) = TypeLine::of(line) else {
            let is_day = line.trim_start().starts_with("as_of: ");
            lines.push(if is_day {
                format!("  as_of: {as_of:?}")
            } else {
                line.to_owned()
            });
            continue;
        };
        match table.price(entry.region.unwrap_or(region), entry.name) {
            Some(price) => {
                found += 1;
                notes.extend(entry.change(&price));
                lines.push(entry.priced(&price));
            }
            None => {
                let kept = entry.price.map_or("has no price", |_| "keeps its price");
                notes.push(format!("{} {kept}: the table has none", entry.name));
                lines.push(line.to_owned());
            }
        }
    }
    ensure!(
        found > 0,
        "the table has no price of an instance type in {region}: is it of this cloud?"
    );
    Ok(Refreshed {
        text: lines.join("\n") + "\n",
        notes,
    })
}

/// The line of an instance type that can still be bought.
struct TypeLine<'a> {
    line: &'a str,
    name: &'a str,
    price: Option<&'a str>,
    /// Region of the price, if it is not that of the file.
    region: Option<&'a str>,
}

impl<'a> TypeLine<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let fields = line.trim().strip_prefix("- {")?.strip_suffix('}')?;
        let field = |key: &str| {
            let mut all = fields.split(", ").filter_map(|field| field.split_once(": "));
            all.find(|(name, _)| *name == key)
                .map(|(_, value)| value.trim_matches('"'))
        };
        let entry = Self {
            line,
            name: field("name")?,
            price: field("usd_per_hour"),
            region: field("price_region"),
        };
        field("retired").is_none().then_some(entry)
    }

    fn priced(&self, price: &str) -> String {
        match self.price {
            Some(old) => {
                let of = |price: &str| format!("usd_per_hour: {price:?}");
                self.line.replace(&of(old), &of(price))
            }
            None => {
                let open = self.line.trim_end_matches('}');
                format!("{open}, usd_per_hour: {price:?}}}")
            }
        }
    }

    fn change(&self, price: &str) -> Option<String> {
        match self.price {
            Some(old) if old == price => None,
            Some(old) => Some(format!("{}: {old} -> {price}", self.name)),
            None => Some(format!("{}: {price}, its first price", self.name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: &str = "# A comment.\nprices:\n  region: here\n  as_of: \"2026-01-01\"\ninstance_types:
  - {name: a, gpus: 1, usd_per_hour: \"1.5\"}
  - {name: b, gpus: 1, usd_per_hour: \"2\", price_region: there}
  - {name: c, gpus: 2}
  - {name: gone, gpus: 1, usd_per_hour: \"9\", retired: \"2025-01-01\"}
  - {name: d, gpus: 2}
";

    fn table(text: &str) -> PriceTable {
        PriceTable::parse(text).unwrap()
    }

    #[test]
    fn prices_are_replaced_and_added_and_all_else_stays() {
        let table = table(
            "// generated at 2026-07-20T13:44:30Z for here\n\t\"here\": {\n\"a\": 1.250000, \"b\": 7.0,\n\"c\": 3.5, \"gone\": 1.0,\n},
            \"there\": {\n\"b\": 2.000000,\n}",
        );
        let refreshed = refreshed(DATA, &table, table.as_of.as_deref().unwrap()).unwrap();
        let expected = DATA
            .replace("2026-01-01", "2026-07-20")
            .replace("\"1.5\"", "\"1.25\"")
            .replace("name: c, gpus: 2", "name: c, gpus: 2, usd_per_hour: \"3.5\"");
        assert_eq!(refreshed.text, expected);
        assert_eq!(
            refreshed.notes,
            [
                "a: 1.5 -> 1.25",
                "c: 3.5, its first price",
                "d has no price: the table has none"
            ]
        );
    }

    #[test]
    fn the_table_of_another_cloud_is_refused() {
        let table = table("\"here\": {\n\"x\": 1.0,\n}");
        let error = refreshed(DATA, &table, "2026-07-20").unwrap_err();
        assert!(
            error.to_string().contains("no price of an instance type in here"),
            "{error}"
        );
    }
}
