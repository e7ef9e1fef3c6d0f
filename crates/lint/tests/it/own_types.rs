//! The administrator's instance types in the rules of admission.

use admission::table::{MAX_BYTES, TableOptions, Unlisted, table};
use admission_cases::{inference, with};
use instance_types::{Catalog, Cloud};
use lint::{Linter, Settings};
use serde_json::json;

use crate::settings;

const FILE: &str = "cloud: other
instance_types:
- {name: gpu-vr300x8, gpus: 8, gpu_memory_gib: 288, gpu_model: NVIDIA VR300, vendor: nvidia, compute_capability: '12.1'}
- {name: gpu-arm, gpus: 8, gpu_memory_gib: 288, gpu_model: NVIDIA VR300, vendor: nvidia, compute_capability: '12.1',
   architecture: arm64}
- {name: cpu-box, gpus: 0, vcpus: 8, memory_gib: 64}
";

/// Messages about a Workspace on this type, in a cloud without built-in types.
fn found(types: &Catalog, instance_type: &str, preset: &str) -> Vec<String> {
    let linter = Linter::new(Settings {
        instance_types: types,
        options: TableOptions::new(Cloud::Other, Unlisted::Refused),
        ..settings()
    });
    let object = with(inference(), "/resource/instanceType", json!(instance_type));
    let object = with(object, "/inference/preset/name", json!(preset));
    let found = linter.unwrap().create(&object);
    found.iter().map(ToString::to_string).collect()
}

#[test]
fn own_types_are_accepted_and_others_refused() {
    let built_in = Catalog::embedded().unwrap();
    let own = built_in.with_files([("ours.yaml", FILE)]).unwrap().catalog;
    assert_eq!(found(&own, "gpu-vr300x8", "phi-4"), Vec::<String>::new());
    assert_eq!(
        found(&own, "cpu-box", "smollm2-135m-instruct"),
        Vec::<String>::new()
    );
    let refused = |types: &Catalog, name: &str, preset: &str, part: &str| {
        let found = found(types, name, preset);
        assert!(
            found.iter().any(|message| message.contains(part)),
            "{name}: {found:?}"
        );
    };
    refused(&own, "gpu-vr300x9", "phi-4", "did you mean gpu-vr300x8");
    refused(&own, "cpu-box", "phi-4", "needs an NVIDIA GPU");
    refused(&own, "gpu-arm", "phi-4", "its processors are arm64");
    refused(built_in, "gpu-vr300x8", "phi-4", "is not known in cloud other");
    refused(
        built_in,
        "cpu-box",
        "smollm2-135m-instruct",
        "is not known in cloud other",
    );
}

#[test]
fn the_table_holds_as_many_types_as_files_may_list() {
    let rows = (0..100).map(|place| {
        format!(
            "- {{name: a-name-of-sixty-three-characters-for-new-accelerator-number-{place:03}, gpus: 8, gpu_memory_gib: 288, \
             gpu_model: M, vendor: nvidia, compute_capability: '12.1'}}\n"
        )
    });
    let file = format!("cloud: aws\ninstance_types:\n{}", rows.collect::<String>());
    let types = Catalog::embedded().unwrap();
    let types = types.with_files([("ours.yaml", file.as_str())]).unwrap().catalog;
    let options = TableOptions::new(Cloud::Aws, Unlisted::Refused);
    let table = table(settings().presets, &types, &options);
    assert_eq!(table["open"], "no");
    let bytes: usize = table.iter().map(|(key, value)| key.len() + value.len()).sum();
    assert!(bytes < MAX_BYTES / 2, "{bytes} bytes");
}
