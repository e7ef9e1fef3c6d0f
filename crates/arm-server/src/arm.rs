//! HTTP handler of ARM: parses a request, applies faults, calls the simulated cloud and builds the response.

use std::future::pending;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::app::App;
use crate::envelope::{ArmError, ErrorBody, RetryAfter, nested};
use crate::faults::{Action, Verb};
use crate::headers;
use crate::listener::Breaker;
use crate::route::{Route, Thing};
use crate::world::{Condition, Reply, scripted_ending};

/// Versions of the API; entity tags came with [`ETAGS_SINCE`].
const VERSIONS: [&str; 14] = [
    "2023-11-01",
    "2024-01-01",
    "2024-02-01",
    "2024-05-01",
    "2024-07-01",
    "2024-08-01",
    "2024-09-01",
    "2025-01-01",
    "2025-02-01",
    "2025-03-01",
    "2025-04-01",
    "2025-05-01",
    "2025-07-01",
    "2025-08-01",
];
const ETAGS_SINCE: &str = "2024-09-01";
/// Versions of the lists of sizes and of quotas.
const COMPUTE_VERSIONS: [&str; 3] = ["2021-07-01", "2023-07-01", "2024-07-01"];

/// A parsed request.
#[derive(Debug)]
struct Asked {
    verb: Verb,
    route: Route,
    path: String,
    query: String,
    headers: HeaderMap,
    body: Bytes,
    etags: bool,
}

/// Handles every request except those for tokens and control.
pub(crate) async fn handle(
    State(app): State<App>,
    ConnectInfo(breaker): ConnectInfo<Breaker>,
    method: Method,
    uri: Uri,
    request_headers: HeaderMap,
    body: Bytes,
) -> Response {
    let route = Route::parse(uri.path());
    let verb = route.as_ref().and_then(|route| route.verb(method.as_str()));
    let pool = route.as_ref().and_then(Route::pool).map(str::to_owned);
    let at = u64::try_from(app.now().as_millis()).unwrap_or(u64::MAX);
    let seq = app
        .lock()
        .recorder
        .asked(at, method.as_str(), uri.path(), verb, pool.as_deref());
    let query = uri.query().unwrap_or_default().to_owned();
    let answer = match (route, verb) {
        (Some(route), Some(verb)) => {
            let asked = Asked {
                verb,
                route,
                path: uri.path().to_owned(),
                query,
                headers: request_headers,
                body,
                etags: false,
            };
            respond(&app, &breaker, asked).await
        }
        (Some(_), None) => Some(refuse(
            &app,
            verb,
            &nested(405, "MethodNotAllowed", "The HTTP method is not allowed."),
        )),
        (None, _) => {
            let text = "The resource type could not be found in the namespace 'Microsoft.ContainerService'.";
            Some(refuse(&app, verb, &nested(404, "InvalidResourceType", text)))
        }
    };
    match answer {
        Some(response) => {
            app.lock().recorder.answered(seq, response.status().as_u16());
            response
        }
        // The connection is broken, so this response is never sent.
        None => StatusCode::NO_CONTENT.into_response(),
    }
}

