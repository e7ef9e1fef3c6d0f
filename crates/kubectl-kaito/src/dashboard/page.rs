//! The page, served on 127.0.0.1 to its owner.
//!
//! A random word in the address keeps other users of this machine out. The `Host` of a request must be that of the address: a page of the
//! internet whose name resolves to 127.0.0.1 sends another one. The policy of the page allows no other origin and no markup from data.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use futures::stream;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Bytes of the secret word.
const SECRET: usize = 16;
/// Headers of every response.
const HEADERS: [(HeaderName, &str); 5] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
    ),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-store"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

/// The page with its address.
pub(super) struct Page {
    listener: TcpListener,
    address: SocketAddr,
    secret: String,
}

/// Requirements on a request.
struct Door {
    /// First part of the path.
    secret: String,
    hosts: [String; 2],
}

impl Page {
    /// Takes a port; 0 is any free one.
    ///
    /// # Errors
    /// Fails if the port is taken.
    pub(super) async fn bind(port: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
        let listener = listener.with_context(|| format!("failed to listen on 127.0.0.1:{port}"))?;
        Ok(Self {
            address: listener.local_addr()?,
            secret: secret()?,
            listener,
        })
    }

    /// Address for the browser.
    pub(super) fn url(&self) -> String {
        format!("http://{}/{}/", self.address, self.secret)
    }

    /// Serves the page and each picture until the program ends.
    ///
    /// # Errors
    /// Fails if the socket does.
    pub(super) async fn serve(self, pictures: watch::Receiver<String>) -> anyhow::Result<()> {
        let port = self.address.port();
        let door = Arc::new(Door {
            hosts: [format!("127.0.0.1:{port}"), format!("localhost:{port}")],
            secret: self.secret,
        });
        let file = |kind: &'static str, text: &'static str| get(async move || ([(CONTENT_TYPE, kind)], text));
        let at = |name: &str| format!("/{}/{name}", door.secret);
        let router = Router::new()
            .route(&at(""), get(index))
            .route(
                &at("page.js"),
                file("text/javascript; charset=utf-8", include_str!("page.js")),
            )
            .route(
                &at("page.css"),
                file("text/css; charset=utf-8", include_str!("page.css")),
            )
            .route(&at("icon.svg"), file("image/svg+xml", include_str!("icon.svg")))
            .route(&at("events"), get(events))
            .with_state(pictures)
            .layer(middleware::from_fn_with_state(Arc::clone(&door), guard));
        axum::serve(self.listener, router)
            .await
            .context("failed to serve the page")
    }
}

/// A word that no other program can guess.
fn secret() -> anyhow::Result<String> {
    let mut bytes = [0; SECRET];
    let random = rustls::crypto::ring::default_provider().secure_random;
    random
        .fill(&mut bytes)
        .map_err(|_| anyhow::anyhow!("failed to get random bytes"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Lets in who knows the secret and came by the address.
async fn guard(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    let mut response = match door.refusal(&request) {
        Some((status, words)) => (status, words).into_response(),
        None => next.run(request).await,
    };
    for (name, value) in HEADERS {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

impl Door {
    fn refusal(&self, request: &Request) -> Option<(StatusCode, &'static str)> {
        let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
        if !host.is_some_and(|host| self.hosts.iter().any(|own| own == host)) {
            return Some((
                StatusCode::MISDIRECTED_REQUEST,
                "The host must be that of the printed address.\n",
            ));
        }
        let first = request.uri().path().split('/').nth(1);
        // A guess of 128 random bits gains nothing from the time of this comparison.
        if first != Some(self.secret.as_str()) {
            return Some((
                StatusCode::FORBIDDEN,
                "The address must have the secret that was printed.\n",
            ));
        }
        None
    }
}

/// The page with the picture as it is now, so that it is drawn at once.
async fn index(State(pictures): State<watch::Receiver<String>>) -> Response {
    // Data cannot end the element that it stands in.
    let picture = pictures.borrow().replace('<', "\\u003c");
    let page = include_str!("page.html").replacen("PICTURE", &picture, 1);
    ([(CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response()
}

/// The picture as it is now, then each newer one.
async fn events(State(pictures): State<watch::Receiver<String>>) -> Response {
    let stream = stream::unfold((pictures, true), async |(mut pictures, is_first)| {
        if !is_first {
            pictures.changed().await.ok()?;
        }
        let data = pictures.borrow_and_update().clone();
        Some((
            Ok::<_, Infallible>(Event::default().data(data)),
            (pictures, false),
        ))
    });
    Sse::new(stream).keep_alive(KeepAlive::default()).into_response()
}

#[cfg(test)]
mod tests;
