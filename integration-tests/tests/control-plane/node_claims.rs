//! NodeClaims on a real control plane, beside Machines and beside a Karpenter's claims. Switching between the kinds
//! leaks no node and orders none twice.

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kaito_api::NodeClaim;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::{Error, ResourceExt as _};
use local_cluster::{ClusterOptions, Tier};
use serde_json::{Value, json};
use testkit::TestEnv;
use testkit::{Helm, Stack, StackOptions};

use crate::world::{LIMIT, World};

#[tokio::test]
async fn both_kinds_of_claims() -> Result<()> {
    let env: &'static TestEnv = Box::leak(Box::new(
        TestEnv::start(ClusterOptions::new(Tier::WithNodes)).await?,
    ));
    let options = StackOptions {
        node_provisioner: "nodeclaim",
        ..StackOptions::default()
    };
    let mut stack = Stack::start(env, options).await?;
    let world = World::on(env, &stack.programs).await?;
    wrong_node_claims_are_refused(&world).await?;
    let theirs = claim_of_a_karpenter(&world).await?;
    a_whole_life(&world).await?;
    switched_and_back(&world, &mut stack).await?;
    a_karpenter_answers(&world, &mut stack).await?;
    ensure!(
        claims(&world).get("theirs").await? == theirs,
        "a Karpenter's NodeClaim was touched"
    );
    without_a_definition(&world, &mut stack).await
}

fn claims(world: &World) -> Api<NodeClaim> {
    Api::all(world.client.clone())
}

fn node_claim(name: &str, group: &str, kind: &str) -> Value {
    json!({
        "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "metadata": {"name": name},
        "spec": {
            "nodeClassRef": {"group": group, "kind": kind, "name": "default"},
            "requirements": [
                {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["Standard_NC24ads_A100_v4"]},
            ],
        },
    })
}

async fn apply(world: &World, object: &Value) -> Result<Result<NodeClaim, String>> {
    let name = object["metadata"]["name"].as_str().context("no name")?;
    let parameters = PatchParams::apply("test").force();
    match claims(world)
        .patch(name, &parameters, &Patch::Apply(object))
        .await
    {
        Ok(claim) => Ok(Ok(claim)),
        Err(Error::Api(status)) => Ok(Err(status.message)),
        Err(error) => bail!(error),
    }
}

/// The rules of Karpenter's definition hold in ours.
async fn wrong_node_claims_are_refused(world: &World) -> Result<()> {
    let with = |pointer: &str, value: Value| {
        let mut object = node_claim("wrong", "example.com", "Class");
        *object.pointer_mut(pointer).unwrap() = value;
        object
    };
    let requirement = |key: &str, operator: &str, values: Value| {
        let list = json!([{"key": key, "operator": operator, "values": values}]);
        with("/spec/requirements", list)
    };
    let cases = [
        (
            with("/spec/nodeClassRef/name", json!("")),
            "name may not be empty",
        ),
        (
            with("/spec/nodeClassRef/group", json!("a/b")),
            "spec.nodeClassRef.group",
        ),
        (
            requirement("kubernetes.io/hostname", "In", json!(["n"])),
            "is restricted",
        ),
        (
            requirement("karpenter.sh/registered", "In", json!(["true"])),
            "is restricted",
        ),
        (requirement("a", "In", json!([])), "must have a value defined"),
        (requirement("a", "Gt", json!(["x"])), "spec.requirements"),
        (requirement("a", "Near", json!(["x"])), "Unsupported value"),
        (
            with("/spec", json!({"requirements": []})),
            "spec.nodeClassRef: Required value",
        ),
    ];
    for (object, sentence) in cases {
        match apply(world, &object).await? {
            Err(message) => ensure!(message.contains(sentence), "{message} does not say {sentence}"),
            Ok(_) => bail!("accepted, though {sentence}: {object}"),
        }
    }
    Ok(())
}

