//! Tests with one recorded example for each row of the table, and of the other fields of an error.

use std::collections::BTreeSet;

use super::*;
use cloudprovider::ErrorClass::*;
use serde_json::json;

/// Row, HTTP status, body, class, code.
type Example = (&'static str, u16, Value, ErrorClass, &'static str);

fn flat(code: &str, message: &str) -> Value {
    json!({"code": code, "details": null, "message": message, "subcode": ""})
}

fn nested(code: &str, message: &str) -> Value {
    json!({"error": {"code": code, "message": message}})
}

fn refusals() -> Vec<Example> {
    let quota = "Operation could not be completed as it results in exceeding approved standardNCSv3Family Cores quota. \
        Additional details - Deployment Model: Resource Manager, Location: x, Current Limit: 6, Current Usage: 6.";
    let pool = json!({"code": "NotFound", "details": [{"code": "Unspecified", "message":
        "rpc error: code = NotFound desc = Agent Pool not found"}], "message": "Could not find the agentpool: p in \
        subscription: s, resourceGroup: rg, resourceName: c.", "subcode": "GetAgentPool_NotFound_HCPServerError"});
    let old_pool = flat("NotFound", "Could not find the agentpool: p in subscription: s.");
    let cluster = json!({"code": "NotFound", "message": "gone", "subcode": "GetManagedCluster_NotFound_HCPServerError"});
    let etag = json!({"code": "EtagMismatch", "message": "Operation is not allowed: Another operation is in progress",
        "subcode": "PutAgentPool_FailedPrecondition"});
    vec![
        (
            "throttled",
            429,
            flat("Throttled", "limit exceeded, please retry again in 36 seconds"),
            Throttled,
            "Throttled",
        ),
        (
            "preempted",
            409,
            flat("AKSOperationPreempted", "m"),
            Busy,
            "AKSOperationPreempted",
        ),
        ("etag mismatch", 409, etag, Busy, "EtagMismatch"),
        (
            "precondition status",
            412,
            flat(
                "PreconditionFailed",
                "Resource not found but ETag header is provided.",
            ),
            Precondition,
            "PreconditionFailed",
        ),
        (
            "zone code",
            400,
            flat(
                "AvailabilityZoneNotSupported",
                "The zone(s) '3' for resource 'agentpool' is not supported.",
            ),
            SkuUnavailable,
            "AvailabilityZoneNotSupported",
        ),
        (
            "sku code",
            400,
            flat("VMSizeNotSupported", "Virtual Machine size: 'X'"),
            SkuUnavailable,
            "VMSizeNotSupported",
        ),
        (
            "sku text",
            400,
            flat(
                "BadRequest",
                "The VM size of X is not allowed in your subscription in location 'y'.",
            ),
            SkuUnavailable,
            "BadRequest",
        ),
        (
            "sku parameter",
            400,
            json!({"code": "InvalidParameter", "message": "bad", "target": "agentPoolProfile.vmSize"}),
            SkuUnavailable,
            "InvalidParameter",
        ),
        (
            "quota code",
            400,
            flat(
                "ErrCode_InsufficientVCPUQuota",
                "Insufficient vcpu quota requested 6, remaining 0 for \
            family standardNCSv3Family for region x.",
            ),
            Quota,
            "ErrCode_InsufficientVCPUQuota",
        ),
        (
            "quota text",
            403,
            nested("OperationNotAllowed", quota),
            Quota,
            "OperationNotAllowed",
        ),
        (
            "throttled code",
            503,
            nested("SubscriptionRequestsThrottled", "m"),
            Throttled,
            "SubscriptionRequestsThrottled",
        ),
        (
            "unauthorized status",
            401,
            nested("InvalidAuthenticationTokenTenant", "m"),
            Unauthorized,
            "InvalidAuthenticationTokenTenant",
        ),
        (
            "unauthorized code",
            403,
            nested("LinkedAuthorizationFailed", "m"),
            Unauthorized,
            "LinkedAuthorizationFailed",
        ),
        (
            "token service",
            400,
            nested("BadRequest", "AADSTS70021: No matching record"),
            Unauthorized,
            "BadRequest",
        ),
        ("pool subcode", 404, pool, NotFound, "NotFound"),
        ("pool text", 404, old_pool, NotFound, "NotFound"),
        ("cluster subcode", 404, cluster, ClusterNotFound, "NotFound"),
        (
            "cluster text",
            404,
            flat(
                "NotFound",
                "Could not find managed cluster resource: c in subscription: s",
            ),
            ClusterNotFound,
            "NotFound",
        ),
        (
            "gateway on a pool",
            404,
            nested(
                "ResourceNotFound",
                "The Resource 'Microsoft.ContainerService/managedClusters/\
            c/agentPools/p' was not found.",
            ),
            Transient,
            "ResourceNotFound",
        ),
        (
            "gateway on the cluster",
            404,
            nested(
                "ResourceNotFound",
                "The Resource 'Microsoft.ContainerService/\
            managedClusters/c' under resource group 'rg' was not found.",
            ),
            ClusterNotFound,
            "ResourceNotFound",
        ),
        ("other 404", 404, flat("NotFound", ""), Transient, "NotFound"),
        (
            "last pool",
            400,
            flat("OperationNotAllowed", "There has to be at least one agent pool."),
            Invalid,
            "OperationNotAllowed",
        ),
        (
            "busy text",
            400,
            flat(
                "OperationNotAllowed",
                "Operation is not allowed because there's an in progress create \
            node pool operation",
            ),
            Busy,
            "OperationNotAllowed",
        ),
        (
            "busy code",
            400,
            nested("AnotherOperationInProgress", "m"),
            Busy,
            "AnotherOperationInProgress",
        ),
        (
            "stopped",
            400,
            flat(
                "OperationNotAllowed",
                "managed cluster is in (Stopped) power state",
            ),
            ClusterStopped,
            "OperationNotAllowed",
        ),
        ("conflict", 409, json!({}), Busy, "Http409"),
        (
            "not allowed",
            400,
            flat("OperationNotAllowed", "Some new reason."),
            Transient,
            "OperationNotAllowed",
        ),
        (
            "forbidden",
            403,
            nested("SomethingNew", "m"),
            Unauthorized,
            "SomethingNew",
        ),
        ("server", 502, json!({}), Transient, "Http502"),
        (
            "invalid code",
            400,
            flat("ValidationError", "m"),
            Invalid,
            "ValidationError",
        ),
        (
            "invalid status",
            400,
            nested("InvalidRequestContent", "m"),
            Invalid,
            "InvalidRequestContent",
        ),
    ]
}

