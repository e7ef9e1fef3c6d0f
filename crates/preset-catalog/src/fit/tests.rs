//! Tests of the comparison: what is said about known models and types, and what holds for all of them.

use instance_types::{Cloud, InstanceType};
use proptest::prelude::*;
use proptest::sample::{Index, subsequence};

use super::*;
use crate::estimate::{
    CacheFormat, DEFAULT_CONTEXT_TOKENS, EngineOptions, GpuNode, HostFormat, Misfit, WeightsFormat, Work,
    place,
};
use crate::{Catalog, EngineImage, Preset};

const A10: &str = "Standard_NV36ads_A10_v5";
const A100: &str = "Standard_NC24ads_A100_v4";
const H100X8: &str = "Standard_ND96isr_H100_v5";

fn preset(name: &str) -> &'static Preset {
    Catalog::embedded().unwrap().find(name).expect(name)
}

fn azure(name: &str) -> &'static InstanceType {
    let types = instance_types::Catalog::embedded().unwrap();
    types.lookup(Cloud::Azure, name).expect(name)
}

fn all_types() -> Vec<&'static InstanceType> {
    let types = instance_types::Catalog::embedded().unwrap();
    Cloud::ALL.into_iter().flat_map(|cloud| types.of(cloud)).collect()
}

fn plan(name: &str, types: &[&str], context_tokens: u32, options: FitOptions) -> FitReport {
    let types: Vec<_> = types.iter().map(|name| azure(name)).collect();
    compare_instance_types(preset(name), &types, context_tokens, &options)
}

/// The only candidate's fit.
#[track_caller]
fn fit_on(name: &str, instance_type: &str, context_tokens: u32) -> Fit {
    // These tests are about memory, whatever the image of the engine lacks.
    let plan = plan(name, &[instance_type], context_tokens, ANY_IMAGE);
    plan.best().expect("fits").1.clone()
}

const ANY_IMAGE: FitOptions = FitOptions {
    purpose: Purpose::Inference,
    max_nodes: None,
    engine: EngineImage::UNKNOWN,
    settings: EngineOptions::DEFAULT,
};

#[track_caller]
fn unfit_on(name: &str, types: &[&str], context_tokens: u32, options: FitOptions) -> Unfit {
    let plan = plan(name, types, context_tokens, options);
    match &plan.candidates.last().unwrap().outcome {
        FitOutcome::Unfit(unfit) => unfit.clone(),
        FitOutcome::Fits(fit) => panic!("it fits: {fit:?}"),
    }
}

fn at_most(nodes: u32) -> FitOptions {
    FitOptions {
        max_nodes: Some(nodes),
        ..FitOptions::default()
    }
}

const TUNING: FitOptions = FitOptions {
    purpose: Purpose::Tuning,
    max_nodes: None,
    engine: EngineImage::KAITO_BASE,
    settings: EngineOptions::DEFAULT,
};

#[test]
fn one_node_comes_before_several_and_then_the_cheapest_way() {
    let types = [
        A10,
        "Standard_NV72ads_A10_v5",
        A100,
        H100X8,
        "Standard_NG32adms_V620_v1",
    ];
    let plan = plan("phi-4", &types, 2048, FitOptions::default());
    let rows: Vec<_> = plan
        .candidates
        .iter()
        .map(|candidate| {
            let fit = candidate
                .fit()
                .map(|(_, fit)| (fit.placement.nodes, fit.usd_micros_per_hour));
            (candidate.instance_type.name.as_str(), fit)
        })
        .collect();
    assert_eq!(
        rows,
        [
            (A100, Some((1, Some(3_673_000)))),
            ("Standard_NV72ads_A10_v5", Some((1, Some(6_520_000)))),
            (H100X8, Some((1, Some(98_320_000)))),
            // Two nodes at 3.20.
            (A10, Some((2, Some(6_400_000)))),
            ("Standard_NG32adms_V620_v1", None),
        ]
    );
    assert_eq!(plan.best().unwrap().0.name, A100);
}

