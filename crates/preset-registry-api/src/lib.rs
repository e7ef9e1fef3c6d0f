//! Generated gRPC contract of the preset registry and its conversions.
