//! The plugin on a real API server: what it says about Workspaces that live and die.

use std::collections::BTreeSet;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::world::{self, LIMIT, World};

/// A command of the plugin that ended.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    pub(crate) fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.out).with_context(|| format!("{}{}", self.out, self.err))
    }
}

/// The plugin with the rights of a kubeconfig, in the namespace of the test.
pub(crate) fn plugin(world: &World, kubeconfig: &std::path::Path, args: &[&str]) -> Result<Command> {
    let mut command = Command::new(testkit::program_path("kubectl-kaito")?);
    command
        .args(args)
        .env("KUBECONFIG", kubeconfig)
        .env("NO_PROXY", "*")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    if !args.contains(&"--all-namespaces") {
        command.args(["--namespace", &world.namespace]);
    }
    Ok(command)
}

/// Runs the plugin as a cluster administrator.
pub(crate) async fn say(world: &World, args: &[&str]) -> Result<Said> {
    let kubeconfig = world.env.cluster().kubeconfig();
    said(plugin(world, &kubeconfig, args)?).await
}

async fn said(mut command: Command) -> Result<Said> {
    let output = tokio::time::timeout(LIMIT, command.output()).await??;
    Ok(Said {
        code: output.status.code().context("the plugin was killed")?,
        out: String::from_utf8(output.stdout)?,
        err: String::from_utf8(output.stderr)?,
    })
}

/// A plan takes the cluster from the flags of every other command.
async fn a_plan_learns_from_starts(world: &World) -> Result<()> {
    let kubeconfig = world.env.cluster().kubeconfig();
    let kubeconfig = kubeconfig.to_str().context("the path is not UTF-8")?;
    let on = [
        "plan",
        "phi-4-mini-instruct",
        "--instance-type=Standard_NC24ads_A100_v4",
    ];
    let flags = ["--measured", "--explain", "--kubeconfig", kubeconfig];
    let plan = say(world, &[&on[..], &flags].concat()).await?;
    let words: Vec<&str> = plan.out.split_whitespace().collect();
    ensure!(
        plan.code == 0 && words.join(" ").contains("[measured in this cluster]"),
        "{}{}",
        plan.out,
        plan.err
    );
    Ok(())
}

#[tokio::test]
async fn status_follows_a_workspace_through_its_life() -> Result<()> {
    let world = world::shared().await?;
    let missing = say(&world, &["status", "followed"]).await?;
    ensure!(
        missing.code == 2 && missing.err.contains("failed to read Workspace"),
        "{}",
        missing.err
    );
    let empty = say(&world, &["status"]).await?;
    ensure!(
        empty.code == 0 && empty.out.contains("There are no Workspaces in namespace"),
        "{}",
        empty.out
    );

    let name = world.apply(&world.inference("followed")).await?;
    // It ends by itself, with the exit code of a Workspace that serves.
    let watched = say(&world, &["status", &name, "--watch"]).await?;
    ensure!(
        watched.code == 0 && watched.err.is_empty(),
        "{}{}",
        watched.out,
        watched.err
    );
    let lines: Vec<&str> = watched.out.lines().collect();
    ensure!(lines.len() >= 3, "no progress: {}", watched.out);
    ensure!(
        lines.iter().collect::<BTreeSet<_>>().len() == lines.len(),
        "{}",
        watched.out
    );
    ensure!(
        lines.last().is_some_and(|line| line.contains(" Ready")),
        "{}",
        watched.out
    );
    // Nodes of this cloud join at once, so the status may show any of the steps, or only some.
    ensure!(watched.out.contains(" Pending  "), "{}", watched.out);

    let tree = say(&world, &["status", &name]).await?;
    ensure!(tree.code == 0, "{}", tree.out);
    for part in [
        "✓ claims",
        "✓ instances",
        "✓ nodes",
        "✓ device plugins",
        "✓ load, first answer",
        "$3.67 an hour",
    ] {
        ensure!(tree.out.contains(part), "{part} is missing:\n{}", tree.out);
    }
    ensure!(!tree.out.contains('\u{1b}'), "colors in a pipe: {}", tree.out);
    let object = say(&world, &["status", &name, "-o", "json"]).await?.json()?;
    ensure!(
        object["state"] == "Ready" && object["claims"][0]["usdMicrosPerHour"] == 3_673_000,
        "{object}"
    );
    ensure!(
        object["phases"]
            .as_array()
            .is_some_and(|all| all.iter().all(|line| line["state"] == "done")),
        "{object}"
    );

    a_plan_learns_from_starts(&world).await?;
    sums_are_right(&world, &name).await?;
    a_tenant_sees_less_and_is_told(&world, &name).await?;

    let mut watching = plugin(&world, &world.env.cluster().kubeconfig(), &["status", "--watch"])?;
    let mut watching = watching.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut out = BufReader::new(watching.stdout.take().context("no output")?);
    let mut line = String::new();
    out.read_line(&mut line).await?;
    ensure!(line.contains("/followed Ready 1/1 nodes, $3.67/h"), "{line}");
    // The reader ends, and the next change finds a closed pipe, which is no error.
    drop(out);
    world.delete(&name).await?;
    let ended = tokio::time::timeout(LIMIT, watching.wait_with_output()).await??;
    ensure!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
    Ok(())
}

