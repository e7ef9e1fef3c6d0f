//! Conformance of the simulator: the same scenarios, played on `sim` and on a real control plane with the shipped
//! programs, end with the same objects.
//!
//! The simulator judges plans in thousands of random runs. What it says about the product holds as far as this test
//! holds.

mod difference;
mod real;
mod simulated;
mod snapshot;

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use local_cluster::{ClusterOptions, Tier};
use plan::{Kind, ObjectRef};
use serde_json::{Value, json};
use testkit::{Stack, StackOptions, TestEnv};

use real::RealCluster;
use simulated::SimulatedCluster;

use crate::world::World;

/// Objects of one namespace, normalized, by kind and name.
type Snapshot = BTreeMap<String, Value>;

/// One step of a scenario.
enum Step {
    /// A user applies a Workspace.
    Apply(Value),
    /// Another controller owns this object.
    Plant(Kind, &'static str, Value),
    /// The cloud refuses the instance type of every launch.
    RefuseLaunches,
    /// A condition of the Workspace, as it was applied last, gets this status and reason.
    Await(&'static str, &'static str, &'static str),
    /// A user deletes the Workspace, and it disappears with everything that belongs to it.
    Delete,
    /// Both clusters are at rest and contain the same objects.
    Compare,
}

/// Steps about one Workspace.
struct Scenario {
    workspace: &'static str,
    steps: Vec<Step>,
}

#[tokio::test]
async fn both_clusters_end_with_the_same_objects() -> Result<()> {
    let env: &'static TestEnv = Box::leak(Box::new(
        TestEnv::start(ClusterOptions::new(Tier::WithNodes)).await?,
    ));
    let stack = Stack::start(env, StackOptions::default()).await?;
    let mut differences = Vec::new();
    for scenario in scenarios() {
        let world = World::on(env, &stack.programs).await?;
        let found = play(&scenario, &world)
            .await
            .with_context(|| format!("scenario {}", scenario.workspace))?;
        differences.extend(
            found
                .into_iter()
                .map(|line| format!("{}: {line}", scenario.workspace)),
        );
    }
    ensure!(differences.is_empty(), "\n{}", differences.join("\n"));
    Ok(())
}

async fn play(scenario: &Scenario, world: &World) -> Result<Vec<String>> {
    let real = RealCluster::new(world, scenario.workspace);
    let mut simulated = SimulatedCluster::new(&world.namespace, scenario.workspace);
    let mut differences = Vec::new();
    for step in &scenario.steps {
        match step {
            Step::Apply(object) => {
                real.apply(object).await?;
                simulated.apply(object)?;
            }
            Step::Plant(kind, name, object) => {
                let key = ObjectRef {
                    kind: *kind,
                    namespace: Some(world.namespace.clone()),
                    name: (*name).to_owned(),
                };
                real.plant(&key, object).await?;
                simulated.plant(&key, object)?;
            }
            Step::RefuseLaunches => {
                real.refuse_launches().await?;
                simulated.refuse_launches();
            }
            Step::Await(condition, status, reason) => {
                world.observed(scenario.workspace).await?;
                world
                    .condition(scenario.workspace, condition, status, Some(reason))
                    .await?;
                simulated.await_condition(condition, status, reason)?;
            }
            Step::Delete => {
                world.delete(scenario.workspace).await?;
                simulated.delete()?;
            }
            Step::Compare => {
                let (ours, theirs) = (simulated.snapshot()?, real.snapshot().await?);
                differences.extend(difference::between(&ours, &theirs));
            }
        }
    }
    real.allow_launches().await?;
    Ok(differences)
}

fn scenarios() -> Vec<Scenario> {
    vec![
        one_node(),
        tuning(),
        refused_for_good(),
        edited(),
        foreign_object(),
    ]
}

/// From apply to ready to deleted.
fn one_node() -> Scenario {
    Scenario {
        workspace: "one-node",
        steps: vec![
            Step::Apply(inference("one-node")),
            Step::Await("WorkspaceReady", "True", "workspaceReady"),
            Step::Compare,
            Step::Delete,
            Step::Compare,
        ],
    }
}

fn tuning() -> Scenario {
    let mut object = inference("tuning");
    if let Some(fields) = object.as_object_mut() {
        fields.remove("inference");
    }
    object["tuning"] = json!({
        "preset": {"name": "phi-3-mini-4k-instruct"},
        "method": "qlora",
        "input": {"urls": ["https://example.com/data.parquet"]},
        "output": {"image": "example.com/adapter:1", "imagePushSecret": "push"},
    });
    Scenario {
        workspace: "tuning",
        steps: vec![
            Step::Apply(object),
            Step::Await("WorkspaceReady", "True", "workspaceReady"),
            Step::Compare,
            Step::Delete,
            Step::Compare,
        ],
    }
}

/// The claim stays, without an instance, and the Workspace says so.
fn refused_for_good() -> Scenario {
    Scenario {
        workspace: "refused",
        steps: vec![
            Step::RefuseLaunches,
            Step::Apply(inference("refused")),
            Step::Await("ResourceReady", "False", "SKUNotAvailable"),
            Step::Compare,
            Step::Delete,
            Step::Compare,
        ],
    }
}

/// The user adds an adapter to a model that serves.
fn edited() -> Scenario {
    let mut object = inference("edited");
    object["inference"]["adapters"] = json!([{
        "source": {"name": "poems", "image": "example.com/poems:1"}, "strength": "0.5",
    }]);
    Scenario {
        workspace: "edited",
        steps: vec![
            Step::Apply(inference("edited")),
            Step::Await("WorkspaceReady", "True", "workspaceReady"),
            Step::Apply(object),
            Step::Await("WorkspaceReady", "True", "workspaceReady"),
            Step::Compare,
            Step::Delete,
            Step::Compare,
        ],
    }
}

/// A Service of the Workspace's name belongs to another controller.
fn foreign_object() -> Scenario {
    let service = json!({
        "metadata": {"labels": {"app": "theirs"}},
        "spec": {"selector": {"app": "theirs"}, "ports": [{"name": "http", "port": 80}]},
    });
    Scenario {
        workspace: "taken",
        steps: vec![
            Step::Plant(Kind::Service, "taken", service),
            Step::Apply(inference("taken")),
            Step::Await("ResourceReady", "False", "NameConflict"),
            Step::Compare,
            Step::Delete,
            Step::Compare,
        ],
    }
}

/// A Workspace that serves a small preset on one node.
fn inference(name: &str) -> Value {
    json!({
        "resource": {
            "count": 1, "instanceType": "Standard_NC24ads_A100_v4",
            "labelSelector": {"matchLabels": {"apps": name}},
        },
        "inference": {"preset": {"name": "phi-3-mini-4k-instruct"}},
    })
}
