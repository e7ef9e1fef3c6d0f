//! Hundreds of Workspaces of one namespace that wait for a slow model hub do not delay those of another namespace.
//!
//! Bounds are counts of what happened before, so a slow machine changes no verdict.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use local_cluster::{ClusterOptions, Tier};
use serde_json::Value;
use testkit::{Stack, StackOptions, TestEnv};
use tokio::task::JoinSet;

use admission_cases::with;

use crate::proxy::Listener;
use crate::world::{LIMIT, World};

/// Workspaces of the greedy namespace, each with a model of its own.
const GREEDY: usize = 500;
/// Requests of users at a time.
const USERS: usize = 20;
/// Time until the hub answers.
const SLOW: Duration = Duration::from_secs(3);
/// Most models of the greedy namespace that may be answered before a catalog preset of another namespace has its claim. Four
/// of them are asked at a time, so this is more than a minute.
const ANSWERED_FIRST: usize = 100;
/// Most models that may be asked about before one of another namespace: those that are open, and a few that come in turn.
const ASKED_FIRST: usize = 24;

/// A hub that knows no model, and takes its time to say so.
struct SlowHub {
    /// Models in the order of their first requests.
    asked: Arc<Mutex<Asked>>,
    listener: Listener,
}

#[derive(Debug, Default)]
struct Asked {
    order: Vec<String>,
    answers: usize,
}

impl SlowHub {
    async fn start() -> Result<Self> {
        let asked = Arc::<Mutex<Asked>>::default();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&asked));
        let listener = Listener::start(router).await?;
        Ok(Self { asked, listener })
    }

    fn position(&self, model: &str) -> Option<usize> {
        lock(&self.asked).order.iter().position(|asked| asked == model)
    }
}

fn lock(asked: &Mutex<Asked>) -> std::sync::MutexGuard<'_, Asked> {
    asked.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer(State(asked): State<Arc<Mutex<Asked>>>, request: Request) -> StatusCode {
    let mut parts = request
        .uri()
        .path()
        .split('/')
        .skip_while(|part| *part != "models")
        .skip(1);
    let model = format!(
        "{}/{}",
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default()
    );
    {
        let mut asked = lock(&asked);
        if !asked.order.contains(&model) {
            asked.order.push(model);
        }
    }
    tokio::time::sleep(SLOW).await;
    lock(&asked).answers += 1;
    StatusCode::NOT_FOUND
}

/// A Workspace for a model of the hub.
fn of_hub(world: &World, name: &str, model: &str) -> Value {
    with(world.inference(name), "/inference/preset/name", model.into())
}

#[tokio::test]
async fn a_namespace_that_waits_for_a_slow_hub_delays_no_other() -> Result<()> {
    let hub = SlowHub::start().await?;
    let env: &'static TestEnv = Box::leak(Box::new(
        TestEnv::start(ClusterOptions::new(Tier::WithNodes)).await?,
    ));
    let options = StackOptions {
        hub_endpoint: Some(format!("http://{}", hub.listener.address)),
        ..StackOptions::default()
    };
    let stack = Stack::start(env, options).await?;
    let greedy = Arc::new(World::on(env, &stack.programs).await?);
    let modest = World::on(env, &stack.programs).await?;
    flood(&greedy).await?;
    env.eventually("the hub to be asked", LIMIT, async || {
        ensure!(!lock(&hub.asked).order.is_empty(), "no request");
        Ok(())
    })
    .await?;

    let asked_before = lock(&hub.asked).order.len();
    modest.apply(&of_hub(&modest, "of-hub", "b/modest")).await?;
    let name = modest.apply(&modest.inference("of-catalog")).await?;
    let answered = env
        .eventually("the claim of the other namespace", LIMIT, async || {
            ensure!(!modest.machines(&name).await?.is_empty(), "no claim");
            Ok(lock(&hub.asked).answers)
        })
        .await?;
    ensure!(
        answered <= ANSWERED_FIRST,
        "{answered} models of {GREEDY} were answered first"
    );
    let position = env
        .eventually("the hub to be asked for the other namespace", LIMIT, async || {
            hub.position("b/modest").context("not asked")
        })
        .await?;
    ensure!(
        position <= asked_before + ASKED_FIRST,
        "{position} models were asked about first, {asked_before} of them before it was wanted"
    );
    ensure!(lock(&hub.asked).answers < GREEDY, "nothing waited any more");
    modest.ready(&name).await
}

/// Applies all Workspaces of the greedy namespace.
async fn flood(world: &Arc<World>) -> Result<()> {
    let mut users = JoinSet::new();
    for user in 0..USERS {
        let world = Arc::clone(world);
        users.spawn(async move {
            for number in (user..GREEDY).step_by(USERS) {
                let number = number + 1;
                world
                    .apply(&of_hub(&world, &format!("m{number}"), &format!("a/m{number}")))
                    .await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(user) = users.join_next().await {
        user??;
    }
    Ok(())
}
