//! Scenarios as text: one command a line, and a transcript of the programs' writes and of the objects.
//!
//! | command | what it does |
//! |---|---|
//! | `apply workspace NAME inference\|configured\|large\|template\|tuning [COUNT]` | as a user |
//! | `apply workspace NAME on TYPE` | as a user, with another instance type |
//! | `types TEXT` | the workspace controller restarts with this file of instance types |
//! | `configure TEXT`, `configure` | a user writes the ConfigMap of configured Workspaces, or deletes it |
//! | `apply machine\|nodeclaim NAME` | a claim alone |
//! | `claims machine\|nodeclaim` | the workspace controller restarts with this kind |
//! | `delete workspace\|machine\|nodeclaim\|node NAME` | as a user; a Node is named by its pool |
//! | `upgrade IMAGE` | the workspace controller restarts with this base image |
//! | `automatic DAYS HH:MM LENGTH TIMEOUT` | it restarts with automatic upgrades in this window |
//! | `annotate workspace NAME KEY VALUE` | as a user; `none` removes the annotation |
//! | `strip workspace NAME` | a user deletes it and strips the finalizer |
//! | `advance 5m` | plays for this time |
//! | `until ready\|gone 90m` | plays until everything is ready, or nothing is left |
//! | `fault WORD [once]`, `faults clear` | see [`crate::cloud::Fault`] |
//! | `broken image IMAGE` | its containers crash |
//! | `registry down\|up`, `containers crash\|run`, `volumes fail\|work` | |
//! | `foreign pool NAME`, `remove foreign pool NAME` | a pool of another owner |
//! | `scarce TYPE ...` | no machine of these types is free |
//! | `lose pool NAME`, `break machine NAME` | a loss |
//! | `stop pool NAME`, `start pool NAME` | as `az aks nodepool stop` |
//! | `stop cluster`, `start cluster` | as `az aks stop` |
//! | `kill PROGRAM` | it loses its memory and restarts |
//! | `show` | objects and pools |
//! | `quiet` | checks that nothing would be written |
//!
//! `WORKSPACE/ORDINAL` stands for the name of the claim of that ordinal.

mod show;

use jiff::SignedDuration;
use plan::Kind;
use serde_json::{Value, json};
use workspace_plan::{AutomaticUpgrades, ProvisionerMode, UpgradeWindow, Upgrades};

use crate::api_server::{key, shown};
use crate::cloud::Fault;
use crate::controllers::Program;
use crate::fixtures;
use crate::kubelet::machines::node_name;
use crate::world::{BEGIN, World};

const NAMESPACE: &str = "default";

/// Plays a scenario and returns the transcript: each command with its effects.
///
/// # Errors
/// The line with a syntax error or a broken promise, and the reason.
pub fn play(text: &str) -> Result<String, String> {
    let mut world = World::new(fixtures::setup(1));
    let mut shown = Shown::default();
    let mut transcript = String::new();
    for line in text.lines() {
        transcript.push_str(line);
        transcript.push('\n');
        let words: Vec<&str> = line.split_whitespace().collect();
        if words.is_empty() || line.starts_with('#') {
            continue;
        }
        let output = command(&mut world, &words).map_err(|why| format!("{transcript}{line}: {why}"))?;
        transcript.push_str(&shown.new_lines(&world));
        transcript.push_str(&output);
    }
    Ok(transcript)
}

