//! Finds the credentials that open a repository, and keeps the token that they were exchanged for.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use egress::{Body, Client, Credentials as Header, Follow, Request, read, status_error, without_secrets};
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use serde::Deserialize;
use url::Url;

use super::azure::WorkloadIdentity;
use super::challenge::{Bearer, Challenge, choose};
use super::credentials::Credential;
use crate::error::{Error, Result};

/// Most bytes of a token server's response.
const ANSWER_BYTES: usize = 1 << 20;

/// The credentials for one repository, tried in order. Anonymous access is the last candidate: registries limit it by address,
/// which all pods of a node share.
#[derive(Clone, Debug)]
pub(crate) struct Authorizer {
    candidates: Vec<Option<Credential>>,
    /// The candidate in use; `None` before the registry has asked for credentials.
    current: Option<usize>,
    /// Credentials were offered to a registry that limits anonymous requests.
    identified: bool,
    identity: Option<Arc<WorkloadIdentity>>,
    header: Option<HeaderValue>,
    /// The header was accepted for a request.
    proven: bool,
    /// The last challenge of the registry.
    challenge: Option<Challenge>,
    /// Scopes that tokens must have, as `repository:NAME:ACTIONS`.
    scopes: Vec<String>,
}

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
}

impl Authorizer {
    pub(crate) fn new(
        credentials: Vec<Credential>,
        scopes: Vec<String>,
        identity: Option<WorkloadIdentity>,
    ) -> Self {
        Self {
            candidates: candidates(credentials),
            current: None,
            identified: false,
            identity: identity.map(Arc::new),
            header: None,
            proven: false,
            challenge: None,
            scopes,
        }
    }

