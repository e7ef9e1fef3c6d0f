//! Docker config files, as Kubernetes stores them in Secrets.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde::Deserialize;

use crate::error::{Error, Result};

/// A proof of identity.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Credential {
    /// Name and password.
    Basic {
        /// The user name.
        user: String,
        /// The password.
        password: String,
    },
    /// A token to exchange for others.
    Identity(String),
    /// A token to use as it is.
    Bearer(String),
    /// The pod's workload identity, exchanged for a token of Azure Container Registry.
    Azure,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self {
            Self::Basic { .. } => "Basic",
            Self::Identity(_) => "Identity",
            Self::Bearer(_) => "Bearer",
            Self::Azure => "Azure",
        };
        f.debug_tuple(kind).field(&"…").finish()
    }
}

/// Credentials, each with the place that it is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Credentials {
    entries: Vec<(String, Credential)>,
    /// Helpers, each with the place that it is for; `None` is for all.
    helpers: Vec<(Option<String>, String)>,
}

/// The helper that is part of this program: it exchanges a workload identity for a token of Azure Container Registry.
const AZURE_HELPER: &str = "acr-env";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, Auth>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
    #[serde(default)]
    creds_store: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Auth {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
    registrytoken: String,
}

impl Credentials {
    /// Reads every config file of a directory, in order of name.
    ///
    /// # Errors
    /// The directory or a file cannot be read or is malformed. The text names the file, not its contents.
    pub(crate) fn load(directory: &Path) -> Result<Self> {
        let entries = std::fs::read_dir(directory).map_err(Error::local("list", directory))?;
        let names = entries.map(|entry| entry.map(|entry| entry.file_name()));
        let mut names = names
            .collect::<std::io::Result<Vec<_>>>()
            .map_err(Error::local("list", directory))?;
        names.sort();
        let mut all = Self::default();
        for path in names.iter().map(|name| directory.join(name)) {
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            // Kubernetes puts hidden directories beside the files.
            let wanted = name == ".dockerconfigjson" || (name.ends_with(".json") && !name.starts_with('.'));
            if wanted && path.is_file() {
                let text = std::fs::read_to_string(&path).map_err(Error::local("read", &path))?;
                let bad = |problem| Error::DockerConfig {
                    file: path.clone(),
                    problem,
                };
                let one = Self::parse(&text).map_err(bad)?;
                all.entries.extend(one.entries);
                all.helpers.extend(one.helpers);
            }
        }
        Ok(all)
    }

    fn parse(text: &str) -> std::result::Result<Self, String> {
        // The parser's own message may repeat secrets.
        let config: DockerConfig = serde_json::from_str(text)
            .map_err(|error| format!("line {}, column {}", error.line(), error.column()))?;
        let mut all = Vec::new();
        for (place, auth) in config.auths {
            let credential = credential(auth).map_err(|why| format!("{place}: {why}"))?;
            all.extend(credential.map(|credential| (place, credential)));
        }
        let helpers = config.cred_helpers.into_iter();
        let helpers = helpers.map(|(place, name)| (Some(place), name));
        let store = (!config.creds_store.is_empty()).then_some((None, config.creds_store));
        Ok(Self {
            entries: all,
            helpers: helpers.chain(store).collect(),
        })
    }

    /// Names of the helpers for a repository that this program does not have.
    pub(crate) fn unknown_helpers(&self, registry: &str, repository: &str) -> Vec<String> {
        let unknown = self.helpers_for(registry, repository);
        let unknown = unknown.filter(|name| *name != AZURE_HELPER);
        unknown.map(str::to_owned).collect()
    }

    /// Reports whether the helper for a repository is that of Azure.
    pub(crate) fn names_azure(&self, registry: &str, repository: &str) -> bool {
        self.helpers_for(registry, repository)
            .any(|name| name == AZURE_HELPER)
    }