#[test]
fn an_unknown_price_ranks_after_known_ones() {
    let mut free = azure(A100).clone();
    free.name = "Standard_A_name_that_sorts_first".to_owned();
    free.list_price = None;
    let plan = compare_instance_types(
        preset("phi-4"),
        &[&free, azure(H100X8)],
        2048,
        &FitOptions::default(),
    );
    let names: Vec<_> = plan
        .fits()
        .map(|(instance_type, _)| &instance_type.name)
        .collect();
    assert_eq!(names, [H100X8, &free.name]);
    assert_eq!(plan.fits().nth(1).unwrap().1.usd_micros_per_hour, None);
}

#[test]
fn equal_prices_rank_by_nodes_then_headroom_then_name() {
    let like_a100 = |name: &str, gib, usd_micros_per_hour| {
        let mut instance_type = azure(A100).clone();
        instance_type.name = name.to_owned();
        instance_type.gpu_memory_gib_total = gib;
        let price = instance_type.list_price.as_mut().unwrap();
        price.usd_micros_per_hour = usd_micros_per_hour;
        instance_type
    };
    let types = [
        like_a100("a", 24, 4_000_000),
        like_a100("b", 80, 8_000_000),
        like_a100("d", 90, 8_000_000),
        like_a100("c", 90, 8_000_000),
    ];
    let plan = compare_instance_types(
        preset("phi-4"),
        &types.iter().collect::<Vec<_>>(),
        2048,
        &FitOptions::default(),
    );
    let rows: Vec<_> = plan
        .fits()
        .map(|(instance_type, fit)| (instance_type.name.as_str(), fit.placement.nodes))
        .collect();
    assert_eq!(rows, [("c", 1), ("d", 1), ("b", 1), ("a", 2)]);
    assert!(
        plan.fits()
            .all(|(_, fit)| fit.usd_micros_per_hour == Some(8_000_000))
    );
}

/// The formula of the term of one kind.
#[track_caller]
fn formula(fit: &Fit, kind: TermKind) -> &str {
    let term = fit.explanation.iter().find(|term| term.kind == kind);
    &term.expect("every placement on GPUs has all terms").formula
}

#[test]
fn the_explanation_names_what_decides() {
    let fit = fit_on("llama-3.3-70b-instruct", "Standard_NC48ads_A100_v4", 8192);
    assert_eq!((fit.placement.nodes, fit.gpus), (2, 4));
    assert_eq!(
        formula(&fit, TermKind::Weights),
        "131.42 GiB of weight files x 102 %, 40 of 80 layers in the largest of 2 stages, over 2 GPUs"
    );
    assert_eq!(
        formula(&fit, TermKind::KvCache),
        "8192 tokens x 327680 bytes per token, 40 of 80 layers in the largest of 2 stages, over 2 GPUs"
    );
    let fit = fit_on("deepseek-r1-0528", "Standard_ND96isr_H200_v5", 2048);
    assert_eq!(
        formula(&fit, TermKind::KvCache),
        "2048 tokens x 70272 bytes per token, whole on each of 8 GPUs since the latent vector cannot be divided"
    );
    assert_eq!(
        formula(&fit, TermKind::Weights),
        "641.30 GiB of weight files (fp8) x 102 %, over 8 GPUs"
    );
    let fit = fit_on("deepseek-v4-pro", H100X8, 2048);
    assert!(
        formula(&fit, TermKind::KvCache).ends_with("1 KV head over 8 GPUs, so each is kept more than once")
    );
    let fit = fit_on("gpt-oss-20b", A10, 4096);
    assert_eq!(
        formula(&fit, TermKind::KvCache),
        "2048 bytes per token in 12 of 24 layers x 4096 tokens, in 12 x the last 128"
    );
    let fit = fit_on("qwen3.5-9b", A100, 4096);
    assert_eq!(
        formula(&fit, TermKind::KvCache),
        "4096 bytes per token in 8 of 32 layers x 4096 tokens, and 0.10 GiB of state in all layers"
    );
    let fit = fit_on(
        "nvidia-nemotron-3-super-120b-a12b-bf16",
        "Standard_NC48ads_A100_v4",
        4096,
    );
    assert_eq!(
        formula(&fit, TermKind::KvCache),
        "1024 bytes per token in 5 of the 44 layers of the largest of 2 stages x 4096 tokens, and 0.16 GiB of state in \
         all layers, over 2 GPUs"
    );
    assert!(fit.explanation.iter().all(|term| !term.source.is_empty()));
}