/// Refusals that an administrator, or the end of other nodes, lifts.
fn healing_refusals() -> Vec<Example> {
    let subnet = "Pre-allocated IPs 93 exceeds IPs available 59 in Subnet Cidr 10.0.0.0/26, Subnet Name s. \
        http://aka.ms/aks/insufficientsubnetsize";
    let kubenet = json!({"code": "ValidationError", "message": "Total node count 401 is over the kubenet limit of 400.",
        "subcode": "KubenetNodeCountTotalExceedsLimit"});
    let locked =
        "The scope '/subscriptions/s' cannot perform write operation because following scope(s) are locked.";
    vec![
        (
            "addresses code",
            400,
            flat("KubenetNodeCountTotalExceedsLimit", "m"),
            NoAddresses,
            "KubenetNodeCountTotalExceedsLimit",
        ),
        (
            "addresses code",
            400,
            flat("InsufficientSubnetSize", subnet),
            NoAddresses,
            "InsufficientSubnetSize",
        ),
        ("addresses subcode", 400, kubenet, NoAddresses, "ValidationError"),
        (
            "addresses text",
            400,
            flat("BadRequest", subnet),
            NoAddresses,
            "BadRequest",
        ),
        (
            "cluster full",
            400,
            flat("MaxAgentPoolCountReached", "m"),
            ClusterFull,
            "MaxAgentPoolCountReached",
        ),
        (
            "blocked",
            409,
            nested("ScopeLocked", locked),
            Blocked,
            "ScopeLocked",
        ),
        (
            "blocked",
            409,
            nested("ReadOnlyDisabledSubscription", "m"),
            Blocked,
            "ReadOnlyDisabledSubscription",
        ),
        (
            "blocked",
            409,
            nested("MissingSubscriptionRegistration", "m"),
            Blocked,
            "MissingSubscriptionRegistration",
        ),
        (
            "blocked",
            400,
            flat("K8sVersionNotSupported", "m"),
            Blocked,
            "K8sVersionNotSupported",
        ),
        (
            "policy",
            403,
            nested(
                "RequestDisallowedByPolicy",
                "Resource 'p' was disallowed by policy 'require-tag'.",
            ),
            Policy,
            "RequestDisallowedByPolicy",
        ),
    ]
}

