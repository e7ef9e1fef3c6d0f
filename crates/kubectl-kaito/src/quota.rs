//! Quota and restrictions of the cluster's subscription beside a plan: what is asked, what is left, and what would be refused.

use anyhow::Context as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kaito_api::AllowedOfferings;
use kaito_api::capacity::{CAPACITY_SUFFIX, CapacityRecord};
use kaito_api::shortage::WaitingVcpus;
use kube::Api;
use preset_catalog::fit::{Candidate, FitReport};
use serde_json::{Value, json};

use crate::args::PlanArgs;
use crate::cluster::in_time;
use crate::output::{age, printable, table};
use crate::presets_json::known;

/// Reads what gpu-provisioner of the release published; `None` unless the flag asks for it.
///
/// # Errors
/// If it cannot be read, or is not known now.
pub(crate) async fn read(args: &PlanArgs) -> anyhow::Result<Option<CapacityRecord>> {
    let Some(release) = &args.quota else {
        return Ok(None);
    };
    let (namespace, name) = release.split_once('/').unwrap_or((release, "kaito"));
    let access = args.cluster.connect().await?;
    let api: Api<ConfigMap> = Api::namespaced(access.client, namespace);
    let name = format!("{name}{CAPACITY_SUFFIX}");
    let found = in_time(api.get(&name))
        .await
        .with_context(|| format!("failed to read ConfigMap {namespace}/{name} with the quota"))?;
    let record = CapacityRecord::parse(&found.data.unwrap_or_default())
        .with_context(|| format!("ConfigMap {namespace}/{name} must hold the quota"))?;
    if !record.is_current(Timestamp::now()) {
        anyhow::bail!(
            "the quota of the subscription is not known: gpu-provisioner needs the role Reader on it (docs/install.md)"
        );
    }
    Ok(Some(record))
}

/// Describes the shown candidates in a table; empty without a record, or if it knows none of them.
pub(crate) fn of(
    record: Option<&CapacityRecord>,
    plan: &FitReport,
    allowed: &AllowedOfferings,
    is_shown: impl Fn(&Candidate) -> bool,
) -> String {
    let Some(record) = record else {
        return String::new();
    };
    let row = |candidate: &Candidate| {
        let facts = facts(record, candidate, allowed)?;
        let left = facts.left.map_or_else(|| "?".to_owned(), |left| left.to_string());
        let verdict = facts.refused.unwrap_or_else(|| "may be asked for".to_owned());
        Some(vec![
            printable(&candidate.instance_type.name),
            facts.asked.to_string(),
            left,
            printable(&verdict),
        ])
    };
    let shown = plan.candidates.iter().filter(|candidate| is_shown(candidate));
    let rows: Vec<_> = shown.filter_map(row).collect();
    if rows.is_empty() {
        return String::new();
    }
    let header = ["QUOTA", ">VCPUS ASKED", ">LEFT", "VERDICT"];
    format!("\n{}{}", table(&header, rows), line(record, Timestamp::now()))
}

fn line(record: &CapacityRecord, now: Timestamp) -> String {
    let seconds = record
        .read_at
        .as_ref()
        .map_or(0, |read_at| now.duration_since(read_at.0).as_secs());
    format!(
        "Quota of {}, read {} ago. It is a hint: the cloud decides.\n",
        printable(&record.region),
        age(seconds)
    )
}

/// Adds them to a plan as JSON.
pub(crate) fn add(
    value: &mut Value,
    record: Option<&CapacityRecord>,
    plan: &FitReport,
    allowed: &AllowedOfferings,
) {
    let Some(record) = record else { return };
    let of = |candidate: &Candidate| {
        let facts = facts(record, candidate, allowed)?;
        Some(known([
            ("instanceType", json!(candidate.instance_type.name)),
            ("vcpusAsked", json!(facts.asked)),
            ("vcpusLeft", json!(facts.left)),
            ("refused", json!(facts.refused)),
        ]))
    };
    value["quota"] = json!({
        "region": record.region,
        "readAt": record.read_at,
        "instanceTypes": plan.candidates.iter().filter_map(of).collect::<Vec<_>>(),
    });
}

