//! Proxies, authorities and the identity for the connections that pods open, by the variables that Python, OpenSSL and our
//! programs read.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, EnvVar, PodSpec};

use crate::{paths, pod, volume};

/// Volume of the authorities.
const VOLUME: &str = "ca-bundle";
/// Hosts that no pod reaches through a proxy: itself, and Services and pods of the cluster.
const INSIDE: &str = "localhost,127.0.0.1,::1,.svc,.cluster.local";
/// Variables that name a file of authorities: OpenSSL and our programs, Python's requests, curl.
const CA_VARIABLES: [&str; 3] = ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"];

/// Proxies and authorities of all pods of Workspaces. By default there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outgoing {
    /// URL of the proxy for `http` URLs.
    pub http_proxy: Option<String>,
    /// URL of the proxy for `https` URLs.
    pub https_proxy: Option<String>,
    /// Hosts, domains and networks that are reached without a proxy, besides those of the cluster.
    pub no_proxy: Vec<String>,
    /// Authorities that replace those of an image.
    pub ca_bundle: Option<CaBundle>,
    /// Gives the containers that pull and push the workload identity of the namespace's default ServiceAccount.
    pub azure_identity: bool,
}

/// A ConfigMap with authorities, which each namespace with Workspaces must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaBundle {
    /// Name of the ConfigMap.
    pub config_map: String,
    /// Key of the PEM file.
    pub key: String,
}

impl Outgoing {
    /// The label by which Azure's webhook finds pods with an identity.
    pub(crate) fn labels(&self) -> BTreeMap<String, String> {
        let label = ("azure.workload.identity/use".to_owned(), "true".to_owned());
        self.azure_identity.then_some(label).into_iter().collect()
    }

    /// The annotation by which containers other than ours to pull and push get no identity: their images may be the user's.
    pub(crate) fn annotations(&self, main_container: &str) -> BTreeMap<String, String> {
        let skipped = format!("{main_container};front;kaito-front");
        let annotation = ("azure.workload.identity/skip-containers".to_owned(), skipped);
        self.azure_identity.then_some(annotation).into_iter().collect()
    }

    /// Adds variables and the mount to all containers of a pod, and the volume to the pod.
    pub(crate) fn add_to(&self, spec: &mut PodSpec) {
        let variables = self.variables();
        let init = spec.init_containers.iter_mut().flatten();
        for container in spec.containers.iter_mut().chain(init) {
            self.extend(container, &variables);
        }
        if let Some(bundle) = &self.ca_bundle {
            let volume = volume::config_key(VOLUME, &bundle.config_map, (&bundle.key, paths::CA_FILE));
            spec.volumes.get_or_insert_default().push(volume);
        }
    }

    fn extend(&self, container: &mut Container, variables: &[EnvVar]) {
        if variables.is_empty() {
            return;
        }
        container
            .env
            .get_or_insert_default()
            .extend(variables.iter().cloned());
        if self.ca_bundle.is_some() {
            let mount = volume::mount_read_only(VOLUME, paths::CA);
            container.volume_mounts.get_or_insert_default().push(mount);
        }
    }

    fn variables(&self) -> Vec<EnvVar> {
        let proxies = [
            ("HTTP_PROXY", &self.http_proxy),
            ("HTTPS_PROXY", &self.https_proxy),
        ];
        let proxies = proxies
            .into_iter()
            .filter_map(|(name, url)| Some(pod::env(name, &pod::escape(url.as_ref()?))));
        let mut variables: Vec<EnvVar> = proxies.collect();
        if !variables.is_empty() {
            let inside = INSIDE.split(',').map(str::to_owned);
            let hosts: Vec<String> = inside.chain(self.no_proxy.iter().cloned()).collect();
            variables.push(pod::env("NO_PROXY", &pod::escape(&hosts.join(","))));
        }
        if self.ca_bundle.is_some() {
            let file = format!("{}/{}", paths::CA, paths::CA_FILE);
            variables.extend(CA_VARIABLES.map(|name| pod::env(name, &file)));
        }
        variables
    }
}
