//! Tests of administrators' files, and of what is refused.

use super::*;

const OWN: &str = "cloud: azure
prices: {region: eastus2, as_of: 2026-11-30, source: our contract}
instance_types:
  - name: Standard_ND256isr_VR300_v7
    gpus: 8
    gpu_memory_gib: 288
    gpu_model: NVIDIA VR300
    vendor: nvidia
    compute_capability: 12.1
    vcpus: 256
    memory_gib: 2048
    nvme: true
    usd_per_hour: 120.50
";

fn built_in() -> &'static Catalog {
    Catalog::embedded().expect("the embedded tables are valid")
}

fn with(files: &[(&str, &str)]) -> Result<WithFiles, String> {
    built_in()
        .with_files(files.iter().copied())
        .map_err(|error| error.to_string())
}

#[test]
fn a_new_type_is_known_like_a_built_in_one() {
    let WithFiles { catalog, changed } = with(&[("ours.yaml", OWN)]).unwrap();
    assert_eq!(changed, []);
    let found = catalog
        .lookup(Cloud::Azure, "standard_nd256isr_vr300_v7")
        .unwrap();
    assert_eq!((found.nvidia_gpus(), found.gpu_memory_gib_total), (8, 8 * 288));
    assert_eq!(
        (found.vcpus, found.memory_gib, found.nvme),
        (Some(256), Some(2048), true)
    );
    assert_eq!(found.compute_capability.unwrap().to_string(), "12.1");
    let price = found.list_price.as_ref().unwrap();
    assert_eq!(
        (price.usd_micros_per_hour, price.source.as_str()),
        (120_500_000, "our contract")
    );
    assert_eq!(
        (found.file.as_deref(), found.unsupported.as_deref()),
        (Some("ours.yaml"), None)
    );
    assert_eq!(
        catalog.near(Cloud::Azure, "Standard_ND256isr_VR300_v6")[0],
        found.name
    );
    // Everything else is as it was.
    let others = catalog.of(Cloud::Azure).filter(|other| other.name != found.name);
    assert!(others.eq(built_in().of(Cloud::Azure)));
}

#[test]
fn a_built_in_type_is_replaced_as_a_whole_and_reported() {
    let row = "name: standard_nc24ads_a100_v4, gpus: 1, gpu_memory_gib_total: 40, gpu_model: NVIDIA A100, vendor: nvidia, \
               compute_capability: '8.0', vcpus: 24, memory_gib: 220";
    let text = format!("cloud: azure\ninstance_types:\n  - {{{row}}}\n");
    let WithFiles { catalog, changed } = with(&[("ours.yaml", &text)]).unwrap();
    let found = catalog.lookup(Cloud::Azure, "Standard_NC24ads_A100_v4").unwrap();
    assert_eq!(
        (found.gpu_memory_gib_total, found.list_price.as_ref()),
        (40, None)
    );
    assert_eq!(
        changed,
        [ChangedType {
            file: "ours.yaml".to_owned(),
            cloud: Cloud::Azure,
            name: "standard_nc24ads_a100_v4".to_owned(),
            fields: vec!["gpu_memory_gib_total", "nvme", "usd_per_hour"],
        }]
    );
}

#[test]
fn a_price_alone_is_replaced() {
    let text = "cloud: azure
prices: {region: westeurope, as_of: '2026-11-30', source: our contract}
usd_per_hour:
  standard_nc24ads_a100_v4: 2.10
  Standard_ND128isr_GB300_v6: '99'
";
    let WithFiles { catalog, changed } = with(&[("prices.yaml", text)]).unwrap();
    let a100 = catalog.lookup(Cloud::Azure, "Standard_NC24ads_A100_v4").unwrap();
    let price = a100.list_price.as_ref().unwrap();
    assert_eq!(
        (price.usd_micros_per_hour, price.region.as_str()),
        (2_100_000, "westeurope")
    );
    assert_eq!(
        (a100.gpu_memory_gib_total, a100.file.as_deref()),
        (80, Some("prices.yaml"))
    );
    let fields: Vec<_> = changed.iter().map(|found| found.fields.as_slice()).collect();
    assert_eq!(fields, [["usd_per_hour"], ["usd_per_hour"]]);
}

