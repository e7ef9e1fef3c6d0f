//! Authors of Workspaces on a real API server: the policies ask for the rights that a Workspace uses.

#![allow(
    clippy::needless_pass_by_value,
    reason = "tables of cases are values, written where they are passed"
)]

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, Error};
use local_cluster::{ClusterOptions, Tier};
use serde_json::{Value, json};
use testkit::{Helm, NAMESPACE, TestEnv};

use admission_cases::{annotated, inference, template, tuning, with};

/// A policy or a role is in force a moment after it is stored.
const IN_FORCE: Duration = Duration::from_secs(20);

/// A verdict: `None` for an acceptance, otherwise a part of the message.
type Verdict = Option<&'static str>;

pub(crate) struct Tenants {
    pub(crate) env: TestEnv,
    pub(crate) admin: Client,
    pub(crate) namespace: String,
}

impl Tenants {
    /// The chart on a cluster of its own: its policies are for all namespaces.
    pub(crate) async fn start() -> Result<Self> {
        let env = TestEnv::start(ClusterOptions::new(Tier::ControlPlaneOnly)).await?;
        // The guard's tests write Machines as the controller's account.
        Helm::of(&env)
            .await?
            .install_with(&["nodeProvisioner=machine"])
            .await?;
        Ok(Self {
            admin: env.client().await?,
            namespace: env.namespace().await?,
            env,
        })
    }

    /// Applies any object as an administrator.
    pub(crate) async fn put(&self, object: &Value) -> Result<()> {
        apply(&self.admin, object, false)
            .await?
            .map_err(anyhow::Error::msg)
    }

    /// The account of workspace-controller.
    async fn controller(&self) -> Result<Client> {
        let kubeconfig = self
            .env
            .service_account_kubeconfig(NAMESPACE, "workspace-controller")
            .await?;
        self.env.client_with(&kubeconfig).await
    }

    /// The administrator of a namespace, who has every right in it.
    async fn owner(&self) -> Result<Client> {
        let everything = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]);
        self.user("owner", everything).await
    }

    /// A ServiceAccount that may write Workspaces and has these rules beside.
    async fn user(&self, name: &str, rules: Value) -> Result<Client> {
        let kubeconfig = self.env.service_account_kubeconfig(&self.namespace, name).await?;
        let mut all = vec![json!({"apiGroups": ["kaito.sh"], "resources": ["workspaces"], "verbs": ["*"]})];
        all.extend(rules.as_array().cloned().unwrap_or_default());
        let metadata = json!({"name": name, "namespace": self.namespace});
        self.put(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata, "rules": all,
        }))
        .await?;
        self.put(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": self.namespace}],
        }))
        .await?;
        let client = self.env.client_with(&kubeconfig).await?;
        let plain = self.here(inference());
        self.env
            .eventually("the role", IN_FORCE, async || {
                apply(&client, &plain, true).await?.map_err(anyhow::Error::msg)
            })
            .await?;
        Ok(client)
    }

    pub(crate) fn here(&self, object: Value) -> Value {
        with(object, "/metadata/namespace", self.namespace.as_str().into())
    }

    async fn check(&self, client: &Client, object: &Value, verdict: Verdict) -> Result<()> {
        match (apply(client, &self.here(object.clone()), true).await?, verdict) {
            (Ok(()), None) => Ok(()),
            (Err(message), Some(part)) if message.contains(part) => Ok(()),
            (answer, verdict) => bail!("expected {verdict:?}, got {answer:?} for {object}"),
        }
    }

    /// Waits until the author policy is in force.
    async fn in_force(&self) -> Result<()> {
        let wrong = with(inference(), "/metadata/namespace", json!("kube-system"));
        self.env
            .eventually("the policy", IN_FORCE, async || {
                match apply(&self.admin, &wrong, true).await? {
                    Ok(()) => bail!("accepted"),
                    Err(message) => {
                        ensure!(message.contains("belongs to the system"), "{message}");
                        Ok(())
                    }
                }
            })
            .await
    }
}

