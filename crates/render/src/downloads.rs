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
    /// Flags of `artifact fetch`.
    pub(crate) fn flags(&self) -> impl Iterator<Item = String> {
        let http = self.allow_http.then(|| "--allow-http".to_owned());
        let hosts = self.allow_hosts.iter().map(|host| format!("--allow-host={host}"));
        http.into_iter().chain(hosts)
    }
}