/// A NodeClaim that a Workspace elsewhere asked a Karpenter for.
async fn claim_of_a_karpenter(world: &World) -> Result<NodeClaim> {
    let mut object = node_claim("theirs", "karpenter.azure.com", "AKSNodeClass");
    object["metadata"]["labels"] = json!({"kaito.sh/workspace": "elsewhere"});
    let stored = apply(world, &object).await?.map_err(anyhow::Error::msg)?;
    ensure!(
        stored.spec.expire_after.as_deref() == Some("720h"),
        "Karpenter's default"
    );
    let mut other = object;
    other["spec"]["expireAfter"] = "1h".into();
    let message = apply(world, &other).await?.err().context("changed")?;
    ensure!(message.contains("spec is immutable"), "{message}");
    Ok(stored)
}

async fn a_whole_life(world: &World) -> Result<()> {
    let name = world.apply(&world.inference("by-claim")).await?;
    world.ready(&name).await?;
    world
        .condition(&name, "NodeClaimReady", "True", Some("NodeClaimsReady"))
        .await?;
    ensure!(world.machines(&name).await?.is_empty(), "no Machine was expected");
    let all = world.node_claims(&name).await?;
    let [claim] = all.as_slice() else {
        bail!("{} NodeClaims", all.len())
    };
    ensure!(world.pools(&name).await? == [claim.name_any()], "one pool");
    let status = claim.status.clone().context("no status")?;
    let reported: Vec<String> = status
        .conditions
        .iter()
        .map(|condition| format!("{}={}/{}", condition.type_, condition.status, condition.reason))
        .collect();
    let done =
        ["Launched", "Registered", "Initialized", "Ready"].map(|type_| format!("{type_}=True/{type_}"));
    ensure!(reported == done, "{reported:?}");
    ensure!(
        status
            .conditions
            .iter()
            .all(|c| c.observed_generation == claim.metadata.generation),
        "{status:?}"
    );
    let nodes = world.nodes(&name).await?;
    let [node] = nodes.as_slice() else {
        bail!("{} nodes", nodes.len())
    };
    ensure!(
        status.node_name == node.name_any() && !status.provider_id.is_empty(),
        "{status:?}"
    );
    for (key, value) in [
        ("karpenter.sh/registered", "true"),
        ("karpenter.sh/initialized", "true"),
        ("karpenter.sh/nodepool", "kaito"),
        ("kaito.sh/kaitonodeclass", "default"),
    ] {
        ensure!(
            node.labels().get(key).is_some_and(|found| found == value),
            "{key}"
        );
    }
    let owner = node.owner_references().first().context("no owner")?;
    ensure!(
        owner.kind == "NodeClaim" && Some(&owner.uid) == claim.metadata.uid.as_ref(),
        "{owner:?}"
    );
    world.quiet("").await?;
    world.delete(&name).await?;
    // A claim that a user deletes is created again, and the model serves again.
    let name = world.apply(&world.inference("again")).await?;
    world.ready(&name).await?;
    let old = world.node_claims(&name).await?.pop().context("no claim")?;
    claims(world)
        .delete(&old.name_any(), &DeleteParams::default())
        .await?;
    world
        .env
        .eventually("another claim of the name", LIMIT, async || {
            let all = world.node_claims(&name).await?;
            let [new] = all.as_slice() else {
                bail!("{} NodeClaims", all.len())
            };
            ensure!(new.metadata.uid != old.metadata.uid, "still the old one");
            Ok(())
        })
        .await?;
    world.ready(&name).await?;
    world.delete(&name).await
}

async fn switch(world: &World, stack: &mut Stack, kind: &'static str) -> Result<()> {
    stack.controller.kill9()?;
    world.forget_leader("workspace-controller").await?;
    let setting = format!("nodeProvisioner={kind}");
    Helm::of(world.env).await?.install_with(&[&setting]).await?;
    stack.programs.claim_by(kind);
    stack.controller = stack.programs.start_controller(world.env)?;
    stack.await_ready(world.env).await
}