    /// The header of the next request.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        self.header.clone()
    }

    /// Reports whether there are credentials besides anonymous access.
    pub(crate) fn has_credentials(&self) -> bool {
        self.candidates.len() > 1
    }

    /// Records that the registry accepted the header.
    pub(crate) fn accepted(&mut self) {
        self.proven = true;
    }

    /// Takes credentials that were read again. Returns false if they are the same as before.
    pub(crate) fn renew(&mut self, credentials: Vec<Credential>) -> bool {
        let candidates = candidates(credentials);
        if candidates == self.candidates {
            return false;
        }
        self.candidates = candidates;
        self.restart();
        true
    }

    /// Starts over without a header.
    pub(crate) fn restart(&mut self) {
        self.current = None;
        self.identified = false;
        self.header = None;
        self.proven = false;
    }

    /// Advances to the next credentials that can answer the challenge. Returns false if there are none.
    ///
    /// # Errors
    /// As [`Self::answer`].
    pub(crate) async fn next(&mut self, client: &Client) -> Result<bool> {
        let challenge = self.challenge.clone().unwrap_or(Challenge::Basic);
        loop {
            let next = self.current.map_or(0, |current| current + 1);
            if next >= self.candidates.len() {
                return Ok(false);
            }
            self.current = Some(next);
            self.proven = false;
            self.header = self.obtain(client, &challenge).await?;
            if self.header.is_some() {
                return Ok(true);
            }
        }
    }

    /// Takes credentials, if there are any, for a registry that limits requests without them and asks for none. Returns false
    /// if there is nothing to try. `root` is the URL at which the registry says how it authenticates.
    ///
    /// # Errors
    /// As [`Self::answer`].
    pub(crate) async fn identify(&mut self, client: &Client, root: &Url) -> Result<bool> {
        if self.current.is_some() || self.identified || !self.has_credentials() {
            return Ok(false);
        }
        self.identified = true;
        let ask = Request::new("ask how to authenticate", Method::GET, root.clone());
        let response = client.send(&ask, None, Follow::None).await?;
        if self.answer(client, response.headers()).await? {
            return Ok(true);
        }
        // Without a challenge, a name and a password can be sent all the same.
        self.next(client).await
    }

    /// Answers the challenge of a refusal. Returns false if nothing is left to try.
    ///
    /// # Errors
    /// The token server cannot or must not be reached.
    pub(crate) async fn answer(&mut self, client: &Client, refusal: &HeaderMap) -> Result<bool> {
        let texts = refusal
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .filter_map(|value| value.to_str().ok());
        let Some(challenge) = choose(texts) else {
            return Ok(false);
        };
        self.challenge = Some(challenge.clone());
        // An accepted header has expired, so the same credentials may do again. One that was never accepted will not be.
        if self.current.is_some() && self.proven {
            self.proven = false;
            self.header = self.obtain(client, &challenge).await?;
            if self.header.is_some() {
                return Ok(true);
            }
        }
        self.next(client).await
    }

    /// The header for the current credentials; `None` if they cannot answer the challenge.
    async fn obtain(&self, client: &Client, challenge: &Challenge) -> Result<Option<HeaderValue>> {
        let current = self.current.and_then(|current| self.candidates.get(current));
        let credential = current.and_then(Option::as_ref);
        match (challenge, credential) {
            (_, Some(Credential::Bearer(token))) => bearer_header(token).map(Some),
            (Challenge::Basic, Some(Credential::Basic { user, password })) => {
                basic_header(user, password).map(Some)
            }
            (Challenge::Basic, _) => Ok(None),
            (Challenge::Bearer(bearer), Some(Credential::Azure)) => {
                let Some(identity) = &self.identity else {
                    return Ok(None);
                };
                let refresh = Credential::Identity(identity.refresh_token(client, bearer).await?);
                let token = self.token(client, bearer, Some(&refresh)).await?;
                token.as_deref().map(bearer_header).transpose()
            }
            (Challenge::Bearer(bearer), credential) => {
                let token = self.token(client, bearer, credential).await?;
                token.as_deref().map(bearer_header).transpose()
            }
        }
    }

    /// Requests a token; `None` if the token server refuses.
    async fn token(
        &self,
        client: &Client,
        bearer: &Bearer,
        credential: Option<&Credential>,
    ) -> Result<Option<String>> {
        let realm = Url::parse(&bearer.realm).map_err(|error| Error::Protocol {
            doing: "get a token".to_owned(),
            problem: format!("the registry names no URL of a token server: {error}"),
        })?;
        let doing = format!("get a token from {}", without_secrets(&realm));
        let (request, header) = self.token_request(&doing, bearer, &realm, credential)?;
        let response = client.send(&request, header.as_ref(), Follow::None).await?;
        match response.status().as_u16() {
            200 => {
                let body = read(&doing, response, ANSWER_BYTES).await?;
                let token: Token = serde_json::from_slice(&body).map_err(|_| Error::Protocol {
                    doing,
                    problem: "the response holds no token".to_owned(),
                })?;
                let token = if token.token.is_empty() {
                    token.access_token
                } else {
                    token.token
                };
                Ok((!token.is_empty()).then_some(token))
            }
            400..=404 => Ok(None),
            _ => {
                let words = |body: &[u8]| String::from_utf8_lossy(body).into_owned();
                Err(status_error(&doing, response, words).await.into())
            }
        }
    }

    /// The request for a token, and its header.
    fn token_request(
        &self,
        doing: &str,
        bearer: &Bearer,
        realm: &Url,
        credential: Option<&Credential>,
    ) -> Result<(Request, Option<Header>)> {
        if let Some(Credential::Identity(identity)) = credential {
            let mut request = Request::new(doing, Method::POST, realm.clone());
            let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
            request.headers.insert(CONTENT_TYPE, form_type);
            request.body = Some(Body::from(self.form(bearer, identity)));
            return Ok((request, None));
        }
        let request = Request::new(doing, Method::GET, self.query(bearer, realm.clone()));
        let header = match credential {
            Some(Credential::Basic { user, password }) => Some(Header {
                origin: realm.origin(),
                authorization: basic_header(user, password)?,
            }),
            _ => None,
        };
        Ok((request, header))
    }

    fn query(&self, bearer: &Bearer, realm: Url) -> Url {
        let mut url = realm;
        {
            let mut pairs = url.query_pairs_mut();
            if let Some(service) = &bearer.service {
                pairs.append_pair("service", service);
            }
            for scope in self.scopes_for(bearer) {
                pairs.append_pair("scope", &scope);
            }
        }
        url
    }

    fn form(&self, bearer: &Bearer, identity: &str) -> String {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "refresh_token");
        form.append_pair("client_id", "kaito-artifact");
        form.append_pair("service", bearer.service.as_deref().unwrap_or_default());
        form.append_pair("scope", &self.scopes_for(bearer).join(" "));
        form.append_pair("refresh_token", identity);
        form.finish()
    }

    /// Our scopes, and the one that the registry asks for if ours do not cover it.
    fn scopes_for(&self, bearer: &Bearer) -> Vec<String> {
        let mut scopes = self.scopes.clone();
        let asked = bearer
            .scope
            .as_deref()
            .filter(|asked| !self.scopes.iter().any(|ours| covers(ours, asked)));
        scopes.extend(asked.map(str::to_owned));
        scopes
    }
}

/// Credentials first, then anonymous access.
fn candidates(credentials: Vec<Credential>) -> Vec<Option<Credential>> {
    credentials.into_iter().map(Some).chain([None]).collect()
}

/// Reports whether a scope (`repository:NAME:ACTION,ACTION`) covers another. Registries name actions in any order.
fn covers(scope: &str, other: &str) -> bool {
    let (Some((resource, actions)), Some((same, wanted))) = (scope.rsplit_once(':'), other.rsplit_once(':'))
    else {
        return scope == other;
    };
    resource == same
        && wanted
            .split(',')
            .all(|wanted| actions.split(',').any(|action| action == wanted))
}

fn basic_header(user: &str, password: &str) -> Result<HeaderValue> {
    secret(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
}

fn bearer_header(token: &str) -> Result<HeaderValue> {
    secret(format!("Bearer {token}"))
}

fn secret(text: String) -> Result<HeaderValue> {
    let mut value = HeaderValue::try_from(text).map_err(|_| Error::TokenCharacters)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn actions_count_in_any_order() {
        assert!(covers("repository:a/b:pull,push", "repository:a/b:push,pull"));
        assert!(covers("repository:a/b:pull,push", "repository:a/b:pull"));
        assert!(!covers("repository:a/b:pull", "repository:a/b:pull,push"));
        assert!(!covers("repository:a/b:pull", "repository:a/c:pull"));
        assert!(!covers("repository:a/b:pull", "registry:catalog:*"));
    }
}
