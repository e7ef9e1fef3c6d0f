//! Flags about the connections that pods of Workspaces open.

use render::{CaBundle, Outgoing};

/// Proxies and authorities of the pods of Workspaces.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Connections of Workspace pods")]
pub struct OutgoingArgs {
    /// Proxy for http URLs, as a URL; everyone who may read the pods sees it.
    #[arg(long, env = "POD_HTTP_PROXY", value_name = "URL", value_parser = proxy)]
    pub pod_http_proxy: Option<String>,
    /// Proxy for https URLs, as a URL; everyone who may read the pods sees it.
    #[arg(long, env = "POD_HTTPS_PROXY", value_name = "URL", value_parser = proxy)]
    pub pod_https_proxy: Option<String>,
    /// Host, domain or network that pods reach without a proxy, besides those of the cluster; may be repeated.
    #[arg(long, env = "POD_NO_PROXY", value_delimiter = ',', value_name = "HOST")]
    pub pod_no_proxy: Vec<String>,
    /// ConfigMap with authorities (PEM) in the namespace of every Workspace. They replace those of the images.
    #[arg(long, env = "POD_CA_CONFIG_MAP", default_value = "", value_name = "NAME")]
    pub pod_ca_config_map: String,
    /// Key of that ConfigMap.
    #[arg(long, env = "POD_CA_KEY", default_value = "ca.crt", value_name = "KEY")]
    pub pod_ca_key: String,
    /// Give containers that pull and push the Azure workload identity of the namespace's default ServiceAccount.
    #[arg(long, env = "POD_AZURE_WORKLOAD_IDENTITY")]
    pub pod_azure_workload_identity: bool,
}

impl OutgoingArgs {
    pub(crate) fn outgoing(&self) -> Outgoing {
        let bundle = || CaBundle {
            config_map: self.pod_ca_config_map.clone(),
            key: self.pod_ca_key.clone(),
        };
        Outgoing {
            http_proxy: self.pod_http_proxy.clone(),
            https_proxy: self.pod_https_proxy.clone(),
            no_proxy: self.pod_no_proxy.clone(),
            ca_bundle: (!self.pod_ca_config_map.is_empty()).then(bundle),
            azure_identity: self.pod_azure_workload_identity,
        }
    }
}

/// Parses the URL of a proxy, which a pod would otherwise ignore.
fn proxy(text: &str) -> Result<String, String> {
    let rest = ["http://", "https://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    let has_host = rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', ':', '@']));
    if has_host && !text.contains(char::is_whitespace) {
        Ok(text.to_owned())
    } else {
        Err("expected a URL, such as http://proxy.example.com:3128".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn outgoing(flags: &[&str]) -> Result<Outgoing, String> {
        let args = crate::args::Args::try_parse_from([&["workspace-controller"], flags].concat());
        args.map(|args| {
            args.settings(
                render::Images::of_registry("registry.example.com/kaito", "0.1.0"),
                Default::default(),
            )
            .outgoing
        })
        .map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_is_set_by_default() {
        assert_eq!(outgoing(&[]), Ok(Outgoing::default()));
    }

    #[test]
    fn every_flag_reaches_the_pods() {
        let asked = outgoing(&[
            "--pod-http-proxy=http://proxy:3128",
            "--pod-https-proxy=https://proxy:3129",
            "--pod-no-proxy=10.0.0.0/8,.corp.example",
            "--pod-ca-config-map=trust",
            "--pod-ca-key=bundle.pem",
            "--pod-azure-workload-identity",
        ]);
        let expected = Outgoing {
            http_proxy: Some("http://proxy:3128".to_owned()),
            https_proxy: Some("https://proxy:3129".to_owned()),
            no_proxy: vec!["10.0.0.0/8".to_owned(), ".corp.example".to_owned()],
            ca_bundle: Some(CaBundle {
                config_map: "trust".to_owned(),
                key: "bundle.pem".to_owned(),
            }),
            azure_identity: true,
        };
        assert_eq!(asked, Ok(expected));
    }

    #[test]
    fn a_proxy_is_a_url() {
        for wrong in [
            "",
            "proxy:3128",
            "socks5://p",
            "http://",
            "http:///x",
            "http://a b",
        ] {
            let answer = outgoing(&[&format!("--pod-http-proxy={wrong}")]).unwrap_err();
            assert!(answer.contains("expected a URL"), "{wrong}: {answer}");
        }
    }
}