async fn switched_and_back(world: &World, stack: &mut Stack) -> Result<()> {
    let old = world.apply(&world.inference("old")).await?;
    world.ready(&old).await?;
    let before = world.node_claims(&old).await?;
    switch(world, stack, "machine").await?;
    let new = world.apply(&world.inference("new")).await?;
    world.ready(&new).await?;
    ensure!(world.machines(&new).await?.len() == 1, "one Machine");
    ensure!(world.node_claims(&new).await?.is_empty(), "and no NodeClaim");
    world.condition(&old, "MachineReady", "True", None).await?;
    world.ready(&old).await?;
    let uids = |all: &[NodeClaim]| all.iter().map(|c| c.metadata.uid.clone()).collect::<Vec<_>>();
    ensure!(
        uids(&world.node_claims(&old).await?) == uids(&before),
        "what was asked for stays"
    );
    ensure!(
        world.machines(&old).await?.is_empty(),
        "nothing is asked for twice"
    );
    // The controller of Machines gives back a NodeClaim, and the other way round.
    world.delete(&old).await?;
    switch(world, stack, "nodeclaim").await?;
    world.ready(&new).await?;
    ensure!(
        world.node_claims(&new).await?.is_empty(),
        "nothing is asked for twice"
    );
    world.delete(&new).await
}

/// Plays a Karpenter: first it has no capacity, then a node. gpu-provisioner runs beside it and keeps out.
async fn a_karpenter_answers(world: &World, stack: &mut Stack) -> Result<()> {
    stack
        .programs
        .claim_of_class(["karpenter.example.com", "ExampleNodeClass", "gpu"]);
    switch(world, stack, "nodeclaim").await?;
    let name = world.apply(&world.inference("by-karpenter")).await?;
    let claim = the_claim(world, &name).await?;
    ensure!(
        claim.spec.node_class_ref.group == "karpenter.example.com",
        "{:?}",
        claim.spec
    );
    let resources = claim.spec.resources.as_ref().context("no resources")?;
    ensure!(
        !resources.requests.contains_key("storage"),
        "no kubelet offers `storage`"
    );
    claims(world)
        .delete(&claim.name_any(), &DeleteParams::default())
        .await?;
    world
        .condition(&name, "NodeClaimReady", "False", Some("NodeClaimLost"))
        .await?;
    let claim = the_claim(world, &name).await?;
    let node = karpenter_launches(world, &claim).await?;
    world.ready(&name).await?;
    ensure!(world.pools(&name).await?.is_empty(), "an agent pool was made");
    world.workspaces().delete(&name, &DeleteParams::default()).await?;
    world
        .env
        .eventually("the NodeClaim to be given back", LIMIT, async || {
            let claim = claims(world).get(&claim.name_any()).await?;
            ensure!(claim.metadata.deletion_timestamp.is_some(), "it is live");
            Ok(())
        })
        .await?;
    // As long as its Karpenter holds the claim, the Workspace waits for it.
    let says = world.condition(&name, "WorkspaceDeleting", "True", None).await?;
    ensure!(says.contains(&claim.name_any()), "{says}");
    let nodes: Api<Node> = Api::all(world.client.clone());
    let release = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    nodes.delete(&node, &DeleteParams::default()).await?;
    let held = nodes.get(&node).await?;
    ensure!(
        !held.finalizers().is_empty(),
        "gpu-provisioner let go of a Karpenter's Node"
    );
    nodes.patch(&node, &PatchParams::default(), &release).await?;
    claims(world)
        .patch(&claim.name_any(), &PatchParams::default(), &release)
        .await?;
    world.gone(&name).await
}

async fn the_claim(world: &World, name: &str) -> Result<NodeClaim> {
    world
        .env
        .eventually("one live NodeClaim", LIMIT, async || {
            let mut all = world.node_claims(name).await?;
            ensure!(all.len() == 1, "{} NodeClaims", all.len());
            all.pop().context("no claim")
        })
        .await
}