/// One candidate that fits.
struct Facts {
    asked: u64,
    left: Option<u64>,
    refused: Option<String>,
}

fn facts(record: &CapacityRecord, candidate: &Candidate, allowed: &AllowedOfferings) -> Option<Facts> {
    let (instance_type, fit) = candidate.fit()?;
    let name = &instance_type.name;
    let nodes = fit.placement.nodes;
    let vcpus = record.instance_type(name)?.vcpus;
    let shortage = record.shortage(name, nodes, allowed, &WaitingVcpus::default());
    Some(Facts {
        asked: u64::from(nodes).saturating_mul(vcpus.into()),
        left: record.vcpus_left(name, allowed),
        refused: shortage.map(|found| found.words().to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use instance_types::Cloud;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use kaito_api::capacity::{TypeCapacity, VcpuQuota};
    use preset_catalog::Catalog;
    use preset_catalog::fit::{FitOptions, compare_instance_types};

    use super::*;

    fn record() -> CapacityRecord {
        let facts = |vcpus| TypeCapacity {
            family: "standardNCADSA100v4Family".to_owned(),
            vcpus,
            ..TypeCapacity::default()
        };
        let quota = VcpuQuota { limit: 96, used: 66 };
        CapacityRecord {
            region: "eastus2".to_owned(),
            read_at: Some(Time(Timestamp::now())),
            families: [("standardNCADSA100v4Family".to_owned(), quota)].into(),
            instance_types: [
                ("standard_nc24ads_a100_v4".to_owned(), facts(24)),
                ("standard_nc48ads_a100_v4".to_owned(), facts(48)),
            ]
            .into(),
            ..CapacityRecord::default()
        }
    }

    fn plan() -> FitReport {
        let types: Vec<_> = instance_types::Catalog::embedded()
            .unwrap()
            .of(Cloud::Azure)
            .collect();
        let preset = Catalog::embedded().unwrap().find("phi-4").unwrap();
        compare_instance_types(preset, &types, 2048, &FitOptions::default())
    }

    #[test]
    fn each_known_candidate_has_a_line() {
        let (record, allowed) = (record(), AllowedOfferings::default());
        let text = of(Some(&record), &plan(), &allowed, |_| true);
        let lines: Vec<String> = text
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        for expected in [
            "Standard_NC24ads_A100_v4 24 30 may be asked for",
            "Standard_NC48ads_A100_v4 48 30 48 vCPUs of standardNCADSA100v4Family asked, 30 left in eastus2",
        ] {
            assert!(lines.iter().any(|line| line == expected), "{text}");
        }
        assert!(text.contains("Quota of eastus2, read 0s ago."), "{text}");
        assert_eq!(of(None, &plan(), &allowed, |_| true), "");
        assert_eq!(of(Some(&record), &plan(), &allowed, |_| false), "");
    }

    #[test]
    fn the_same_is_json() {
        let mut value = json!({});
        add(&mut value, None, &plan(), &AllowedOfferings::default());
        assert_eq!(value, json!({}));
        add(&mut value, Some(&record()), &plan(), &AllowedOfferings::default());
        let all = value["quota"]["instanceTypes"].as_array().unwrap();
        let short = all
            .iter()
            .find(|found| found["instanceType"] == "Standard_NC48ads_A100_v4")
            .unwrap();
        assert_eq!(
            (&short["vcpusAsked"], &short["vcpusLeft"]),
            (&json!(48), &json!(30))
        );
        assert!(short["refused"].as_str().unwrap().ends_with("30 left in eastus2"));
        assert_eq!(all.iter().filter(|found| found["refused"].is_null()).count(), 1);
    }
}