/// Ends of operations that are neither the request's fault nor passing.
fn healing_failures() -> Vec<Example> {
    let full = "Subnet s with address prefix 10.0.0.0/24 does not have enough capacity for 31 IP addresses.";
    let restricted = "The requested VM size for resource 'Following SKUs have failed for Capacity Restrictions: X' is \
        currently not available in location 'y'.";
    let compute =
        "The server rejected the request because too many requests have been received for this subscription.";
    vec![
        (
            "addresses code",
            0,
            flat("SubnetIsFull", full),
            NoAddresses,
            "SubnetIsFull",
        ),
        (
            "addresses text",
            0,
            flat("CreateVMSSAgentPoolFailed", full),
            NoAddresses,
            "CreateVMSSAgentPoolFailed",
        ),
        (
            "sku restricted by capacity",
            0,
            flat("SkuNotAvailable", restricted),
            Capacity,
            "SkuNotAvailable",
        ),
        (
            "capacity code",
            0,
            flat("OverconstrainedAllocationRequest", "m"),
            Capacity,
            "OverconstrainedAllocationRequest",
        ),
        (
            "capacity code",
            0,
            flat("OverconstrainedZonalAllocationRequest", "m"),
            Capacity,
            "OverconstrainedZonalAllocationRequest",
        ),
        (
            "blocked",
            0,
            flat(
                "PodDrainFailure",
                "Drain node n failed: too many req: pod p has a disruption budget",
            ),
            Blocked,
            "PodDrainFailure",
        ),
        (
            "throttled code",
            0,
            flat("TooManyRequests", compute),
            Throttled,
            "TooManyRequests",
        ),
        (
            "throttled text",
            0,
            flat(
                "CreateVMSSAgentPoolFailed",
                "VMSSAgentPoolReconciler retry failed: StatusCode=429",
            ),
            Throttled,
            "CreateVMSSAgentPoolFailed",
        ),
    ]
}

#[test]
fn pauses_are_read_from_texts() {
    let wait = |status, body: &Value| from_layers(status, &layers::of_value(body)).retry_after;
    let seconds = |n| Some(SignedDuration::from_secs(n));
    let vmss = flat(
        "CreateVMSSAgentPoolFailed",
        "Code=\"TooManyRequests\" Message=\"Retry after 120 seconds.\"",
    );
    assert_eq!(wait(0, &vmss), seconds(120));
    assert_eq!(wait(429, &flat("Throttled", "Retry after 2 seconds")), seconds(2));
    let quota = |text: &str| wait(400, &flat("ErrCode_InsufficientVCPUQuota", text));
    let none = Some(NO_QUOTA_PAUSE);
    assert_eq!(
        quota("Insufficient vcpu quota requested 24, remaining 0 for family f for region x."),
        none
    );
    assert_eq!(
        quota(
            "Insufficient regional vcpu quota left for location x. left regional vcpu quota 0, requested quota 24."
        ),
        none
    );
    assert_eq!(
        quota("Insufficient vcpu quota requested 24, remaining 10 for family f for region x."),
        None
    );
    assert_eq!(quota("left regional vcpu quota 20, requested quota 24."), None);
}

fn failures() -> Vec<Example> {
    let wrapped = json!({"code": "CreateVMSSAgentPoolFailed", "message": "Unable to create", "details": [
        {"code": "ZonalAllocationFailed", "message": "Allocation failed."}]});
    vec![
        (
            "overridden",
            0,
            flat(
                "Canceled",
                "The operation was overriden and canceled by a later operation",
            ),
            Busy,
            "Canceled",
        ),
        (
            "precondition code",
            0,
            flat("PreconditionFailed", "m"),
            Precondition,
            "PreconditionFailed",
        ),
        ("capacity code", 0, wrapped, Capacity, "ZonalAllocationFailed"),
        (
            "capacity text",
            0,
            flat(
                "ReconcileVMSSAgentPoolFailed",
                "We do not have sufficient capacity for X",
            ),
            Capacity,
            "ReconcileVMSSAgentPoolFailed",
        ),
        (
            "",
            0,
            flat("VMExtensionProvisioningError", "vmssCSE exit status=50"),
            Transient,
            "VMExtensionProvisioningError",
        ),
    ]
}