/// The response; `None` if the connection was broken.
async fn respond(app: &App, breaker: &Breaker, mut asked: Asked) -> Option<Response> {
    let verb = asked.verb;
    // A statement of its own, so that the lock is released below.
    let checked = app.lock().tokens.check(&asked.headers, app.now());
    if let Err(named) = checked {
        let error = app.lock().world.error(named, asked.route.pool());
        return Some(refuse(app, Some(verb), &error));
    }
    match check_version(&asked) {
        Ok(etags) => asked.etags = etags,
        Err(error) => return Some(refuse(app, Some(verb), &error)),
    }
    let actions = app.lock().faults.strike(verb, asked.route.pool());
    for action in &actions {
        match action {
            Action::Delay { millis } => tokio::time::sleep(Duration::from_millis(*millis)).await,
            Action::Raw { status, body } => {
                return Some((status_of(*status), body.clone()).into_response());
            }
            Action::Respond {
                error,
                retry_after,
                apply,
            } => {
                apply_if(*apply, app, &asked);
                let mut error = error.build(
                    &app.lock()
                        .world
                        .about(asked.route.pool(), size(&asked.body).as_deref()),
                );
                error.retry_after = retry_after.map(RetryAfter::Seconds).or(error.retry_after);
                return Some(refuse(app, Some(verb), &error));
            }
            Action::DropConnection { apply } => {
                apply_if(*apply, app, &asked);
                breaker.trip();
                return None;
            }
            Action::NeverAnswer { apply } => {
                apply_if(*apply, app, &asked);
                tokio::select! {
                    () = pending() => {}
                    () = app.stop().cancelled() => breaker.trip(),
                }
                return None;
            }
            Action::FailOperation { .. } | Action::StickOperation => {}
        }
    }
    if verb == Verb::Put {
        let pause = app.lock().world.behavior.put_ms;
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    Some(match carry_out(app, &asked, &actions) {
        Ok(reply) => show(app, &asked, reply),
        Err(error) => refuse(app, Some(verb), &error),
    })
}

/// Carries out a request whose response is lost.
fn apply_if(apply: bool, app: &App, asked: &Asked) {
    if apply && let Err(error) = carry_out(app, asked, &[]) {
        tracing::debug!(
            status = error.status,
            "a request whose answer is lost was refused, too"
        );
    }
}

/// Returns true if this version has entity tags.
fn check_version(asked: &Asked) -> Result<bool, ArmError> {
    let version = asked
        .query
        .split('&')
        .find_map(|pair| pair.strip_prefix("api-version="));
    if asked.verb == Verb::Operation {
        return Ok(false);
    }
    match version {
        None | Some("") => {
            let text = "The api-version query parameter (?api-version=) is required for all requests.";
            Err(nested(400, "MissingApiVersionParameter", text))
        }
        Some(version) if matches!(asked.verb, Verb::Skus | Verb::Usages) => {
            if COMPUTE_VERSIONS.contains(&version) {
                return Ok(false);
            }
            let text = format!("The api-version '{version}' is invalid for the compute provider.");
            Err(nested(400, "InvalidApiVersionParameter", &text))
        }
        Some(version) if VERSIONS.contains(&version) => Ok(version >= ETAGS_SINCE),
        Some(version) => {
            let known = VERSIONS.join(",");
            let text =
                format!("The api-version '{version}' is invalid. The supported versions are '{known}'.");
            Err(nested(400, "InvalidApiVersionParameter", &text))
        }
    }
}

/// Carries out a request.
fn carry_out(app: &App, asked: &Asked, actions: &[Action]) -> Result<Reply, ArmError> {
    let condition = if asked.etags {
        condition(&asked.headers)
    } else {
        Condition::default()
    };
    let route = &asked.route;
    let base = format!("{}{}", headers::base_url(&asked.headers), list_path(route));
    app.change(|inner, now| {
        let world = &mut inner.world;
        world.locate(&route.subscription, route.cluster.as_ref())?;
        world.spend(now, asked.verb, route.pool())?;
        let about = world.about(route.pool(), size(&asked.body).as_deref());
        let scripted = scripted_ending(actions, &about);
        match (&route.thing, asked.verb) {
            (Thing::Pool(name), Verb::Put) => {
                let sent = serde_json::from_slice(&asked.body).map_err(|_| {
                    nested(
                        400,
                        "InvalidRequestContent",
                        "The request content was invalid and could not be deserialized.",
                    )
                })?;
                world.put(now, name, &sent, &condition, scripted.as_ref(), asked.etags)
            }
            (Thing::Pool(name), Verb::Delete) => {
                let ignores_budgets = asked
                    .query
                    .split('&')
                    .any(|pair| pair == "ignore-pod-disruption-budget=true");
                world.delete(now, name, &condition, scripted.as_ref(), ignores_budgets)
            }
            (Thing::Pool(name), _) => world.get(now, name, asked.etags),
            (Thing::Abort(name), _) => world.abort(now, name, asked.etags),
            (Thing::Cluster, _) => Ok(world.cluster()),
            (Thing::Operation(id), _) => world.operation(id, &asked.query),
            (Thing::OperationResult(id), _) => world.operation_result(id, &asked.query),
            (Thing::Skus, _) => Ok(paged(
                asked,
                &world.skus(region(&asked.query).as_deref()),
                world.page_size(),
            )),
            (Thing::Usages(place), _) => Ok(paged(asked, &world.usages(place), world.page_size())),
            (Thing::Pools, _) => {
                let (page, next) = world.list(now, skip(&asked.query), asked.etags);
                Ok(page_of(
                    &page,
                    next.map(|next| next_link(&base, &asked.query, next)),
                ))
            }
        }
    })
}

fn condition(headers: &HeaderMap) -> Condition {
    let text = |name: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.map(|value| value.trim_matches('"').to_owned())
    };
    Condition {
        if_match: text("if-match"),
        if_none_match: text("if-none-match"),
    }
}

