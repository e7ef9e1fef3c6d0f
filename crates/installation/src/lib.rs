//! The operator on real nodes, installed as a user does with `helm install`. Images and the chart are in a registry, a
//! cloud boots nodes, and a hub has one small model.
//!
//! Tests and the demo share it. It stands things up, waits for them and asks them; it asserts nothing about the product.

mod chart;
mod cloud;
mod helm;
mod images;
mod operator;
mod pods;
mod registry;
mod user_registry;
mod weights;
mod workspaces;

pub use images::{ABSENT_IMAGE, SHELL_IMAGE};
pub use operator::{Installation, LIMIT};
pub use weights::Requests;