#[test]
fn every_row_has_an_example_and_decides_it() {
    let mut seen = BTreeSet::new();
    let all = [refusals(), healing_refusals(), failures(), healing_failures()];
    for (row, status, body, class, code) in all.into_iter().flatten() {
        let layers = layers::of_value(&body);
        assert_eq!(table::decide(status, &layers).0.name, row, "{status} {body}");
        let error = from_layers(status, &layers);
        assert_eq!(
            (error.class, error.code.as_str()),
            (class, code),
            "{status} {body}"
        );
        seen.insert(row);
    }
    for row in table::ROWS {
        assert!(seen.contains(row.name), "no example for the row `{}`", row.name);
    }
}

#[test]
fn quota_is_seen_through_wrappers_and_both_codes() {
    let body = json!({"error": {"code": "QuotaExceeded", "message": "Provisioning failed", "details": [
        {"code": "OperationNotAllowed", "message": "exceeding approved Total Regional Cores quota. Current Limit: 0, x"}]}});
    let error = from_operation("Failed", body.get("error"));
    assert_eq!((error.class, error.code.as_str()), (Quota, "OperationNotAllowed"));
    assert!(error.message.contains("Current Limit"), "{}", error.message);
    assert_eq!(error.retry_after, Some(NO_QUOTA_PAUSE));
}

#[test]
fn bodies_without_an_error_are_the_gateways() {
    for (status, class) in [
        (400, Transient),
        (403, Unauthorized),
        (404, Transient),
        (500, Transient),
        (504, Transient),
    ] {
        let html = b"<html><head><title>Our services aren't available\n right now</title></head></html>";
        let error = from_refusal(Refusal {
            status,
            body: html,
            ..Refusal::default()
        });
        assert_eq!(error.class, class, "{status}");
        assert!(
            error.message.ends_with("Our services aren't available right now"),
            "{}",
            error.message
        );
        assert_eq!(
            from_refusal(Refusal {
                status,
                ..Refusal::default()
            })
            .class,
            class
        );
    }
}

#[test]
fn the_header_wins_over_the_text_and_a_date_over_our_clock() {
    let body = flat("Throttled", "please retry again in 36 seconds").to_string();
    let with = |retry_after, date| {
        let refusal = Refusal {
            status: 429,
            body: body.as_bytes(),
            retry_after,
            date,
            request_id: Some("r1"),
        };
        from_refusal(refusal)
    };
    assert_eq!(with(None, None).retry_after, Some(SignedDuration::from_secs(36)));
    assert_eq!(
        with(Some("5"), None).retry_after,
        Some(SignedDuration::from_secs(5))
    );
    let dated = with(
        Some("Tue, 06 Jan 2026 10:01:00 GMT"),
        Some("Tue, 06 Jan 2026 10:00:00 GMT"),
    );
    assert_eq!(dated.retry_after, Some(SignedDuration::from_secs(60)));
    assert_eq!(dated.request_id.as_deref(), Some("r1"));
}

#[test]
fn an_operation_without_a_reason_is_transient() {
    let error = from_operation("Canceled", None);
    assert_eq!((error.class, error.code.as_str()), (Transient, "Canceled"));
}

#[test]
fn texts_are_one_line_and_cut() {
    assert_eq!(one_line(" a\n\tb "), "a b");
    assert!(one_line(&"word ".repeat(1000)).len() < TEXT_LIMIT + 8);
}

#[test]
fn a_refused_token_exchange_is_a_matter_of_identity() {
    let entra = |status: u16| {
        let kind = ErrorKind::HttpResponse {
            status: status.into(),
            error_code: Some("70021".to_owned()),
            raw_response: None,
        };
        let inner = azure_core::Error::new(kind, "AADSTS70021: no match");
        azure_core::Error::with_error(ErrorKind::Credential, inner, "authentication failed")
    };
    assert_eq!(from_transport(&entra(401)).class, Unauthorized);
    assert_eq!(from_transport(&entra(401)).code, "AADSTS70021");
    assert_eq!(from_transport(&entra(503)).class, Transient);
    let broken = azure_core::Error::with_message(ErrorKind::Connection, "refused");
    assert_eq!(
        (
            from_transport(&broken).class,
            from_transport(&broken).code.as_str()
        ),
        (Transient, "Transport")
    );
}