#[test]
fn long_contexts_are_reached_where_layers_keep_little() {
    // 4 of 56 layers keep the context: all 131072 tokens fit beside 16.56 GiB of weights.
    assert_eq!(
        fit_on("nvidia-nemotron-nano-9b-v2", A100, 2048).max_context_tokens,
        Some(131_072)
    );
    // As though all 32 layers kept it, 16 GiB would not fit beside 7.15 GiB on one A10.
    let phi = fit_on("phi-4-mini-instruct", A10, 2048);
    assert!((50_000..131_072).contains(&phi.max_context_tokens.unwrap()));
}

#[test]
fn without_a_gpu_the_memory_of_the_node_counts() {
    let fit = fit_on("smollm2-360m-instruct", "Standard_D8s_v5", 8192);
    assert_eq!(
        (fit.gpus, fit.placement.nodes, fit.max_context_tokens),
        (0, 1, Some(8192))
    );
    assert_eq!(fit.usd_micros_per_hour, Some(384_000));
    let total: u64 = fit.explanation.iter().map(|term| term.bytes).sum();
    assert_eq!(total, 32 << 30);

    let mut small = azure("Standard_D8s_v5").clone();
    small.memory_gib = Some(1);
    let plan = compare_instance_types(
        preset("tinyllama-1.1b-chat-v1.0"),
        &[&small],
        2048,
        &FitOptions::default(),
    );
    let FitOutcome::Unfit(unfit) = &plan.candidates[0].outcome else {
        panic!("2.05 GiB cannot fit 1 GiB");
    };
    assert!(
        matches!(
            unfit.reasons[..],
            [Reason::Misfit(Misfit::HostMemoryTooSmall { .. })]
        ),
        "{unfit:?}"
    );
    assert_eq!(unfit.remedies, []);

    small.memory_gib = None;
    let plan = compare_instance_types(
        preset("tinyllama-1.1b-chat-v1.0"),
        &[&small],
        2048,
        &FitOptions::default(),
    );
    let (_, fit) = plan.best().expect("what is not known does not refuse");
    assert_eq!((fit.headroom_bytes, fit.explanation.len()), (None, 3));
}

#[test]
fn presets_for_processors_fit_nodes_that_are_common() {
    let cpu = |preset: &&Preset| preset.inference.as_ref().is_some_and(|inference| inference.cpu);
    let presets: Vec<_> = Catalog::embedded().unwrap().iter().filter(cpu).collect();
    assert_eq!(presets.len(), 12);
    for preset in presets {
        let (gib, context) = match preset.shape.is_small() {
            true => (8, preset.shape.max_context_tokens),
            false => (16, 4096),
        };
        let mut host = azure("Standard_D8s_v5").clone();
        host.memory_gib = Some(gib);
        let plan = compare_instance_types(preset, &[&host], context, &FitOptions::default());
        assert!(plan.best().is_some(), "{}: {plan:?}", preset.name);
    }
}