/// Applies an object of any kind, with the namespace it names.
pub(crate) async fn apply(client: &Client, object: &Value, dry_run: bool) -> Result<Result<(), String>> {
    let api = api_of(client, object)?;
    let name = object["metadata"]["name"].as_str().context("no name")?;
    let params = PatchParams {
        dry_run,
        ..PatchParams::apply("user").force()
    };
    match api.patch(name, &params, &Patch::Apply(object)).await {
        Ok(_) => Ok(Ok(())),
        Err(Error::Api(status)) => Ok(Err(status.message)),
        Err(error) => Err(error.into()),
    }
}

pub(crate) fn api_of(client: &Client, object: &Value) -> Result<Api<DynamicObject>> {
    let version = object["apiVersion"].as_str().context("no version")?;
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let kind = object["kind"].as_str().context("no kind")?;
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    Ok(match object["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    })
}

fn pod(spec: Value) -> Value {
    let mut object = template();
    for (field, value) in spec.as_object().into_iter().flatten() {
        object["inference"]["template"]["spec"][field] = value.clone();
    }
    object
}

fn container(field: &str, value: Value) -> Value {
    with(
        template(),
        &format!("/inference/template/spec/containers/0/{field}"),
        value,
    )
}

fn data(volume: Value) -> Value {
    with(
        tuning_to_volume(),
        "/tuning/input",
        json!({"volumeSource": volume}),
    )
}

fn tuning_to_volume() -> Value {
    with(
        tuning(),
        "/tuning/output",
        json!({"volumeSource": {"persistentVolumeClaim": {"claimName": "out"}}}),
    )
}

/// Workspaces that name the Secret `s` in every way.
fn with_secret() -> Vec<Value> {
    let options = |options: Value| with(inference(), "/inference/preset/presetOptions", options);
    let adapter = json!([{"source": {"name": "a", "image": "i", "imagePullSecrets": ["s"]}}]);
    let csi = json!({"csi": {"driver": "d", "nodePublishSecretRef": {"name": "s"}}});
    vec![
        annotated(inference(), "api-keys-secret", "s"),
        annotated(inference(), "tls-secret", "s"),
        options(json!({"modelAccessSecret": "s"})),
        options(json!({"imagePullSecrets": ["s"]})),
        with(inference(), "/inference/adapters", adapter),
        with(
            inference(),
            "/inference/adapters",
            json!([{"source": {"name": "a", "volumeSource": csi}}]),
        ),
        with(
            tuning_to_volume(),
            "/tuning/input",
            json!({"image": "i", "imagePullSecrets": ["s"]}),
        ),
        with(
            tuning(),
            "/tuning/output",
            json!({"image": "i", "imagePushSecret": "s"}),
        ),
        with(
            tuning_to_volume(),
            "/tuning/preset/presetOptions",
            json!({"modelAccessSecret": "s"}),
        ),
    ]
}

/// Templates that name the Secret `s` in every way.
fn template_with_secret() -> Vec<Value> {
    let volume = |volume: Value| pod(json!({"volumes": [volume]}));
    vec![
        pod(json!({"imagePullSecrets": [{"name": "s"}]})),
        volume(json!({"name": "v", "secret": {"secretName": "s"}})),
        volume(
            json!({"name": "v", "projected": {"sources": [{"configMap": {"name": "c"}}, {"secret": {"name": "s"}}]}}),
        ),
        volume(json!({"name": "v", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "s"}}})),
        volume(json!({"name": "v", "cinder": {"volumeID": "v", "secretRef": {"name": "s"}}})),
        container(
            "env",
            json!([{"name": "A", "value": "b"}, {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]),
        ),
        container("envFrom", json!([{"secretRef": {"name": "s"}}])),
        pod(
            json!({"initContainers": [{"name": "i", "image": "i", "envFrom": [{"secretRef": {"name": "s"}}]}]}),
        ),
    ]
}

fn host_templates() -> Vec<(Value, &'static str)> {
    vec![
        (pod(json!({"hostNetwork": true})), "hostNetwork in"),
        (pod(json!({"hostPID": true})), "hostPID in"),
        (pod(json!({"hostIPC": true})), "hostIPC in"),
        (pod(json!({"nodeName": "n"})), "nodeName in"),
        (
            pod(json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]})),
            "hostPath in",
        ),
        (
            container("securityContext", json!({"privileged": true})),
            "privileged in",
        ),
        (
            container("securityContext", json!({"capabilities": {"add": ["SYS_ADMIN"]}})),
            "capabilities.add in",
        ),
        (
            container("securityContext", json!({"procMount": "Unmasked"})),
            "procMount in",
        ),
        (
            container("ports", json!([{"containerPort": 80, "hostPort": 80}])),
            "hostPort in",
        ),
        (
            pod(
                json!({"initContainers": [{"name": "i", "image": "i", "securityContext": {"privileged": true}}]}),
            ),
            "privileged in",
        ),
    ]
}

