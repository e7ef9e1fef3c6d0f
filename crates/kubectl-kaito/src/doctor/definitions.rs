//! The CustomResourceDefinitions that the installation needs by its settings.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kaito_api::labels::GPU_PROVISIONER;
use kube::ResourceExt as _;

use super::diagnosis::{CheckLine, Diagnosis};
use super::facts::{ClusterFacts, component};

/// Flag of workspace-controller that chooses the kind of claims.
const MODE: &str = "--node-provisioner=";
/// Label of objects that the chart installed.
const PART_OF: &str = "app.kubernetes.io/part-of";

/// A definition, and what is missing without it.
struct Needed {
    definition: CustomResourceDefinition,
    without: &'static str,
    remedy: &'static str,
    /// Another program may have installed it, in a version of its own.
    is_shared: bool,
}

/// Finds definitions that do not exist, or that are of another version.
pub(super) fn examine(facts: &ClusterFacts) -> (Vec<CheckLine>, Vec<Diagnosis>) {
    let Some(live) = &facts.definitions else {
        return (Vec::new(), Vec::new());
    };
    let release = facts.release.as_ref();
    let release = release.map_or("", |release| release.version.as_str());
    let (mut checks, mut findings) = (Vec::new(), Vec::new());
    for needed in needed(facts) {
        let name = needed.definition.name_any();
        match judge(&needed, live, release) {
            Ok(result) => checks.push(CheckLine {
                check: "definition",
                result: format!("{name} {result}"),
            }),
            Err((kind, message, remedy)) => {
                findings.push(Diagnosis::new(kind, name, message.to_owned(), remedy));
            }
        }
    }
    (checks, findings)
}

type Problem = (&'static str, &'static str, &'static str);

fn judge(needed: &Needed, live: &[CustomResourceDefinition], release: &str) -> Result<&'static str, Problem> {
    let name = needed.definition.name_any();
    let Some(live) = live.iter().find(|definition| definition.name_any() == name) else {
        return Err(("noDefinition", needed.without, needed.remedy));
    };
    if schemas(live) == schemas(&needed.definition) {
        return Ok("is that of this plugin");
    }
    if needed.is_shared && live.labels().get(PART_OF).is_none_or(|part| part != "kaito") {
        return match serves(live, &needed.definition) {
            true => Ok("is that of another program"),
            false => Err((
                "definitionVersion",
                "It does not serve the version that the operator uses.",
                "Upgrade the program that installed it, such as a Karpenter.",
            )),
        };
    }
    if release == env!("CARGO_PKG_VERSION") {
        return Err((
            "definitionVersion",
            "Its schema is that of another version, so the chart does not own it.",
            "Hand it over to the chart, as the notes of `helm upgrade` say, or apply that of deploy/crds.",
        ));
    }
    Ok("is that of another version than this plugin")
}

fn needed(facts: &ClusterFacts) -> Vec<Needed> {
    const APPLY: &str = "Upgrade the chart with crds.install=true, or apply the definitions of deploy/crds.";
    let has_provisioner = facts
        .deployments
        .iter()
        .any(|one| component(one) == GPU_PROVISIONER);
    let mode = facts.deployments.iter().find_map(mode);
    let needed = |definition, without| Needed {
        definition,
        without,
        remedy: APPLY,
        is_shared: false,
    };
    let mut all = vec![needed(
        kaito_api::crd::workspace(),
        "It does not exist, so there are no Workspaces.",
    )];
    if mode == Some("machine") {
        let without = "It does not exist, so Workspaces get no nodes: nodeProvisioner is machine.";
        all.push(needed(kaito_api::crd::machine(), without));
    }
    if mode == Some("nodeclaim") {
        all.push(Needed {
            definition: kaito_api::crd::node_claim(),
            without: "It does not exist, so Workspaces get no nodes: nodeProvisioner is nodeclaim.",
            remedy: "Install the cluster's Karpenter, or set nodeClaim.createDefinition=true and upgrade the release.",
            is_shared: true,
        });
    }
    if has_provisioner {
        let without = "It does not exist, so gpu-provisioner knows no class but the default one.";
        all.push(needed(kaito_api::crd::node_class(), without));
    }
    all
}

/// The kind of claims that workspace-controller makes.
fn mode(deployment: &Deployment) -> Option<&str> {
    let spec = deployment.spec.template.spec.as_ref()?;
    let mut flags = spec.containers.iter().flat_map(|one| one.args.iter().flatten());
    flags.find_map(|flag| flag.strip_prefix(MODE))
}

fn serves(live: &CustomResourceDefinition, ours: &CustomResourceDefinition) -> bool {
    let mut wanted = ours.spec.versions.iter();
    wanted.all(|wanted| {
        let mut versions = live.spec.versions.iter();
        versions.any(|version| version.served && version.name == wanted.name)
    })
}

/// Schemas by version, in the order of their names.
fn schemas(definition: &CustomResourceDefinition) -> Vec<(String, serde_json::Value)> {
    let mut all: Vec<_> = definition
        .spec
        .versions
        .iter()
        .map(|version| {
            (
                version.name.clone(),
                serde_json::to_value(&version.schema).unwrap_or_default(),
            )
        })
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}
