//! Reconciles Workspaces.
