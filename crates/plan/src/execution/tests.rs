//! Steps that a refusal prevents, and refusals that are reported.

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use serde_json::json;

use super::*;
use crate::{Evict, Manifest, ObjectRef};

fn refusal(verb: Verb, code: u16, message: &str) -> RefusedWrite {
    let target = ObjectRef {
        kind: Kind::Service,
        namespace: Some("t".to_owned()),
        name: "w".to_owned(),
    };
    RefusedWrite::new(verb, target, Some(code), message)
}

fn quota(verb: Verb) -> RefusedWrite {
    refusal(verb, 403, "exceeded quota: q")
}

fn write() -> Step<()> {
    Step::Write(Write::Evict(Evict {
        namespace: "n".to_owned(),
        name: "p".to_owned(),
        uid: "u".to_owned(),
    }))
}

fn execution(failures: u32, refusals: Vec<RefusedWrite>) -> Execution {
    let mut execution = Execution::after(failures);
    refusals.into_iter().for_each(|refusal| execution.record(refusal));
    execution
}

#[test]
fn independent_writes_continue_and_dependent_steps_do_not() {
    let dependent = [
        Step::Cloud(()),
        Step::Status(json!({})),
        Step::ReleaseFinalizer("f"),
    ];
    let begun = execution(0, vec![]);
    assert!(begun.permits(&write()) && dependent.iter().all(|step| begun.permits(step)));
    for verb in [Verb::Apply, Verb::Delete, Verb::Evict] {
        let refused = execution(0, vec![quota(verb)]);
        assert!(refused.permits(&write()), "{verb:?}");
        assert!(!dependent.iter().any(|step| refused.permits(step)), "{verb:?}");
    }
    for verb in [Verb::Patch, Verb::EnsureFinalizer] {
        assert!(!execution(0, vec![quota(verb)]).permits(&write()), "{verb:?}");
    }
    let overloaded = refusal(Verb::Apply, 429, "later");
    assert!(!execution(0, vec![overloaded]).permits(&write()));
    let webhook = refusal(Verb::Apply, 500, "failed calling webhook \"a\"");
    assert!(execution(0, vec![webhook]).permits(&write()));
    assert!(!execution(0, vec![quota(Verb::Apply); MOST_REFUSALS]).permits(&write()));
}

#[test]
fn a_workload_is_not_written_without_its_revision() {
    let of = |kind: Kind, verb: Verb| {
        let mut refusal = quota(verb);
        refusal.target.kind = kind;
        execution(0, vec![refusal])
    };
    let workload: [Step<()>; 2] = [Deployment::default().into(), StatefulSet::default().into()]
        .map(|manifest: Manifest| Step::Write(Write::Apply(Box::new(manifest))));
    let permits = |kind, verb| workload.each_ref().map(|step| of(kind, verb).permits(step));
    assert_eq!(permits(Kind::ControllerRevision, Verb::Apply), [false; 2]);
    assert_eq!(permits(Kind::ControllerRevision, Verb::Delete), [true; 2]);
    assert_eq!(permits(Kind::Service, Verb::Apply), [true; 2]);
    assert!(of(Kind::ControllerRevision, Verb::Apply).permits(&write()));
}

#[test]
fn what_may_end_by_itself_is_reported_after_some_attempts() {
    let overloaded = || refusal(Verb::Apply, 429, "later");
    assert_eq!(execution(0, vec![]).reportable(), None);
    assert_eq!(execution(2, vec![overloaded()]).reportable(), None);
    assert_eq!(
        execution(3, vec![overloaded()]).reportable(),
        Some(vec![overloaded()])
    );
    assert_eq!(
        execution(0, vec![quota(Verb::Apply), overloaded()]).reportable(),
        Some(vec![quota(Verb::Apply)])
    );
    assert_eq!(execution(9, vec![quota(Verb::Status)]).reportable(), None);
}
