//! From where our containers may download; flags of the controller, chart values.

/// What pods may fetch. Workspaces name URLs, and the pods that follow them sit inside the cluster: whatever
/// widens this is the administrator's decision, for all Workspaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Downloads {
    /// Where model weights are that no image carries: a server with the paths of `https://huggingface.co`.
    pub hub: String,
    /// `http` URLs are followed, too.
    pub allow_http: bool,
    /// Hosts that are reached whatever their address is; others only at public ones.
    pub allow_hosts: Vec<String>,
}

impl Default for Downloads {
    fn default() -> Self {
        Self {
            hub: "https://huggingface.co".to_owned(),
            allow_http: false,
            allow_hosts: Vec::new(),
        }
    }
}

impl Downloads {
    /// The flags of `artifact fetch`.
    pub(crate) fn flags(&self) -> impl Iterator<Item = String> {
        let http = self.allow_http.then(|| "--allow-http".to_owned());
        let hosts = self.allow_hosts.iter().map(|host| format!("--allow-host={host}"));
        http.into_iter().chain(hosts)
    }
}
