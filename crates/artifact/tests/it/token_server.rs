//! A token server like those of cloud registries. It gives tokens for passwords and for identity tokens, and anonymous ones
//! for reading.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Form, RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderMap, StatusCode};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::json;
use testkit::image_registry::{PASSWORD, USER};

pub(crate) const IDENTITY: &str = "an-identity-token";

#[derive(Debug)]
pub(crate) struct TokenServer {
    pub(crate) address: SocketAddr,
    /// The registry's certificate for its tokens.
    pub(crate) certificate: PathBuf,
    _scratch: tempfile::TempDir,
    state: Arc<Signer>,
}

#[derive(Debug)]
struct Signer {
    key: EcdsaKeyPair,
    certificate: Vec<u8>,
    /// Users and the scopes of their tokens.
    given: Mutex<Vec<String>>,
}

impl TokenServer {
    pub(crate) async fn start() -> Self {
        let certified = rcgen::generate_simple_self_signed(["token-server".to_owned()]).unwrap();
        let pkcs8 = certified.signing_key.serialize_der();
        let key =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8, &SystemRandom::new()).unwrap();
        let scratch = tempfile::tempdir().unwrap();
        let certificate = scratch.path().join("certificate.pem");
        std::fs::write(&certificate, certified.cert.pem()).unwrap();
        let state = Arc::new(Signer {
            key,
            certificate: certified.cert.der().to_vec(),
            given: Mutex::default(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/token", get(by_password).post(by_identity))
            .with_state(Arc::clone(&state));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            certificate,
            _scratch: scratch,
            state,
        }
    }

    pub(crate) fn realm(&self) -> String {
        format!("http://{}/token", self.address)
    }

    pub(crate) fn given(&self) -> Vec<String> {
        std::mem::take(&mut *self.state.given.lock().unwrap())
    }
}

async fn by_password(
    State(signer): State<Arc<Signer>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = query.unwrap_or_default();
    let scopes: Vec<String> = url::form_urlencoded::parse(query.as_bytes())
        .filter(|(name, _)| name == "scope")
        .map(|(_, value)| value.into_owned())
        .collect();
    let wanted = format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")));
    match headers.get("authorization") {
        None => signer.answer("anybody", &scopes, true),
        Some(given) if *given == wanted => signer.answer(USER, &scopes, false),
        Some(_) => StatusCode::UNAUTHORIZED.into_response(),
    }
}

async fn by_identity(State(signer): State<Arc<Signer>>, Form(form): Form<Vec<(String, String)>>) -> Response {
    let field = |name: &str| {
        form.iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    };
    let scopes: Vec<String> = field("scope")
        .unwrap_or_default()
        .split(' ')
        .map(str::to_owned)
        .collect();
    if field("grant_type") == Some("refresh_token") && field("refresh_token") == Some(IDENTITY) {
        return signer.answer("identity", &scopes, false);
    }
    StatusCode::UNAUTHORIZED.into_response()
}

impl Signer {
    fn answer(&self, who: &str, scopes: &[String], read_only: bool) -> Response {
        let access: Vec<_> = scopes
            .iter()
            .filter_map(|scope| {
                let (kind, rest) = scope.split_once(':')?;
                let (name, actions) = rest.rsplit_once(':')?;
                // Anonymous users may not read the secret repositories.
                let actions: Vec<&str> = actions
                    .split(',')
                    .filter(|action| !read_only || (*action == "pull" && !name.starts_with("secret")))
                    .collect();
                Some(json!({"type": kind, "name": name, "actions": actions}))
            })
            .collect();
        self.given
            .lock()
            .unwrap()
            .push(format!("{who} {}", scopes.join(" ")));
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs();
        let header = json!({"typ": "JWT", "alg": "ES256", "x5c": [STANDARD.encode(&self.certificate)]});
        let claims = json!({
            "iss": "test-issuer", "sub": who, "aud": "test-registry", "exp": now + 300, "nbf": now - 10,
            "iat": now, "jti": "1", "access": access,
        });
        let encode = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
        // Azure calls it so when asked with an identity token.
        let name = if who == "identity" {
            "access_token"
        } else {
            "token"
        };
        axum::Json(json!({name: token})).into_response()
    }
}
