//! Tokens of ServiceAccounts, as far as they can be read without a key. Nothing here is believed: it only refuses early.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use tonic::Status;
use tonic::codegen::http::HeaderMap;
use tonic::codegen::http::header::AUTHORIZATION;

/// Most bytes of a token. ServiceAccounts' have about one thousand.
const MAX_BYTES: usize = 8 * 1024;

/// Returns the token of a request.
pub(super) fn of(headers: &HeaderMap) -> Result<&str, Status> {
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header.and_then(|header| {
        let (scheme, token) = header.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    match token {
        Some(token) if !token.is_empty() && token.len() <= MAX_BYTES => Ok(token),
        _ => Err(Status::unauthenticated(
            "the request must have the header `authorization: Bearer TOKEN`",
        )),
    }
}

/// Returns the end of a token that claims to be for the audience.
pub(super) fn precheck(token: &str, audience: &str) -> Result<SystemTime, Status> {
    let Some(claims) = claims(token) else {
        return Err(Status::unauthenticated(
            "the token must be that of a ServiceAccount",
        ));
    };
    let is_meant = match claims.get("aud") {
        Some(Value::String(one)) => one == audience,
        Some(Value::Array(all)) => all.iter().any(|one| one == audience),
        _ => false,
    };
    if !is_meant {
        return Err(Status::unauthenticated(format!(
            "the token must be for the audience {audience}"
        )));
    }
    let end = claims.get("exp").and_then(Value::as_u64);
    let end = end.and_then(|end| UNIX_EPOCH.checked_add(Duration::from_secs(end)));
    match end {
        Some(end) if !ended(end) => Ok(end),
        Some(_) => Err(ended_status()),
        None => Err(Status::unauthenticated("the token must have an end")),
    }
}

/// Reports whether the time has passed.
pub(super) fn ended(end: SystemTime) -> bool {
    end <= SystemTime::now()
}

/// Returns the refusal of an ended token.
pub(super) fn ended_status() -> Status {
    Status::unauthenticated("the token has ended")
}

fn claims(token: &str) -> Option<Value> {
    let [_, claims, _] = token.split('.').collect::<Vec<_>>()[..] else {
        return None;
    };
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn token(claims: &Value) -> String {
        format!("x.{}.x", URL_SAFE_NO_PAD.encode(claims.to_string()))
    }

    #[test]
    fn only_a_token_for_the_audience_is_worth_a_review() {
        let later = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 60;
        for aud in [json!("registry"), json!(["api", "registry"])] {
            let token = token(&json!({"aud": aud, "exp": later}));
            assert!(precheck(&token, "registry").is_ok());
        }
        for (claims, problem) in [
            (json!({"aud": "api", "exp": later}), "audience registry"),
            (json!({"aud": ["api"], "exp": later}), "audience registry"),
            (json!({"exp": later}), "audience registry"),
            (json!({"aud": "registry"}), "must have an end"),
            (json!({"aud": "registry", "exp": 5}), "has ended"),
            (json!({"aud": "registry", "exp": u64::MAX}), "must have an end"),
            (json!("text"), "audience registry"),
        ] {
            let status = precheck(&token(&claims), "registry").unwrap_err();
            assert!(
                status.message().contains(problem),
                "{claims}: {}",
                status.message()
            );
        }
        for garbage in ["", "x", "a.b", "a.b.c", "a.e30.c.d", "a.!!.c"] {
            assert!(precheck(garbage, "registry").is_err(), "{garbage}");
        }
    }

    #[test]
    fn the_header_has_a_scheme_and_a_bounded_token() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, text.parse().unwrap());
            super::of(&headers).map(str::to_owned).ok()
        };
        assert_eq!(of("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(of("bearer abc").as_deref(), Some("abc"));
        for bad in [
            "abc",
            "Basic abc",
            "Bearer ",
            &format!("Bearer {}", "x".repeat(9000)),
        ] {
            assert_eq!(of(bad), None, "{bad}");
        }
        assert!(super::of(&HeaderMap::new()).is_err());
    }
}
