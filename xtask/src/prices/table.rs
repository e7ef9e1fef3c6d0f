//! Tables of on-demand prices as Karpenter's providers generate them: Go source for AWS and Azure, JSON for GCP.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

/// Prices by region and instance type, in US dollars an hour.
#[derive(Debug, Default)]
pub(super) struct PriceTable {
    /// Day of the prices, if the table has it.
    pub(super) as_of: Option<String>,
    prices: BTreeMap<String, BTreeMap<String, f64>>,
}

#[derive(Deserialize)]
struct Json {
    prices: BTreeMap<String, JsonRegion>,
}

#[derive(Deserialize)]
struct JsonRegion {
    on_demand: BTreeMap<String, f64>,
}

impl PriceTable {
    /// # Errors
    /// If the text has no prices.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let table = if text.trim_start().starts_with('{') {
            let json: Json = serde_json::from_str(text).context("expected prices by region")?;
            let of = |(name, region): (String, JsonRegion)| (name, region.on_demand);
            Self {
                as_of: None,
                prices: json.prices.into_iter().map(of).collect(),
            }
        } else {
            Self::of_go(text)
        };
        ensure!(!table.prices.is_empty(), "expected prices by region");
        Ok(table)
    }

    /// A region opens with `"name": {` or with `table["name"] = map[string]float64{`. Prices follow, some of them in one line.
    fn of_go(text: &str) -> Self {
        let (mut table, mut region) = (Self::default(), None);
        for line in text.lines() {
            if let Some((_, after)) = line.split_once("// generated at ") {
                table.as_of = after.get(..10).map(str::to_owned);
            } else if let Some(name) = opened(line) {
                region = Some(name.to_owned());
            } else if let Some(region) = &region {
                for (name, price) in line.split(',').filter_map(priced) {
                    let prices = table.prices.entry(region.clone()).or_default();
                    prices.insert(name.to_owned(), price);
                }
            }
        }
        table
    }

    /// The price as the data files write it: at most six decimals, without trailing zeros.
    pub(super) fn price(&self, region: &str, instance_type: &str) -> Option<String> {
        let price = self.prices.get(region)?.get(instance_type)?;
        let text = format!("{price:.6}");
        Some(text.trim_end_matches('0').trim_end_matches('.').to_owned())
    }
}

fn opened(line: &str) -> Option<&str> {
    let line = line.trim_end().strip_suffix('{')?;
    line.split('"').nth(1)
}

fn priced(entry: &str) -> Option<(&str, f64)> {
    let (name, price) = entry.split_once(':')?;
    let name = name.trim().strip_prefix('"')?.strip_suffix('"')?;
    Some((name, price.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_three_providers_are_read() {
        let azure = "// generated at 2026-06-18T03:43:41Z\nfunc init() {\n\tt[\"eastus2\"] = map[string]float64{\n\t\t\"A_v4\":     3.673000,\n\t}";
        let aws = "var t = map[string]map[T]float64{\n\t// us-east-1\n\t\"us-east-1\": {\n\t\t\"p5.4xlarge\": 6.880000, \"p5.48xlarge\": 55.04,";
        let gcp = r#"{"prices": {"us-central1": {"on_demand": {"a3-highgpu-1g": 11.0612504}, "spot": {"a3-highgpu-1g": 1}}}}"#;
        for (text, region, name, price, day) in [
            (azure, "eastus2", "A_v4", "3.673", Some("2026-06-18")),
            (aws, "us-east-1", "p5.48xlarge", "55.04", None),
            (gcp, "us-central1", "a3-highgpu-1g", "11.06125", None),
        ] {
            let table = PriceTable::parse(text).unwrap();
            assert_eq!(table.price(region, name).as_deref(), Some(price));
            assert_eq!((table.price("x", name), table.as_of.as_deref()), (None, day));
        }
    }

    #[test]
    fn other_files_are_refused() {
        for text in ["", "package pricing\n", "{\"prices\": {}}", "{}"] {
            assert!(PriceTable::parse(text).is_err(), "{text}");
        }
    }
}