fn command(world: &mut World, words: &[&str]) -> Result<String, String> {
    match words {
        ["apply", "workspace", name, "on", instance_type] => {
            let mut value = fixtures::inference(name, fixtures::SMALL_PRESET, 1);
            value["resource"]["instanceType"] = json!(instance_type);
            world
                .apply_workspace(NAMESPACE, name, &value, 1)
                .map_err(|e| e.to_string())
                .map(|()| String::new())
        }
        ["types", text @ ..] => world
            .use_types(&text.join(" "))
            .map_err(|e| e.to_string())
            .map(|()| String::new()),
        ["apply", "workspace", name, what] => apply_workspace(world, name, what, "1"),
        ["apply", "workspace", name, what, count] => apply_workspace(world, name, what, count),
        ["apply", "machine", name] => {
            let value = fixtures::machine("w", "uid-of-w", 0);
            world
                .apply(&key(Kind::Machine, "", name), &value)
                .map_err(|e| e.to_string())
                .map(|()| String::new())
        }
        ["apply", "nodeclaim", name] => {
            let value = fixtures::node_claim("c", "uid-of-c", 0);
            world
                .apply(&key(Kind::NodeClaim, "", name), &value)
                .map_err(|e| e.to_string())
                .map(|()| String::new())
        }
        ["configure", text @ ..] => configure(world, &text.join(" ")),
        ["claims", kind] => {
            world.claim_by(match *kind {
                "nodeclaim" => ProvisionerMode::NodeClaim,
                _ => ProvisionerMode::Machine,
            });
            Ok(String::new())
        }
        ["delete", "nodeclaim", name] => {
            let name = machine(world, name);
            world.delete(&key(Kind::NodeClaim, "", &name));
            Ok(String::new())
        }
        ["delete", "workspace", name] => {
            world.delete(&key(Kind::Workspace, NAMESPACE, name));
            Ok(String::new())
        }
        ["upgrade", image] => {
            world.upgrade(image);
            Ok(String::new())
        }
        ["automatic", days, start, length, timeout] => {
            world.upgrades(Upgrades::Automatic(AutomaticUpgrades {
                window: UpgradeWindow::new(days.parse()?, start.parse()?, duration(length)?),
                timeout: duration(timeout)?,
            }));
            Ok(String::new())
        }
        ["annotate", "workspace", name, annotation, value] => {
            let value = if *value == "none" {
                Value::Null
            } else {
                json!(value)
            };
            let body = json!({"metadata": {"annotations": {*annotation: value}}});
            let target = key(Kind::Workspace, NAMESPACE, name);
            world.scribble(&target, &body);
            Ok(String::new())
        }
        ["strip", "workspace", name] => {
            world.strip(&key(Kind::Workspace, NAMESPACE, name));
            Ok(String::new())
        }
        ["delete", "machine", name] => {
            let name = machine(world, name);
            world.delete(&key(Kind::Machine, "", &name));
            Ok(String::new())
        }
        ["delete", "node", name] => {
            let name = node_name(&machine(world, name));
            world.delete(&key(Kind::Node, "", &name));
            Ok(String::new())
        }
        ["advance", time] => world
            .advance(duration(time)?)
            .map_err(|f| f.to_string())
            .map(|()| String::new()),
        ["until", goal, time] => until(world, goal, duration(time)?),
        ["show"] => Ok(show::show(world)),
        ["quiet"] => world
            .check_quiet()
            .map_err(|f| f.to_string())
            .map(|()| "  nothing would be written\n".to_owned()),
        other => trouble(world, other),
    }
}

fn trouble(world: &mut World, words: &[&str]) -> Result<String, String> {
    match words {
        ["fault", word] => fault(word)
            .map(|fault| world.cloud.faults.stand(fault))
            .and_then(nothing),
        ["fault", word, "once"] => fault(word)
            .map(|fault| world.cloud.faults.once(fault))
            .and_then(nothing),
        ["scarce", types @ ..] => {
            world.cloud.scarce = types.iter().map(|name| name.to_lowercase()).collect();
            Ok(String::new())
        }
        ["faults", "clear"] => {
            world.cloud.faults.clear();
            Ok(String::new())
        }
        ["registry", state] => {
            world.registry.down = *state == "down";
            Ok(String::new())
        }
        ["broken", "image", image] => {
            world.kubelet.pods.broken_image = Some((*image).to_owned());
            Ok(String::new())
        }
        ["containers", state] => {
            world.kubelet.pods.crash = *state == "crash";
            Ok(String::new())
        }
        ["volumes", state] => {
            world.kubelet.pods.mounts_fail = *state == "fail";
            Ok(String::new())
        }
        ["foreign", "pool", name] => {
            let name = machine(world, name);
            world.plant_pool(fixtures::foreign_pool(&name));
            Ok(String::new())
        }
        ["remove", "foreign", "pool", name] => {
            let name = machine(world, name);
            world.uproot_pool(&name);
            Ok(String::new())
        }
        ["lose", "pool", name] => {
            let name = machine(world, name);
            world.lose_pool(&name);
            Ok(String::new())
        }
        ["break", "machine", name] => {
            let name = machine(world, name);
            world.break_machine(&name);
            Ok(String::new())
        }
        ["silence", name] => {
            let name = machine(world, name);
            world.silence(&name, true);
            Ok(String::new())
        }
        ["mend", name] => {
            let name = machine(world, name);
            world.silence(&name, false);
            Ok(String::new())
        }
        ["lose", "gpu", name] => {
            let name = machine(world, name);
            world.lose_gpus(&name, 1);
            Ok(String::new())
        }
        ["reclaim", name] => {
            let name = machine(world, name);
            world.reclaim(&name, true);
            Ok(String::new())
        }
        ["stop" | "start", ..] => power(world, words),
        ["kill", name] => {
            let program = Program::ALL.into_iter().find(|program| program.name() == *name);
            program
                .map(|program| world.kill(program))
                .ok_or_else(|| "unknown program".to_owned())
                .and_then(nothing)
        }
        _ => Err("unknown command".to_owned()),
    }
}