/// Acts as a Karpenter for a claim; returns the name of the Node.
async fn karpenter_launches(world: &World, claim: &NodeClaim) -> Result<String> {
    let (name, id) = (claim.name_any(), "example:///1");
    let node = format!("karpenter-{name}");
    let mut labels = json!(claim.labels());
    labels["karpenter.example.com/examplenodeclass"] = "gpu".into();
    labels["karpenter.sh/registered"] = "true".into();
    labels["kubernetes.io/hostname"] = node.as_str().into();
    labels["kubernetes.io/os"] = "linux".into();
    let resources = json!({
        "cpu": "24", "memory": "220Gi", "pods": "110", "ephemeral-storage": "500Gi", "nvidia.com/gpu": "1",
    });
    let object = json!({
        "metadata": {
            "name": node, "labels": labels, "annotations": {"kwok.x-k8s.io/node": "fake"},
            "finalizers": ["karpenter.sh/termination"],
            "ownerReferences": [{
                "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "name": name, "uid": claim.metadata.uid,
                "blockOwnerDeletion": true,
            }],
        },
        "spec": {"providerID": id, "taints": claim.spec.taints},
        "status": {"capacity": resources, "allocatable": resources},
    });
    let nodes: Api<Node> = Api::all(world.client.clone());
    nodes
        .create(&PostParams::default(), &serde_json::from_value(object)?)
        .await?;
    let finalizer = Patch::Merge(json!({"metadata": {"finalizers": ["karpenter.sh/termination"]}}));
    claims(world)
        .patch(&name, &PatchParams::default(), &finalizer)
        .await?;
    let conditions: Vec<Value> = ["Launched", "Registered", "Initialized", "Ready"]
        .iter()
        .map(|type_| {
            json!({
                "type": type_, "status": "True", "reason": type_, "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1,
            })
        })
        .collect();
    let status = json!({"status": {"nodeName": node, "providerID": id, "conditions": conditions}});
    claims(world)
        .patch_status(&name, &PatchParams::default(), &Patch::Merge(status))
        .await?;
    Ok(node)
}

/// The provisioner serves the kind that is defined, and the other one once it is.
async fn without_a_definition(world: &World, stack: &mut Stack) -> Result<()> {
    stack.provisioner.kill9()?;
    world.forget_leader("gpu-provisioner").await?;
    let definitions: Api<CustomResourceDefinition> = Api::all(world.client.clone());
    let name = "nodeclaims.karpenter.sh";
    definitions.delete(name, &DeleteParams::default()).await?;
    world
        .env
        .eventually("the definition to go", LIMIT, async || {
            ensure!(definitions.get_opt(name).await?.is_none(), "it is there");
            Ok(())
        })
        .await?;
    stack.provisioner = stack.programs.start_provisioner(world.env)?;
    stack.controller.kill9()?;
    world.forget_leader("workspace-controller").await?;
    stack.programs.claim_by("machine");
    Helm::of(world.env)
        .await?
        .install_with(&["nodeProvisioner=machine", "nodeClaim.createDefinition=false"])
        .await?;
    stack.controller = stack.programs.start_controller(world.env)?;
    stack.await_ready(world.env).await?;
    let by_machine = world.apply(&world.inference("machine-only")).await?;
    world.ready(&by_machine).await?;
    testkit::install_crds(world.client.clone()).await?;
    let object = node_claim("wslate000001", "kaito.sh", "KaitoNodeClass");
    apply(world, &object).await?.map_err(anyhow::Error::msg)?;
    world
        .env
        .eventually("a NodeClaim to be answered", LIMIT, async || {
            let claim = claims(world).get("wslate000001").await?;
            let ready = claim.status.as_ref().and_then(|status| status.condition("Ready"));
            ensure!(
                ready.is_some_and(|ready| ready.status == "True"),
                "{:?}",
                claim.status
            );
            Ok(())
        })
        .await?;
    claims(world)
        .delete("wslate000001", &DeleteParams::default())
        .await?;
    world
        .env
        .eventually("the NodeClaim to be gone", LIMIT, async || {
            ensure!(
                claims(world).get_opt("wslate000001").await?.is_none(),
                "it is there"
            );
            Ok(())
        })
        .await?;
    world
        .workspaces()
        .delete(&by_machine, &DeleteParams::default())
        .await?;
    world.gone(&by_machine).await
}
