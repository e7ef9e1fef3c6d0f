//! The launch that a Machine asks for.

use kaito_api::Machine;
use nodeclaim_plan::Settings;
use nodeclaim_plan::launch::spec::launch_spec;
use serde_json::json;

use crate::fixtures::{machine, parse, settings};

#[test]
fn the_whole_body() {
    let settings = Settings {
        cluster_id: "c1".into(),
        ..settings()
    };
    insta::assert_yaml_snapshot!(launch_spec(&machine().into(), None, &settings).unwrap(), @r#"
    name: ws0a1b2c3d4
    instance_type: Standard_NC24ads_A100_v4
    capacity_type: on-demand
    zone: ~
    image_family: ~
    disk_gib: 80
    labels:
      apps: phi-4
      kaito.sh/creation-timestamp: 2026-01-05T09-59-00Z
      kaito.sh/workspace: w
      kaito.sh/workspacenamespace: default
      karpenter.sh/capacity-type: on-demand
      karpenter.sh/nodepool: kaito
      karpenter.sh/provisioner-name: default
    taints:
      - "sku=gpu:NoSchedule"
    options:
      subnet: ~
      pod_subnet: ~
      os: ~
      local_disk: ~
      gpu_driver: ~
      gpu_partition: ~
      fips: false
      encryption_at_host: false
      max_pods: ~
      reservation: ~
      proximity_group: ~
    tags:
      kaito-claim-uid: 7d1f4a52-0c3e-4b0a-9d57-6b8f1f0c2a11
      kaito-cluster: c1
      kaito-managed-by: gpu-provisioner
    "#);
}

#[track_caller]
fn check(change: impl FnOnce(&mut Machine), expect: &str) {
    let mut machine = machine();
    change(&mut machine);
    let got = match launch_spec(&machine.into(), None, &settings()) {
        Ok(spec) => format!(
            "{} {:?} {}",
            spec.instance_type,
            spec.disk_gib,
            spec.image_family.as_deref().unwrap_or("default")
        ),
        Err(why) => why.to_string(),
    };
    assert_eq!(got, expect);
}

fn requires(values: &[(&str, &str, &[&str])]) -> impl FnOnce(&mut Machine) + use<> {
    let list: Vec<_> = values
        .iter()
        .map(|(key, operator, values)| json!({"key": key, "operator": operator, "values": values}))
        .collect();
    move |machine| machine.spec.requirements = parse(json!(list))
}

fn storage(text: &str) -> impl FnOnce(&mut Machine) {
    let resources = parse(json!({"requests": {"storage": text}}));
    move |machine| machine.spec.resources = Some(resources)
}

const TYPE: &str = "node.kubernetes.io/instance-type";
const BETA: &str = "beta.kubernetes.io/instance-type";

#[test]
fn instance_types() {
    check(
        requires(&[(BETA, "In", &["Standard_D2s_v5"])]),
        "Standard_D2s_v5 Some(80) default",
    );
    check(
        requires(&[(TYPE, "In", &["a", "b"]), (BETA, "In", &["b"])]),
        "b Some(80) default",
    );
    check(
        requires(&[(TYPE, "In", &["a", "b"]), (TYPE, "NotIn", &["a"])]),
        "b Some(80) default",
    );
    let none = "no requirement names an instance type: add node.kubernetes.io/instance-type In [<one type>]";
    check(requires(&[]), none);
    check(requires(&[(TYPE, "NotIn", &["a"])]), none);
    check(
        requires(&[(TYPE, "In", &["b", "a"])]),
        "the requirements leave several instance types (a, b): name exactly one",
    );
    let contradiction = "the requirements on the instance type contradict each other";
    check(
        requires(&[(TYPE, "In", &["a"]), (BETA, "In", &["b"])]),
        contradiction,
    );
    check(
        requires(&[(TYPE, "In", &["a"]), ("kubernetes.io/os", "In", &["windows"])]),
        "expected the requirement kubernetes.io/os In [linux]",
    );
}

#[test]
fn disks() {
    let size = |text| format!("Standard_NC24ads_A100_v4 {text} default");
    check(storage("1024Gi"), &size("Some(1024)"));
    check(storage("30.1Gi"), &size("Some(31)"));
    check(storage("0"), &size("None"));
    check(|machine| machine.spec.resources = None, &size("None"));
    check(
        storage("29Gi"),
        "storage request 29Gi is 29 GiB: a system disk must have 30 to 2048 GiB",
    );
    check(
        storage("3Ti"),
        "storage request 3Ti is 3072 GiB: a system disk must have 30 to 2048 GiB",
    );
    check(
        storage("100"),
        "storage request 100 is 1 GiB: a system disk must have 30 to 2048 GiB",
    );
    check(storage("much"), "storage request \"much\" must be a quantity");
}

#[test]
fn names_and_images() {
    let named = |name: &'static str| move |machine: &mut Machine| machine.metadata.name = Some(name.into());
    let wrong =
        |name| format!("name {name:?} must have 1 to 12 lower-case letters and digits, a letter first");
    check(named("a"), "Standard_NC24ads_A100_v4 Some(80) default");
    for name in ["0a", "a-b", "Ws", "abcdefghijklm", ""] {
        check(named(name), &wrong(name));
    }
    let family = |family: &'static str| {
        move |machine: &mut Machine| {
            machine.metadata.annotations =
                Some([("kaito.sh/node-image-family".into(), family.into())].into());
        }
    };
    check(
        family("AzureLinux"),
        "Standard_NC24ads_A100_v4 Some(80) AzureLinux",
    );
    check(family(" ubuntu "), "Standard_NC24ads_A100_v4 Some(80) ubuntu");
    check(family(""), "Standard_NC24ads_A100_v4 Some(80) default");
    check(
        family("other"),
        "unknown image family \"other\": expected one of ubuntu, azurelinux",
    );
}