#[test]
fn weights_are_rounded_to_the_bits_that_the_node_holds() {
    let weights = |gib: u32, host: Option<HostFormat>| {
        let mut node = azure("Standard_D8s_v5").clone();
        node.memory_gib = Some(gib);
        let settings = EngineOptions {
            host,
            ..EngineOptions::DEFAULT
        };
        let options = FitOptions {
            settings,
            ..FitOptions::default()
        };
        let plan = compare_instance_types(preset("llama-3.1-8b-instruct"), &[&node], 2048, &options);
        let (_, fit) = plan.best()?;
        let of_weights = |term: &&Term| term.kind == TermKind::Weights;
        Some(fit.explanation.iter().find(of_weights)?.formula.clone())
    };
    // 14.96 GiB of weights, 0.25 GiB of cache and half a GiB; three quarters of the node.
    let of = |formula: &str| Some(format!("14.96 GiB of weight files{formula}"));
    assert_eq!(weights(32, Some(HostFormat::Published)), of(""));
    assert_eq!(weights(16, None), of(" x 54 %: rounded to 8 bits"));
    assert_eq!(
        weights(10, None),
        of(" x 37 %: rounded to 4 bits, with embeddings in 8")
    );
    assert_eq!(weights(8, None), None);
    assert_eq!(weights(16, Some(HostFormat::Published)), None);
    assert_eq!(
        weights(32, Some(HostFormat::FourBit)),
        of(" x 37 %: rounded to 4 bits, with embeddings in 8")
    );
    assert_eq!(weights(64, Some(HostFormat::Float32)), of(" x 200 %: in 32 bits"));
}

#[test]
fn a_cheap_node_without_gpus_is_first_for_small_presets_only() {
    let types = ["Standard_D16s_v5", A100];
    let first = |name: &str| {
        let report = plan(name, &types, 2048, FitOptions::default());
        report.best().unwrap().0.name.clone()
    };
    assert_eq!(first("smollm2-135m-instruct"), "Standard_D16s_v5");
    assert_eq!(first("llama-3.1-8b-instruct"), A100);
}

#[test]
fn tuning_takes_one_node_and_is_not_sized() {
    let tuned = plan("phi-4", &[A10], 1 << 30, TUNING);
    let (_, fit) = tuned.best().expect("tuning ignores the context");
    assert_eq!(
        (fit.placement.nodes, fit.max_context_tokens, fit.headroom_bytes),
        (1, None, None)
    );
    assert!(fit.explanation.is_empty());
    let unfit = unfit_on("gemma-3-4b-it", &[A10], 2048, TUNING);
    assert_eq!(unfit.reasons, [Reason::Misfit(Misfit::NotTunable)]);
    assert_eq!(unfit.remedies, []);
}

#[test]
fn a_misfit_says_what_would_help() {
    let unfit = unfit_on("llama-3.3-70b-instruct", &[A100, H100X8], 2048, at_most(2));
    assert_eq!(
        unfit.reasons,
        [Reason::TooManyNodes {
            needed: 3,
            allowed: 2
        }]
    );
    let words: Vec<_> = unfit.remedies.iter().map(ToString::to_string).collect();
    assert_eq!(words, ["allow 3 nodes", "use 1 node of Standard_ND96isr_H100_v5"]);
    let unfit = unfit_on("phi-4-mini-instruct", &[A10], 131_072, at_most(1));
    assert!(matches!(
        unfit.remedies[..],
        [Remedy::SmallerContext { .. }, Remedy::MoreNodes { nodes: 2 }]
    ));
    let unfit = unfit_on("phi-4", &[A100], 20_000, FitOptions::default());
    assert_eq!(
        unfit.reasons,
        [Reason::ContextBeyondModel {
            wanted: 20_000,
            limit: 16_384
        }]
    );
    assert_eq!(
        unfit.remedies,
        [Remedy::SmallerContext {
            context_tokens: 16_384
        }]
    );
    let unfit = unfit_on("phi-4", &[A100], 16_385, FitOptions::default());
    assert_eq!(
        unfit.remedies,
        [Remedy::SmallerContext {
            context_tokens: 16_384
        }]
    );
    let unfit = unfit_on("phi-2", &[A100], 2048, FitOptions::default());
    assert_eq!((unfit.reasons.len(), unfit.remedies.len()), (1, 0));
}

