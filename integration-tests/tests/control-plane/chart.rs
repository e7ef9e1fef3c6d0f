//! The chart as users set it: each example of values is installed in a namespace that enforces Pod Security `restricted`.
//!
//! The controllers of the cluster create the pods, so the API server checks them; no kubelet runs them here.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, ResourceExt as _};
use local_cluster::{ClusterOptions, Tier};
use serde_json::{Value, json};
use testkit::{Helm, NAMESPACE, TestEnv};

use crate::world::LIMIT;

/// Kinds of the Prometheus operator that the chart writes.
const MONITORS: [(&str, &str); 3] = [
    ("ServiceMonitor", "servicemonitors"),
    ("PodMonitor", "podmonitors"),
    ("PrometheusRule", "prometheusrules"),
];

#[tokio::test]
async fn every_example_of_values_is_installed() -> Result<()> {
    let env = TestEnv::start(ClusterOptions::new(Tier::WithNodes)).await?;
    let client = env.client().await?;
    prepare(&client).await?;
    let helm = Helm::of(&env).await?;
    let chart = chart();
    let chart = chart.to_str().context("the chart's path is not UTF-8")?;
    let refusal = helm
        .run(&[
            "install",
            "kaito",
            chart,
            "--namespace",
            NAMESPACE,
            "--set=nodeProvisioner=byo",
        ])
        .await;
    let refusal = format!("{:#}", refusal.err().context("the chart needs no registry")?);
    ensure!(refusal.contains("set image.registry=REGISTRY"), "{refusal}");
    own_instance_types_reach_both_programs(&helm, chart).await?;
    serves_as_a_part(&env, &helm, chart).await?;
    let examples = examples()?;
    ensure!(examples.len() >= 8, "{examples:?}");
    for values in &examples {
        let values = values.to_str().context("the path of the values is not UTF-8")?;
        install(&env, &client, &helm, &[chart, "--values", values])
            .await
            .with_context(|| values.to_owned())?;
    }
    println!("{} examples of values are installed", examples.len());
    Ok(())
}

/// A parent chart installs the chart under a condition, and its mirror and pull Secrets reach the images.
async fn serves_as_a_part(env: &TestEnv, helm: &Helm, chart: &str) -> Result<()> {
    let parent = env.cluster().dir().join("parent");
    std::fs::create_dir_all(parent.join("templates"))?;
    let about = format!(
        "apiVersion: v2\nname: parent\nversion: 1.0.0\ndependencies:\n- name: kaito\n  version: \">=0.0.0\"\n  \
         repository: file://{chart}\n  condition: kaito.enabled\n"
    );
    std::fs::write(parent.join("Chart.yaml"), about)?;
    let values = json!({
        "global": {"imageRegistry": "mirror.example.com", "imagePullSecrets": ["pull"]},
        "kaito": {"enabled": true, "nodeProvisioner": "byo", "image": {"registry": "registry.example.com/kaito"}},
    });
    std::fs::write(parent.join("values.yaml"), values.to_string())?;
    let parent = parent.to_str().context("the path is not UTF-8")?;
    helm.run(&["dependency", "build", parent]).await?;
    let rendered = async |flags: &[&str]| -> Result<Vec<Value>> {
        let text = helm.run(&[&["template", "all", parent], flags].concat()).await?;
        Ok(serde_saphyr::from_multiple(&text)?)
    };
    let objects = rendered(&[]).await?;
    let deployments: Vec<String> = objects
        .iter()
        .filter(|object| object["kind"] == "Deployment")
        .map(|object| object["spec"]["template"]["spec"].to_string())
        .collect();
    ensure!(deployments.len() == 2, "{}", deployments.len());
    for pod in &deployments {
        for part in [
            r#""image":"mirror.example.com/kaito/"#,
            r#""imagePullSecrets":[{"name":"pull"}]"#,
        ] {
            ensure!(pod.contains(part), "{part} is not in {pod}");
        }
    }
    let without = rendered(&["--set=kaito.enabled=false"]).await?;
    ensure!(
        without.iter().all(Value::is_null),
        "the condition is ignored: {without:?}"
    );
    Ok(())
}

