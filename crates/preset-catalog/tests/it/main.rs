//! The catalog's derived parameters and the estimator, against recorded tables and for random input.

mod derived_parameters;
mod estimator_properties;
mod node_counts;