#[tokio::test]
async fn a_workspace_gives_its_author_no_rights() -> Result<()> {
    let world = Tenants::start().await?;
    world.in_force().await?;
    let create = |group: &str, resource: &str| json!([{"apiGroups": [group], "resources": [resource], "verbs": ["create"]}]);
    let plain = world.user("plain", json!([])).await?;
    let deployer = world.user("deployer", create("apps", "deployments")).await?;
    let runner = world.user("runner", create("", "pods")).await?;

    world
        .check(&plain, &template(), Some("right to create deployments"))
        .await?;
    world.check(&deployer, &template(), None).await?;
    world.check(&runner, &template(), None).await?;

    let account = |name: &str| pod(json!({"serviceAccountName": name}));
    world.check(&deployer, &account("default"), None).await?;
    world
        .check(&deployer, &account("other"), Some("ServiceAccount other in"))
        .await?;
    world
        .check(
            &deployer,
            &pod(json!({"serviceAccount": "other"})),
            Some("ServiceAccount other in"),
        )
        .await?;
    world.check(&runner, &account("other"), None).await?;

    secrets(&world, &plain).await?;
    hosts(&world, &runner).await?;
    volume_kinds(&world, &plain).await?;
    updates(&world, &plain).await?;
    system_namespaces(&world).await
}