/// Files of instance types are mounted in both programs that read them, and a change replaces their pods.
async fn own_instance_types_reach_both_programs(helm: &Helm, chart: &str) -> Result<()> {
    let rendered = async |settings: &[&str]| -> Result<Vec<Value>> {
        let common = [
            "template",
            "kaito",
            chart,
            "--set=nodeProvisioner=byo",
            "--set=image.registry=registry.example.com/kaito",
        ];
        let text = helm.run(&[&common, settings].concat()).await?;
        Ok(serde_saphyr::from_multiple(&text)?)
    };
    let digests = async |text: &str| -> Result<Vec<Value>> {
        let setting = format!("--set=instanceTypes.files.ours\\.yaml={text}");
        let objects = rendered(&[&setting]).await?;
        let named = |kind: &str, name: &str| {
            let mut all = objects.iter();
            let found = all.find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
            found.with_context(|| format!("no {kind} {name}"))
        };
        let files = &named("ConfigMap", "kaito-instance-types")?["data"]["ours.yaml"];
        ensure!(files.as_str().is_some_and(|file| file.trim() == text), "{files}");
        let mut digests = Vec::new();
        for name in ["kaito-workspace-controller", "kaito-preset-registry"] {
            let template = &named("Deployment", name)?["spec"]["template"];
            let pod = template["spec"].to_string();
            for part in [
                "--instance-types-dir=/etc/kaito/instance-types",
                r#""mountPath":"/etc/kaito/instance-types""#,
                r#""configMap":{"name":"kaito-instance-types"}"#,
            ] {
                ensure!(pod.contains(part), "{name} lacks {part}: {pod}");
            }
            digests.push(template["metadata"]["annotations"]["kaito.sh/instance-types-digest"].clone());
        }
        Ok(digests)
    };
    let first = digests("cloud: azure").await?;
    let second = digests("cloud: aws").await?;
    ensure!(
        first.iter().all(Value::is_string) && first[0] == first[1] && first[0] != second[0],
        "{first:?} {second:?}"
    );
    let without = rendered(&[]).await?;
    ensure!(
        !json!(without).to_string().contains("instance-types-d"),
        "without files"
    );
    let both = [
        "--set=instanceTypes.files.a\\.yaml=x",
        "--set=instanceTypes.configMap=ours",
    ];
    let refusal = rendered(&both).await.err().context("two sources")?;
    ensure!(
        format!("{refusal:#}").contains("must have one source"),
        "{refusal:#}"
    );
    Ok(())
}

/// Installs the chart, waits for the pods of its Deployments, and uninstalls it.
async fn install(env: &TestEnv, client: &Client, helm: &Helm, args: &[&str]) -> Result<()> {
    let command = ["install", "kaito", "--namespace", NAMESPACE];
    helm.run(&[&command, args].concat()).await?;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    env.eventually("the pods of all Deployments", LIMIT, async || {
        for deployment in deployments.list(&ListParams::default()).await? {
            let wanted = deployment.spec.replicas;
            let status = deployment.status.as_ref();
            ensure!(
                status.and_then(|status| status.replicas) == wanted,
                "{}: {status:?}",
                deployment.name_any()
            );
        }
        Ok(())
    })
    .await?;
    if args.iter().any(|arg| arg.ends_with("byo-values.yaml")) {
        people_have_rights(env, client).await?;
    }
    helm.run(&["uninstall", "kaito", "--namespace", NAMESPACE, "--wait"])
        .await?;
    Ok(())
}

/// Checks the rights of users with the cluster's own roles.
async fn people_have_rights(env: &TestEnv, client: &Client) -> Result<()> {
    for (role, verb, resource, allowed) in [
        ("view", "watch", "workspaces", true),
        ("view", "create", "workspaces", false),
        ("edit", "create", "workspaces", true),
        ("edit", "deletecollection", "workspaces", true),
        ("admin", "patch", "workspaces", true),
        ("admin", "patch", "workspaces/status", false),
        ("admin", "update", "workspaces/finalizers", false),
    ] {
        env.eventually(&format!("{role} for {verb} {resource}"), LIMIT, async || {
            let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
            let review = json!({
                "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "metadata": {},
                "spec": {"user": format!("of-{role}"), "resourceAttributes": {
                    "namespace": NAMESPACE, "group": "kaito.sh", "verb": verb, "resource": resource,
                    "subresource": subresource,
                }},
            });
            let reviews: Api<SubjectAccessReview> = Api::all(client.clone());
            let review = serde_json::from_value(review)?;
            let review = reviews.create(&PostParams::default(), &review).await?;
            let is = review.status.is_some_and(|status| status.allowed);
            ensure!(is == allowed, "allowed: {is}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// Creates what the examples name and the chart does not install.
async fn prepare(client: &Client) -> Result<()> {
    for name in [NAMESPACE, "monitoring"] {
        let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels},
        });
        let namespaces: Api<Namespace> = Api::all(client.clone());
        namespaces
            .patch(name, &PatchParams::apply("user"), &Patch::Apply(&namespace))
            .await?;
    }
    for (kind, plural) in MONITORS {
        let group = "monitoring.coreos.com";
        let any = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let version = json!({
            "name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": any},
        });
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.{group}")},
            "spec": {
                "group": group, "scope": "Namespaced", "versions": [version],
                "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase()},
            },
        });
        apply(client, None, &definition).await?;
    }
    let class = json!({
        "apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "gvisor"}, "handler": "runsc",
    });
    apply(client, None, &class).await?;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "existing"}});
    apply(client, Some(NAMESPACE), &account).await?;
    for role in ["view", "edit", "admin"] {
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": format!("of-{role}")},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": format!("of-{role}")}],
        });
        apply(client, Some(NAMESPACE), &binding).await?;
    }
    Ok(())
}

async fn apply(client: &Client, namespace: Option<&str>, object: &Value) -> Result<()> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let version = text(&object["apiVersion"]);
    let (group, version) = version.split_once('/').unwrap_or(("", &version));
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &text(&object["kind"])));
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &kind),
        None => Api::all_with(client.clone(), &kind),
    };
    let name = text(&object["metadata"]["name"]);
    api.patch(&name, &PatchParams::apply("user"), &Patch::Apply(object))
        .await
        .with_context(|| format!("failed to apply {name}"))?;
    Ok(())
}

fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/kaito")
}

/// The examples of values, in order of name.
fn examples() -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(chart().join("ci"))?;
    let mut files = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}
