//! The Node of a claim: which one it is, how it joins, and how it goes.

pub(crate) mod deletion;
pub(crate) mod drain;
pub(crate) mod edit;
mod evictable;
pub(crate) mod initialization;
pub(crate) mod matching;
pub mod orphan;
pub(crate) mod registration;
