//! Helpers of the tests of the running system: the stack, and actions and observations of users.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use arm_server::control::{ControlClient, PoolView};
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use kaito_api::{Machine, NodeClaim, Workspace};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use testkit::{NAMESPACE, Programs, Stack, StackOptions};
use testkit::{TestEnv, WriteFilter};
use tokio::sync::OnceCell;

/// The time limit of every wait, sized for a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(180);

/// The running system that tests share; tests keep to a namespace of their own.
pub(crate) async fn shared() -> Result<World> {
    static STACK: OnceCell<Stack> = OnceCell::const_new();
    let env = TestEnv::shared_with_nodes().await?;
    let stack = STACK
        .get_or_try_init(|| Stack::start(env, StackOptions::default()))
        .await?;
    World::on(env, &stack.programs).await
}

/// One test's view of a running system.
pub(crate) struct World {
    pub(crate) env: &'static TestEnv,
    pub(crate) client: Client,
    pub(crate) namespace: String,
    pub(crate) arm: String,
}

impl World {
    /// A namespace of a system that runs.
    pub(crate) async fn on(env: &'static TestEnv, programs: &Programs) -> Result<Self> {
        Ok(Self {
            env,
            client: env.client().await?,
            namespace: env.namespace().await?,
            arm: programs.arm().url,
        })
    }