#[test]
fn gpus_without_kernels_are_refused() {
    let on_t4 = unfit_on(
        "gpt-oss-20b",
        &["Standard_NC4as_T4_v3", A10],
        2048,
        FitOptions::default(),
    );
    let words: Vec<_> = on_t4.reasons.iter().map(ToString::to_string).collect();
    assert_eq!(
        words,
        ["needs GPUs of compute capability 8.0, but these have 7.5"]
    );
    assert_eq!(
        on_t4.remedies[0].to_string(),
        "use 1 node of Standard_NV36ads_A10_v5"
    );
    // Sparse attention has kernels for Hopper and later only.
    let on_a100 = unfit_on("deepseek-v3.2", &["Standard_ND96amsr_A100_v4"], 2048, ANY_IMAGE);
    assert_eq!(on_a100.reasons.len(), 1);
    assert_eq!(
        fit_on("deepseek-v3.2", "Standard_ND96isr_H200_v5", 2048)
            .placement
            .nodes,
        1
    );
    // Models without quantization run on any GPU that the image supports.
    assert_eq!(
        fit_on("phi-4-mini-instruct", "Standard_NC4as_T4_v3", 2048)
            .placement
            .nodes,
        1
    );
    for options in [FitOptions::default(), TUNING] {
        let on_t4 = unfit_on(
            "phi-3-mini-4k-instruct",
            &["Standard_NC4as_T4_v3", A10],
            2048,
            options,
        );
        let reasons: Vec<_> = on_t4.reasons.iter().map(ToString::to_string).collect();
        assert_eq!(
            reasons,
            ["needs GPUs of compute capability 8.0, but these have 7.5"]
        );
    }
    let mut unknown = azure("Standard_NC4as_T4_v3").clone();
    unknown.compute_capability = None;
    let plan = compare_instance_types(preset("gpt-oss-20b"), &[&unknown], 2048, &FitOptions::default());
    assert!(plan.best().is_some(), "what is not known does not refuse");
}

#[test]
fn an_image_without_a_compiler_serves_no_model_that_needs_it() {
    let catalog = Catalog::embedded().unwrap();
    let needs = |preset: &&Preset| {
        preset
            .inference
            .as_ref()
            .is_some_and(|profile| profile.needs_cuda_toolkit)
    };
    let names: Vec<_> = catalog.iter().filter(needs).map(|preset| &preset.name).collect();
    assert_eq!(
        names,
        [
            "deepseek-v3.2",
            "deepseek-v4-flash-0731",
            "deepseek-v4-pro",
            "glm-5.2-fp8",
            "mistral-small-4-119b-2603"
        ]
    );
    for name in names {
        let unfit = unfit_on(name, &[H100X8], 2048, FitOptions::default());
        assert!(unfit.reasons.contains(&Reason::NoCudaToolkit), "{name}");
        assert_eq!(unfit.remedies, [], "{name}");
    }
}

#[test]
fn a_retired_type_is_replaced_by_the_cheapest_that_costs_at_most_half_more() {
    let azure_types: Vec<_> = all_types()
        .into_iter()
        .filter(|found| found.cloud == Cloud::Azure)
        .collect();
    let replacement = |name: &str, retired: &str, context, options: &FitOptions| {
        let plan = compare_instance_types(preset(name), &azure_types, context, options);
        let found = plan.replacement(azure(retired));
        found.map(|(instance_type, fit)| (instance_type.name.clone(), fit.placement.nodes))
    };
    let default = FitOptions::default();
    let one = |name: &str| Some((name.to_owned(), 1));
    let phi = "phi-3-mini-128k-instruct";
    assert_eq!(replacement(phi, "Standard_NC6s_v3", 2048, &default), one(A10));
    assert_eq!(replacement(phi, "Standard_NC6s_v3", 2048, &TUNING), one(A10));
    assert_eq!(replacement(phi, "Standard_NC6s_v3", 100_000, &default), one(A100));
    assert_eq!(
        replacement("llama-3.3-70b-instruct", "Standard_NC6s_v3", 2048, &default),
        None,
        "one node of a type that costs little more is too small"
    );
    let tuned = replacement(phi, "Standard_NC24s_v3", 2048, &TUNING);
    assert_eq!(tuned, one("Standard_NC96ads_A100_v4"), "as many GPUs as before");
    let unfit = unfit_on(phi, &["Standard_NC6s_v3", A10], 2048, default);
    assert_eq!(
        unfit.reasons[0].to_string(),
        "is retired: the cloud creates none since 2025-09-30"
    );
    let template = like_for_like(&azure_types, azure("Standard_NC6s_v3"), None).unwrap();
    assert_eq!(template.name, A10);
    let mut cheap = azure("Standard_NC6s_v3").clone();
    cheap.list_price.as_mut().unwrap().usd_micros_per_hour = 2_133_333;
    assert_eq!(
        like_for_like(&azure_types, &cheap, None).map(|found| &found.name),
        None,
        "the A10 costs a little more than half more"
    );
    cheap.list_price = None;
    assert!(like_for_like(&azure_types, &cheap, None).is_none());
}

