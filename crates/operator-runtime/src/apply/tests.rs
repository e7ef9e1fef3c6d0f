//! The bounds of writes: UIDs, the token of a new claim, the end of the lease, and lost responses.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kaito_api::{Machine, MachineSpec};
use telemetry::Metrics;

use super::*;
use crate::fence::{Moment, UNANSWERED};
use crate::finalizer;
use crate::runtime::Runtime;
use crate::testing::{Log, Seen, lines, serve, written};

const MARGIN: Duration = Duration::from_secs(10);

/// A writer of a replica that has just renewed its lease.
fn leading(answer: impl FnMut(&Seen) -> Option<(u16, Value)> + Send + 'static) -> (ApiWriter, Log) {
    let (client, log) = serve(answer);
    let runtime = Runtime::new(client, "tester", &Metrics::new(), crate::Health::default());
    runtime
        .fence
        .renewed(Moment::now(), MARGIN, Some("4/2026-01-01T00:00:00Z".to_owned()));
    (ApiWriter::new(&runtime), log)
}

fn machine(uid: Option<&str>) -> Manifest {
    let mut machine = Machine::new("m", MachineSpec::default());
    machine.metadata.uid = uid.map(str::to_owned);
    machine.into()
}

/// Releases the finalizer of an object in a namespace.
async fn release(writer: &ApiWriter) -> Result<WriteResult, Error> {
    let meta = ObjectMeta {
        uid: Some("u1".to_owned()),
        finalizers: Some(vec!["kaito.sh/test".to_owned()]),
        ..ObjectMeta::default()
    };
    let target = ObjectRef {
        kind: Kind::Workspace,
        namespace: Some("ns".to_owned()),
        name: "w".to_owned(),
    };
    let reconciled = ReconciledObject {
        target,
        meta: &meta,
        failures: 0,
    };
    finalizer::release(writer, &reconciled, "kaito.sh/test").await
}

#[tokio::test(start_paused = true)]
async fn a_new_claim_carries_the_lease_and_an_observed_one_its_uid() {
    let (writer, log) = leading(|_| Some(written(1)));
    apply(&writer, &machine(None)).await.unwrap();
    apply(&writer, &machine(Some("u7"))).await.unwrap();
    let seen = log.lock().unwrap();
    let metadata = |at: usize| &seen[at].body["metadata"];
    assert_eq!(metadata(0)["annotations"][WRITE_FENCE], "4/2026-01-01T00:00:00Z");
    assert!(metadata(0)["uid"].is_null());
    assert!(metadata(1)["annotations"].is_null());
    assert_eq!(metadata(1)["uid"], "u7");
}

#[tokio::test(start_paused = true)]
async fn the_server_and_we_give_up_when_the_lease_ends() {
    let (writer, log) = leading(|_| None);
    tokio::time::advance(Duration::from_secs(7)).await;
    let began = tokio::time::Instant::now();
    let error = apply(&writer, &machine(None)).await.unwrap_err();
    assert_eq!(error.label(), "timeout");
    assert!(began.elapsed() <= Duration::from_secs(3), "{:?}", began.elapsed());
    let query = log.lock().unwrap()[0].query.clone();
    let limit = query
        .split("timeout=")
        .nth(1)
        .unwrap()
        .strip_suffix("ms")
        .unwrap();
    assert!(limit.parse::<u64>().unwrap() <= 3000, "{query}");
    // Nothing is sent from now on.
    let error = apply(&writer, &machine(None)).await.unwrap_err();
    assert_eq!(error.label(), "not_leader");
    assert_eq!(log.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn no_finalizer_is_released_while_a_claim_may_still_appear() {
    let mut answers = 0;
    let (writer, log) = leading(move |_| {
        answers += 1;
        (answers > 1).then(|| written(1))
    });
    apply(&writer, &machine(None)).await.unwrap_err();
    writer.fence.open();
    assert_eq!(release(&writer).await.unwrap(), WriteResult::Blocked);
    tokio::time::advance(UNANSWERED).await;
    assert!(matches!(release(&writer).await.unwrap(), WriteResult::Written(_)));
    assert_eq!(lines(&log).len(), 2, "{:?}", lines(&log));
}
