//! The catalog of errors, in the words of the recorded service.
//!
//! It builds bodies only. The faults and the world decide which request gets one.

mod access;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::envelope::{ArmError, ErrorBody, RetryAfter, flat, html, nested, wrapped};

/// An error of the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words of each are below, beside its name")]
pub enum Named {
    QuotaSync,
    QuotaRegionalSync,
    QuotaAsync,
    SkuNotSupported,
    SkuNotAvailable,
    SkuRestricted,
    Capacity,
    ZonalCapacity,
    BusyPool,
    BusyCluster,
    BusyEtag,
    Preempted,
    Throttled,
    ThrottledWithoutHeader,
    ThrottledUntilDate,
    Unauthorized,
    TokenExpired,
    TokenMissing,
    Forbidden,
    ClusterMissing,
    ClusterMissingAtProvider,
    GroupMissing,
    SubscriptionMissing,
    PoolMissing,
    Internal,
    BadGatewayHtml,
    Unavailable,
    GatewayTimeoutHtml,
    Empty500,
    Precondition,
    PreconditionOnCreate,
    LastPool,
    Stopped,
    TooManyPools,
    BootstrapFailed,
    DrainFailed,
    Canceled,
    ThrottledSubscription,
    ThrottledCompute,
    SubnetFull,
    ScopeLocked,
    DeniedByPolicy,
}

/// Names that the texts contain.
#[derive(Clone, Debug, Default)]
pub(crate) struct About {
    pub(crate) subscription: String,
    pub(crate) group: String,
    pub(crate) cluster: String,
    pub(crate) location: String,
    pub(crate) pool: String,
    pub(crate) vm_size: String,
}

fn throttled(about: &About, retry_after: Option<RetryAfter>) -> ArmError {
    let seconds = match retry_after {
        Some(RetryAfter::Seconds(seconds) | RetryAfter::DateIn(seconds)) => seconds,
        None => 1,
    };
    let message = format!(
        "The PutAgentPoolHandler.PUT request limit has been exceeded for agentpool {}, please retry again in {seconds} \
         seconds. For more information, please visit aka.ms/aks/throttling",
        about.pool
    );
    ArmError {
        retry_after,
        ..flat(429, "Throttled", &message, "")
    }
}

/// The service's response to a request over its budget.
pub(crate) fn budget_spent(about: &About, seconds: u64) -> ArmError {
    throttled(about, Some(RetryAfter::Seconds(seconds)))
}

/// Azure Resource Manager's response to a request over the budget of the subscription.
pub(crate) fn subscription_budget_spent(about: &About, seconds: u64) -> ArmError {
    let message = format!(
        "Number of requests for subscription '{}' and operation 'write' exceeded the backend storage limit. Please try again \
         after '{seconds}' seconds.",
        about.subscription
    );
    ArmError {
        retry_after: Some(RetryAfter::Seconds(seconds)),
        ..nested(429, "SubscriptionRequestsThrottled", &message)
    }
}

/// Another operation holds a pool.
pub(crate) fn busy(pool: &str, state: &str) -> ArmError {
    let message = format!(
        "Operation is not allowed: Another agentpool operation ({pool} - {state}) is in progress, please wait for it to \
         finish before starting a new operation. See https://aka.ms/aks-pending-operation for more details"
    );
    flat(409, "OperationNotAllowed", &message, "")
}

/// A parameter is wrong.
pub(crate) fn invalid(target: &str, message: &str) -> ArmError {
    let body = json!({"code": "InvalidParameter", "details": null, "message": message, "subcode": "", "target": target});
    ArmError {
        status: 400,
        body: ErrorBody::Flat(body),
        retry_after: None,
    }
}

const HTML_502: &str =
    "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>";
const HTML_504: &str = "<html><head><title>504 Gateway Time-out</title></head><body></body></html>";