async fn secrets(world: &Tenants, plain: &Client) -> Result<()> {
    let get = |names: &[&str]| json!({"apiGroups": [""], "resources": ["secrets"], "resourceNames": names, "verbs": ["get"]});
    let pods = json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]});
    let reader = world.user("reader", json!([get(&["s"]), pods])).await?;
    let runner = world.user("other-reader", json!([get(&["t"]), pods])).await?;
    for object in with_secret() {
        world
            .check(plain, &object, Some("to get them in this namespace: s"))
            .await?;
        world.check(&reader, &object, None).await?;
    }
    for object in template_with_secret() {
        world
            .check(&runner, &object, Some("to get them in this namespace: s"))
            .await?;
        world.check(&reader, &object, None).await?;
    }
    let many = |names: &[String]| {
        let secrets: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
        pod(json!({"imagePullSecrets": secrets}))
    };
    let repeated: Vec<String> = (0..12).map(|_| "s".to_owned()).collect();
    world.check(&reader, &many(&repeated), None).await?;
    let names: Vec<String> = (0..8).map(|n| format!("s{n}")).collect();
    world
        .check(
            &reader,
            &many(&names),
            Some("in this namespace: s0, s1, s2, s3, s4, s5, s6, s7"),
        )
        .await?;
    let all = json!({"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]});
    let reader = world.user("reader-of-all", json!([all, pods])).await?;
    world.check(&reader, &many(&names), None).await
}

async fn hosts(world: &Tenants, runner: &Client) -> Result<()> {
    let rules = json!([
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]},
        {"apiGroups": ["kaito.sh"], "resources": ["workspaces/privileged"], "verbs": ["use"]},
    ]);
    let privileged = world.user("privileged", rules).await?;
    for (object, part) in host_templates() {
        world.check(runner, &object, Some(part)).await?;
        world.check(&privileged, &object, None).await?;
    }
    for volume in [
        json!({"hostPath": {"path": "/data"}}),
        json!({"nfs": {"server": "n", "path": "/"}}),
    ] {
        world
            .check(runner, &data(volume.clone()), Some("in a volumeSource needs"))
            .await?;
        world.check(&privileged, &data(volume), None).await?;
    }
    let harmless = container(
        "securityContext",
        json!({"privileged": false, "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}),
    );
    world.check(runner, &harmless, None).await
}

async fn volume_kinds(world: &Tenants, plain: &Client) -> Result<()> {
    for volume in [
        json!({"persistentVolumeClaim": {"claimName": "c"}}),
        json!({"emptyDir": {}}),
        json!({"configMap": {"name": "c"}}),
        json!({"csi": {"driver": "d"}}),
        json!({"image": {"reference": "i"}}),
        json!({"ephemeral": {"volumeClaimTemplate": {"spec": {}}}}),
    ] {
        world.check(plain, &data(volume), None).await?;
    }
    // These hold no data of a model.
    for volume in [
        json!({"secret": {"secretName": "s"}}),
        json!({"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}),
        json!({"downwardAPI": {}}),
    ] {
        let object = world.here(data(volume));
        let answer = apply(&world.admin, &object, true).await?;
        let message = answer.err().context("a Secret as data was accepted")?;
        ensure!(message.contains("a volumeSource must be"), "{message}");
    }
    Ok(())
}

/// An update is checked for what it adds.
async fn updates(world: &Tenants, plain: &Client) -> Result<()> {
    let named = |object: Value, name: &str| with(object, "/metadata/name", name.into());
    let secret = with(
        inference(),
        "/inference/preset/presetOptions",
        json!({"modelAccessSecret": "s"}),
    );
    let secret = named(secret, "prepared");
    world.put(&world.here(secret.clone())).await?;
    let adapter = |pull: Value| json!([{"source": {"name": "a", "image": "i", "imagePullSecrets": pull}}]);
    let edit = with(secret.clone(), "/inference/adapters", adapter(json!(["s"])));
    world.check(plain, &edit, None).await?;
    let edit = with(secret, "/inference/adapters", adapter(json!(["s", "t"])));
    world.check(plain, &edit, Some("in this namespace: t")).await?;

    let keys = named(annotated(inference(), "api-keys-secret", "s"), "keys");
    world.put(&world.here(keys.clone())).await?;
    let edit = annotated(keys.clone(), "front", "enabled");
    world.check(plain, &edit, None).await?;
    let edit = annotated(keys, "api-keys-secret", "t");
    world.check(plain, &edit, Some("in this namespace: t")).await?;

    let pod = named(template(), "pod");
    world.put(&world.here(pod.clone())).await?;
    let labeled = with(pod.clone(), "/metadata/labels", json!({"a": "b"}));
    world.check(plain, &labeled, None).await?;
    let annotated = annotated(pod.clone(), "enablelb", "False");
    world.check(plain, &annotated, None).await?;
    let image = "/inference/template/spec/containers/0/image";
    world
        .check(
            plain,
            &with(pod, image, json!("evil")),
            Some("right to create deployments"),
        )
        .await
}

async fn system_namespaces(world: &Tenants) -> Result<()> {
    for namespace in ["kube-system", "kube-public", NAMESPACE] {
        let object = with(inference(), "/metadata/namespace", namespace.into());
        let message = apply(&world.admin, &object, true)
            .await?
            .err()
            .context(namespace)?;
        ensure!(message.contains("belongs to the system"), "{message}");
    }
    Ok(())
}

/// The API server answers with warnings, and accepts.
#[tokio::test]
async fn settings_without_effect_are_warned_about() -> Result<()> {
    let world = Tenants::start().await?;
    let object = world.here(annotated(inference(), "performance-mode", "throughput"));
    let uri = format!(
        "/apis/kaito.sh/v1beta1/namespaces/{}/workspaces?dryRun=All",
        world.namespace
    );
    world
        .env
        .eventually("a warning", IN_FORCE, async || {
            let request = axum::http::Request::post(&uri)
                .header("content-type", "application/json")
                .body(kube::client::Body::from(serde_json::to_vec(&object)?))?;
            let response = world.admin.send(request).await?;
            ensure!(response.status().is_success(), "{}", response.status());
            let warnings = response.headers().get_all("warning");
            let texts: Vec<&str> = warnings.iter().filter_map(|text| text.to_str().ok()).collect();
            ensure!(
                texts
                    .iter()
                    .any(|text| text.contains("performance-mode has no effect")),
                "{texts:?}"
            );
            Ok(())
        })
        .await
}

#[tokio::test]
async fn only_the_controller_and_administrators_remove_the_finalizer() -> Result<()> {
    let world = Tenants::start().await?;
    world.in_force().await?;
    let controller = world.controller().await?;
    let owner = world.owner().await?;
    let strip = |client: &Client, name: &str| {
        let object = world.here(with(inference(), "/metadata/name", name.into()));
        let api = api_of(client, &object);
        let name = name.to_owned();
        async move {
            let body = json!({"metadata": {"finalizers": null}});
            anyhow::Ok(
                api?.patch(&name, &PatchParams::default(), &Patch::Merge(&body))
                    .await,
            )
        }
    };
    for (name, terminating) in [("live", false), ("terminating", true)] {
        let mut object = world.here(with(inference(), "/metadata/name", name.into()));
        object["metadata"]["finalizers"] = json!(["workspace.finalizer.kaito.sh", "example.com/other"]);
        world.put(&object).await?;
        let api = api_of(&owner, &object)?;
        if terminating {
            api.delete(name, &DeleteParams::default()).await?;
        }
        let message = strip(&owner, name).await?.err().context("stripped")?.to_string();
        ensure!(message.contains("removed by workspace-controller"), "{message}");
        // Other finalizers and fields are the owner's.
        let keep =
            json!({"metadata": {"finalizers": ["workspace.finalizer.kaito.sh"], "labels": {"a": "b"}}});
        api.patch(name, &PatchParams::default(), &Patch::Merge(&keep))
            .await?;
        strip(&controller, name).await?.context("the controller")?;
    }
    let mut object = world.here(with(inference(), "/metadata/name", json!("stuck")));
    object["metadata"]["finalizers"] = json!(["workspace.finalizer.kaito.sh"]);
    world.put(&object).await?;
    strip(&world.admin, "stuck").await?.context("an administrator")?;
    Ok(())
}

#[tokio::test]
async fn only_the_controller_and_administrators_write_revisions_of_workspaces() -> Result<()> {
    let world = Tenants::start().await?;
    world.in_force().await?;
    let controller = world.controller().await?;
    let owner = world.owner().await?;
    let revision = |kind: &str, api_version: &str| {
        world.here(json!({
            "apiVersion": "apps/v1", "kind": "ControllerRevision", "revision": 1, "data": {},
            "metadata": {
                "name": "r",
                "labels": {"kaito.sh/workspace": "w"},
                "ownerReferences": [
                    {"apiVersion": api_version, "kind": kind, "name": "w", "uid": "u", "controller": true},
                ],
            },
        }))
    };
    let ours = revision("Workspace", "kaito.sh/v1beta1");
    let verdict = async || {
        let answer = apply(&owner, &ours, true).await?;
        let message = answer.err().context("a tenant wrote it")?;
        ensure!(message.contains("only workspace-controller records"), "{message}");
        Ok(())
    };
    world.env.eventually("the policy", IN_FORCE, verdict).await?;
    let accepted = async |client: &Client, object: &Value| {
        let answer = apply(client, object, true).await?;
        ensure!(answer.is_ok(), "{answer:?}");
        anyhow::Ok(())
    };
    accepted(&owner, &revision("StatefulSet", "apps/v1")).await?;
    accepted(&controller, &ours).await?;
    accepted(&world.admin, &ours).await
}
