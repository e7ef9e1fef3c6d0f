//! Finds out which of our credentials opens a repository, and keeps what they were exchanged for.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Client;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use serde::Deserialize;
use url::Url;

use super::challenge::{Bearer, Challenge, choose};
use super::credentials::Credential;
use crate::error::{Error, Result};
use crate::guard::{Guard, shown};
use crate::http;

/// Token servers answer with a token and little else.
const ANSWER_BYTES: usize = 1 << 20;

/// The credentials for one repository, tried in order; the first is to have none.
#[derive(Clone, Debug)]
pub(crate) struct Authorizer {
    candidates: Vec<Option<Credential>>,
    current: usize,
    header: Option<HeaderValue>,
    /// The header was good for a request already.
    proven: bool,
    /// How the registry wants to be told.
    challenge: Option<Challenge>,
    /// What tokens must allow, as `repository:NAME:ACTIONS`.
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
    pub(crate) fn new(credentials: Vec<Credential>, scopes: Vec<String>) -> Self {
        Self {
            candidates: std::iter::once(None)
                .chain(credentials.into_iter().map(Some))
                .collect(),
            current: 0,
            header: None,
            proven: false,
            challenge: None,
            scopes,
        }
    }

    /// What the next request carries.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        self.header.clone()
    }

    /// There are credentials besides none.
    pub(crate) fn has_credentials(&self) -> bool {
        self.candidates.len() > 1
    }

    /// The request was let in.
    pub(crate) fn accepted(&mut self) {
        self.proven = true;
    }

    /// Forgets what was found out.
    pub(crate) fn begin_anew(&mut self) {
        self.current = 0;
        self.header = None;
        self.proven = false;
    }

    /// Goes on to the next credentials that can answer; false when there are none.
    ///
    /// # Errors
    /// As [`Self::answer`].
    pub(crate) async fn next(&mut self, client: &Client, guard: &Guard) -> Result<bool> {
        let challenge = self.challenge.clone().unwrap_or(Challenge::Basic);
        while self.current + 1 < self.candidates.len() {
            self.current += 1;
            self.proven = false;
            self.header = self.obtain(client, guard, &challenge).await?;
            if self.header.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Answers a refusal by the means the other side offers; false when nothing is left to try.
    ///
    /// # Errors
    /// When the token server cannot be reached or must not be.
    pub(crate) async fn answer(
        &mut self,
        client: &Client,
        guard: &Guard,
        refusal: &HeaderMap,
    ) -> Result<bool> {
        let texts = refusal
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .filter_map(|value| value.to_str().ok());
        let Some(challenge) = choose(texts) else {
            return Ok(false);
        };
        self.challenge = Some(challenge.clone());
        // A header that was good has expired, so the same credentials may do; one that never was is no good.
        if self.header.is_none() || self.proven {
            self.proven = false;
            self.header = self.obtain(client, guard, &challenge).await?;
            if self.header.is_some() {
                return Ok(true);
            }
        }
        self.next(client, guard).await
    }

    /// The header for the present credentials; `None` when they cannot answer the challenge.
    async fn obtain(
        &self,
        client: &Client,
        guard: &Guard,
        challenge: &Challenge,
    ) -> Result<Option<HeaderValue>> {
        let credential = self.candidates.get(self.current).and_then(Option::as_ref);
        match (challenge, credential) {
            (_, Some(Credential::Bearer(token))) => bearer_header(token).map(Some),
            (Challenge::Basic, Some(Credential::Basic { user, password })) => {
                basic_header(user, password).map(Some)
            }
            (Challenge::Basic, _) => Ok(None),
            (Challenge::Bearer(bearer), credential) => {
                let token = self.token(client, guard, bearer, credential).await?;
                token.as_deref().map(bearer_header).transpose()
            }
        }
    }

    /// Asks the token server; `None` when it refuses.
    async fn token(
        &self,
        client: &Client,
        guard: &Guard,
        bearer: &Bearer,
        credential: Option<&Credential>,
    ) -> Result<Option<String>> {
        let realm = Url::parse(&bearer.realm)
            .map_err(|_| Error::Refused("the registry names no proper token server".to_owned()))?;
        guard.check(&realm)?;
        let doing = format!("get a token from {}", shown(&realm));
        let request = match credential {
            Some(Credential::Identity(identity)) => {
                let form = self.form(bearer, identity);
                let form_type = "application/x-www-form-urlencoded";
                client
                    .post(realm.clone())
                    .header(CONTENT_TYPE, form_type)
                    .body(form)
            }
            credential => {
                let mut request = client.get(self.query(bearer, realm.clone()));
                if let Some(Credential::Basic { user, password }) = credential {
                    request = request.header(AUTHORIZATION, basic_header(user, password)?);
                }
                request
            }
        };
        let response = request
            .send()
            .await
            .map_err(|error| http::failure(&doing, &error))?;
        let (code, headers) = (response.status(), response.headers().clone());
        let body = http::body(&doing, response, ANSWER_BYTES).await?;
        match code.as_u16() {
            200 => {
                let token: Token = serde_json::from_slice(&body)
                    .map_err(|_| Error::Refused(format!("cannot {doing}: the answer holds none")))?;
                let token = if token.token.is_empty() {
                    token.access_token
                } else {
                    token.token
                };
                Ok((!token.is_empty()).then_some(token))
            }
            400..=404 => Ok(None),
            _ => Err(http::status(
                &doing,
                code,
                &headers,
                &String::from_utf8_lossy(&body),
            )),
        }
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

    /// Ours and the one the registry asks for, if that is more.
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

/// A scope (`repository:NAME:ACTION,ACTION`) allows all that another does; registries name actions in any order.
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
    let mut value = HeaderValue::try_from(text)
        .map_err(|_| Error::Unauthorized("a token holds characters that no header may".to_owned()))?;
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