impl Named {
    /// The error in the service's words.
    pub(crate) fn build(self, about: &About) -> ArmError {
        match self {
            Self::QuotaSync | Self::QuotaRegionalSync | Self::QuotaAsync => self.quota(about),
            Self::SkuNotSupported
            | Self::SkuNotAvailable
            | Self::SkuRestricted
            | Self::Capacity
            | Self::ZonalCapacity => self.machines(about),
            Self::BusyPool
            | Self::BusyCluster
            | Self::BusyEtag
            | Self::Preempted
            | Self::Canceled
            | Self::Stopped => self.operations(about),
            Self::Throttled | Self::ThrottledWithoutHeader | Self::ThrottledUntilDate => throttled(
                about,
                match self {
                    Self::Throttled => Some(RetryAfter::Seconds(1)),
                    Self::ThrottledUntilDate => Some(RetryAfter::DateIn(2)),
                    _ => None,
                },
            ),
            Self::Unauthorized | Self::TokenExpired | Self::TokenMissing | Self::Forbidden => {
                self.identity(about)
            }
            Self::ClusterMissing
            | Self::ClusterMissingAtProvider
            | Self::GroupMissing
            | Self::SubscriptionMissing
            | Self::PoolMissing => self.missing(about),
            Self::Internal => flat(500, "InternalOperationError", "Internal server error", ""),
            Self::BadGatewayHtml => html(502, HTML_502),
            Self::Unavailable => nested(
                503,
                "ServiceUnavailable",
                "The service is temporarily unavailable.",
            ),
            Self::GatewayTimeoutHtml => html(504, HTML_504),
            Self::Empty500 => ArmError {
                status: 500,
                body: ErrorBody::Empty,
                retry_after: None,
            },
            Self::Precondition => flat(
                412,
                "PreconditionFailed",
                "The ETag does not match the resource.",
                "",
            ),
            Self::PreconditionOnCreate => flat(
                412,
                "PreconditionFailed",
                "Resource not found but ETag header is provided. \
                If this is a request to create, please do not provide ETag.",
                "",
            ),
            Self::DrainFailed => flat(
                400,
                "PodDrainFailure",
                &format!(
                    "Drain of nodes of agentpool {} failed: a pod disruption budget holds a pod.",
                    about.pool
                ),
                "",
            ),
            Self::SubnetFull => wrapped(
                "SubnetIsFull",
                "Subnet s with address prefix 10.0.0.0/24 does not have enough capacity for 31 IP addresses.",
            ),
            Self::ScopeLocked => nested(
                409,
                "ScopeLocked",
                &format!(
                    "The scope '/subscriptions/{}' cannot perform write operation because following scope(s) are locked: \
                '/subscriptions/{}'. Please remove the lock and try again.",
                    about.subscription, about.subscription
                ),
            ),
            Self::DeniedByPolicy => nested(
                403,
                "RequestDisallowedByPolicy",
                &format!(
                    "Resource '{}' was disallowed by policy. Policy identifiers: 'require-tag'.",
                    about.pool
                ),
            ),
            Self::ThrottledSubscription => ArmError {
                retry_after: Some(RetryAfter::Seconds(2)),
                ..flat(
                    429,
                    "Throttled",
                    &format!(
                        "The PutAgentPoolHandler.PUT request limit has been exceeded for SubID='{}', please retry again in 2 \
                    seconds. For more information, please visit aka.ms/aks/throttling",
                        about.subscription
                    ),
                    "",
                )
            },
            Self::ThrottledCompute => wrapped(
                "TooManyRequests",
                "The server rejected the request because too many requests have been received for this subscription. \
                Retry after 2 seconds.",
            ),
            Self::LastPool => flat(
                400,
                "OperationNotAllowed",
                "There has to be at least one agent pool.",
                "",
            ),
            Self::TooManyPools => flat(
                400,
                "MaxAgentPoolCountReached",
                "The maximum number of agent pools is reached.",
                "",
            ),
            Self::BootstrapFailed => wrapped(
                "VMExtensionProvisioningError",
                "VM has reported a failure when processing \
                extension 'vmssCSE'. Error message: \"Enable failed: exit status=50\"",
            ),
        }
    }

