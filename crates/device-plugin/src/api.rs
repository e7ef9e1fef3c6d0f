//! The generated contract with the kubelet.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::nursery,
    reason = "generated code"
)]

tonic::include_proto!("v1beta1");
