//! Estimates of real instance types.

use instance_types::Cloud;

use super::*;
use crate::Catalog;
use crate::estimate::HostFormat;
use crate::fit::{FitOptions, compare_instance_types};

fn of(preset: &str, instance_type: &str, settings: EngineOptions, history: &StartHistory) -> Forecast {
    let types = instance_types::Catalog::embedded().unwrap();
    let preset = Catalog::embedded().unwrap().find(preset).unwrap();
    let instance_type = types.lookup(Cloud::Azure, instance_type).unwrap();
    let options = FitOptions {
        settings,
        ..FitOptions::default()
    };
    let report = compare_instance_types(preset, &[instance_type], 2048, &options);
    let (_, fit) = report.best().unwrap();
    forecast(preset, instance_type, fit, &settings, history)
}

fn default(preset: &str, instance_type: &str) -> Forecast {
    of(
        preset,
        instance_type,
        EngineOptions::DEFAULT,
        &StartHistory::default(),
    )
}

fn speed(preset: &str, instance_type: &str) -> u64 {
    default(preset, instance_type).tokens_per_second.unwrap().value
}

/// 1935 GB/s ÷ (27.31 GiB + 2048 x 204800 bytes) = 65.1.
#[test]
fn bandwidth_bounds_one_stream() {
    assert_eq!(speed("phi-4", "Standard_NC24ads_A100_v4"), 65);
    let forecast = default("phi-4", "Standard_NC24ads_A100_v4");
    let estimate = forecast.tokens_per_second.unwrap();
    assert_eq!(
        estimate.formula,
        "at most: 1935 GB/s of a GPU ÷ (27.31 GiB of weights + 0.39 GiB of KV cache) for each token"
    );
}

/// 16 x 3 GB/s ÷ (14.96 GiB x 54 % + 2048 x 131072 bytes) = 5.4.
#[test]
fn processors_read_as_little_as_the_rounded_weights_are() {
    assert_eq!(speed("llama-3.1-8b-instruct", "Standard_D16s_v5"), 5);
    assert_eq!(speed("phi-4-mini-instruct", "Standard_D16s_v5"), 10);
    let four_bits = EngineOptions {
        host: Some(HostFormat::FourBit),
        ..EngineOptions::DEFAULT
    };
    let none = StartHistory::default();
    let fast = of("llama-3.1-8b-instruct", "Standard_D16s_v5", four_bits, &none);
    let estimate = fast.tokens_per_second.unwrap();
    assert_eq!(estimate.value, 7);
    assert_eq!(
        estimate.formula,
        "at most: 16 vCPUs x 3 GB/s ÷ (5.54 GiB of weights + 0.25 GiB of KV cache) for each token"
    );
}

#[test]
fn gpus_that_share_layers_add_up_and_stages_do_not() {
    let (one, eight) = ("Standard_NC24ads_A100_v4", "Standard_ND96isr_H100_v5");
    let stages = default("llama-3.3-70b-instruct", one).tokens_per_second.unwrap();
    assert_eq!(
        stages.value, 13,
        "one A100 reads all 131 GiB in the time of all stages"
    );
    let shared = default("llama-3.3-70b-instruct", eight)
        .tokens_per_second
        .unwrap();
    assert_eq!(shared.value, 189);
    assert!(shared.formula.contains("over 8 GPUs"), "{}", shared.formula);
}

#[test]
fn a_mixture_of_experts_reads_a_part() {
    let (mixture, dense) = ("gpt-oss-20b", "ministral-3-14b-instruct-2512");
    let on = "Standard_NC24ads_A100_v4";
    assert!(speed(mixture, on) > 4 * speed(dense, on));
}

#[test]
fn smaller_weights_are_read_faster_and_offloaded_ones_have_no_estimate() {
    let four_bits = EngineOptions {
        weights: crate::estimate::WeightsFormat::BitsAndBytes,
        ..EngineOptions::DEFAULT
    };
    let on = "Standard_NC24ads_A100_v4";
    let none = StartHistory::default();
    let fast = of("phi-4", on, four_bits, &none).tokens_per_second.unwrap();
    assert_eq!(fast.value, 128, "half of the bytes: {fast:?}");
    let offloaded = EngineOptions {
        offload_bytes_per_gpu: 1 << 30,
        ..EngineOptions::DEFAULT
    };
    assert_eq!(of("phi-4", on, offloaded, &none).tokens_per_second, None);
}

/// 35.26 GiB of headroom hold 90 caches of 0.39 GiB beside the first.
#[test]
fn headroom_holds_sequences() {
    let sequences = default("phi-4", "Standard_NC24ads_A100_v4").sequences.unwrap();
    assert_eq!(sequences.value, 91);
    let copies = default("phi-4-mini-instruct", "Standard_ND96isr_H100_v5")
        .sequences
        .unwrap();
    assert!(
        copies.formula.ends_with("in each of 8 copies"),
        "{}",
        copies.formula
    );
    assert_eq!(copies.value % 8, 0);
}

#[test]
fn a_start_without_a_gpu_needs_no_driver() {
    let forecast = default("smollm2-135m-instruct", "Standard_D8s_v5");
    assert_eq!(seconds(&forecast), [180, 2, 1, 6]);
}

fn seconds(forecast: &Forecast) -> Vec<u64> {
    forecast
        .stages
        .iter()
        .map(|(_, estimate)| estimate.value)
        .collect()
}

#[test]
fn assumptions_give_the_stages() {
    let forecast = default("phi-4", "Standard_NC24ads_A100_v4");
    assert_eq!(seconds(&forecast), [480, 118, 103, 120]);
    assert_eq!(forecast.seconds_to_ready(), 821);
    assert!(
        forecast
            .stages
            .iter()
            .all(|(_, estimate)| estimate.source.starts_with("assumption"))
    );
}

#[test]
fn measured_starts_replace_assumptions() {
    let on = "Standard_NC24ads_A100_v4";
    let sample = |preset: &str, instance_type: &str, node: u64| StartSample {
        preset: preset.to_owned(),
        instance_type: instance_type.to_owned(),
        node_seconds: Some(node),
        download: Some((10_000_000_000, 20)),
        image_seconds: None,
        load_seconds: Some(44),
    };
    let history = StartHistory {
        samples: vec![
            sample("phi-4", "standard_nc24ads_a100_v4", 500),
            sample("other", on, 300),
            sample("other", on, 400),
            sample("phi-4", "Standard_ND96isr_H100_v5", 9000),
        ],
    };
    let forecast = of("phi-4", on, EngineOptions::DEFAULT, &history);
    assert_eq!(seconds(&forecast), [400, 59, 103, 44]);
    let words: Vec<String> = forecast
        .stages
        .iter()
        .map(|(stage, estimate)| format!("{}: {} [{}]", stage.as_str(), estimate.formula, estimate.source))
        .collect();
    assert_eq!(
        words,
        [
            "node: median of 3 starts on Standard_NC24ads_A100_v4 [measured in this cluster]",
            "weights: median of 4 starts: 27.31 GiB with 500 MB/s [measured in this cluster]",
            "image: 10.00 GiB with 100 MiB/s [assumption of docs/estimator.md]",
            "load: median of 1 start of phi-4 on Standard_NC24ads_A100_v4 [measured in this cluster]",
        ]
    );
}