#[test]
fn one_file_may_have_several_clouds_and_any_cloud() {
    let other = "---\ncloud: other\ngpu_name_prefix: gpu-\ninstance_types:\n  - {name: gpu-b300x8, gpus: 8, \
                 gpu_memory_gib: 288, gpu_model: NVIDIA B300, vendor: nvidia, compute_capability: '10.3'}\n";
    let text = format!("{OWN}{other}");
    let catalog = with(&[("ours.yaml", &text)]).unwrap().catalog;
    assert!(catalog.lookup(Cloud::Other, "gpu-b300x8").is_some());
    assert!(catalog.names_gpus(Cloud::Other, "GPU-x") && !catalog.names_gpus(Cloud::Other, "cpu-x"));
    // A prefix of a file adds to the built-in one.
    let more = OWN.replace("prices:", "gpu_name_prefix: GPU\nprices:");
    let catalog = with(&[("ours.yaml", &more)]).unwrap().catalog;
    assert!(catalog.names_gpus(Cloud::Azure, "gpu1") && catalog.names_gpus(Cloud::Azure, "Standard_Nx"));
}

#[test]
fn arm64_is_unsupported_unless_the_image_is_built_for_it() {
    let row = |more: &str| {
        let text = format!("{OWN}    architecture: arm64\n{more}");
        let catalog = with(&[("ours.yaml", &text)]).unwrap().catalog;
        catalog
            .lookup(Cloud::Azure, "Standard_ND256isr_VR300_v7")
            .unwrap()
            .clone()
    };
    assert_eq!(
        row("").unsupported.as_deref(),
        Some("its processors are arm64, and kaito-base is built for amd64")
    );
    let own = row("    arm64_image: true\n");
    assert_eq!((own.unsupported.as_deref(), own.nvidia_gpus()), (None, 8));
    assert_eq!(
        row("    unsupported: not yet\n").unsupported.as_deref(),
        Some("not yet")
    );
}

#[track_caller]
fn refused(text: &str, expected: &str) {
    assert_eq!(
        with(&[("t.yaml", text)]).unwrap_err(),
        format!("t.yaml: {expected}")
    );
}

/// Refuses a file with this in place of a line of [`OWN`].
#[track_caller]
fn refused_line(line: &str, other: &str, expected: &str) {
    assert!(OWN.contains(line), "{line}");
    refused(&OWN.replace(line, other), expected);
}

#[test]
fn problems_name_line_and_field() {
    let at = "line 4 column 5: instance type `Standard_ND256isr_VR300_v7`: ";
    for (line, other, expected) in [
        (
            "gpus: 8",
            "gpus: 0",
            "must have `gpu_memory_gib` or `gpu_memory_gib_total` exactly when it has GPUs",
        ),
        ("gpus: 8", "gpus: 2000", "`gpus` must be at most 1024"),
        (
            "    gpu_memory_gib: 288\n",
            "",
            "must have `gpu_memory_gib` or `gpu_memory_gib_total` exactly when it has GPUs",
        ),
        (
            "gpu_memory_gib: 288",
            "gpu_memory_gib: 4294967295",
            "GPU memory must be at most 1048576 GiB",
        ),
        (
            "gpu_memory_gib: 288",
            "gpu_memory_gib: 288\n    gpu_memory_gib_total: 288",
            "must have one of `gpu_memory_gib` and `gpu_memory_gib_total`, not both",
        ),
        (
            "gpu_memory_gib: 288",
            "gpu_memory_gib_total: 100",
            "`gpu_memory_gib_total` must be a multiple of `gpus`",
        ),
        (
            "    gpu_model: NVIDIA VR300\n",
            "",
            "must have `gpu_model` exactly when it has GPUs",
        ),
        (
            "    vendor: nvidia\n",
            "",
            "must have `vendor` exactly when it has GPUs",
        ),
        (
            "    compute_capability: 12.1\n",
            "",
            "must have `compute_capability` exactly when `vendor` is nvidia",
        ),
        (
            "vendor: nvidia",
            "vendor: amd",
            "must have `compute_capability` exactly when `vendor` is nvidia",
        ),
        (
            "vcpus: 256",
            "vcpus: 0",
            "`vcpus` and `memory_gib` must be above 0, or absent if unknown",
        ),
        (
            "nvme: true",
            "retired: 2026-01-01",
            "has `retired`, so the table must have `retirements` with the source",
        ),
        (
            "nvme: true",
            "arm64_image: true",
            "has `arm64_image`, so `architecture` must be arm64",
        ),
        (
            "nvme: true",
            "unsupported: ' '",
            "`unsupported` must be a reason in one line of at most 200 characters",
        ),
        (
            "nvme: true",
            "unsupported: \"a\\nb\"",
            "`unsupported` must be a reason in one line of at most 200 characters",
        ),
        (
            "usd_per_hour: 120.50",
            "price_region: x",
            "has `price_region`, so it must have `usd_per_hour`",
        ),
    ] {
        refused_line(line, other, &format!("{at}{expected}"));
    }
    refused_line(
        "prices: {region: eastus2, as_of: 2026-11-30, source: our contract}\n",
        "",
        &format!("{at}has `usd_per_hour`, so the table must have `prices` with region, as_of and source")
            .replace("line 4", "line 3"),
    );
    for (name, shown) in [
        ("a,b", "a,b"),
        ("-a", "-a"),
        ("'a b'", "a b"),
        ("\"a\\n\"", "a\\n"),
        ("''", ""),
    ] {
        refused_line(
            "name: Standard_ND256isr_VR300_v7",
            &format!("name: {name}"),
            &format!(
                "line 4 column 5: instance type `{shown}`: `name` must be 1 to 63 letters, digits, dashes, dots and \
                 underscores, with a letter or digit at both ends"
            ),
        );
    }
}

