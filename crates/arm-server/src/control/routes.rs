//! Handlers of the control API.

use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::Deserialize;

use super::{Behavior, ClusterView, Counters, FaultRule, NumberedFault, PoolEdit, PoolView, Recorded};
use crate::app::App;

/// The routes, below `/_control`.
pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/faults", get(list_faults).post(add_fault).delete(clear_faults))
        .route("/faults/{id}", axum::routing::delete(remove_fault))
        .route("/behavior", get(behavior).put(set_behavior))
        .route("/cluster", get(cluster).put(set_cluster))
        .route("/pools", get(pools))
        .route("/pools/{name}", put(edit_pool).delete(remove_pool))
        .route("/pools/{name}/evict", post(evict_pool))
        .route("/requests", get(requests).delete(clear_requests))
        .route("/counters", get(counters))
        .route("/tokens/revoke", post(revoke_tokens))
}

async fn list_faults(State(app): State<App>) -> Json<Vec<NumberedFault>> {
    let rules = app.lock().faults.list();
    Json(
        rules
            .into_iter()
            .map(|(id, rule)| NumberedFault { id, rule })
            .collect(),
    )
}

async fn add_fault(State(app): State<App>, Json(rule): Json<FaultRule>) -> Json<NumberedFault> {
    let id = app.lock().faults.add(rule.clone());
    Json(NumberedFault { id, rule })
}

async fn clear_faults(State(app): State<App>) -> StatusCode {
    app.lock().faults.clear();
    StatusCode::NO_CONTENT
}

async fn remove_fault(State(app): State<App>, Path(id): Path<u64>) -> StatusCode {
    found(app.lock().faults.remove(id))
}

async fn behavior(State(app): State<App>) -> Json<Behavior> {
    Json(app.lock().world.behavior.clone())
}

async fn set_behavior(State(app): State<App>, Json(behavior): Json<Behavior>) -> StatusCode {
    app.change(|inner, _| inner.world.behavior = behavior);
    StatusCode::NO_CONTENT
}

async fn cluster(State(app): State<App>) -> Json<ClusterView> {
    Json(app.lock().world.state.clone())
}

async fn set_cluster(State(app): State<App>, Json(state): Json<ClusterView>) -> StatusCode {
    app.change(|inner, now| {
        inner.world.turn_cluster(now, state.stopped);
        inner.world.state = state;
    });
    StatusCode::NO_CONTENT
}

async fn pools(State(app): State<App>) -> Json<Vec<PoolView>> {
    Json(app.change(|inner, _| inner.world.view()))
}

async fn edit_pool(
    State(app): State<App>,
    Path(name): Path<String>,
    Json(edit): Json<PoolEdit>,
) -> StatusCode {
    app.change(|inner, now| inner.world.edit(now, &name, &edit));
    StatusCode::NO_CONTENT
}

async fn remove_pool(State(app): State<App>, Path(name): Path<String>) -> StatusCode {
    found(app.change(|inner, now| inner.world.vanish(now, &name)))
}

#[derive(Deserialize)]
struct Eviction {
    #[serde(default)]
    notice_ms: u64,
}

async fn evict_pool(
    State(app): State<App>,
    Path(name): Path<String>,
    Query(eviction): Query<Eviction>,
) -> StatusCode {
    let notice = Duration::from_millis(eviction.notice_ms);
    found(app.change(|inner, now| inner.world.evict(now, &name, notice)))
}

#[derive(Deserialize)]
struct Since {
    #[serde(default)]
    since: u64,
}

async fn requests(State(app): State<App>, Query(query): Query<Since>) -> Json<Vec<Recorded>> {
    Json(app.lock().recorder.since(query.since))
}

async fn clear_requests(State(app): State<App>) -> StatusCode {
    app.lock().recorder.clear();
    StatusCode::NO_CONTENT
}

async fn counters(State(app): State<App>) -> Json<Counters> {
    Json(app.lock().recorder.counters())
}

async fn revoke_tokens(State(app): State<App>) -> StatusCode {
    app.lock().tokens.revoke();
    StatusCode::NO_CONTENT
}

fn found(found: bool) -> StatusCode {
    if found {
        StatusCode::NO_CONTENT
    } else {
        StatusCode::NOT_FOUND
    }
}