    fn helpers_for<'a>(&'a self, registry: &'a str, repository: &'a str) -> impl Iterator<Item = &'a str> {
        let fits = move |place: &Option<String>| {
            place
                .as_ref()
                .is_none_or(|place| fit(place, registry, repository).is_some())
        };
        let fitting = self.helpers.iter().filter(move |(place, _)| fits(place));
        fitting.map(|(_, name)| name.as_str())
    }

    /// The credentials for a repository, the most specific first.
    pub(crate) fn for_repository(&self, registry: &str, repository: &str) -> Vec<Credential> {
        let fitting = self.entries.iter().filter_map(|(place, credential)| {
            let fit = fit(place, registry, repository)?;
            Some((fit, credential))
        });
        let mut fitting: Vec<_> = fitting.collect();
        fitting.sort_by_key(|(fit, _)| std::cmp::Reverse(*fit));
        let mut credentials: Vec<Credential> = Vec::new();
        for (_, credential) in fitting {
            if !credentials.contains(credential) {
                credentials.push(credential.clone());
            }
        }
        credentials
    }
}

fn credential(auth: Auth) -> std::result::Result<Option<Credential>, String> {
    if !auth.registrytoken.is_empty() {
        return Ok(Some(Credential::Bearer(auth.registrytoken)));
    }
    if !auth.identitytoken.is_empty() {
        return Ok(Some(Credential::Identity(auth.identitytoken)));
    }
    if !auth.username.is_empty() {
        return Ok(Some(Credential::Basic {
            user: auth.username,
            password: auth.password,
        }));
    }
    if auth.auth.is_empty() {
        return Ok(None);
    }
    let encoded = auth.auth.trim();
    let decoded = STANDARD
        .decode(encoded)
        .or_else(|_| STANDARD_NO_PAD.decode(encoded));
    let decoded = decoded.map_err(|_| "auth is not base64".to_owned())?;
    let text = String::from_utf8(decoded).map_err(|_| "auth is not text".to_owned())?;
    let (user, password) = text
        .split_once(':')
        .ok_or_else(|| "auth has no colon between user and password".to_owned())?;
    Ok(Some(Credential::Basic {
        user: user.to_owned(),
        // Some tools pad with zero bytes.
        password: password.trim_end_matches('\0').to_owned(),
    }))
}

/// The closeness of a place (`[https://]HOST[:PORT][/PATH]`, with `*` for part of a label) to a repository; `None` if it is for
/// another one.
fn fit(place: &str, registry: &str, repository: &str) -> Option<usize> {
    let plain = place.trim_start_matches("https://").trim_start_matches("http://");
    let (host, path) = plain.split_once('/').unwrap_or((plain, ""));
    // Docker writes versions of its API behind the host.
    let path = match path.trim_matches('/') {
        "v1" | "v2" => "",
        path => path,
    };
    let hub = |host: &str| matches!(host, "index.docker.io" | "docker.io" | "registry-1.docker.io");
    let same_host = (hub(host) && hub(registry)) || glob(host, registry);
    let below = path.is_empty()
        || repository
            .strip_prefix(path)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let exact = usize::from(!host.contains('*'));
    (same_host && below).then_some(path.len() * 2 + exact)
}

/// As Kubernetes matches: label by label, each `*` within one label, and the port as it is.
fn glob(pattern: &str, host: &str) -> bool {
    let mut patterns = pattern.split('.');
    let mut labels = host.split('.');
    loop {
        match (patterns.next(), labels.next()) {
            (None, None) => return true,
            (Some(pattern), Some(label)) if label_matches(pattern, label) => {}
            _ => return false,
        }
    }
}