#[test]
fn every_preset_that_is_served_fits_somewhere() {
    let types = all_types();
    for preset in Catalog::embedded().unwrap().iter() {
        let plan = compare_instance_types(preset, &types, DEFAULT_CONTEXT_TOKENS, &ANY_IMAGE);
        assert_eq!(plan.candidates.len(), types.len());
        assert_eq!(
            plan.best().is_some(),
            preset.inference.is_some(),
            "{}",
            preset.name
        );
    }
}

/// Settings of the engine, mostly our own.
fn any_settings() -> impl Strategy<Value = EngineOptions> {
    let percent = proptest::option::of(1u32..=100);
    let cache = prop_oneof![Just(CacheFormat::OfModel), Just(CacheFormat::EightBit)];
    let weights = prop_oneof![
        Just(WeightsFormat::Published),
        Just(WeightsFormat::Float32),
        Just(WeightsFormat::BitsAndBytes)
    ];
    let parts = || proptest::option::weighted(0.3, 1u32..9);
    let settings = (percent, cache, weights, parts(), parts(), 0u64..200);
    let settings = settings.prop_map(
        |(memory_percent, cache, weights, tensor_parallel, pipeline_parallel, gib)| EngineOptions {
            memory_percent,
            cache,
            weights,
            tensor_parallel,
            pipeline_parallel,
            offload_bytes_per_gpu: gib << 30,
            host: None,
        },
    );
    prop_oneof![Just(EngineOptions::DEFAULT), settings]
}

/// A preset, some instance types in any order, a context and a limit of nodes.
fn any_question() -> impl Strategy<Value = (&'static Preset, Vec<&'static InstanceType>, u32, FitOptions)> {
    let presets: Vec<_> = Catalog::embedded().unwrap().iter().collect();
    let types = all_types();
    let count = types.len();
    let some_types = subsequence(types, 0..count).prop_shuffle();
    let context = prop_oneof![0u32..10_000, 0u32..300_000, any::<u32>()];
    let nodes = prop_oneof![Just(None), (0u32..12).prop_map(Some)];
    let engine = prop_oneof![Just(EngineImage::KAITO_BASE), Just(EngineImage::UNKNOWN)];
    let nodes = (nodes, engine, any_settings());
    (any::<Index>(), some_types, context, nodes).prop_map(move |(index, types, context, limits)| {
        let options = FitOptions {
            purpose: Purpose::Inference,
            max_nodes: limits.0,
            engine: limits.1,
            settings: limits.2,
        };
        (*index.get(&presets), types, context, options)
    })
}

fn fits_with(preset: &Preset, instance_type: &InstanceType, context: u32, options: &FitOptions) -> bool {
    compare_instance_types(preset, &[instance_type], context, options)
        .best()
        .is_some()
}

