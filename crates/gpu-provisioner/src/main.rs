//! Entry point of gpu-provisioner.

fn main() {}
