//! Files over the built-in catalog: what counts, what is left out and why.

use proptest::prelude::*;

use super::*;

fn entry(hub_id: &str, more: &str) -> String {
    format!(
        "- hub_id: {hub_id}\n  license: mit\n  architecture: LlamaForCausalLM\n  weights: 2.5Gi\n  \
         max_context_tokens: 4096\n  kv_bytes_per_token: 1024\n{more}"
    )
}

fn built_in() -> &'static Catalog {
    Catalog::embedded().unwrap()
}

fn over(files: &[(&str, &str)]) -> Overlay {
    built_in().overlay(files.iter().copied()).unwrap()
}

#[track_caller]
fn refused(files: &[(&str, &str)], file: &str, expected: &str) {
    let overlay = over(files);
    let report = overlay.files.iter().find(|report| report.file == file).unwrap();
    let problems: Vec<_> = report.problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems.join(" | "), expected);
    assert!(report.presets.is_empty());
}

#[test]
fn no_files_change_nothing() {
    let overlay = over(&[]);
    assert_eq!((&overlay.catalog, overlay.files.len()), (built_in(), 0));
}

#[test]
fn a_user_preset_follows_the_rules_of_the_catalog() {
    let text = entry("acme/Qwen3-Support", "  aliases: [support]\n");
    let overlay = over(&[("a.yaml", &text)]);
    let preset = overlay.catalog.find("SUPPORT").unwrap();
    assert_eq!(preset.name, "qwen3-support");
    let inference = preset.inference.as_ref().unwrap();
    assert_eq!(
        inference.vllm_flags["tool-call-parser"], "hermes",
        "the rule of the prefix qwen3"
    );
    assert_eq!(inference.disk_gib, 82);
    assert!(overlay.catalog.is_users("qwen3-support") && !overlay.catalog.is_users("phi-4"));
    assert_eq!(overlay.catalog.len(), built_in().len() + 1);
    assert_ne!(overlay.catalog.version(), built_in().version());
}

#[test]
fn a_bad_file_is_left_out_and_the_rest_counts() {
    let (good, bad) = (entry("acme/good", ""), entry("acme/bad", "  colour: red\n"));
    let overlay = over(&[("bad.yaml", &bad), ("good.yaml", &good)]);
    assert!(overlay.catalog.find("good").is_some() && overlay.catalog.find("bad").is_none());
    let only_good = over(&[("good.yaml", &good)]);
    assert_eq!(
        overlay.catalog, only_good.catalog,
        "a bad file changes nothing, not even the version"
    );
}

#[test]
fn all_problems_of_a_file_are_told_with_their_place() {
    let text = format!(
        "{}{}",
        entry("acme/one", "  license2: x\n").replace("license2: x", "cpu: true"),
        entry("two", "")
    );
    refused(
        &[("a.yaml", &text)],
        "a.yaml",
        "line 1 column 3: preset `one`: must list the native runtime to run on a CPU | line 8 column 3: preset `two`: \
         hub id `two` must have the form owner/repository",
    );
}

#[test]
fn a_built_in_name_takes_an_override() {
    let text = entry("acme/phi-4", "");
    refused(
        &[("a.yaml", &text)],
        "a.yaml",
        "line 1 column 3: preset `phi-4`: name `phi-4` belongs to the built-in preset `phi-4`; write `override: true` to \
         replace it, or choose another name",
    );
    let text = entry("acme/phi-4", "  override: true\n");
    let overlay = over(&[("a.yaml", &text)]);
    assert_eq!(overlay.catalog.find("phi-4").unwrap().hub_id, "acme/phi-4");
    assert!(overlay.catalog.find("microsoft/phi-4").is_none());
    assert_eq!(overlay.catalog.len(), built_in().len());
}

#[test]
fn the_first_file_in_name_order_has_the_name() {
    let (one, two) = (entry("acme/x", ""), entry("other/x", ""));
    for files in [[("a", one.as_str()), ("b", &two)], [("b", &two), ("a", &one)]] {
        refused(
            &files,
            "b",
            "line 1 column 3: preset `x`: name `x` already belongs to `x` of a",
        );
    }
}

#[test]
fn a_file_of_mistakes_is_told_in_short() {
    let text = entry(&"é".repeat(2000), "");
    let overlay = over(&[("a.yaml", &text)]);
    let problems = &overlay.files[0].problems;
    let longest = problems
        .iter()
        .map(|problem| problem.message.chars().count())
        .max();
    assert_eq!(longest, Some(MAX_MESSAGE + 1));
    let overlay = over(&[("a.yaml", &entry("acme/x", "").repeat(30))]);
    let problems = &overlay.files[0].problems;
    // Short name and hub id of all but the first are taken.
    assert_eq!(problems.len(), MAX_PROBLEMS + 1);
    assert_eq!(problems[MAX_PROBLEMS].message, "and 38 more");
}

#[test]
fn a_refused_file_holds_no_names() {
    let bad = format!("{}{}", entry("acme/x", ""), entry("acme/phi-4", ""));
    let good = entry("other/x", "");
    let overlay = over(&[("a", &bad), ("b", &good)]);
    assert_eq!(overlay.catalog.find("x").unwrap().hub_id, "other/x");
    assert!(overlay.catalog.find("microsoft/phi-4").is_some());
}

/// Pieces of YAML, so that more than the first character is reached.
fn fragments() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "- ",
        "hub_id: a/b\n",
        "license: mit\n",
        "  ",
        "weights: 1Gi\n",
        "weights: ",
        "[",
        "{",
        "]",
        "}",
        "&a ",
        "*a",
        "---\n",
        "\n",
        ":",
        "?",
        "|",
        "'",
        "\"",
        "\u{feff}",
        "!!map",
        "max_context_tokens: 99999999999\n",
        "kv_bytes_per_token: -1\n",
        "vllm_flags: {a: null}\n",
        "<<: *a\n",
        "tuning: {methods: [lora]}\n",
        "\0",
        "é",
    ]);
    prop::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_text_is_taken_or_refused(text in prop_oneof![any::<String>(), fragments()]) {
        let overlay = over(&[("any.yaml", &text)]);
        let report = &overlay.files[0];
        prop_assert_ne!(report.presets.is_empty(), report.problems.is_empty());
        prop_assert!(overlay.catalog.find("phi-4").is_some());
    }

    #[test]
    fn the_order_of_files_does_not_matter(mut files in prop::collection::vec((0..4u8, 0..3u8), 0..6)) {
        files.sort_by_key(|(file, _)| *file);
        files.dedup_by_key(|(file, _)| *file);
        let texts: Vec<_> = files.iter().map(|(file, model)| (format!("{file}"), entry(&format!("o{file}/m{model}"), ""))).collect();
        let forwards: Vec<_> = texts.iter().map(|(file, text)| (file.as_str(), text.as_str())).collect();
        let backwards: Vec<_> = forwards.iter().rev().copied().collect();
        prop_assert_eq!(over(&forwards), over(&backwards));
    }
}
