//! From what a model hub says about a model to its preset.
