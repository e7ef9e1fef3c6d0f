//! gRPC service that knows every model preset.
