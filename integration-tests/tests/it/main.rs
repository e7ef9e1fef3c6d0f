//! Integration tests on a real control plane.
