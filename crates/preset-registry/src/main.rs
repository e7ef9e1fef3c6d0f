//! Entry point of preset-registry.

fn main() {}
