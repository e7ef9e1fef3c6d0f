//! Every chore of this repository as a command.

fn main() {}