fn list_path(route: &Route) -> String {
    let (group, cluster) = route.cluster.clone().unwrap_or_default();
    let subscription = &route.subscription;
    format!(
        "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ContainerService/managedClusters/{cluster}/\
         agentPools"
    )
}

fn skip(query: &str) -> usize {
    let token = query.split('&').find_map(|pair| pair.strip_prefix("skipToken="));
    token.and_then(|token| token.parse().ok()).unwrap_or_default()
}

/// Reads the skip token, which the service also calls `$skipToken`.
fn next_link(base: &str, query: &str, next: usize) -> String {
    let version = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("api-version="))
        .unwrap_or_default();
    format!("{base}?%24skipToken={next}&api-version={version}&skipToken={next}")
}

/// One page of a list of the compute provider. The next link keeps the filter.
fn paged(asked: &Asked, all: &[Value], size: usize) -> Reply {
    let from = skip(&asked.query);
    let page: Vec<Value> = all.iter().skip(from).take(size).cloned().collect();
    let next = Some(from.saturating_add(page.len())).filter(|next| *next < all.len());
    let kept = asked
        .query
        .split('&')
        .filter(|pair| !pair.starts_with("skipToken="));
    let kept = kept.collect::<Vec<_>>().join("&");
    let base = format!("{}{}", headers::base_url(&asked.headers), asked.path);
    page_of(&page, next.map(|next| format!("{base}?{kept}&skipToken={next}")))
}

/// The region that a filter names.
fn region(query: &str) -> Option<String> {
    let url = reqwest::Url::parse(&format!("http://localhost/?{query}")).ok()?;
    let (_, filter) = url.query_pairs().find(|(name, _)| name == "$filter")?;
    let value = filter.trim().strip_prefix("location eq ")?;
    Some(value.trim().trim_matches('\'').to_owned())
}

fn page_of(page: &[Value], next_link: Option<String>) -> Reply {
    let mut body = json!({"value": page});
    if let Some(next_link) = next_link {
        body["nextLink"] = json!(next_link);
    }
    Reply {
        status: 200,
        body: Some(body),
        operation: None,
        location: false,
    }
}

fn size(body: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(body).ok()?;
    value
        .pointer("/properties/vmSize")
        .and_then(Value::as_str)
        .map(str::to_owned)
}

fn status_of(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Builds the response to a success.
fn show(app: &App, asked: &Asked, reply: Reply) -> Response {
    let mut response = match reply.body {
        Some(body) => (status_of(reply.status), axum::Json(body)).into_response(),
        None => status_of(reply.status).into_response(),
    };
    let out = response.headers_mut();
    // The request id of a write is the id of its operation.
    let request_id = match &reply.operation {
        Some((id, _)) => id.clone(),
        None => app.lock().world.ids.guid(),
    };
    let left = app.lock().world.requests_left(asked.verb);
    headers::common(out, Some(asked.verb), &request_id, left);
    if let Some((id, seal)) = &reply.operation {
        let base = headers::base_url(&asked.headers);
        let site = app.lock().world.site.clone();
        let place = (site.subscription.as_str(), site.location.as_str());
        let url = |kind| headers::operation_url(&base, place, kind, (id, seal));
        if asked.verb != Verb::Operation {
            headers::set(out, "azure-asyncoperation", &url("operations"));
        }
        if reply.location {
            headers::set(out, "location", &url("operationresults"));
        }
    }
    response
}

/// Builds the response to an error.
fn refuse(app: &App, verb: Option<Verb>, error: &ArmError) -> Response {
    let status = status_of(error.status);
    let mut response = match &error.body {
        ErrorBody::Nested(body) => (status, axum::Json(json!({"error": body}))).into_response(),
        ErrorBody::Flat(body) => (status, axum::Json(body)).into_response(),
        ErrorBody::Html(page) => (status, axum::response::Html(*page)).into_response(),
        ErrorBody::Empty => status.into_response(),
    };
    let request_id = app.lock().world.ids.guid();
    let out = response.headers_mut();
    if error.is_of_gateway() {
        headers::of_gateway(out, &request_id);
    } else {
        headers::common(out, verb, &request_id, None);
    }
    if let Some(retry_after) = error.retry_after {
        headers::retry_after(out, retry_after);
    }
    if error.status == 401 {
        let challenge = "Bearer authorization_uri=\"https://login.windows.net/\", error=\"invalid_token\"";
        out.insert("www-authenticate", HeaderValue::from_static(challenge));
    }
    response
}
