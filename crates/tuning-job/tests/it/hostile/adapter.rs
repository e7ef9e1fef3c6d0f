//! `adapter_config.json` and the LoRA matrices beside it, from an image.

use std::fs;
use std::path::{Path, PathBuf};

use model::Adapter;
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::memory::peak;
use super::mutate::{cases, damage, damaged};

/// Several times the size of the fixture, 20 KiB.
const SMALL: usize = 1 << 20;

fn fixture(name: &str) -> Vec<u8> {
    let dir: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/loaded/patterns");
    fs::read(dir.join(name)).unwrap()
}

/// Opens an adapter of these two files. An error names one of them or the adapter.
fn opened(config: &[u8], matrices: &[u8]) -> Result<Adapter, String> {
    let dir = TempDir::new().unwrap();
    let place = dir.path().join("the-adapter");
    fs::create_dir(&place).unwrap();
    fs::write(place.join("adapter_config.json"), config).unwrap();
    fs::write(place.join("adapter_model.safetensors"), matrices).unwrap();
    let (opened, memory) = peak(|| Adapter::open(&place, 1.0));
    assert!(memory < SMALL, "{memory} bytes were taken");
    opened.map_err(|error| {
        let error = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source())
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(": ");
        assert!(error.contains("the-adapter"), "{error:?}");
        error
    })
}

#[test]
fn a_truncated_configuration_is_refused() {
    let (config, matrices) = (
        fixture("adapter_config.json"),
        fixture("adapter_model.safetensors"),
    );
    opened(&config, &matrices).unwrap();
    for at in 0..config.len() {
        let error = opened(&config[..at], &matrices).unwrap_err();
        assert!(error.contains("adapter_config.json"), "cut at {at}: {error}");
    }
}

#[test]
fn truncated_matrices_are_refused() {
    let (config, matrices) = (
        fixture("adapter_config.json"),
        fixture("adapter_model.safetensors"),
    );
    for at in 0..matrices.len() {
        let error = opened(&config, &matrices[..at]).unwrap_err();
        assert!(
            error.contains("adapter_model.safetensors"),
            "cut at {at}: {error}"
        );
    }
}

#[test]
fn invalid_values_are_refused() {
    let matrices = fixture("adapter_model.safetensors");
    let valid: Value = serde_json::from_slice(&fixture("adapter_config.json")).unwrap();
    for (key, wrong) in [
        ("r", json!(0)),
        ("r", json!(-4)),
        ("r", json!(u64::MAX)),
        ("r", json!(5)),
        ("r", json!("4")),
        ("lora_alpha", json!(null)),
        ("lora_alpha", json!([8])),
        ("use_dora", json!(true)),
        ("fan_in_fan_out", json!(true)),
        ("bias", json!("all")),
        ("peft_type", json!("IA3")),
        ("rank_pattern", json!({"q_proj": 0})),
        ("rank_pattern", json!({"down_proj": 1_u64 << 40})),
        ("rank_pattern", json!([])),
        ("alpha_pattern", json!({"q_proj": "x"})),
    ] {
        let mut config = valid.clone();
        config[key] = wrong.clone();
        let result = opened(config.to_string().as_bytes(), &matrices);
        assert!(result.is_err(), "{key}: {wrong} is accepted");
    }
}

proptest! {
    #![proptest_config(cases(1500))]

    #[test]
    fn damaged_configurations(damage in damage()) {
        let config = damaged(&fixture("adapter_config.json"), &damage);
        let _ = opened(&config, &fixture("adapter_model.safetensors"));
    }

    #[test]
    fn damaged_matrices(damage in damage()) {
        let matrices = damaged(&fixture("adapter_model.safetensors"), &damage);
        let _ = opened(&fixture("adapter_config.json"), &matrices);
    }
}
