//! A server with the paths of a model hub, and with the faults that tests want.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A repository: the commit at its head and its files.
#[derive(Clone, Default)]
pub(crate) struct Repository {
    pub(crate) commit: char,
    pub(crate) more: String,
    pub(crate) files: BTreeMap<String, Bytes>,
}

/// The fault of the server.
#[derive(Clone, Default, PartialEq)]
pub(crate) enum Mood {
    #[default]
    Fine,
    /// Answers everything with this status and these headers.
    Refuses(StatusCode, Vec<(&'static str, &'static str)>),
    /// Redirects files to this address, with the file's path after it.
    Redirects(String),
    /// Sends files without end.
    Endless,
    /// Takes this long for every answer.
    Slow(Duration),
    /// States sizes only for a range.
    NoLengths,
}

#[derive(Default)]
struct Inside {
    repositories: BTreeMap<String, Repository>,
    mood: Mood,
    token: Option<String>,
    requests: Vec<String>,
}

/// The server; it ends with the test's runtime.
#[derive(Clone)]
pub(crate) struct Hub {
    inside: Arc<Mutex<Inside>>,
    pub(crate) address: SocketAddr,
}

impl Hub {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hub = Self {
            inside: Arc::default(),
            address: listener.local_addr().unwrap(),
        };
        let router = hub.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        hub
    }

    /// The same, encrypted with this certificate and key in PEM.
    pub(crate) async fn start_encrypted(certificate: &str, key: &str) -> Self {
        let chain = CertificateDer::pem_slice_iter(certificate.as_bytes());
        let chain = chain.collect::<Result<_, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hub = Self {
            inside: Arc::default(),
            address: listener.local_addr().unwrap(),
        };
        let encrypted = Encrypted {
            listener,
            acceptor: TlsAcceptor::from(Arc::new(config)),
        };
        let router = hub.router();
        tokio::spawn(async move { axum::serve(encrypted, router).await });
        hub
    }

    fn router(&self) -> Router {
        Router::new()
            .route("/api/models/{owner}/{name}", get(about))
            .route("/{owner}/{name}/resolve/{commit}/{file}", get(file))
            .route("/cdn/{owner}/{name}/resolve/{commit}/{file}", get(plain_file))
            .with_state(self.clone())
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn add(&self, id: &str, repository: Repository) {
        self.inside
            .lock()
            .unwrap()
            .repositories
            .insert(id.to_owned(), repository);
    }

    pub(crate) fn set(&self, mood: Mood) {
        self.inside.lock().unwrap().mood = mood;
    }

    /// From now on only this token is let in.
    pub(crate) fn require(&self, token: &str) {
        self.inside.lock().unwrap().token = Some(token.to_owned());
    }

    /// The requests since the last call.
    pub(crate) fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.inside.lock().unwrap().requests)
    }

    /// Notes the request; the answer if it is refused.
    async fn receive(&self, what: String, headers: &HeaderMap) -> Result<Mood, Response> {
        let (mood, token) = {
            let mut inside = self.inside.lock().unwrap();
            inside.requests.push(what);
            (inside.mood.clone(), inside.token.clone())
        };
        if let Mood::Slow(pause) = &mood {
            tokio::time::sleep(*pause).await;
        }
        if let Mood::Refuses(status, headers) = &mood {
            let mut response = status.into_response();
            for (name, value) in headers {
                response.headers_mut().insert(*name, value.parse().unwrap());
            }
            return Err(response);
        }
        let shown = headers
            .get(header::AUTHORIZATION)
            .map(|value| value.to_str().unwrap().to_owned());
        match token {
            Some(token) if shown != Some(format!("Bearer {token}")) => {
                let status = if shown.is_some() {
                    StatusCode::FORBIDDEN
                } else {
                    StatusCode::UNAUTHORIZED
                };
                Err(status.into_response())
            }
            _ => Ok(mood),
        }
    }

    /// As the hub does, in any letter case.
    fn find(&self, owner: &str, name: &str) -> Option<(String, Repository)> {
        let wanted = format!("{owner}/{name}");
        let inside = self.inside.lock().unwrap();
        let found = inside
            .repositories
            .iter()
            .find(|(id, _)| id.eq_ignore_ascii_case(&wanted));
        found.map(|(id, repository)| (id.clone(), repository.clone()))
    }
}

/// Accepts encrypted connections; those that fail are dropped.
struct Encrypted {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl axum::serve::Listener for Encrypted {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (socket, address) = self.listener.accept().await.unwrap();
            if let Ok(stream) = self.acceptor.accept(socket).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

async fn about(
    State(hub): State<Hub>,
    Path((owner, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    if let Err(response) = hub.receive(format!("about {owner}/{name}"), &headers).await {
        return response;
    }
    let Some((id, repository)) = hub.find(&owner, &name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let commit = repository.commit.to_string().repeat(40);
    let siblings: Vec<_> = repository
        .files
        .keys()
        .map(|file| format!("{{\"rfilename\": \"{file}\"}}"))
        .collect();
    let more = repository.more;
    format!(
        "{{\"id\": \"{id}\", \"sha\": \"{commit}\", \"private\": false, \"siblings\": [{}]{more}}}",
        siblings.join(", ")
    )
    .into_response()
}

type FilePath = Path<(String, String, String, String)>;

async fn file(
    State(hub): State<Hub>,
    Path((owner, name, commit, file)): FilePath,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let mood = match hub
        .receive(format!("{method} {owner}/{name} {file}"), &headers)
        .await
    {
        Ok(mood) => mood,
        Err(response) => return response,
    };
    let Some(bytes) = hub
        .find(&owner, &name)
        .filter(|(_, repository)| repository.commit.to_string().repeat(40) == commit)
        .and_then(|(_, repository)| repository.files.get(&file).cloned())
    else {
        return StatusCode::NOT_FOUND.into_response();
    };
    match mood {
        Mood::Redirects(to) => {
            let location = format!("{to}/{owner}/{name}/resolve/{commit}/{file}");
            (StatusCode::FOUND, [(header::LOCATION, location)]).into_response()
        }
        Mood::Endless => {
            let chunks =
                futures::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 1024])));
            Body::from_stream(chunks).into_response()
        }
        Mood::NoLengths if headers.contains_key(header::RANGE) => {
            let range = format!("bytes 0-0/{}", bytes.len());
            (
                StatusCode::PARTIAL_CONTENT,
                [(header::CONTENT_RANGE, range)],
                bytes.slice(..1),
            )
                .into_response()
        }
        Mood::NoLengths => {
            Body::from_stream(futures::stream::iter([Ok::<_, std::io::Error>(bytes)])).into_response()
        }
        _ => bytes.into_response(),
    }
}

/// The target of redirects.
async fn plain_file(State(hub): State<Hub>, Path((owner, name, _, file)): FilePath) -> Response {
    let found = hub
        .find(&owner, &name)
        .and_then(|(_, repository)| repository.files.get(&file).cloned());
    found.map_or_else(
        || StatusCode::NOT_FOUND.into_response(),
        |bytes| bytes.into_response(),
    )
}
