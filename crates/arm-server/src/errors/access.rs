//! Errors of identity, and of missing subscriptions, groups, clusters and pools.

use serde_json::json;

use super::{About, Named};
use crate::envelope::{ArmError, ErrorBody, flat, nested};

impl Named {
    /// Errors of the caller's identity.
    pub(super) fn identity(self, about: &About) -> ArmError {
        let About {
            subscription,
            group,
            cluster,
            ..
        } = about;
        match self {
            Self::Unauthorized => nested(401, "InvalidAuthenticationToken", "The access token is invalid."),
            Self::TokenExpired => nested(
                401,
                "ExpiredAuthenticationToken",
                "The access token expiry UTC time is earlier than \
                current UTC time.",
            ),
            Self::TokenMissing => nested(
                401,
                "AuthenticationFailed",
                "Authentication failed. The 'Authorization' header is \
                missing.",
            ),
            _ => nested(
                403,
                "AuthorizationFailed",
                &format!(
                    "The client 'c' with object id 'o' does not have authorization to \
                perform action 'Microsoft.ContainerService/managedClusters/agentPools/write' over scope '/subscriptions/\
                {subscription}/resourceGroups/{group}/providers/Microsoft.ContainerService/managedClusters/{cluster}' or the \
                scope is invalid. If access was recently granted, please refresh your credentials."
                ),
            ),
        }
    }

    /// Errors for a part of the address that does not exist.
    pub(super) fn missing(self, about: &About) -> ArmError {
        let About {
            subscription,
            group,
            cluster,
            pool,
            ..
        } = about;
        let place =
            format!("in subscription: {subscription}, resourceGroup: {group}, resourceName: {cluster}.");
        match self {
            Self::ClusterMissingAtProvider => flat(
                404,
                "NotFound",
                &format!(
                    "Could not find managed cluster resource: \
                {cluster} in subscription: {subscription}, resourceGroup: {group}."
                ),
                "GetManagedCluster_NotFound_HCPServerError",
            )
            .detailed("rpc error: code = NotFound desc = Managed Cluster not found"),
            Self::GroupMissing => nested(
                404,
                "ResourceGroupNotFound",
                &format!("Resource group '{group}' could not be found."),
            ),
            Self::SubscriptionMissing => nested(
                404,
                "SubscriptionNotFound",
                &format!(
                    "The subscription '{subscription}' could \
                not be found."
                ),
            ),
            Self::PoolMissing => {
                let body = json!({"code": "NotFound", "details": [{"code": "Unspecified",
                    "message": "rpc error: code = NotFound desc = Agent Pool not found"}],
                    "message": format!("Could not find the agentpool: {pool} {place}"),
                    "subcode": "GetAgentPool_NotFound_HCPServerError"});
                ArmError {
                    status: 404,
                    body: ErrorBody::Flat(body),
                    retry_after: None,
                }
            }
            _ => nested(
                404,
                "ResourceNotFound",
                &format!(
                    "The Resource 'Microsoft.ContainerService/managedClusters/{cluster}' \
                under resource group '{group}' was not found. For more details please go to \
                https://aka.ms/ARMResourceNotFoundFix"
                ),
            ),
        }
    }
}