#[test]
fn a_requirement_is_met_or_the_claim_is_refused() {
    let with = |key: &'static str, operator: &'static str, values: &'static [&'static str]| {
        requires(&[(TYPE, "In", &["a"]), (key, operator, values)])
    };
    let good = "a Some(80) default";
    let unmet =
        |text: &str| format!("the requirement {text} cannot be met: the instance will not satisfy it");
    check(with("kubernetes.io/arch", "In", &["amd64"]), good);
    check(with("kubernetes.io/arch", "NotIn", &["arm64"]), good);
    let arch = "expected the requirement kubernetes.io/arch In [amd64]";
    check(with("kubernetes.io/arch", "In", &["arm64"]), arch);
    check(with("beta.kubernetes.io/arch", "NotIn", &["amd64"]), arch);
    check(
        with("kubernetes.io/os", "DoesNotExist", &[]),
        "expected the requirement kubernetes.io/os In [linux]",
    );
    check(with("karpenter.sh/capacity-type", "Exists", &[]), good);
    check(with("karpenter.sh/capacity-type", "NotIn", &["on-demand"]), good);
    check(
        with("karpenter.sh/capacity-type", "DoesNotExist", &[]),
        &unmet("karpenter.sh/capacity-type DoesNotExist []"),
    );
    check(with(TYPE, "Exists", &[]), good);
    check(
        with(TYPE, "DoesNotExist", &[]),
        &unmet("node.kubernetes.io/instance-type DoesNotExist []"),
    );
    check(with("karpenter.sh/nodepool", "Exists", &[]), good);
    check(with("kaito.sh/workspace", "Exists", &[]), good);
    check(
        with("kaito.sh/workspace", "DoesNotExist", &[]),
        &unmet("kaito.sh/workspace DoesNotExist []"),
    );
    check(with("x/none", "DoesNotExist", &[]), good);
    check(with("x/none", "In", &["1"]), good);
    check(with("x/cpus", "Gt", &["4"]), &unmet("x/cpus Gt [4]"));
    check(with("x/cpus", "Near", &["4"]), &unmet("x/cpus Near [4]"));
    let sized = |operator: &'static str| {
        move |machine: &mut Machine| {
            with("x/cpus", operator, &["4"])(machine);
            let labels = machine.metadata.labels.as_mut().unwrap();
            drop(labels.insert("x/cpus".into(), "8".into()));
        }
    };
    check(sized("Gt"), good);
    check(sized("Gte"), good);
    check(sized("Lt"), &unmet("x/cpus Lt [4]"));
    check(sized("Lte"), &unmet("x/cpus Lte [4]"));
}
