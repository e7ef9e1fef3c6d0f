//! Command line of the preset registry; every flag can also be an environment variable.

use std::net::SocketAddr;

use clap::Parser;

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
    /// Logs, traces.
    #[command(flatten)]
    pub telemetry: telemetry::TelemetryArgs,
}

#[cfg(test)]
mod tests {
    use super::*;

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