async fn sums_are_right(world: &World, first: &str) -> Result<()> {
    let second = world.apply(&world.inference("second")).await?;
    world.ready(&second).await?;
    let top = say(world, &["top", "-o", "json"]).await?.json()?;
    ensure!(top.as_array().is_some_and(|rows| rows.len() == 2), "{top}");
    let by_namespace = say(world, &["top", "--by", "namespace", "-o", "json"])
        .await?
        .json()?;
    let cost = &by_namespace[0]["cost"];
    ensure!(
        by_namespace[0]["workspaces"] == 2 && cost["nodes"] == 2 && cost["gpus"] == 2,
        "{by_namespace}"
    );
    ensure!(cost["usdMicrosPerHour"] == 2 * 3_673_000, "{by_namespace}");
    let text = say(world, &["top", "--by", "model"]).await?.out;
    ensure!(
        text.contains("phi-4-mini-instruct") && text.contains("7.35"),
        "{text}"
    );
    let all = say(world, &["top", "--all-namespaces", "--by", "namespace"])
        .await?
        .out;
    ensure!(all.contains(&world.namespace), "{all}");
    let list = say(world, &["status"]).await?;
    ensure!(
        list.code == 0 && list.out.contains(first) && list.out.contains("1/1"),
        "{}",
        list.out
    );
    world.delete(&second).await
}

