//! The server over real HTTP with a tiny random model: every endpoint, every kind of mistake, load and stopping.

mod api;
mod front;
mod load;
mod process;
mod server;
