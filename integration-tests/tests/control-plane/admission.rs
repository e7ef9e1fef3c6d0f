//! The chart's policies on a real API server give the verdicts of `lint`.

use std::path::Path;
use std::time::Duration;

use ::admission::table::{TableOptions, Unlisted};
use anyhow::{Context as _, Result, bail, ensure};
use instance_types::Cloud;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, Error};
use lint::{Linter, NodeSource, Origin, Settings};
use local_cluster::{ClusterOptions, Tier};
use preset_catalog::Catalog;
use serde_json::{Value, json};
use testkit::{Helm, NAMESPACE};
use testkit::{Program, Running, TestEnv};

use admission_cases::{Case, annotated, inference, with};

/// A policy, or a parameter of it, is in force a moment after it is stored.
const IN_FORCE: Duration = Duration::from_secs(20);
const CATALOG: &str = "kaito-catalog";

struct World {
    env: TestEnv,
    helm: Helm,
    client: Client,
    namespace: String,
}

impl World {
    /// The chart on a cluster of its own: its policies are for all namespaces.
    async fn start() -> Result<Self> {
        let env = TestEnv::start(ClusterOptions::new(Tier::ControlPlaneOnly)).await?;
        let helm = Helm::of(&env).await?;
        helm.install().await?;
        let client = env.client().await?;
        let namespace = env.namespace().await?;
        Ok(Self {
            env,
            helm,
            client,
            namespace,
        })
    }

    fn workspaces(&self, version: &str) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("kaito.sh", version, "Workspace");
        Api::namespaced_with(
            self.client.clone(),
            &self.namespace,
            &ApiResource::from_gvk(&kind),
        )
    }

    async fn apply(&self, object: &Value, dry_run: bool) -> Result<Result<(), String>> {
        let version = object["apiVersion"]
            .as_str()
            .context("no version")?
            .trim_start_matches("kaito.sh/");
        let name = object["metadata"]["name"].as_str().context("no name")?;
        let params = PatchParams {
            dry_run,
            ..PatchParams::apply("kubectl").force()
        };
        match self
            .workspaces(version)
            .patch(name, &params, &Patch::Apply(object))
            .await
        {
            Ok(_) => Ok(Ok(())),
            Err(Error::Api(status)) => Ok(Err(status.message)),
            Err(error) => Err(error.into()),
        }
    }

    async fn eventually_refused(&self, object: &Value, part: &str) -> Result<()> {
        self.env
            .eventually("a refusal", IN_FORCE, async || {
                match self.apply(object, true).await? {
                    Ok(()) => bail!("accepted {object}"),
                    Err(message) => {
                        ensure!(message.contains(part), "{message}");
                        Ok(())
                    }
                }
            })
            .await
    }

    async fn eventually_accepted(&self, object: &Value) -> Result<()> {
        self.env
            .eventually("an acceptance", IN_FORCE, async || {
                self.apply(object, true).await?.map_err(anyhow::Error::msg)
            })
            .await
    }

    /// The registry under the chart's own account.
    async fn start_registry(&self, presets: &Path) -> Result<Running> {
        let kubeconfig = self
            .env
            .service_account_kubeconfig(NAMESPACE, "preset-registry")
            .await?;
        let mut program = Program::named("preset-registry");
        let flags = [
            "--grpc-bind-address",
            "--metrics-bind-address",
            "--health-probe-bind-address",
        ];
        for (flag, port) in flags.iter().zip(testkit::reserve_ports::<3>()?) {
            program = program.args([*flag, &format!("127.0.0.1:{port}")]);
        }
        program
            .arg(format!("--publish-config-map={NAMESPACE}/{CATALOG}"))
            .arg("--insecure")
            .arg("--presets-dir")
            .arg(presets)
            .env("NO_PROXY", "*")
            .kubeconfig(&kubeconfig)
            .start(&self.env)
    }

    async fn upgrade(&self, setting: &str) -> Result<()> {
        let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/kaito");
        let chart = chart.to_str().context("the chart's path is not UTF-8")?;
        let args = [
            "upgrade",
            "kaito",
            chart,
            "--namespace",
            NAMESPACE,
            "--reuse-values",
            "--set",
            setting,
        ];
        self.helm.run(&args).await.map(drop)
    }
}

fn settings() -> Result<Settings<'static>> {
    Ok(Settings {
        presets: Catalog::embedded()?,
        instance_types: instance_types::Catalog::embedded()?,
        nodes: NodeSource::Provisioned,
        options: TableOptions::new(Cloud::Azure, Unlisted::Refused),
    })
}

