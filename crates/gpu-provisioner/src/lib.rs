//! Reconciles Machines into AKS agent pools.
