//! Node classes on a real control plane: the API server checks them, and gpu-provisioner reads them when it buys.

use anyhow::{Context as _, Result, bail, ensure};
use kaito_api::{KaitoNodeClass, NodeClaim};
use kube::Error;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use crate::offerings::launched;
use crate::world::{LIMIT, World};

const SUBNET: &str =
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/n";
const GROUP: &str =
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/proximityPlacementGroups/p";

/// Wrong classes are refused; a claim waits for its class, costs nothing until then, and has what the class says.
pub(crate) async fn are_checked_and_read(world: &World) -> Result<()> {
    wrong_classes_are_refused(world).await?;
    let claim = json!({
        "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "metadata": {"name": "classa"},
        "spec": {
            "nodeClassRef": {"group": "kaito.sh", "kind": "KaitoNodeClass", "name": "private"},
            "requirements": [
                {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["Standard_NC24ads_A100_v4"]},
            ],
        },
    });
    let claims: Api<NodeClaim> = Api::all(world.client.clone());
    claims
        .patch(
            "classa",
            &PatchParams::apply("test").force(),
            &Patch::Apply(&claim),
        )
        .await?;
    let says = launched(world, "classa", "NodeClassNotFound").await?;
    ensure!(says.contains("KaitoNodeClass private does not exist"), "{says}");
    ensure!(
        pool(world).await?.is_none(),
        "a pool was bought without its class"
    );
    let class = json!({"subnetId": SUBNET, "tags": {"team": "ml"}, "osSku": "Ubuntu2404", "osDiskType": "Ephemeral",
        "osDiskSizeGiB": 256, "gpuDriver": "None", "maxPods": 60, "proximityPlacementGroupId": GROUP});
    apply(world, "private", &class)
        .await?
        .map_err(anyhow::Error::msg)?;
    let found = world
        .env
        .eventually("the pool of the class", LIMIT, async || {
            pool(world).await?.context("no pool")
        })
        .await?;
    let properties = &found["properties"];
    for (key, value) in [
        ("vnetSubnetID", json!(SUBNET)),
        ("osSKU", json!("Ubuntu2404")),
        ("osDiskType", json!("Ephemeral")),
        ("osDiskSizeGB", json!(256)),
        ("gpuProfile", json!({"driver": "None"})),
        ("maxPods", json!(60)),
        ("proximityPlacementGroupID", json!(GROUP)),
    ] {
        ensure!(properties[key] == value, "{key}: {properties}");
    }
    ensure!(properties["tags"]["team"] == "ml", "{properties}");
    ensure!(
        properties["tags"]["kaito-managed-by"] == "gpu-provisioner",
        "{properties}"
    );
    // A claim without a Workspace is not made again.
    crate::offerings::ready(world, "classa").await?;
    let class = json!({"subnetId": SUBNET, "maxPods": 70});
    apply(world, "private", &class)
        .await?
        .map_err(anyhow::Error::msg)?;
    world
        .env
        .eventually("the pool of the old class to go", LIMIT, async || {
            ensure!(pool(world).await?.is_none(), "it is there");
            Ok(())
        })
        .await
}

async fn wrong_classes_are_refused(world: &World) -> Result<()> {
    for (spec, sentence) in [
        (json!({"podSubnetId": SUBNET}), "podSubnetId requires subnetId"),
        (json!({"subnetId": "n"}), "spec.subnetId"),
        (
            json!({"tags": {"kaito-managed-by": "me"}}),
            "must not begin with kaito-",
        ),
        (json!({"osSku": "Windows"}), "Unsupported value"),
        (json!({"osDiskSizeGiB": 20}), "osDiskSizeGiB"),
        (json!({"maxPods": 5}), "maxPods"),
        (
            json!({"gpuInstanceProfile": "MIG1g", "gpuDriver": "None"}),
            "leave out gpuDriver",
        ),
    ] {
        match apply(world, "wrong", &spec).await? {
            Err(message) => ensure!(message.contains(sentence), "{message} does not say {sentence}"),
            Ok(()) => bail!("accepted, though {sentence}: {spec}"),
        }
    }
    Ok(())
}

async fn apply(world: &World, name: &str, spec: &Value) -> Result<Result<(), String>> {
    let object = json!({"apiVersion": "kaito.sh/v1alpha1", "kind": "KaitoNodeClass", "metadata": {"name": name}, "spec": spec});
    let classes: Api<KaitoNodeClass> = Api::all(world.client.clone());
    match classes
        .patch(name, &PatchParams::apply("test").force(), &Patch::Apply(&object))
        .await
    {
        Ok(_) => Ok(Ok(())),
        Err(Error::Api(status)) => Ok(Err(status.message)),
        Err(error) => bail!(error),
    }
}

async fn pool(world: &World) -> Result<Option<Value>> {
    let pools = world.cloud()?.pools().await?;
    Ok(pools
        .into_iter()
        .find(|pool| pool.name == "classa")
        .map(|pool| pool.body))
}
