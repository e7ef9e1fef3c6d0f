//! Tests of the embedded tables and of what is refused.

use proptest::prelude::*;

use super::*;

fn catalog() -> &'static Catalog {
    Catalog::embedded().expect("the embedded tables are valid")
}

fn azure(name: &str) -> &'static InstanceType {
    catalog().lookup(Cloud::Azure, name).expect(name)
}

#[test]
fn every_table_is_there() {
    let count = |cloud| catalog().of(cloud).count();
    assert_eq!(Cloud::ALL.map(count), [32, 58, 28, 8, 0]);
}

#[test]
fn lookup_ignores_case_but_not_the_cloud() {
    let upper = azure("STANDARD_NC24ADS_A100_V4");
    assert_eq!(upper.name, "Standard_NC24ads_A100_v4");
    assert_eq!(catalog().lookup(Cloud::Aws, &upper.name), None);
    assert_eq!(catalog().lookup(Cloud::Azure, "Standard_NC24ads_A100_v5"), None);
}

#[test]
fn facts_of_one_of_each_kind() {
    let v100 = azure("Standard_NC24rs_v3");
    assert_eq!(
        (v100.gpus, v100.gpu_memory_gib_total, v100.vcpus, v100.memory_gib),
        (4, 64, Some(24), Some(448))
    );
    assert_eq!(v100.gpu_memory_bytes_each(), 16 << 30);
    assert!(!v100.supports_bfloat16());

    let h200 = azure("Standard_ND96isr_H200_v5");
    assert_eq!((h200.nvidia_gpus(), h200.gpu_memory_bytes_each()), (8, 141 << 30));
    assert!(h200.nvme && h200.supports_bfloat16());

    let cpu = azure("Standard_D8s_v5");
    assert_eq!((cpu.gpus, cpu.gpu_memory_bytes_each(), cpu.vendor), (0, 0, None));
    assert!(!cpu.supports_bfloat16());
}

#[test]
fn prices_say_where_and_when_they_were_read() {
    let a100 = azure("Standard_NC24ads_A100_v4").list_price.as_ref().unwrap();
    assert_eq!(
        (a100.usd_micros_per_hour, a100.region.as_str()),
        (3_673_000, "eastus2")
    );
    let elsewhere = azure("Standard_ND96asr_v4").list_price.as_ref().unwrap();
    assert_eq!(
        (elsewhere.usd_micros_per_hour, elsewhere.region.as_str()),
        (27_197_000, "eastus")
    );
    let p5 = catalog().lookup(Cloud::Aws, "p5.48xlarge").unwrap();
    assert_eq!(
        p5.list_price.as_ref().map(|price| price.usd_micros_per_hour),
        Some(55_040_000)
    );
    for instance_type in Cloud::ALL.into_iter().flat_map(|cloud| catalog().of(cloud)) {
        if let Some(price) = &instance_type.list_price {
            assert!(!price.source.is_empty() && price.as_of.starts_with("2026-"));
        }
    }
}

#[test]
fn a_price_that_is_not_known_is_absent() {
    let unknown: Vec<_> = Cloud::ALL
        .into_iter()
        .flat_map(|cloud| catalog().of(cloud))
        .filter(|instance_type| instance_type.list_price.is_none() && instance_type.cloud != Cloud::Arc)
        .map(|instance_type| instance_type.name.as_str())
        .collect();
    assert_eq!(
        unknown,
        [
            "Standard_ND128isr_GB300_v6",
            "Standard_NG32adms_V620_v1",
            "p5e.48xlarge",
            "a3-megagpu-8g",
            "a3-ultragpu-8g",
            "a4-highgpu-8g",
        ]
    );
    assert!(
        catalog()
            .of(Cloud::Arc)
            .all(|instance_type| instance_type.list_price.is_none())
    );
}

#[test]
fn only_supported_nvidia_types_offer_nvidia_gpus() {
    for instance_type in Cloud::ALL.into_iter().flat_map(|cloud| catalog().of(cloud)) {
        let nvidia = instance_type
            .gpu_model
            .as_deref()
            .is_some_and(|model| model.starts_with("NVIDIA"));
        let nvidia = nvidia && instance_type.unsupported.is_none();
        assert_eq!(instance_type.nvidia_gpus() > 0, nvidia, "{}", instance_type.name);
    }
    let reason = |cloud, name| catalog().lookup(cloud, name).unwrap().unsupported.as_deref();
    assert!(
        reason(Cloud::Azure, "Standard_ND96isr_MI300X_v5")
            .unwrap()
            .contains("AMD")
    );
    assert!(
        reason(Cloud::Azure, "Standard_ND128isr_NDR_GB200_v6")
            .unwrap()
            .contains("arm64")
    );
    for (cloud, name) in [
        (Cloud::Azure, "Standard_NC288ds_xl_RTXPRO6000BSE_v6"),
        (Cloud::Aws, "g6e.xlarge"),
        (Cloud::Aws, "p6-b200.48xlarge"),
        (Cloud::Gcp, "a4-highgpu-8g"),
    ] {
        assert_eq!(reason(cloud, name), None, "{name}");
    }
    let trainium = catalog().lookup(Cloud::Aws, "trn1.32xlarge").unwrap();
    assert_eq!((trainium.gpus, trainium.nvidia_gpus()), (16, 0));
}

#[test]
fn suggestions() {
    assert_eq!(
        catalog().near(Cloud::Azure, "Standard_NC24ads_A100_v5")[0],
        "Standard_NC24ads_A100_v4"
    );
    // A retired type is known, and never suggested.
    assert!(
        catalog()
            .lookup(Cloud::Azure, "Standard_NC6s_v3")
            .unwrap()
            .retired
            .is_some()
    );
    let near = catalog().near(Cloud::Azure, "Standard_NC6s_v4");
    assert!(
        !near.is_empty() && !near.contains(&"Standard_NC6s_v3"),
        "{near:?}"
    );
    assert_eq!(catalog().near(Cloud::Aws, "g5.xlagre")[0], "g5.xlarge");
    assert!(catalog().near(Cloud::Arc, "toaster").is_empty());
}

proptest! {
    #[test]
    fn any_spelling_of_a_name_is_found(index in 0usize..32, upper in any::<u64>()) {
        let name = &catalog().of(Cloud::Azure).nth(index).unwrap().name;
        let flip = |(i, c): (usize, char)| if upper >> (i % 64) & 1 == 1 { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
        let spelled: String = name.chars().enumerate().map(flip).collect();
        prop_assert_eq!(&catalog().lookup(Cloud::Azure, &spelled).unwrap().name, name);
    }

    #[test]
    fn suggestions_exist_and_are_few(asked in "\\PC{0,40}") {
        for cloud in Cloud::ALL {
            let near = catalog().near(cloud, &asked);
            prop_assert!(near.len() <= did_you_mean::MOST);
            prop_assert!(near.iter().all(|name| catalog().lookup(cloud, name).is_some()));
        }
    }
}
