//! An in-memory cluster and cloud that play the product's code, for tests.
//!
//! `controllers` are the two programs: the product's observe, planners, order of steps and bookkeeping over simulated
//! caches. `world` moves them, the API server, the cloud and the kubelets by one agenda.
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
mod reservation;
pub mod rng;
pub mod runner;
pub mod scenario;
pub mod view;
pub mod world;
