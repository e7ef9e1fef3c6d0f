//! The definitions of the chart's kinds: it installs them where there are none, never gives them up, upgrades its own, and leaves
//! those of another owner alone.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::wait::{await_condition, conditions::is_crd_established};
use local_cluster::{ClusterOptions, Tier};
use serde_json::{Value, json};
use testkit::{Helm, NAMESPACE, TestEnv};

const DEFINITION: &str = "nodeclaims.karpenter.sh";
const OURS: &str = "workspaces.kaito.sh";
const KEEP: &str = "helm.sh/resource-policy=keep";
const LIMIT: Duration = Duration::from_secs(60);

/// Settings of releases that a Karpenter's cluster may have.
const KARPENTERS: [&[&str]; 4] = [
    &[],
    &["nodeProvisioner=machine"],
    &["nodeProvisioner=byo"],
    &[
        "nodeClaim.nodeClassRef.group=karpenter.example.com",
        "nodeClaim.nodeClassRef.kind=ExampleNodeClass",
        "gpuProvisioner.enabled=false",
    ],
];

#[tokio::test]
async fn the_definition_of_node_claims_has_one_owner() -> Result<()> {
    let env = TestEnv::start(ClusterOptions::new(Tier::ControlPlaneOnly)).await?;
    let all: Api<CustomResourceDefinition> = Api::all(env.client().await?);
    let helm = Helm::of(&env).await?;

    // Releases without a use for it do not install it.
    for settings in &KARPENTERS[2..] {
        helm.install_with(settings).await?;
        ensure!(all.get_opt(DEFINITION).await?.is_none(), "{settings:?}");
        uninstall(&helm).await?;
    }

    // The default does. It is the release's, outlives it, and belongs to the next release of the name.
    for _ in 0..2 {
        helm.install().await?;
        helm.install().await?;
        await_condition(all.clone(), DEFINITION, is_crd_established()).await?;
        let ours = all.get(DEFINITION).await?;
        let owner = annotation(&ours, "meta.helm.sh/release-name");
        ensure!(owner == Some("kaito"), "{:?}", ours.metadata);
        uninstall(&helm).await?;
        let kept = all.get(DEFINITION).await.context("it went with the release")?;
        ensure!(kept.metadata.uid == ours.metadata.uid, "it was created again");
    }
    helm.install().await?;
    helm.install_with(&["nodeClaim.createDefinition=false"]).await?;
    ensure!(all.get_opt(DEFINITION).await?.is_some(), "it went with the value");
    uninstall(&helm).await?;

    taken_over(&env, &all, &helm).await?;

    // Another owner's stays as it is.
    if all.get_opt(DEFINITION).await?.is_some() {
        all.delete(DEFINITION, &DeleteParams::default()).await?;
    }
    env.eventually("the definition to go", LIMIT, async || {
        ensure!(all.get_opt(DEFINITION).await?.is_none(), "it is there");
        Ok(())
    })
    .await?;
    all.create(&PostParams::default(), &theirs()?).await?;
    await_condition(all.clone(), DEFINITION, is_crd_established()).await?;
    let before = shown(&all.get(DEFINITION).await?);
    for settings in KARPENTERS {
        helm.install_with(settings).await?;
        let after = shown(&all.get(DEFINITION).await?);
        ensure!(after == before, "{settings:?} changed it: {after}");
    }
    uninstall(&helm).await?;
    ensure!(shown(&all.get(DEFINITION).await?) == before, "it was changed");
    Ok(())
}

/// Another chart takes the definition over. Helm would delete it with the next upgrade of ours, and every NodeClaim with it.
async fn taken_over(env: &TestEnv, all: &Api<CustomResourceDefinition>, helm: &Helm) -> Result<()> {
    helm.install().await?;
    let before = all.get(DEFINITION).await?.metadata.uid;
    let chart = env.cluster().dir().join("karpenter-crd");
    std::fs::create_dir_all(chart.join("templates"))?;
    let about = "apiVersion: v2\nname: karpenter-crd\nversion: 1.14.1\n";
    std::fs::write(chart.join("Chart.yaml"), about)?;
    let mut theirs = theirs()?;
    theirs.metadata.annotations = None;
    let theirs = serde_json::to_string(&theirs)?;
    std::fs::write(chart.join("templates/definition.yaml"), theirs)?;
    let chart = chart.to_str().context("the chart's path is not UTF-8")?;
    let take = [
        "install",
        "karpenter-crd",
        chart,
        "--namespace=kube-system",
        "--take-ownership",
    ];
    helm.run(&take).await?;
    let taken = all.get(DEFINITION).await?;
    let owner = annotation(&taken, "meta.helm.sh/release-name");
    ensure!(owner == Some("karpenter-crd"), "{:?}", taken.metadata);
    let refusal = helm
        .install()
        .await
        .err()
        .context("the definition is in danger")?;
    ensure!(format!("{refusal:#}").contains(KEEP), "{refusal:#}");
    let (key, value) = KEEP.split_once('=').context("no value")?;
    let keep = json!({"metadata": {"annotations": {key: value}}});
    all.patch(DEFINITION, &PatchParams::default(), &Patch::Merge(keep))
        .await?;
    for _ in 0..2 {
        helm.install().await?;
        let now = all.get(DEFINITION).await?;
        ensure!(
            now.metadata.uid == before && now.spec == taken.spec,
            "{:?}",
            now.metadata
        );
    }
    uninstall(helm).await?;
    let args = ["uninstall", "karpenter-crd", "--namespace=kube-system", "--wait"];
    helm.run(&args).await.map(drop)
}

