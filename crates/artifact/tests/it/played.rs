//! A registry in memory, for behavior that Debian's does not have.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, Method, StatusCode, Uri};
use oci_image::digest_of;
use serde_json::{Value, json};

/// Treatment of requests by the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Open,
    /// Requests without credentials are limited, and no challenge says which to send.
    LimitsAnonymous,
    /// Uploads are taken in one request only.
    RefusesChunks,
    /// Repositories are created by their owners only.
    NoRepository,
    /// Only tokens of Azure open it.
    Azure,
}

#[derive(Debug)]
pub(crate) struct Played {
    pub(crate) address: SocketAddr,
    state: Arc<Shelf>,
}

#[derive(Debug)]
struct Shelf {
    manner: Manner,
    address: SocketAddr,
    /// Blobs and manifests by the last part of their path.
    stored: Mutex<HashMap<String, Vec<u8>>>,
    seen: Mutex<Vec<String>>,
    /// Bytes of the next blob before its connection breaks.
    cut: Mutex<Option<usize>>,
}

impl Played {
    pub(crate) async fn start(manner: Manner) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Shelf {
            manner,
            address,
            stored: Mutex::default(),
            seen: Mutex::default(),
            cut: Mutex::default(),
        });
        let router = Router::new()
            .fallback(answer)
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(Arc::clone(&state));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, state }
    }

    pub(crate) fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    /// Stores a blob; gives its descriptor.
    pub(crate) fn blob(&self, kind: &str, bytes: &[u8], path: Option<&str>) -> Value {
        let digest = digest_of(bytes).unwrap().to_string();
        let mut stored = self.state.stored.lock().unwrap();
        stored.insert(digest.clone(), bytes.to_vec());
        let mut descriptor = json!({"mediaType": kind, "digest": digest, "size": bytes.len()});
        if let Some(path) = path {
            descriptor["annotations"] = json!({"org.cncf.model.filepath": path});
        }
        descriptor
    }

    /// Stores a model as ModelPack says.
    pub(crate) fn model(&self, tag: &str, layers: &[Value]) {
        let config = self.blob("application/vnd.cncf.model.config.v1+json", b"{}", None);
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "artifactType": "application/vnd.cncf.model.manifest.v1+json", "config": config, "layers": layers,
        });
        let mut stored = self.state.stored.lock().unwrap();
        stored.insert(tag.to_owned(), manifest.to_string().into_bytes());
    }

    pub(crate) fn cut_after(&self, bytes: usize) {
        *self.state.cut.lock().unwrap() = Some(bytes);
    }

    /// Requests since the last call: method, path, and range.
    pub(crate) fn seen(&self) -> Vec<String> {
        std::mem::take(&mut *self.state.seen.lock().unwrap())
    }
}

async fn answer(
    State(shelf): State<Arc<Shelf>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let range = header("range").unwrap_or_default();
    let line = format!("{method} {} {range}", uri.path());
    shelf.seen.lock().unwrap().push(line.trim().to_owned());
    if let Some(response) = shelf.gate(&uri, header("authorization").as_deref(), &body) {
        return response;
    }
    let last = uri.path().rsplit('/').next().unwrap().to_owned();
    match method {
        Method::POST => Response::builder()
            .status(202)
            .header("location", "/v2/a/blobs/uploads/one")
            .body(Body::empty())
            .unwrap(),
        Method::PATCH => status(405),
        Method::PUT => {
            // A body of unknown length is what such registries refuse too.
            assert_eq!(header("content-length").unwrap(), body.len().to_string());
            let digest = uri.query().and_then(|query| query.strip_prefix("digest="));
            let key = digest.map_or(last, |digest| digest.replace("%3A", ":"));
            shelf.stored.lock().unwrap().insert(key, body.to_vec());
            status(201)
        }
        _ => shelf.read(&last, &range),
    }
}

impl Shelf {
    /// The response to a request that may not pass.
    fn gate(&self, uri: &Uri, authorization: Option<&str>, body: &[u8]) -> Option<Response> {
        let form: HashMap<String, String> = url::form_urlencoded::parse(body).into_owned().collect();
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        let challenge = |text: String| {
            let builder = Response::builder().status(401).header("www-authenticate", text);
            Some(builder.body(Body::empty()).unwrap())
        };
        match (self.manner, uri.path()) {
            (Manner::LimitsAnonymous, "/v2/") => challenge("Basic realm=\"played\"".to_owned()),
            (Manner::NoRepository, path) if path.contains("/uploads/") => {
                let error = json!({"errors": [{"code": "NAME_UNKNOWN", "message": "no such repository"}]});
                let builder = Response::builder().status(404);
                Some(builder.body(Body::from(error.to_string())).unwrap())
            }
            (Manner::LimitsAnonymous, _) if authorization.is_none() => Some(status(429)),
            (Manner::Azure, "/the-tenant/oauth2/v2.0/token") => {
                assert_eq!(field("client_assertion"), "the pod's token");
                assert_eq!(field("client_id"), "the-client");
                Some(axum::response::IntoResponse::into_response(axum::Json(
                    json!({"access_token": "of Entra ID"}),
                )))
            }
            (Manner::Azure, "/oauth2/exchange") => {
                assert_eq!(field("grant_type"), "access_token");
                assert_eq!(field("service"), "played.azurecr.io");
                assert_eq!(field("access_token"), "of Entra ID");
                Some(axum::response::IntoResponse::into_response(axum::Json(
                    json!({"refresh_token": "of the registry"}),
                )))
            }
            (Manner::Azure, "/oauth2/token") if field("refresh_token") == "of the registry" => Some(
                axum::response::IntoResponse::into_response(axum::Json(json!({"access_token": "opens"}))),
            ),
            (Manner::Azure, "/oauth2/token") => Some(status(401)),
            (Manner::Azure, _) if authorization != Some("Bearer opens") => challenge(format!(
                "Bearer realm=\"http://{}/oauth2/token\",service=\"played.azurecr.io\"",
                self.address
            )),
            _ => None,
        }
    }

    fn read(&self, name: &str, range: &str) -> Response {
        let Some(bytes) = self.stored.lock().unwrap().get(name).cloned() else {
            return status(404);
        };
        let start: usize = range
            .strip_prefix("bytes=")
            .and_then(|range| range.trim_end_matches('-').parse().ok())
            .unwrap_or(0);
        let rest = bytes[start..].to_vec();
        let code = if start > 0 { 206 } else { 200 };
        let builder = Response::builder()
            .status(code)
            .header("content-length", rest.len());
        let mut next_cut = self.cut.lock().unwrap();
        let cut = next_cut.take_if(|at| *at < rest.len());
        drop(next_cut);
        let body = match cut {
            None => Body::from(rest),
            Some(at) => {
                let pieces: [std::io::Result<Bytes>; 2] = [
                    Ok(Bytes::copy_from_slice(&rest[..at])),
                    Err(std::io::Error::other("cut")),
                ];
                Body::from_stream(futures::stream::iter(pieces))
            }
        };
        builder.body(body).unwrap()
    }
}

fn status(code: u16) -> Response {
    let code = StatusCode::from_u16(code).unwrap();
    Response::builder().status(code).body(Body::empty()).unwrap()
}
