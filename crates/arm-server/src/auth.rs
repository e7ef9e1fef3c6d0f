//! The token service: exchanges client assertions for access tokens, and checks these.
//!
//! Access tokens are random words that only this server accepts.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::{Form, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing};
use serde_json::{Value, json};

use crate::app::App;
use crate::config::ArmServerConfig;
use crate::faults::{Action, Verb};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The routes of the token service, at the root.
pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/{tenant}/oauth2/v2.0/token", routing::post(token))
        .route(
            "/{tenant}/v2.0/.well-known/openid-configuration",
            routing::get(discovery),
        )
        .route("/common/discovery/instance", routing::get(instances))
}

async fn token(
    State(app): State<App>,
    Path(tenant): Path<String>,
    Form(fields): Form<BTreeMap<String, String>>,
) -> Response {
    let path = format!("/{tenant}/oauth2/v2.0/token");
    let at = u64::try_from(app.now().as_millis()).unwrap_or(u64::MAX);
    let seq = app
        .lock()
        .recorder
        .asked(at, "POST", &path, Some(Verb::Token), None);
    let actions = app.lock().faults.strike(Verb::Token, None);
    for action in &actions {
        if let Action::Delay { millis } = action {
            tokio::time::sleep(Duration::from_millis(*millis)).await;
        }
    }
    let scripted = actions
        .iter()
        .any(|action| !matches!(action, Action::Delay { .. }));
    let response = match check(app.config(), &tenant, &fields).await {
        Err(refusal) => refusal.into_response(),
        Ok(()) if scripted => AuthRefusal(
            503,
            "temporarily_unavailable",
            90033,
            "A transient error has occurred.",
        )
        .into_response(),
        Ok(()) => issue(&app),
    };
    app.lock().recorder.answered(seq, response.status().as_u16());
    response
}

fn issue(app: &App) -> Response {
    let seconds = app.config().token_seconds;
    let expires_at = app.now() + Duration::from_secs(seconds);
    let token = app.lock().tokens.issue(expires_at);
    let body = json!({
        "token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": token,
    });
    Json(body).into_response()
}

/// Status, OAuth error, AADSTS number and text.
struct AuthRefusal(u16, &'static str, u32, &'static str);

impl IntoResponse for AuthRefusal {
    fn into_response(self) -> Response {
        let Self(status, error, number, text) = self;
        let body = json!({
            "error": error,
            "error_description": format!("AADSTS{number}: {text}"),
            "error_codes": [number],
            "timestamp": "2026-01-01 00:00:00Z",
            "trace_id": "00000000-0000-0000-0000-000000000000",
            "correlation_id": "00000000-0000-0000-0000-000000000000",
        });
        (
            StatusCode::from_u16(status).unwrap_or(StatusCode::UNAUTHORIZED),
            Json(body),
        )
            .into_response()
    }
}

async fn check(
    config: &ArmServerConfig,
    tenant: &str,
    fields: &BTreeMap<String, String>,
) -> Result<(), AuthRefusal> {
    let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    if config
        .tenant
        .as_ref()
        .is_some_and(|known| !known.eq_ignore_ascii_case(tenant))
    {
        return Err(AuthRefusal(400, "invalid_request", 90002, "Tenant not found."));
    }
    if field("grant_type") != "client_credentials" {
        return Err(AuthRefusal(
            400,
            "unsupported_grant_type",
            70003,
            "The app requested an unsupported grant type.",
        ));
    }
    if field("client_assertion_type") != ASSERTION_TYPE {
        return Err(AuthRefusal(
            400,
            "invalid_request",
            900_144,
            "The request body must contain: 'client_assertion_type'.",
        ));
    }
    if !field("scope").ends_with("/.default") {
        return Err(AuthRefusal(
            400,
            "invalid_scope",
            1_002_012,
            "The provided value for scope is not valid.",
        ));
    }
    let client = field("client_id");
    if client.is_empty()
        || config
            .client_id
            .as_ref()
            .is_some_and(|known| !known.eq_ignore_ascii_case(client))
    {
        return Err(AuthRefusal(
            400,
            "unauthorized_client",
            700_016,
            "Application not found in the directory.",
        ));
    }
    check_assertion(config, field("client_assertion")).await
}

async fn check_assertion(config: &ArmServerConfig, assertion: &str) -> Result<(), AuthRefusal> {
    let assertion = assertion.trim();
    let known = match &config.token_file {
        None => !assertion.is_empty(),
        Some(path) => match tokio::fs::read_to_string(path).await {
            Ok(text) => !assertion.is_empty() && text.trim() == assertion,
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "failed to read the token file");
                false
            }
        },
    };
    if known {
        return Ok(());
    }
    let text = "No matching federated identity record found for presented assertion subject.";
    Err(AuthRefusal(401, "invalid_client", 70021, text))
}

async fn discovery(Path(tenant): Path<String>, headers: HeaderMap) -> Json<Value> {
    let base = crate::headers::base_url(&headers);
    Json(json!({
        "issuer": format!("{base}/{tenant}/v2.0"),
        "token_endpoint": format!("{base}/{tenant}/oauth2/v2.0/token"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
        "response_types_supported": ["code", "id_token"],
    }))
}

async fn instances(headers: HeaderMap) -> Json<Value> {
    let base = crate::headers::base_url(&headers);
    let host = base.trim_start_matches("http://");
    Json(json!({
        "tenant_discovery_endpoint": format!("{base}/common/v2.0/.well-known/openid-configuration"),
        "api-version": "1.1",
        "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}],
    }))
}
