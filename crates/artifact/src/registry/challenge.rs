//! The header `WWW-Authenticate`, as registries send it. Pure.

/// A request for credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// User name and password with every request.
    Basic,
    /// A token of a token server.
    Bearer(Bearer),
}

/// A token server and its parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bearer {
    /// URL of the token server.
    pub(crate) realm: String,
    /// The service that the token is for, to repeat in the request.
    pub(crate) service: Option<String>,
    /// The scope that the token must have.
    pub(crate) scope: Option<String>,
}

/// Chooses the challenge to answer: Bearer before Basic; `None` if neither is offered.
pub(crate) fn choose<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Challenge> {
    let mut basic = None;
    for header in headers {
        for (scheme, parameters) in challenges(header) {
            if scheme.eq_ignore_ascii_case("bearer") {
                let bearer = bearer(parameters);
                if !bearer.realm.is_empty() {
                    return Some(Challenge::Bearer(bearer));
                }
            } else if scheme.eq_ignore_ascii_case("basic") {
                basic = Some(Challenge::Basic);
            }
        }
    }
    basic
}

fn bearer(parameters: Vec<(String, String)>) -> Bearer {
    let mut bearer = Bearer::default();
    for (name, value) in parameters {
        match name.to_ascii_lowercase().as_str() {
            "realm" => bearer.realm = value,
            "service" => bearer.service = Some(value),
            "scope" => bearer.scope = Some(value),
            _ => {}
        }
    }
    bearer
}

type Parsed = (String, Vec<(String, String)>);

/// Parses `scheme name=value, name="value", scheme …`. A word without `=` begins a challenge.
fn challenges(header: &str) -> Vec<Parsed> {
    let mut found: Vec<Parsed> = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let end = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if word.is_empty() && after.is_empty() {
            return found;
        }
        match after.strip_prefix('=') {
            Some(after) => {
                let (value, after) = value(after);
                if let Some((_, parameters)) = found.last_mut() {
                    parameters.push((word.to_owned(), value));
                }
                rest = after;
            }
            None => {
                found.push((word.to_owned(), Vec::new()));
                rest = after;
            }
        }
    }
}

/// Parses a token or a quoted string, and returns the rest.
fn value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([' ', '\t', ',']).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return (value.to_owned(), rest);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return (value, quoted.get(at + 1..).unwrap_or_default()),
            '\\' => value.extend(characters.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(headers: &[&str], expected: impl Into<Option<Challenge>>) {
        assert_eq!(choose(headers.iter().copied()), expected.into());
    }

    fn token(realm: &str, service: Option<&str>, scope: Option<&str>) -> Option<Challenge> {
        Some(Challenge::Bearer(Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
            scope: scope.map(str::to_owned),
        }))
    }

    #[test]
    fn challenges_are_read() {
        check(&[], None);
        check(&["Basic realm=\"x\""], Challenge::Basic);
        check(&["Negotiate", "basic"], Some(Challenge::Basic));
        let docker = r#"Bearer realm="https://auth.example/token",service="r.example",scope="repository:a/b:pull,push""#;
        check(
            &[docker],
            token(
                "https://auth.example/token",
                Some("r.example"),
                Some("repository:a/b:pull,push"),
            ),
        );
        check(
            &[r#"Basic realm="a, Bearer b", bearer realm=https://t"#],
            token("https://t", None, None),
        );
        check(&[r#"Bearer realm="a\"b""#], token("a\"b", None, None));
        check(&["Bearer"], None);
        check(&["Basic", "Bearer realm=\"\""], Some(Challenge::Basic));
    }

    proptest! {
        #[test]
        fn noise_ends(text in r#"[a-zA-Z=", \\]{0,80}"#) {
            let _ = choose([text.as_str()].into_iter());
        }
    }
}