proptest! {
    #[test]
    fn the_order_of_the_question_does_not_matter((preset, types, context, options) in any_question()) {
        let plan = compare_instance_types(preset, &types, context, &options);
        let mut reversed = types.clone();
        reversed.reverse();
        prop_assert_eq!(&plan, &compare_instance_types(preset, &reversed, context, &options));
        // A total order: each pair of neighbours is in order, and no two are equal.
        for pair in plan.candidates.windows(2) {
            prop_assert!(rank::order(preset, &pair[0], &pair[1]).is_lt());
            prop_assert!(rank::order(preset, &pair[1], &pair[0]).is_gt());
        }
    }

    #[test]
    fn a_plan_says_what_place_does((preset, types, context, options) in any_question()) {
        for (instance_type, fit) in compare_instance_types(preset, &types, context, &options).fits() {
            let work = Work::Inference { context_tokens: context, options: options.settings };
            let placed = place(preset, GpuNode::from(instance_type), work);
            prop_assert_eq!(placed, Ok(fit.placement));
        }
    }

    /// The terms are the whole memory, no more and no less.
    #[test]
    fn the_terms_are_the_whole_memory((preset, types, context, options) in any_question()) {
        for (instance_type, fit) in compare_instance_types(preset, &types, context, &options).fits() {
            let whole = if fit.gpus > 0 {
                instance_type.gpu_memory_bytes_each()
            } else {
                u64::from(instance_type.memory_gib.unwrap()) << 30
            };
            let total: u128 = fit.explanation.iter().map(|term| u128::from(term.bytes)).sum();
            prop_assert_eq!(total, u128::from(whole), "{}", instance_type.name);
        }
    }

    #[test]
    fn the_largest_context_is_the_largest((preset, types, context, options) in any_question()) {
        for (instance_type, fit) in compare_instance_types(preset, &types, context, &options).fits() {
            let largest = fit.max_context_tokens.unwrap();
            prop_assert!(context <= largest && largest <= preset.shape.max_context_tokens);
            let same_nodes = FitOptions { max_nodes: Some(fit.placement.nodes), ..options };
            prop_assert!(fits_with(preset, instance_type, largest, &same_nodes));
            prop_assert!(!fits_with(preset, instance_type, largest + 1, &same_nodes));
        }
    }

    #[test]
    fn every_remedy_helps((preset, types, context, options) in any_question()) {
        let plan = compare_instance_types(preset, &types, context, &options);
        for candidate in &plan.candidates {
            let FitOutcome::Unfit(unfit) = &candidate.outcome else { continue };
            let this = &candidate.instance_type;
            prop_assert!(!unfit.reasons.is_empty());
            for remedy in &unfit.remedies {
                let helps = match remedy {
                    Remedy::SmallerContext { context_tokens } => {
                        prop_assert!(*context_tokens < context);
                        prop_assert!(!fits_with(preset, this, context_tokens + 1, &options));
                        fits_with(preset, this, *context_tokens, &options)
                    }
                    Remedy::MoreNodes { nodes } => {
                        let more = |nodes| FitOptions { max_nodes: Some(nodes), ..options };
                        prop_assert!(!fits_with(preset, this, context, &more(nodes - 1)));
                        fits_with(preset, this, context, &more(*nodes))
                    }
                    Remedy::OtherInstanceType { instance_type, .. } => {
                        let other = types.iter().find(|other| other.name == *instance_type && other.cloud == this.cloud);
                        fits_with(preset, other.unwrap(), context, &options)
                    }
                };
                prop_assert!(helps, "{}: {remedy}", this.name);
            }
        }
    }

    #[test]
    fn the_price_is_that_of_all_nodes((preset, types, context, options) in any_question()) {
        for (instance_type, fit) in compare_instance_types(preset, &types, context, &options).fits() {
            let one = instance_type.list_price.as_ref().map(|price| price.usd_micros_per_hour);
            prop_assert_eq!(fit.usd_micros_per_hour, one.map(|one| one * u64::from(fit.placement.nodes)));
        }
    }
}
