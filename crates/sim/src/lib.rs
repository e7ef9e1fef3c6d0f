//! In-memory cluster and cloud that play plans, for tests.
//!
//! Everything is a function of a seed and a script: no clock, no environment, no files, no threads.

pub mod agenda;
pub mod api_server;
pub mod chaos;
pub mod cloud;
pub mod controllers;
pub mod failure;
pub mod fixtures;
pub mod json;
pub mod kubelet;
pub mod rng;
pub mod runner;
pub mod scenario;
pub mod view;
pub mod world;
