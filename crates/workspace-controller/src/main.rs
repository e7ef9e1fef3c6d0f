//! Entry point of workspace-controller.

fn main() {}
