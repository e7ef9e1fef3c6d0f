//! Entry point of arm-server.

fn main() {}
