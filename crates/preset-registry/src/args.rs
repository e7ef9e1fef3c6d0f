//! Command line of the preset registry; every flag can also be an environment variable.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;

use crate::server::ServerOptions;
use crate::tls::TlsFiles;

/// Answers questions about model presets over gRPC.
#[derive(Clone, Debug, Parser)]
#[command(name = "preset-registry", version)]
pub struct Args {
    /// Where gRPC is served.
    #[arg(long, env = "GRPC_BIND_ADDRESS", default_value = "0.0.0.0:50051")]
    pub grpc_bind_address: SocketAddr,
    /// Where Prometheus metrics are served.
    #[arg(long, env = "METRICS_BIND_ADDRESS", default_value = "0.0.0.0:8080")]
    pub metrics_bind_address: SocketAddr,
    /// Where `/healthz` and `/readyz` are served.
    #[arg(long, env = "HEALTH_PROBE_BIND_ADDRESS", default_value = "0.0.0.0:8081")]
    pub health_probe_bind_address: SocketAddr,
    /// Directory of users' preset files, such as a mounted ConfigMap; followed as it changes.
    #[arg(long, env = "PRESETS_DIR")]
    pub presets_dir: Option<PathBuf>,
    /// gRPC connections that may be open at once; more wait to be accepted.
    #[arg(long, env = "MAX_CONNECTIONS", default_value = "1024", value_parser = connections)]
    pub max_connections: usize,
    /// Certificates.
    #[command(flatten)]
    pub tls: TlsArgs,
    /// Logs, traces.
    #[command(flatten)]
    pub telemetry: telemetry::TelemetryArgs,
}

/// Flags about encryption; all files are PEM and read again when they change.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "TLS")]
pub struct TlsArgs {
    /// Certificate of the gRPC server; plain text is served without.
    #[arg(long, env = "TLS_CERT_FILE", requires = "tls_key_file")]
    pub tls_cert_file: Option<PathBuf>,
    /// Key of the certificate.
    #[arg(long, env = "TLS_KEY_FILE", requires = "tls_cert_file")]
    pub tls_key_file: Option<PathBuf>,
    /// Authorities of clients; with it, clients must show a certificate of one of them.
    #[arg(long, env = "TLS_CLIENT_CA_FILE", requires = "tls_cert_file")]
    pub tls_client_ca_file: Option<PathBuf>,
}

impl Args {
    /// What the flags mean for the server.
    ///
    /// # Errors
    /// When they contradict each other.
    pub fn server_options(&self) -> anyhow::Result<ServerOptions> {
        let pair = self.tls.tls_cert_file.clone().zip(self.tls.tls_key_file.clone());
        let tls = pair.map(|(certificate, key)| TlsFiles {
            certificate,
            key,
            client_authorities: self.tls.tls_client_ca_file.clone(),
        });
        Ok(ServerOptions {
            presets_dir: self.presets_dir.clone(),
            tls,
            max_connections: self.max_connections,
        })
    }
}

fn connections(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(number @ 1..=100_000) => Ok(number),
        _ => Err("a number from 1 to 100000 is wanted".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(flags: &[&str]) -> Result<Args, clap::Error> {
        Args::try_parse_from(["preset-registry"].iter().chain(flags))
    }

    #[test]
    fn a_certificate_takes_a_key_and_clients_take_a_certificate() {
        let (cert, key, ca) = ("--tls-cert-file=c", "--tls-key-file=k", "--tls-client-ca-file=a");
        for bad in [&[cert][..], &[key], &[ca], &[cert, ca]] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
        let tls = parse(&[cert, key, ca])
            .unwrap()
            .server_options()
            .unwrap()
            .tls
            .unwrap();
        assert_eq!(tls.client_authorities, Some("a".into()));
        assert_eq!(
            parse(&[]).unwrap().server_options().unwrap(),
            ServerOptions::default()
        );
    }

    #[test]
    fn at_least_one_connection() {
        assert!(parse(&["--max-connections=0"]).is_err() && parse(&["--max-connections=x"]).is_err());
        assert_eq!(parse(&["--max-connections=7"]).unwrap().max_connections, 7);
    }

    #[test]
    fn defaults_are_the_documented_ports() {
        let args = Args::parse_from(["preset-registry"]);
        let addresses = [
            args.grpc_bind_address,
            args.metrics_bind_address,
            args.health_probe_bind_address,
        ];
        assert_eq!(addresses.map(|address| address.port()), [50051, 8080, 8081]);
    }

    #[test]
    fn a_bad_address_is_refused() {
        assert!(Args::try_parse_from(["preset-registry", "--grpc-bind-address", "localhost"]).is_err());
    }
}
