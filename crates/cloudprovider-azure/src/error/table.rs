//! Table from Azure's errors to [`ErrorClass`]. The first row that matches a layer decides, innermost layer first.
//!
//! Codes alone do not decide: `OperationNotAllowed` means busy, quota or a stopped cluster, and `NotFound` a pool
//! or a cluster. The texts come from public recordings of the API.

use cloudprovider::ErrorClass::*;

use super::layers::ErrorLayer;
use super::row::{ANY, Row};

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "throttled",
        class: Throttled,
        status: &[429],
        ..ANY
    },
    Row {
        name: "preempted",
        class: Busy,
        codes: &["AKSOperationPreempted", "AKSOperationPreemptedByDelete"],
        ..ANY
    },
    Row {
        name: "overridden",
        class: Busy,
        texts: &["overriden and cancel", "overridden and cancel"],
        ..ANY
    },
    Row {
        name: "etag mismatch",
        class: Busy,
        codes: &["EtagMismatch"],
        ..ANY
    },
    Row {
        name: "precondition status",
        class: Precondition,
        status: &[412],
        ..ANY
    },
    Row {
        name: "precondition code",
        class: Precondition,
        codes: &["PreconditionFailed"],
        ..ANY
    },
    // A restriction of the capacity of a size is lifted when machines are free again.
    Row {
        name: "sku restricted by capacity",
        class: Capacity,
        codes: &["SkuNotAvailable"],
        texts: &["capacity restrictions"],
        ..ANY
    },
    // Another zone, or none, may be had.
    Row {
        name: "zone code",
        class: SkuUnavailable,
        codes: &["AvailabilityZoneNotSupported"],
        ..ANY
    },
    Row {
        name: "sku code",
        class: SkuUnavailable,
        codes: &["SkuNotAvailable", "VMSizeNotSupported", "LocationRestriction"],
        ..ANY
    },
    Row {
        name: "sku text",
        class: SkuUnavailable,
        texts: &[
            "not allowed in your subscription in location",
            "is not supported for subscription",
        ],
        ..ANY
    },
    Row {
        name: "sku parameter",
        class: SkuUnavailable,
        codes: &["InvalidParameter"],
        texts: &["vmsize", "vm size", "virtual machine size"],
        ..ANY
    },
    Row {
        name: "quota code",
        class: Quota,
        codes: &[
            "ErrCode_InsufficientVCPUQuota",
            "InsufficientVCPUQuota",
            "QuotaExceeded",
            "PublicIPCountLimitReached",
        ],
        ..ANY
    },
    Row {
        name: "cluster full",
        class: ClusterFull,
        codes: &["MaxAgentPoolCountReached", "AgentPoolCountLimit"],
        ..ANY
    },
    Row {
        name: "addresses code",
        class: NoAddresses,
        codes: &[
            "KubenetNodeCountTotalExceedsLimit",
            "InsufficientSubnetSize",
            "SubnetIsFull",
            "SubnetFull",
            "InsufficientIPAddresses",
        ],
        ..ANY
    },
    Row {
        name: "addresses subcode",
        class: NoAddresses,
        subcodes: &["KubenetNodeCountTotalExceedsLimit", "InsufficientSubnetSize"],
        ..ANY
    },
    Row {
        name: "addresses text",
        class: NoAddresses,
        texts: &[
            "kubenetnodecounttotalexceedslimit",
            "insufficientsubnetsize",
            "enough ip addresses",
            "does not have enough capacity for",
        ],
        ..ANY
    },
    Row {
        name: "quota text",
        class: Quota,
        texts: &[
            "cores quota",
            "lowprioritycores",
            "submit a request for quota increase",
            "insufficient vcpu quota",
            "insufficient regional vcpu quota",
        ],
        ..ANY
    },
    Row {
        name: "capacity code",
        class: Capacity,
        codes: &[
            "AllocationFailed",
            "ZonalAllocationFailed",
            "OverconstrainedAllocationRequest",
            "OverconstrainedZonalAllocationRequest",
            "OverconstrainedAllocation",
            "OverconstrainedZonalAllocation",
            "SpotAllocationFailed",
        ],
        ..ANY
    },
    Row {
        name: "policy",
        class: Policy,
        codes: &["RequestDisallowedByPolicy", "PolicyViolation"],
        ..ANY
    },
    Row {
        name: "blocked",
        class: Blocked,
        codes: &[
            "ScopeLocked",
            "ReadOnlyDisabledSubscription",
            "SubscriptionNotRegistered",
            "MissingSubscriptionRegistration",
            "K8sVersionNotSupported",
            "AgentPoolK8sVersionNotSupported",
            "PodDrainFailure",
        ],
        ..ANY
    },
    Row {
        name: "capacity text",
        class: Capacity,
        texts: &["do not have sufficient capacity"],
        ..ANY
    },
    Row {
        name: "throttled code",
        class: Throttled,
        codes: &[
            "Throttled",
            "TooManyRequests",
            "SubscriptionRequestsThrottled",
            "ResourceRequestsThrottled",
        ],
        ..ANY
    },
    Row {
        name: "throttled text",
        class: Throttled,
        status: &[0],
        texts: &[
            "too many requests",
            "toomanyrequests",
            "statuscode=429",
            "status=429",
        ],
        ..ANY
    },
    Row {
        name: "unauthorized status",
        class: Unauthorized,
        status: &[401],
        ..ANY
    },
    Row {
        name: "unauthorized code",
        class: Unauthorized,
        codes: &[
            "AuthorizationFailed",
            "LinkedAuthorizationFailed",
            "AuthenticationFailed",
            "InvalidAuthenticationToken",
            "InvalidAuthenticationTokenTenant",
            "ExpiredAuthenticationToken",
        ],
        ..ANY
    },
    Row {
        name: "token service",
        class: Unauthorized,
        texts: &["aadsts"],
        ..ANY
    },
    Row {
        name: "pool subcode",
        class: NotFound,
        status: &[404],
        subcodes: &["GetAgentPool_NotFound"],
        ..ANY
    },
    Row {
        name: "pool text",
        class: NotFound,
        status: &[404],
        texts: &["could not find the agentpool:", "agent pool not found"],
        ..ANY
    },
    Row {
        name: "cluster subcode",
        class: ClusterNotFound,
        status: &[404],
        subcodes: &["GetManagedCluster_NotFound"],
        ..ANY
    },
    Row {
        name: "cluster text",
        class: ClusterNotFound,
        status: &[404],
        texts: &["could not find managed cluster resource"],
        ..ANY
    },
    // The gateway names a missing cluster. In the recordings it never names a pool; if it did, that would prove
    // neither.
    Row {
        name: "gateway on a pool",
        class: Transient,
        status: &[404],
        texts: &["/agentpools/"],
        ..ANY
    },
    Row {
        name: "gateway on the cluster",
        class: ClusterNotFound,
        status: &[404],
        codes: &[
            "ResourceNotFound",
            "ResourceGroupNotFound",
            "SubscriptionNotFound",
            "ParentResourceNotFound",
        ],
        ..ANY
    },
    Row {
        name: "other 404",
        class: Transient,
        status: &[404],
        ..ANY
    },
    Row {
        name: "last pool",
        class: Invalid,
        codes: &["OperationNotAllowed"],
        texts: &["at least one agent pool"],
        ..ANY
    },
    Row {
        name: "stopped",
        class: ClusterStopped,
        codes: &["OperationNotAllowed", "BadRequest", "ClusterNotRunning"],
        texts: &["(stopped)", "is stopped", "power state", "powerstate"],
        ..ANY
    },
    Row {
        name: "busy text",
        class: Busy,
        codes: &[
            "OperationNotAllowed",
            "AnotherOperationInProgress",
            "Conflict",
            "BadRequest",
        ],
        texts: &["in progress", "another operation", "aks-pending-operation"],
        ..ANY
    },
    Row {
        name: "busy code",
        class: Busy,
        codes: &["AnotherOperationInProgress", "Conflict"],
        ..ANY
    },
    Row {
        name: "conflict",
        class: Busy,
        status: &[409],
        ..ANY
    },
    // The text decides, and this text is unknown to the table: assume no lasting reason.
    Row {
        name: "not allowed",
        class: Transient,
        codes: &["OperationNotAllowed"],
        ..ANY
    },
    Row {
        name: "forbidden",
        class: Unauthorized,
        status: &[403],
        ..ANY
    },
    Row {
        name: "server",
        class: Transient,
        status: &[408, 500, 501, 502, 503, 504],
        ..ANY
    },
    Row {
        name: "invalid code",
        class: Invalid,
        codes: &[
            "InvalidParameter",
            "InvalidAgentPoolProfile",
            "ValidationError",
            "SystemPoolHasRestrictedTaint",
        ],
        ..ANY
    },
    Row {
        name: "invalid status",
        class: Invalid,
        status: &[400, 405, 411, 413, 414, 415, 422],
        ..ANY
    },
    ANY,
];

/// Finds the row that decides, and the layer that it matches.
pub(super) fn decide(status: u16, layers: &[ErrorLayer]) -> (&'static Row, Option<&ErrorLayer>) {
    for row in ROWS {
        if !row.status.is_empty() && !row.status.contains(&status) {
            continue;
        }
        if row.looks_at_no_layer() {
            // A body without an error comes from a gateway, whose 400 proves nothing about the request.
            if row.class == Invalid && layers.is_empty() {
                continue;
            }
            return (row, None);
        }
        if let Some(layer) = layers.iter().rev().find(|layer| row.fits(layer)) {
            return (row, Some(layer));
        }
    }
    (&ANY, None)
}
