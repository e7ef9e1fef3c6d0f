//! Access tokens: random words that only this server accepts.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::HeaderMap;

use crate::config::ArmServerConfig;
use crate::errors::Named;
use crate::world::Ids;

/// The valid access tokens.
#[derive(Debug)]
pub(crate) struct Tokens {
    issued: BTreeMap<String, Duration>,
    ids: Ids,
    required: bool,
}

impl Tokens {
    pub(crate) fn new(config: &ArmServerConfig) -> Self {
        Self {
            issued: BTreeMap::new(),
            ids: Ids::new(config.seed.wrapping_add(1)),
            required: config.require_auth,
        }
    }

    /// Issues a token that expires at this time.
    pub(crate) fn issue(&mut self, expires_at: Duration) -> String {
        let token = format!("arm-server.{}", self.ids.guid());
        self.issued.insert(token.clone(), expires_at);
        token
    }

    /// Revokes every token.
    pub(crate) fn revoke(&mut self) {
        self.issued.clear();
    }

    /// Returns true if a request is authorized.
    pub(crate) fn check(&self, headers: &HeaderMap, now: Duration) -> Result<(), Named> {
        if !self.required {
            return Ok(());
        }
        let header = headers
            .get("authorization")
            .and_then(|value| value.to_str().ok())
            .ok_or(Named::TokenMissing)?;
        let token = header.strip_prefix("Bearer ").ok_or(Named::Unauthorized)?;
        match self.issued.get(token) {
            None => Err(Named::Unauthorized),
            Some(expires_at) if *expires_at <= now => Err(Named::TokenExpired),
            Some(_) => Ok(()),
        }
    }
}
