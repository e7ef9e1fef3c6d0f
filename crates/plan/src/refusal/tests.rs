//! Messages of real API servers, and who is named by them.

use RefusalReason as Reason;

use super::*;
use crate::Kind;

#[track_caller]
fn check(code: u16, message: &str, expected: Reason) {
    assert_eq!(reason(Some(code), message), expected, "{code} {message}");
}

#[test]
fn each_part_of_the_server_is_named() {
    check(
        403,
        "services \"w\" is forbidden: exceeded quota: q, requested: services.loadbalancers=1, used: services.loadbalancers=0, limited: services.loadbalancers=0",
        Reason::QuotaExceeded,
    );
    check(
        403,
        "pods \"w\" is forbidden: failed quota: q: must specify limits.cpu for: w",
        Reason::QuotaExceeded,
    );
    check(
        403,
        "pods \"w\" is forbidden: violates PodSecurity \"restricted:latest\": privileged (container \"w\" must not set securityContext.privileged=true)",
        Reason::PodSecurityViolation,
    );
    check(
        403,
        "pods \"w\" is forbidden: [maximum cpu usage per Container is 1, but limit is 2, maximum memory usage per Pod is 1Gi, but limit is 2Gi]",
        Reason::LimitRangeExceeded,
    );
    check(
        400,
        "admission webhook \"deny.example.com\" denied the request: no models here",
        Reason::WebhookDenied,
    );
    check(
        500,
        "Internal error occurred: failed calling webhook \"deny.example.com\": failed to call webhook: Post \"https://127.0.0.1:9443/?timeout=5s\": context deadline exceeded",
        Reason::WebhookFailed,
    );
    check(
        422,
        "services \"w\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no load balancers",
        Reason::PolicyDenied,
    );
    check(
        403,
        "deployments.apps \"w\" is forbidden: User \"system:serviceaccount:kaito:workspace-controller\" cannot patch resource \"deployments\" in API group \"apps\" in the namespace \"t\"",
        Reason::PermissionDenied,
    );
    check(
        403,
        "deployments.apps \"w\" is forbidden: unable to create new content in namespace t because it is being terminated",
        Reason::NamespaceTerminating,
    );
    check(403, "something else is forbidden", Reason::AdmissionDenied);
    check(401, "Unauthorized", Reason::PermissionDenied);
    check(
        422,
        "Service \"w\" is invalid: spec.ports: Required value",
        Reason::ObjectInvalid,
    );
    check(
        409,
        "Operation cannot be fulfilled on nodes \"n\"",
        Reason::WriteConflict,
    );
    check(
        429,
        "Too many requests, please try again later.",
        Reason::ServerOverloaded,
    );
    check(504, "request did not complete in time", Reason::ServerUnavailable);
    assert_eq!(reason(None, "no response in time"), Reason::ServerUnavailable);
}

#[test]
fn words_do_not_change_from_one_attempt_to_the_next() {
    assert_eq!(
        stable(
            "pods \"w-5d9c-x7k2p\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=3, limited: pods=3"
        ),
        "exceeded quota: q, requested: pods=1, limited: pods=3"
    );
    assert_eq!(
        stable("Post \"https://a\": read tcp 10.0.0.1:51712->10.0.0.2:443: read:\n connection reset"),
        "Post \"https://a\": read tcp 10.0.0.2:443: read: connection reset"
    );
    assert!(stable(&"long ".repeat(500)).len() <= LONGEST);
    assert!(differ_in_numbers_only(
        "denied at 10:01:02 id 4f",
        "denied at 10:01:03 id 5a"
    ));
    assert!(!differ_in_numbers_only(
        "denied at 10:01:02",
        "denied by 10:01:02"
    ));
    assert!(!differ_in_numbers_only("denied 1", "denied 1 2"));
}

#[test]
fn a_refusal_names_object_words_and_remedy() {
    let target = ObjectRef {
        kind: Kind::Service,
        namespace: Some("t".to_owned()),
        name: "w".to_owned(),
    };
    let refusal = RefusedWrite::new(
        Verb::Apply,
        target,
        Some(403),
        "services \"w\" is forbidden: exceeded quota: q, requested: services.loadbalancers=1, used: services.loadbalancers=0, limited: services.loadbalancers=0",
    );
    assert_eq!(
        refusal.to_string(),
        "ResourceQuotaExceeded: Service w cannot be written: services \"w\" is forbidden: exceeded quota: q, requested: \
         services.loadbalancers=1, limited: services.loadbalancers=0. Raise the ResourceQuota that the message names, or \
         delete what uses it."
    );
}