fn power(world: &mut World, words: &[&str]) -> Result<String, String> {
    match words {
        ["stop", "pool", name] => {
            let name = machine(world, name);
            world.stop_pool(&name);
        }
        ["start", "pool", name] => {
            let name = machine(world, name);
            world.start_pool(&name);
        }
        ["stop", "cluster"] => world.stop_cluster(),
        ["start", "cluster"] => world.start_cluster(),
        _ => return Err("unknown command".to_owned()),
    }
    Ok(String::new())
}

fn nothing((): ()) -> Result<String, String> {
    Ok(String::new())
}

fn fault(word: &str) -> Result<Fault, String> {
    Fault::parse(word).ok_or_else(|| format!("unknown fault {word}"))
}

fn apply_workspace(world: &mut World, name: &str, what: &str, count: &str) -> Result<String, String> {
    let count: u32 = count.parse().map_err(|_| format!("{count} must be a number"))?;
    let (value, slots): (Value, usize) = match what {
        "inference" => (fixtures::inference(name, fixtures::SMALL_PRESET, count), 1),
        "configured" => (fixtures::configured(name, fixtures::SMALL_PRESET, count), 1),
        "large" => (
            fixtures::inference(name, fixtures::LARGE_PRESET, count),
            fixtures::LARGE_SLOTS,
        ),
        "template" => (
            fixtures::template(name, count),
            usize::try_from(count).unwrap_or(1),
        ),
        "tuning" => (fixtures::tuning(name), 1),
        _ => return Err(format!("unknown Workspace {what}")),
    };
    world
        .apply_workspace(NAMESPACE, name, &value, slots)
        .map_err(|e| e.to_string())
        .map(|()| String::new())
}

fn configure(world: &mut World, text: &str) -> Result<String, String> {
    let target = key(Kind::ConfigMap, NAMESPACE, fixtures::CONFIG);
    if text.is_empty() {
        world.delete(&target);
        return Ok(String::new());
    }
    let value = fixtures::config_map(text);
    world
        .apply(&target, &value)
        .map_err(|e| e.to_string())
        .map(|()| String::new())
}

fn until(world: &mut World, goal: &str, time: SignedDuration) -> Result<String, String> {
    let missing = |world: &World| match goal {
        "ready" => world.unsettled(),
        _ => world.leftover(),
    };
    let reached = world
        .advance_until(time, |world| missing(world).is_none())
        .map_err(|f| f.to_string())?;
    let elapsed = clock(world.now().as_second() - BEGIN);
    if reached {
        return Ok(format!("  {goal} at {elapsed}\n"));
    }
    Ok(format!(
        "  not {goal} at {elapsed}: {}\n",
        missing(world).unwrap_or_default()
    ))
}

// `WORKSPACE/ORDINAL`, or the name itself.
fn machine(world: &World, name: &str) -> String {
    match name.split_once('/') {
        Some((workspace, ordinal)) => world.machine_name(NAMESPACE, workspace, ordinal.parse().unwrap_or(0)),
        None => name.to_owned(),
    }
}

fn duration(text: &str) -> Result<SignedDuration, String> {
    let (number, unit) = text.split_at(text.len().saturating_sub(1));
    let number: i64 = number.parse().map_err(|_| format!("{text} must be a duration"))?;
    match unit {
        "s" => Ok(SignedDuration::from_secs(number)),
        "m" => Ok(SignedDuration::from_mins(number)),
        "h" => Ok(SignedDuration::from_hours(number)),
        _ => Err(format!("{text} must be a duration")),
    }
}

fn clock(seconds: i64) -> String {
    format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// Lengths of the logs that the transcript contains already.
#[derive(Debug, Default)]
struct Shown {
    writes: usize,
    requests: usize,
}

impl Shown {
    // Writes of the programs and requests to the cloud since the last time, in order of time.
    fn new_lines(&mut self, world: &World) -> String {
        let names = [Program::Workspaces.name(), Program::Provisioner.name()];
        let writes = world
            .api
            .log()
            .iter()
            .skip(self.writes)
            .filter(|line| names.contains(&line.actor));
        let mut lines: Vec<(jiff::Timestamp, String)> = writes
            .map(|line| {
                (
                    line.at,
                    format!("{} {} {}", line.actor, line.verb, shown(&line.key)),
                )
            })
            .collect();
        let requests = world.cloud.requests().iter().skip(self.requests);
        lines.extend(requests.map(|(at, what)| (*at, format!("gpu-provisioner asks the cloud: {what}"))));
        lines.sort_by_key(|(at, _)| *at);
        self.writes = world.api.log().len();
        self.requests = world.cloud.requests().len();
        lines
            .into_iter()
            .map(|(at, line)| format!("  {} {line}\n", clock(at.as_second() - BEGIN)))
            .collect()
    }
}