/// The role `view` of the cluster shows Workspaces, but no claims.
async fn a_tenant_sees_less_and_is_told(world: &World, name: &str) -> Result<()> {
    let kubeconfig = world
        .env
        .service_account_kubeconfig(&world.namespace, "reader")
        .await?;
    let bindings: Api<RoleBinding> = Api::namespaced(world.client.clone(), &world.namespace);
    let binding = serde_json::from_value(json!({
        "metadata": {"name": "reader"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": world.namespace}],
    }))?;
    bindings.create(&PostParams::default(), &binding).await?;
    let told = testkit::eventually("the right to be noticed", LIMIT, async || {
        let told = said(plugin(world, &kubeconfig, &["status", name])?).await?;
        ensure!(told.code == 0, "{}{}", told.out, told.err);
        Ok(told)
    })
    .await?;
    ensure!(
        told.out.contains("Note: You may not list machines"),
        "{}",
        told.out
    );
    // The price is in the status too.
    ensure!(told.out.contains("$3.67 an hour"), "{}", told.out);
    let watched = said(plugin(world, &kubeconfig, &["status", name, "--watch"])?).await?;
    ensure!(
        watched.code == 0 && watched.out.contains(" Ready"),
        "{}{}",
        watched.out,
        watched.err
    );
    let top = said(plugin(world, &kubeconfig, &["top"])?).await?;
    ensure!(
        top.out.contains("3.67") && top.out.contains("Note: You may not list"),
        "{}",
        top.out
    );
    let all = said(plugin(world, &kubeconfig, &["top", "--all-namespaces"])?).await?;
    ensure!(
        all.code == 2 && all.err.contains("failed to list Workspaces"),
        "{}",
        all.err
    );
    Ok(())
}

#[tokio::test]
async fn a_workspace_is_deployed_and_its_logs_and_address_are_found() -> Result<()> {
    let world = world::shared().await?;
    let deploy = ["deploy", "phi-4-mini-instruct", "--name", "deployed"];
    let asked = say(&world, &deploy).await?;
    ensure!(
        asked.code == 2 && asked.err.contains("say --yes"),
        "{}{}",
        asked.out,
        asked.err
    );
    ensure!(
        world.workspaces().get_opt("deployed").await?.is_none(),
        "nobody agreed"
    );
    let deployed = say(&world, &[&deploy[..], &["--yes"]].concat()).await?;
    ensure!(deployed.code == 0, "{}{}", deployed.out, deployed.err);
    ensure!(
        deployed.out.contains(" an hour at list price"),
        "{}",
        deployed.out
    );
    let early = say(&world, &["endpoint", "deployed"]).await?;
    ensure!(
        early.code == 1 && early.out.contains("does not answer yet"),
        "{}",
        early.out
    );
    let early = say(&world, &["chat", "deployed", "Hello"]).await?;
    ensure!(
        early.code == 1 && early.out.is_empty() && early.err.contains("does not answer: it is "),
        "{}{}",
        early.out,
        early.err
    );
    let again = say(&world, &[&deploy[..], &["--yes"]].concat()).await?;
    ensure!(
        again.code == 2 && again.err.contains("exists: delete it"),
        "{}",
        again.err
    );
    // The chart's policies judge it like any other.
    let refused = ["--name", "refused", "--yes", "--context-tokens", "131072"];
    let fits = say(&world, &[&["deploy", "phi-4"], &refused[..]].concat()).await?;
    ensure!(
        fits.code == 1 && fits.out.starts_with("Nothing fits."),
        "{}{}",
        fits.out,
        fits.err
    );

    world.ready("deployed").await?;
    let address = say(&world, &["endpoint", "deployed"]).await?;
    ensure!(
        address.code == 0 && address.out.starts_with("http"),
        "{}",
        address.out
    );
    ensure!(
        address.out.contains(&format!("deployed.{}.svc", world.namespace)),
        "{}",
        address.out
    );
    let explained = say(&world, &["explain", "deployed", "-o", "json"]).await?;
    ensure!(
        explained.code == 0 && explained.json()?["endpoint"].as_str() == Some(address.out.trim()),
        "{}",
        explained.out
    );

    // The nodes of this cluster are simulated: nothing listens where their kubelets should be.
    let chat = say(&world, &["chat", "deployed", "Hello"]).await?;
    ensure!(
        chat.code == 2 && chat.err.contains("failed to forward a port of pod deployed-"),
        "{}{}",
        chat.out,
        chat.err
    );

    let logs = say(&world, &["logs", "nobody"]).await?;
    ensure!(
        logs.code == 1 && logs.out.contains("There is no pod yet"),
        "{}",
        logs.out
    );
    // The nodes of this cluster are simulated, so a log exists in name only: the kubelet cannot be asked.
    let logs = say(&world, &["logs", "deployed"]).await?;
    ensure!(
        logs.code == 2 && logs.err.contains("failed to read the log of pod deployed-"),
        "{}{}",
        logs.out,
        logs.err
    );
    world.delete("deployed").await
}