/// The definitions of our kinds are upgraded with the chart once they are the release's.
#[tokio::test]
async fn our_definitions_are_upgraded_and_kept() -> Result<()> {
    let env = TestEnv::start(ClusterOptions::new(Tier::ControlPlaneOnly)).await?;
    let all: Api<CustomResourceDefinition> = Api::all(env.client().await?);
    let helm = Helm::of(&env).await?;

    // Without a cluster nothing is known of a Karpenter.
    for (setting, expected) in [("auto", 3), ("true", 4), ("false", 3)] {
        let setting = format!("nodeClaim.createDefinition={setting}");
        let rendered = rendered(&helm, &[&setting]).await?;
        ensure!(rendered == expected, "{setting}: {rendered}");
    }
    ensure!(
        rendered(&helm, &["crds.install=false"]).await? == 0,
        "not asked for"
    );

    // Someone applied them: the chart leaves them alone, and then takes them over.
    testkit::install_crds(env.client().await?).await?;
    let column = json!([{"op": "add", "path": "/spec/versions/0/additionalPrinterColumns/-", "value":
        {"name": "Old", "type": "string", "jsonPath": ".metadata.name"}}]);
    let patch = Patch::Json::<()>(serde_json::from_value(column)?);
    all.patch(OURS, &PatchParams::default(), &patch).await?;
    let old = all.get(OURS).await?;
    helm.install().await?;
    ensure!(
        shown(&all.get(OURS).await?) == shown(&old),
        "the chart changed it"
    );
    let marks = json!({"metadata": {
        "labels": {"app.kubernetes.io/managed-by": "Helm"},
        "annotations": {"meta.helm.sh/release-name": "kaito", "meta.helm.sh/release-namespace": NAMESPACE},
    }});
    all.patch(OURS, &PatchParams::default(), &Patch::Merge(marks))
        .await?;
    helm.install_forced().await?;
    let new = all.get(OURS).await?;
    let columns = |of: &CustomResourceDefinition| serde_json::to_string(&of.spec.versions[0]);
    ensure!(new.metadata.uid == old.metadata.uid, "it was created again");
    ensure!(!columns(&new)?.contains("\"Old\""), "it was not upgraded");

    // Nothing that a user may set or do takes it away with its Workspaces.
    helm.install_with(&["crds.install=false"]).await?;
    ensure!(all.get_opt(OURS).await?.is_some(), "it went with the value");
    helm.install().await?;
    uninstall(&helm).await?;
    ensure!(
        all.get(OURS).await?.metadata.uid == old.metadata.uid,
        "it went with the release"
    );
    helm.install_with(&["crds.keep=false"]).await?;
    let refusal = helm.install_with(&["crds.install=false"]).await.err();
    let refusal = format!("{:#}", refusal.context("all Workspaces are in danger")?);
    ensure!(refusal.contains(KEEP) && refusal.contains(OURS), "{refusal}");
    uninstall(&helm).await?;
    env.eventually("the definition to go", LIMIT, async || {
        ensure!(all.get_opt(OURS).await?.is_none(), "it is there");
        Ok(())
    })
    .await
}

/// Number of definitions in a render without a cluster.
async fn rendered(helm: &Helm, settings: &[&str]) -> Result<usize> {
    let text = helm.template(settings).await?;
    let objects: Vec<Value> = serde_saphyr::from_multiple(&text)?;
    let mut kinds = objects.iter().map(|object| &object["kind"]);
    let count = kinds.by_ref().filter(|kind| *kind == "CustomResourceDefinition");
    Ok(count.count())
}

async fn uninstall(helm: &Helm) -> Result<()> {
    let args = ["uninstall", "kaito", "--namespace", NAMESPACE, "--wait"];
    helm.run(&args).await.map(drop)
}

/// A definition as another chart installs it: with marks of its release, and a column that ours does not have.
fn theirs() -> Result<CustomResourceDefinition> {
    let mut all = kaito_api::crd::all().into_iter();
    let ours = all.find(|crd| crd.spec.names.kind == "NodeClaim");
    let mut value = serde_json::to_value(ours.context("no definition")?)?;
    let marks = json!({
        "meta.helm.sh/release-name": "karpenter-crd", "meta.helm.sh/release-namespace": "kube-system",
    });
    value["metadata"]["annotations"] = marks;
    value["spec"]["versions"][0]["additionalPrinterColumns"] = json!([
        {"name": "Theirs", "type": "string", "jsonPath": ".spec.nodeClassRef.name"},
    ]);
    Ok(serde_json::from_value(value)?)
}

/// Parts of the definition that its owner decides.
fn shown(definition: &CustomResourceDefinition) -> Value {
    let metadata = &definition.metadata;
    json!([
        metadata.uid,
        metadata.labels,
        metadata.annotations,
        definition.spec
    ])
}

fn annotation<'a>(definition: &'a CustomResourceDefinition, key: &str) -> Option<&'a str> {
    let annotations = definition.metadata.annotations.as_ref()?;
    annotations.get(key).map(String::as_str)
}