#[test]
fn what_cannot_be_read_names_the_line() {
    refused("", "the file must hold a table with `cloud` and `instance_types`");
    for (line, other, starts) in [
        ("gpus: 8", "gpu: 8", "line 5 column 5: unknown field `gpu`"),
        ("gpus: 8", "gpus: eight", "line 5 column 11: "),
        ("cloud: azure", "cloud: moon", "line 1 column 8: "),
        ("vendor: nvidia", "vendor: acme", "line 8 column 13: "),
        (
            "120.50",
            "120 USD",
            "line 13 column 19: `120 USD` must be a price in dollars per hour",
        ),
        (
            "compute_capability: 12.1",
            "compute_capability: new",
            "line 9 column 25: `new` must be a compute capability",
        ),
        (
            "as_of: 2026-11-30",
            "as_of: today",
            "line 2 column 34: `today` must be a day",
        ),
    ] {
        let error = with(&[("t.yaml", &OWN.replace(line, other))]).unwrap_err();
        assert!(error.starts_with(&format!("t.yaml: {starts}")), "{error}");
    }
}

#[test]
fn names_are_listed_once() {
    let twice = format!("{OWN}  - {{name: standard_nd256isr_vr300_V7, gpus: 0}}\n");
    refused(
        &twice,
        "line 14 column 5: instance type `standard_nd256isr_vr300_V7`: must be listed once",
    );
    assert_eq!(
        with(&[("b.yaml", OWN), ("a.yaml", OWN)]).unwrap_err(),
        "b.yaml: line 4 column 5: instance type `Standard_ND256isr_VR300_v7`: must be listed once, and a.yaml lists it"
    );
    let prices = |name: &str| {
        format!(
            "cloud: azure\nprices: {{region: r, as_of: 2026-11-30, source: s}}\nusd_per_hour:\n  {name}: 1\n"
        )
    };
    refused(
        &prices("Standard_NC24ads_A100_v5"),
        "line 4 column 29: usd_per_hour: `Standard_NC24ads_A100_v5` must be an instance type of azure; did you mean \
         Standard_NC24ads_A100_v4, Standard_NC48ads_A100_v4, Standard_NC96ads_A100_v4?",
    );
    let both = prices("Standard_NC24ads_A100_v4");
    assert_eq!(
        with(&[("b.yaml", &both), ("a.yaml", &both)]).unwrap_err(),
        "b.yaml: line 4 column 29: usd_per_hour: `Standard_NC24ads_A100_v4` must have one price; another file has one, too"
    );
    let own = prices("Standard_ND256isr_VR300_v7");
    assert_eq!(
        with(&[("b.yaml", &own), ("a.yaml", OWN)]).unwrap_err(),
        "b.yaml: line 4 column 31: usd_per_hour: `Standard_ND256isr_VR300_v7` must have its price where it is listed"
    );
    refused(
        "cloud: azure\nusd_per_hour: {Standard_NC24ads_A100_v4: 1}\n",
        "line 2 column 42: the table has `usd_per_hour`, so it must have `prices` with region, as_of and source",
    );
}

#[test]
fn files_have_a_limit() {
    let rows = |count: usize| {
        let rows = (0..count).map(|place| format!("  - {{name: t{place}, gpus: 0}}\n"));
        format!("cloud: other\ninstance_types:\n{}", rows.collect::<String>())
    };
    assert!(with(&[("t.yaml", &rows(MAX_TYPES))]).is_ok());
    assert_eq!(
        with(&[("t.yaml", &rows(MAX_TYPES + 1))]).unwrap_err(),
        "instance types: all files must list at most 100 together, not 101"
    );
}

#[test]
fn built_in_types_are_in_no_file() {
    assert!(built_in().of(Cloud::Aws).all(|found| found.file.is_none()));
}
