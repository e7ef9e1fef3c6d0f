//! Logs, Prometheus metrics and OTLP traces.
