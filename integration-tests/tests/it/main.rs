//! Integration tests: our programs on a real control plane.

mod crd;
