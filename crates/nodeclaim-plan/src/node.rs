//! Nodes: their facts, which of them is a claim's, and changes to them.

pub(crate) mod edit;
pub(crate) mod facts;
pub(crate) mod labels;
pub(crate) mod matching;
pub(crate) mod ownership;