fn unknown_preset() -> Value {
    with(inference(), "/inference/preset/name", json!("acme/unheard-of"))
}

fn named(object: Value, name: &str) -> Value {
    with(object, "/metadata/name", name.into())
}

#[tokio::test]
async fn policies_refuse_what_lint_refuses_and_follow_the_catalog() -> Result<()> {
    let world = World::start().await?;
    world
        .eventually_refused(
            &annotated(inference(), "runtime", "tgi"),
            "must be vllm or native",
        )
        .await?;
    without_a_catalog_no_name_is_refused(&world).await?;

    let presets = world.env.cluster().dir().join("presets");
    std::fs::create_dir_all(&presets)?;
    let registry = world.start_registry(&presets).await?;
    world
        .eventually_refused(&unknown_preset(), "unknown preset acme/unheard-of")
        .await?;
    let compared = verdicts_are_equal(&world, &settings()?, admission_cases::cases()).await?;
    ensure!(compared >= 500, "only {compared} objects were compared");
    let examples = verdicts_are_equal(&world, &settings()?, crate::examples::workspaces()?).await?;
    ensure!(examples >= 30, "only {examples} examples");

    the_policy_follows_the_catalog(&world, &presets).await?;
    a_lost_catalog_is_published_again(&world, &registry).await?;

    drop(registry);
    world
        .eventually_refused(&unknown_preset(), "unknown preset")
        .await?;
    what_is_stored_is_not_held_up(&world).await?;

    world.upgrade("nodeProvisioner=byo").await?;
    world.eventually_refused(&inference(), "must be empty").await?;
    let brought = Settings {
        nodes: NodeSource::Existing,
        ..settings()?
    };
    verdicts_are_equal(&world, &brought, brought_along()).await?;

    world.upgrade("admission.enabled=false").await?;
    world.eventually_accepted(&unknown_preset()).await
}

async fn without_a_catalog_no_name_is_refused(world: &World) -> Result<()> {
    let mut stored = named(unknown_preset(), "stored");
    stored["metadata"]["finalizers"] = json!(["example.com/held"]);
    let answer = world.apply(&stored, false).await?;
    answer
        .map_err(anyhow::Error::msg)
        .context("nothing is published yet")
}

/// Returns how many objects were compared.
async fn verdicts_are_equal(world: &World, settings: &Settings<'_>, cases: Vec<Case>) -> Result<usize> {
    let linter = Linter::new(*settings)?;
    let mut different = Vec::new();
    let count = cases.len();
    for Case { old, object, .. } in cases {
        let offline = match &old {
            None => linter.create(&object),
            Some(old) => {
                world
                    .apply(old, false)
                    .await?
                    .map_err(anyhow::Error::msg)
                    .with_context(|| old.to_string())?;
                linter.update(old, &object)
            }
        };
        let online = world.apply(&object, true).await?;
        if let Some(old) = &old {
            let name = old["metadata"]["name"].as_str().context("no name")?;
            world
                .workspaces("v1beta1")
                .delete(name, &DeleteParams::default())
                .await?;
        }
        let same = match &online {
            Ok(()) => offline.is_empty(),
            // The server stops at the first policy, and at the shape before any rule.
            Err(message) => offline
                .iter()
                .any(|found| found.origin == Origin::Schema || message.contains(&found.message)),
        };
        if !same {
            different.push(format!("{object}\n  server: {online:?}\n  lint: {offline:?}"));
        }
    }
    ensure!(
        different.is_empty(),
        "{} of {count} differ:\n{}",
        different.len(),
        different.join("\n")
    );
    Ok(count)
}

async fn the_policy_follows_the_catalog(world: &World, presets: &Path) -> Result<()> {
    let file = presets.join("acme.yaml");
    std::fs::write(
        &file,
        "hub_id: acme/unheard-of\nlicense: mit\narchitecture: LlamaForCausalLM\nweights: 15Gi\n\
         max_context_tokens: 8192\nkv_bytes_per_token: 131072\n",
    )?;
    world.eventually_accepted(&unknown_preset()).await?;
    let on_a_small_gpu = with(
        unknown_preset(),
        "/resource/instanceType",
        json!("Standard_NC4as_T4_v3"),
    );
    let too_long = annotated(unknown_preset(), "max-context-tokens", "8193");
    let overlay = Catalog::embedded()?.overlay([("acme.yaml", std::fs::read_to_string(&file)?.as_str())])?;
    let known = Settings {
        presets: &overlay.catalog,
        ..settings()?
    };
    let case = |object| Case {
        old: None,
        object,
        expect: admission_cases::Expect::AsPlanned,
    };
    verdicts_are_equal(
        world,
        &known,
        [on_a_small_gpu, too_long, unknown_preset()].map(case).into(),
    )
    .await?;
    std::fs::remove_file(&file)?;
    world
        .eventually_refused(&unknown_preset(), "unknown preset")
        .await
}