    /// Takes the lease from a program that was killed, so that its successor need not wait for it to lapse.
    pub(crate) async fn forget_leader(&self, program: &str) -> Result<()> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), NAMESPACE);
        // The chart has created the lease, and no program may create one.
        let free = json!({"spec": {"holderIdentity": null}});
        leases
            .patch(program, &PatchParams::default(), &Patch::Merge(&free))
            .await
            .map(drop)
            .context("the lease of a killed program")
    }

    pub(crate) fn workspaces(&self) -> Api<Workspace> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// `kubectl apply --server-side` of one manifest of `examples/`, unchanged.
    pub(crate) async fn apply_example(&self, path: &str) -> Result<String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../examples")
            .join(path);
        let object: Value = serde_saphyr::from_str(&std::fs::read_to_string(path)?)?;
        self.apply(&object).await
    }

    /// Applies a Workspace and returns its name.
    pub(crate) async fn apply(&self, object: &Value) -> Result<String> {
        let name = object["metadata"]["name"].as_str().context("no name")?.to_owned();
        let version = object["apiVersion"]
            .as_str()
            .and_then(|v| v.strip_prefix("kaito.sh/"))
            .context("no version")?;
        let kind = kube::core::GroupVersionKind::gvk("kaito.sh", version, "Workspace");
        let kind = kube::core::ApiResource::from_gvk(&kind);
        let api: Api<kube::core::DynamicObject> =
            Api::namespaced_with(self.client.clone(), &self.namespace, &kind);
        api.patch(&name, &PatchParams::apply("user").force(), &Patch::Apply(object))
            .await?;
        Ok(name)
    }

    /// A Workspace that serves phi-4-mini on one A100.
    pub(crate) fn inference(&self, name: &str) -> Value {
        json!({
            "apiVersion": "kaito.sh/v1beta1", "kind": "Workspace", "metadata": {"name": name},
            "resource": {"instanceType": "Standard_NC24ads_A100_v4", "labelSelector": {"matchLabels": {"apps": name}}},
            "inference": {"preset": {"name": "phi-4-mini-instruct"}}
        })
    }

    /// Waits until a condition of a Workspace has this status and, if given, this reason; returns its message.
    /// Waits until the status is of the Workspace as it was applied last.
    pub(crate) async fn observed(&self, name: &str) -> Result<()> {
        let api = self.workspaces();
        let what = format!("a status of the last edit of {name}");
        let seen = self.env.eventually(&what, LIMIT, async || {
            let workspace = api.get(name).await?;
            let observed = workspace.status.and_then(|status| status.observed_generation);
            ensure!(
                observed == workspace.metadata.generation,
                "observed: {observed:?}"
            );
            Ok(())
        });
        seen.await
    }

    pub(crate) async fn condition(
        &self,
        name: &str,
        kind: &str,
        status: &str,
        reason: Option<&str>,
    ) -> Result<String> {
        let api = self.workspaces();
        self.env
            .eventually(&format!("{name} {kind}={status} {reason:?}"), LIMIT, async || {
                let workspace = api.get(name).await?;
                let conditions = workspace.status.map(|s| s.conditions).unwrap_or_default();
                let found = conditions.iter().find(|c| c.type_ == kind);
                let good = found.filter(|c| c.status == status && reason.is_none_or(|r| r == c.reason));
                good.map(|c| c.message.clone()).with_context(|| {
                    conditions
                        .iter()
                        .map(|c| format!("{}={} {}: {}", c.type_, c.status, c.reason, c.message))
                        .collect::<Vec<_>>()
                        .join("; ")
                })
            })
            .await
    }

    pub(crate) async fn ready(&self, name: &str) -> Result<()> {
        self.condition(name, "WorkspaceReady", "True", None)
            .await
            .map(drop)
    }

    /// The Machines of one Workspace.
    pub(crate) async fn machines(&self, name: &str) -> Result<Vec<Machine>> {
        let all = Api::all(self.client.clone());
        Ok(all.list(&self.labelled(name)).await?.items)
    }

    /// The NodeClaims of one Workspace.
    pub(crate) async fn node_claims(&self, name: &str) -> Result<Vec<NodeClaim>> {
        let all = Api::all(self.client.clone());
        Ok(all.list(&self.labelled(name)).await?.items)
    }

    /// The Nodes of one Workspace.
    pub(crate) async fn nodes(&self, name: &str) -> Result<Vec<Node>> {
        let all = Api::all(self.client.clone());
        Ok(all.list(&self.labelled(name)).await?.items)
    }

    pub(crate) async fn revisions(&self, name: &str) -> Result<Vec<ControllerRevision>> {
        let all = Api::namespaced(self.client.clone(), &self.namespace);
        let of_one = ListParams::default().labels(&format!("kaito.sh/workspace={name}"));
        Ok(all.list(&of_one).await?.items)
    }

    /// Chooses what carries the labels of one Workspace.
    fn labelled(&self, name: &str) -> ListParams {
        ListParams::default().labels(&format!(
            "kaito.sh/workspace={name},kaito.sh/workspacenamespace={}",
            self.namespace
        ))
    }

    /// The simulated cloud's control surface.
    pub(crate) fn cloud(&self) -> Result<ControlClient> {
        testkit::install_crypto_provider();
        Ok(ControlClient::new(&self.arm)?)
    }

    /// Names of the cloud's agent pools for one Workspace.
    pub(crate) async fn pools(&self, name: &str) -> Result<Vec<String>> {
        let mine = |pool: &PoolView| {
            let labels = &pool.body["properties"]["nodeLabels"];
            labels["kaito.sh/workspace"] == name
                && labels["kaito.sh/workspacenamespace"] == self.namespace.as_str()
        };
        let pools = self.cloud()?.pools().await?;
        Ok(pools.into_iter().filter(mine).map(|pool| pool.name).collect())
    }

    /// Deletes a Workspace and waits until nothing of it is left anywhere.
    pub(crate) async fn delete(&self, name: &str) -> Result<()> {
        match self.workspaces().delete(name, &DeleteParams::default()).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(error.into()),
        }
        self.gone(name).await
    }

    /// Deletes a Workspace and waits until nothing of it is left in the cluster.
    pub(crate) async fn delete_but_keep_pools(&self, name: &str) -> Result<()> {
        self.workspaces().delete(name, &DeleteParams::default()).await?;
        self.env
            .eventually(&format!("{name} to go"), LIMIT, async || {
                ensure!(
                    self.workspaces().get_opt(name).await?.is_none(),
                    "the Workspace is there"
                );
                ensure!(self.machines(name).await?.is_empty(), "a Machine is there");
                Ok(())
            })
            .await
    }

    /// Waits until nothing of a Workspace is left anywhere.
    pub(crate) async fn gone(&self, name: &str) -> Result<()> {
        self.env
            .eventually(&format!("nothing of {name} to be left"), LIMIT, async || {
                ensure!(
                    self.workspaces().get_opt(name).await?.is_none(),
                    "the Workspace is there"
                );
                let machines: Vec<String> = self
                    .machines(name)
                    .await?
                    .iter()
                    .map(ResourceExt::name_any)
                    .collect();
                ensure!(machines.is_empty(), "Machines {machines:?}");
                let claims = self.node_claims(name).await?;
                let claims: Vec<String> = claims.iter().map(ResourceExt::name_any).collect();
                ensure!(claims.is_empty(), "NodeClaims {claims:?}");
                let pools = self.pools(name).await?;
                ensure!(pools.is_empty(), "pools {pools:?}");
                let nodes: Vec<String> = self
                    .nodes(name)
                    .await?
                    .iter()
                    .map(ResourceExt::name_any)
                    .collect();
                ensure!(nodes.is_empty(), "nodes {nodes:?}");
                // The garbage collector deletes them.
                let revisions: Vec<String> = self
                    .revisions(name)
                    .await?
                    .iter()
                    .map(ResourceExt::name_any)
                    .collect();
                ensure!(revisions.is_empty(), "revisions {revisions:?}");
                Ok(())
            })
            .await
    }

    /// Waits for three seconds without a write whose entry has this text: a namespace, or nothing for every write.
    pub(crate) async fn quiet(&self, text: &str) -> Result<()> {
        self.env
            .eventually("three seconds without a write", LIMIT, async || {
                let mut writes = self.writes_during(Duration::from_secs(3)).await?;
                writes.retain(|write| write.contains(text));
                ensure!(writes.is_empty(), "{writes:?}");
                Ok(())
            })
            .await
    }

    /// The writes of our controllers in a period, without Leases and Events.
    pub(crate) async fn writes_during(&self, while_: Duration) -> Result<Vec<String>> {
        let audit = self.env.audit();
        let mark = audit.mark()?;
        tokio::time::sleep(while_).await;
        let ours = |filter: WriteFilter| filter.without("leases").without("events");
        let mut writes = Vec::new();
        for program in ["workspace-controller", "gpu-provisioner"] {
            let filter = ours(WriteFilter::default().user_agent(program));
            let entries = audit.entries_since(mark)?;
            writes.extend(
                entries
                    .iter()
                    .filter(|e| filter.admits(e))
                    .map(|e| format!("{e:?}")),
            );
        }
        Ok(writes)
    }
}
