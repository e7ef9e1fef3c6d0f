//! AKS agent pools through Azure Resource Manager.