async fn a_lost_catalog_is_published_again(world: &World, registry: &Running) -> Result<()> {
    let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), NAMESPACE);
    let before = maps.get(CATALOG).await?;
    maps.delete(CATALOG, &DeleteParams::default()).await?;
    let again = world
        .env
        .eventually("the ConfigMap", Duration::from_secs(60), async || {
            Ok(maps.get(CATALOG).await?)
        });
    ensure!(again.await?.data == before.data, "another table");
    ensure!(
        !registry.log_text()?.contains("cannot be published"),
        "{}",
        registry.log_text()?
    );
    Ok(())
}

/// `stored` names a preset that is not in the catalog.
async fn what_is_stored_is_not_held_up(world: &World) -> Result<()> {
    let api = world.workspaces("v1beta1");
    let merge = |body: Value| {
        let api = api.clone();
        async move {
            api.patch("stored", &PatchParams::default(), &Patch::Merge(&body))
                .await
        }
    };
    merge(json!({"metadata": {"labels": {"a": "b"}}}))
        .await
        .context("a label")?;
    merge(json!({"inference": {"config": "c"}}))
        .await
        .context("an edit of something else")?;
    let condition = json!({
        "type": "ResourceReady", "status": "False", "reason": "ModelDoesNotFit", "message": "too large",
        "lastTransitionTime": "2026-01-01T00:00:00Z"
    });
    let status = json!({"status": {"state": "Pending", "conditions": [condition]}});
    let patch = Patch::Merge(&status);
    api.patch_status("stored", &PatchParams::default(), &patch)
        .await
        .context("the status")?;
    the_plugin_explains_it(world).await?;
    let wrong = json!({"metadata": {"annotations": {"kaito.sh/runtime": "tgi"}}});
    ensure!(
        merge(wrong.clone()).await.is_err(),
        "a wrong annotation was accepted"
    );
    api.delete("stored", &DeleteParams::default()).await?;
    merge(wrong).await.context("while it is being deleted")?;
    merge(json!({"metadata": {"finalizers": null}}))
        .await
        .context("the end of the deletion")?;
    ensure!(api.get_opt("stored").await?.is_none(), "it is still there");
    Ok(())
}

async fn the_plugin_explains_it(world: &World) -> Result<()> {
    let plugin = Program::named("kubectl-kaito")
        .args(["explain", "stored", "--namespace", &world.namespace])
        .env("NO_PROXY", "*")
        .kubeconfig(&world.env.cluster().kubeconfig())
        .start(&world.env)?;
    // The plugin ends by itself, which `TestEnv::eventually` takes for a crash.
    testkit::eventually("an explanation", IN_FORCE, async || {
        let text = plugin.log_text()?;
        let head = format!("Workspace {}/stored: Pending", world.namespace);
        ensure!(text.contains(&head) && text.contains("too large"), "{text}");
        ensure!(
            text.contains("Choose an instance type with more GPU memory"),
            "{text}"
        );
        Ok(())
    })
    .await
}

fn brought_along() -> Vec<Case> {
    let without = || with(inference(), "/resource/instanceType", Value::Null);
    let tuning = with(admission_cases::tuning(), "/resource/instanceType", Value::Null);
    let objects = vec![
        without(),
        inference(),
        with(without(), "/inference/preset/name", json!("phi-5")),
        with(without(), "/inference/preset/name", json!("gpt-oss-120b")),
        annotated(without(), "runtime", "native"),
        annotated(without(), "max-context-tokens", "8192"),
        annotated(without(), "max-context-tokens", "131073"),
        with(admission_cases::template(), "/resource/instanceType", Value::Null),
        admission_cases::template(),
        with(tuning.clone(), "/tuning/preset/name", json!("gpt-oss-20b")),
        tuning,
        // Existing nodes are only read, so every label may select them.
        with(
            without(),
            "/resource/labelSelector",
            json!({"matchLabels": {"kubernetes.io/arch": "amd64", "agentpool": "gpu"}}),
        ),
    ];
    let case = |object| Case {
        old: None,
        object,
        expect: admission_cases::Expect::AsPlanned,
    };
    objects.into_iter().map(case).collect()
}