/// Each `*` stands for any characters; the pieces between must follow each other.
fn label_matches(pattern: &str, label: &str) -> bool {
    let Some((first, others)) = pattern.split_once('*') else {
        return pattern.eq_ignore_ascii_case(label);
    };
    let Some(mut rest) = label.strip_prefix(first) else {
        return false;
    };
    let (middle, last) = others.rsplit_once('*').unwrap_or(("", others));
    for piece in middle.split('*') {
        // The earliest place leaves the most for what follows.
        let Some(at) = rest.find(piece) else {
            return false;
        };
        rest = rest.get(at + piece.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn basic(user: &str, password: &str) -> Credential {
        Credential::Basic {
            user: user.to_owned(),
            password: password.to_owned(),
        }
    }

    #[test]
    fn every_form_of_an_entry_is_read() {
        let text = r#"{"auths":{
            "a.example":{"auth":"dXNlcjpwYTpzcw=="},
            "b.example":{"username":"u","password":"p","auth":"ignored"},
            "c.example":{"identitytoken":"t","auth":"MDAwOg=="},
            "d.example":{"registrytoken":"r"},
            "e.example":{}}, "credsStore":"desktop"}"#;
        let all = Credentials::parse(text).unwrap();
        let of = |host: &str| all.for_repository(host, "x");
        assert_eq!(of("a.example"), [basic("user", "pa:ss")]);
        assert_eq!(of("b.example"), [basic("u", "p")]);
        assert_eq!(of("c.example"), [Credential::Identity("t".to_owned())]);
        assert_eq!(of("d.example"), [Credential::Bearer("r".to_owned())]);
        assert_eq!(of("e.example"), []);
        assert_eq!(all.unknown_helpers("a.example", "x"), ["desktop"]);
        let helpers = r#"{"credHelpers":{"*.azurecr.io":"acr-env","ecr.example":"ecr-login"}}"#;
        let helpers = Credentials::parse(helpers).unwrap();
        assert!(helpers.names_azure("mine.azurecr.io", "x") && !helpers.names_azure("ecr.example", "x"));
        assert_eq!(helpers.unknown_helpers("ecr.example", "x"), ["ecr-login"]);
        assert_eq!(Credentials::parse("{}").unwrap(), Credentials::default());
    }

    #[test]
    fn what_is_wrong_is_said_without_secrets() {
        let check = |text: &str, expected: &str| assert_eq!(Credentials::parse(text).unwrap_err(), expected);
        check(r#"{"auths":{"h":{"auth":"s3cret!"}}}"#, "h: auth is not base64");
        check(
            r#"{"auths":{"h":{"auth":"c2VjcmV0"}}}"#,
            "h: auth has no colon between user and password",
        );
        check(
            r#"{"auths":{"h":{"username":"a","password":s3cret}}}"#,
            "line 1, column 42",
        );
        assert_eq!(format!("{:?}", basic("user", "secret")), r#"Basic("…")"#);
    }

    #[test]
    fn places_fit_as_docker_and_kubernetes_say() {
        let fits = |place: &str, registry: &str, repository: &str| fit(place, registry, repository).is_some();
        assert!(fits("https://index.docker.io/v1/", "docker.io", "library/a"));
        assert!(fits("https://h.example/v2/", "h.example", "a"));
        assert!(fits("h.example:5000", "h.example:5000", "a"));
        assert!(!fits("h.example", "h.example:5000", "a"));
        assert!(fits("*.azurecr.io", "mine.azurecr.io", "a"));
        assert!(!fits("*.azurecr.io", "a.b.azurecr.io", "a"));
        assert!(!fits("*", "h.example", "a"));
        assert!(fits("pre*.example", "prefix.example", "a"));
        assert!(fits("a*b*c.example", "axbxbc.example", "a"));
        assert!(!fits("a*b*c.example", "axcxb.example", "a"));
        assert!(fits("h.example/team", "h.example", "team/a"));
        assert!(!fits("h.example/team", "h.example", "teams/a"));
        assert!(fit("h.example/team", "h.example", "team/a") > fit("h.example", "h.example", "team/a"));
        assert!(fit("h.example", "h.example", "a") > fit("*.example", "h.example", "a"));
    }

    proptest! {
        #[test]
        fn no_config_and_no_place_panics(text in any::<String>(), place in "[a-z*./:]{0,20}", host in "[a-z*./:]{0,20}") {
            let _ = Credentials::parse(&text);
            let _ = fit(&place, &host, "a/b");
        }
    }
}
