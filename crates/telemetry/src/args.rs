//! The flags of every program about logs and traces. [`crate::init()`] acts on them.

use clap::{Args, ValueEnum};

/// Flags about logs and traces, to flatten into a program's own.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Logs and traces")]
pub struct TelemetryArgs {
    /// Layout of log lines.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// Log lines that are written, as `target=level` pairs.
    #[arg(long, env = "LOG_FILTER", default_value = DEFAULT_FILTER)]
    pub log_filter: String,
    /// OTLP/gRPC endpoint for traces; without it, none are collected.
    #[arg(long, env = "OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
    /// Share of traces that are sent, from 0 to 1; a trace of a caller follows the caller.
    #[arg(long, env = "OTLP_SAMPLE_RATIO", default_value_t = 1.0, value_parser = ratio)]
    pub otlp_sample_ratio: f64,
}

/// The default filter: our own lines, and the warnings of libraries.
pub const DEFAULT_FILTER: &str = "info,kube=warn,typespec_client_core=warn,kube_client=warn,kube_runtime=warn,hyper=warn,h2=warn,tower=warn,tonic=warn,azure_core=warn,azure_identity=warn,opentelemetry=warn,opentelemetry_sdk=warn";

/// Layout of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One line of text.
    Text,
    /// One JSON object per line.
    Json,
}

impl Default for TelemetryArgs {
    fn default() -> Self {
        Self {
            log_format: LogFormat::Text,
            log_filter: DEFAULT_FILTER.to_owned(),
            otlp_endpoint: None,
            otlp_sample_ratio: 1.0,
        }
    }
}

fn ratio(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err("expected a number from 0 to 1".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        telemetry: TelemetryArgs,
    }

    #[test]
    fn defaults_log_text_and_send_nothing() {
        let args = Program::parse_from(["program"]).telemetry;
        assert_eq!((args.log_format, args.otlp_endpoint), (LogFormat::Text, None));
        assert!(tracing_subscriber::EnvFilter::try_new(args.log_filter).is_ok());
    }

    #[test]
    fn a_ratio_is_between_none_and_all() {
        assert!(Program::try_parse_from(["program", "--otlp-sample-ratio", "1.5"]).is_err());
        assert!(Program::try_parse_from(["program", "--otlp-sample-ratio", "0.25"]).is_ok());
    }
}
