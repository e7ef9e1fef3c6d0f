//! Allowed sources of downloads; flags of the controller and chart values set them.

/// Allowed sources of downloads.
///
/// Users name URLs in Workspaces, and pods inside the cluster fetch them. So only the administrator can allow more, for
/// all Workspaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Downloads {
    /// Model hub for weights that no image carries: a server with the paths of `https://huggingface.co`.
    pub hub: String,
    /// Allows `http` URLs.
    pub allow_http: bool,
    /// Hosts that may have private addresses; all others must have public ones.
    pub allow_hosts: Vec<String>,
    /// Registries (`HOST` or `HOST:PORT`) without TLS.
    pub plain_http_registries: Vec<String>,
}

impl Default for Downloads {
    fn default() -> Self {
        Self {
            hub: "https://huggingface.co".to_owned(),
            allow_http: false,
            allow_hosts: Vec::new(),
            plain_http_registries: Vec::new(),
        }
    }
}

impl Downloads {
    /// Flags of `artifact fetch`.
    pub(crate) fn flags(&self) -> impl Iterator<Item = String> {
        let http = self.allow_http.then(|| "--allow-http".to_owned());
        let hosts = self.allow_hosts.iter().map(|host| format!("--allow-host={host}"));
        http.into_iter().chain(hosts)
    }

    /// Flags of `artifact pull` and `artifact push`.
    pub(crate) fn registry_flags(&self) -> impl Iterator<Item = String> {
        let registries = self.plain_http_registries.iter();
        registries.map(|registry| format!("--plain-http={registry}"))
    }

    /// Flags of `artifact fetch` for files of the hub, which the installation names itself: it may be inside.
    pub(crate) fn hub_flags(&self) -> Vec<String> {
        let default = Self::default().hub;
        if self.hub.trim_end_matches('/') == default {
            return Vec::new();
        }
        let http = self.hub.starts_with("http://") && !self.allow_http;
        let host = hub_host(&self.hub).filter(|host| !self.allow_hosts.contains(host));
        let http = http.then(|| "--allow-http".to_owned());
        http.into_iter()
            .chain(host.map(|host| format!("--allow-host={host}")))
            .collect()
    }
}

/// The host of a URL, without user, port and the brackets of IPv6.
fn hub_host(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    let host = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next()?,
        None => host.split(':').next()?,
    };
    (!host.is_empty()).then(|| host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hub_of_the_installation_may_be_inside() {
        let flags = |hub: &str| {
            let downloads = Downloads {
                hub: hub.to_owned(),
                allow_hosts: vec!["known.example".to_owned()],
                ..Downloads::default()
            };
            downloads.hub_flags()
        };
        assert_eq!(flags("https://huggingface.co/"), [""; 0]);
        assert_eq!(flags("https://hub.example/mirror"), ["--allow-host=hub.example"]);
        assert_eq!(
            flags("http://u@10.0.0.1:8080"),
            ["--allow-http", "--allow-host=10.0.0.1"]
        );
        assert_eq!(flags("https://[fd00::1]:8443/"), ["--allow-host=fd00::1"]);
        assert_eq!(flags("https://known.example"), [""; 0]);
    }
}
