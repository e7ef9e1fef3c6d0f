//! Callers with tokens, against an API server whose HTTP is played.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use preset_registry::{ServerOptions, TokenOptions};
use preset_registry_api::v1::{GetPresetRequest, WatchPresetsRequest};
use serde_json::{Value, json};
use tokio_stream::StreamExt as _;
use tonic::{Code, Request};
use tonic_health::pb::health_check_response::ServingStatus;

use crate::running::{Running, SERVICE};

const AUDIENCE: &str = "kaito-preset-registry.kaito-system.svc";

/// Knows the accounts whose tokens it signed, and those that have the right.
#[derive(Default)]
struct ApiServer {
    permitted: Mutex<BTreeSet<String>>,
    down: AtomicBool,
    token_reviews: AtomicUsize,
}

type Shared = Arc<ApiServer>;

async fn token_review(State(api): State<Shared>, Json(body): Json<Value>) -> Result<Json<Value>, StatusCode> {
    api.token_reviews.fetch_add(1, Ordering::SeqCst);
    if api.down.load(Ordering::SeqCst) {
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    assert_eq!(body["spec"]["audiences"], json!([AUDIENCE]));
    let claims = body["spec"]["token"].as_str().unwrap().split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    let status = if claims["signed"] == true {
        json!({"authenticated": true, "audiences": [AUDIENCE], "user": {"username": claims["sub"]}})
    } else {
        json!({"authenticated": false, "error": "bad signature"})
    };
    Ok(Json(
        json!({"metadata": {}, "spec": {"token": ""}, "status": status}),
    ))
}

async fn access_review(
    State(api): State<Shared>,
    Json(body): Json<Value>,
) -> Result<Json<Value>, StatusCode> {
    if api.down.load(Ordering::SeqCst) {
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    let expected =
        json!({"namespace": "kaito-system", "verb": "get", "group": "kaito.sh", "resource": "presets"});
    assert_eq!(body["spec"]["resourceAttributes"], expected);
    let user = body["spec"]["user"].as_str().unwrap();
    let allowed = api.permitted.lock().unwrap().contains(user);
    Ok(Json(
        json!({"metadata": {}, "spec": {}, "status": {"allowed": allowed}}),
    ))
}

/// An API server that permits `controller`, and a registry that asks it.
async fn start(fresh: Duration, grace: Duration) -> (Shared, Running) {
    let api = Shared::default();
    api.permitted.lock().unwrap().insert("controller".to_owned());
    let router = Router::new()
        .route("/apis/authentication.k8s.io/v1/tokenreviews", post(token_review))
        .route(
            "/apis/authorization.k8s.io/v1/subjectaccessreviews",
            post(access_review),
        )
        .with_state(Arc::clone(&api));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut config = kube::Config::new(address.parse().unwrap());
    config.default_retry = false;
    let client = kube::Client::try_from(config).unwrap();
    let options = TokenOptions {
        fresh,
        grace,
        ..TokenOptions::new(AUDIENCE.to_owned(), "kaito-system".to_owned())
    };
    let running = Running::with_tokens(ServerOptions::default(), Some((options, client))).await;
    (api, running)
}

fn token_for(audience: &str, account: &str, signed: bool, seconds: u64) -> String {
    let end = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + seconds;
    let claims = json!({"aud": [audience], "exp": end, "sub": account, "signed": signed});
    format!("e30.{}.signature", URL_SAFE_NO_PAD.encode(claims.to_string()))
}

fn with_token<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

async fn ask(running: &Running, token: &str) -> Code {
    let request = GetPresetRequest {
        name: "phi-4".to_owned(),
    };
    match running.presets().get_preset(with_token(request, token)).await {
        Ok(_) => Code::Ok,
        Err(status) => status.code(),
    }
}

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn only_an_account_with_the_right_is_answered() {
    let (api, running) = start(MINUTE, MINUTE).await;
    assert_eq!(
        running.get("phi-4").await.unwrap_err().code(),
        Code::Unauthenticated
    );
    for useless in [
        "",
        "x",
        &token_for("https://kubernetes.default.svc", "controller", true, 60),
    ] {
        assert_eq!(ask(&running, useless).await, Code::Unauthenticated, "{useless}");
    }
    assert_eq!(
        api.token_reviews.load(Ordering::SeqCst),
        0,
        "refused without a review"
    );
    let forged = token_for(AUDIENCE, "controller", false, 60);
    assert_eq!(ask(&running, &forged).await, Code::Unauthenticated);
    let foreign = token_for(AUDIENCE, "tenant", true, 60);
    assert_eq!(ask(&running, &foreign).await, Code::PermissionDenied);
    let reviews = api.token_reviews.load(Ordering::SeqCst);
    let good = token_for(AUDIENCE, "controller", true, 60);
    for _ in 0..20 {
        assert_eq!(ask(&running, &good).await, Code::Ok);
        assert_eq!(ask(&running, &foreign).await, Code::PermissionDenied);
    }
    assert_eq!(
        api.token_reviews.load(Ordering::SeqCst),
        reviews + 1,
        "verdicts are kept"
    );
    // Load balancers have no token.
    assert_eq!(running.health(SERVICE).await, ServingStatus::Serving);
}

#[tokio::test]
async fn a_flood_of_forged_tokens_is_not_passed_on() {
    let (api, running) = start(MINUTE, MINUTE).await;
    let good = token_for(AUDIENCE, "controller", true, 60);
    assert_eq!(ask(&running, &good).await, Code::Ok);
    for number in 0..100 {
        let forged = token_for(AUDIENCE, &format!("forged-{number}"), false, 60);
        assert_ne!(ask(&running, &forged).await, Code::Ok);
    }
    assert_eq!(
        api.token_reviews.load(Ordering::SeqCst),
        21,
        "twenty, and the good one"
    );
    assert_eq!(ask(&running, &good).await, Code::Ok);
}

#[tokio::test]
async fn without_an_api_server_known_callers_stay_for_a_while_and_new_ones_wait() {
    let (api, running) = start(Duration::from_millis(50), Duration::from_secs(1)).await;
    let good = token_for(AUDIENCE, "controller", true, 60);
    assert_eq!(ask(&running, &good).await, Code::Ok);
    api.down.store(true, Ordering::SeqCst);
    let other = token_for(AUDIENCE, "controller", true, 30);
    assert_eq!(ask(&running, &other).await, Code::Unavailable);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(ask(&running, &good).await, Code::Ok);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(ask(&running, &good).await, Code::Unavailable, "it fails closed");
    api.down.store(false, Ordering::SeqCst);
    assert_eq!(ask(&running, &good).await, Code::Ok);
}

#[tokio::test]
async fn a_stream_ends_with_the_right_and_with_the_token() {
    let (api, running) = start(Duration::from_millis(100), MINUTE).await;
    let first_end = async |token: String| {
        let request = with_token(WatchPresetsRequest::default(), &token);
        let mut stream = running
            .presets()
            .watch_presets(request)
            .await
            .unwrap()
            .into_inner();
        loop {
            match stream.next().await.unwrap() {
                Ok(_) => {}
                Err(status) => return status.code(),
            }
        }
    };
    let short = first_end(token_for(AUDIENCE, "controller", true, 2));
    let short = tokio::time::timeout(MINUTE, short).await.unwrap();
    assert_eq!(short, Code::Unauthenticated);
    let long = first_end(token_for(AUDIENCE, "controller", true, 600));
    let revoke = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        api.permitted.lock().unwrap().clear();
    };
    let (long, ()) = tokio::join!(tokio::time::timeout(MINUTE, long), revoke);
    assert_eq!(long.unwrap(), Code::PermissionDenied);
}