    fn quota(self, about: &About) -> ArmError {
        let place = &about.location;
        let size = &about.vm_size;
        match self {
            Self::QuotaRegionalSync => flat(
                400,
                "ErrCode_InsufficientVCPUQuota",
                &format!(
                    "Insufficient regional vcpu \
                quota left for location {place}. left regional vcpu quota 0, requested quota 24."
                ),
                "",
            ),
            Self::QuotaAsync => {
                let message = format!(
                    "Operation could not be completed as it results in exceeding approved {size}Family \
                    Cores quota. Additional details - Deployment Model: Resource Manager, Location: {place}, Current \
                    Limit: 6, Current Usage: 6, Additional Required: 6, (Minimum) New Limit Required: 12. Submit a request \
                    for Quota increase at https://aka.ms/ProdportalCRP/#blade/Microsoft_Azure_Capacity/UsageAndQuota."
                );
                let body = json!({"code": "QuotaExceeded", "message": "The provisioning of the agent pool failed.",
                    "details": [{"code": "OperationNotAllowed", "message": message}]});
                ArmError {
                    status: 400,
                    body: ErrorBody::Flat(body),
                    retry_after: None,
                }
            }
            _ => flat(
                400,
                "ErrCode_InsufficientVCPUQuota",
                &format!(
                    "Insufficient vcpu quota requested 24, remaining 12 for \
                family {size} for region {place}."
                ),
                "",
            ),
        }
    }

    fn machines(self, about: &About) -> ArmError {
        let About {
            location,
            vm_size,
            subscription,
            ..
        } = about;
        match self {
            Self::SkuNotSupported => flat(
                400,
                "VMSizeNotSupported",
                &format!(
                    "Virtual Machine size: '{vm_size}' is not \
                supported for subscription {subscription} in location '{location}'. See aka.ms/aks/vm-size-selector"
                ),
                "",
            ),
            Self::SkuNotAvailable => wrapped(
                "SkuNotAvailable",
                &format!(
                    "The requested size for resource '{vm_size}' is currently not available in location '{location}' zones \
                '' for subscription '{subscription}'. Please try another size or deploy to a different location or zones."
                ),
            ),
            Self::SkuRestricted => wrapped(
                "SkuNotAvailable",
                &format!(
                    "The requested VM size for resource 'Following SKUs \
                have failed for Capacity Restrictions: {vm_size}' is currently not available in location '{location}'. \
                Please try another size or deploy to a different location or different zone. See \
                https://aka.ms/azureskunotavailable for details."
                ),
            ),
            Self::ZonalCapacity => wrapped(
                "ZonalAllocationFailed",
                &format!(
                    "Allocation failed. We do not have sufficient \
                capacity for the requested VM size {vm_size} in this zone."
                ),
            ),
            _ => wrapped(
                "AllocationFailed",
                &format!(
                    "Allocation failed. We do not have sufficient capacity for the \
                requested VM size {vm_size} in this region."
                ),
            ),
        }
    }

    fn operations(self, about: &About) -> ArmError {
        match self {
            Self::BusyPool => busy(&about.pool, "Updating"),
            Self::BusyEtag => flat(
                409,
                "EtagMismatch",
                "Operation is not allowed: Another operation is in progress",
                "PutAgentPool_FailedPrecondition",
            ),
            Self::Preempted => flat(
                409,
                "AKSOperationPreempted",
                "The operation was preempted by another operation",
                "",
            ),
            Self::Canceled => flat(409, "Canceled", "The operation was canceled.", ""),
            Self::Stopped => flat(
                400,
                "OperationNotAllowed",
                "The operation is not allowed: the managed cluster is in \
                (Stopped) power state.",
                "",
            ),
            _ => flat(
                409,
                "OperationNotAllowed",
                "Operation is not allowed: Another operation (Updating) is in progress, \
                please wait for it to finish before starting a new operation. See https://aka.ms/aks-pending-operation for \
                more details",
                "",
            ),
        }
    }
}
