//! A faithful Azure Resource Manager and token server for agent pools, over HTTP.
