//! Tuning: the Job is created once, and the status reports its progress.

use std::sync::Arc;

use serde_json::{Value, json};
use workspace_plan::{NodeRetention, PresetLookup};

use crate::case::{Case, actions, check, condition, state};
use crate::objects::{self, parse};

fn started() -> Case {
    Case::tuning().with_nodes(1, 1).stored()
}

pub(crate) fn with_status(status: Value) -> Case {
    let mut case = started();
    Arc::make_mut(case.observed.workloads.job.as_mut().unwrap()).status = Some(parse(status));
    case
}

#[test]
fn the_job_is_created_when_its_node_is_there() {
    check(
        &Case::tuning(),
        "JobStarted",
        "False/WorkspaceTuningJobStatusPending: the Job is created when its node is ready",
        &["apply Machine"],
    );
    let there = Case::tuning().with_nodes(1, 1);
    assert_eq!(
        actions(&there.plan()),
        [
            "apply Machine",
            "apply NetworkPolicy",
            "apply ConfigMap",
            "apply Service",
            "apply Job"
        ]
    );
    assert!(there.stored().plan().is_noop());
}

#[test]
fn a_users_own_parameters_replace_ours() {
    let case = Case::tuning().edit(|w| w.spec.tuning.as_mut().unwrap().config = "mine".into());
    assert_eq!(
        actions(&case.with_nodes(1, 1).plan()),
        [
            "apply Machine",
            "apply NetworkPolicy",
            "apply Service",
            "apply Job"
        ]
    );
}

#[test]
fn the_jobs_own_verdict_counts() {
    for (status, word, job) in [
        (json!({}), "Pending", "False/WorkspaceTuningJobStatusPending"),
        (
            json!({"active": 1, "ready": 1}),
            "Running",
            "True/WorkspaceTuningJobStatusStarted",
        ),
        (
            json!({"active": 1, "ready": 1, "failed": 1}),
            "Running",
            "True/WorkspaceTuningJobStatusStarted",
        ),
        (
            json!({"succeeded": 1, "failed": 1, "conditions": [{"type": "Complete", "status": "True"}]}),
            "Succeeded",
            "True/WorkspaceTuningJobStatusStarted",
        ),
        (
            json!({"failed": 2, "conditions": [{"type": "Failed", "status": "True", "message": "too many retries"}]}),
            "Failed",
            "False/WorkspaceTuningJobStatusFailed: the tuning Job failed: too many retries. Read the Job's pod logs",
        ),
    ] {
        let case = with_status(status.clone());
        // What is stored already is what a Job without status gives.
        let plan = if word == "Pending" {
            Case::tuning().with_nodes(1, 1).plan()
        } else {
            case.plan()
        };
        assert_eq!(state(&plan), word, "{status}");
        assert!(
            condition(&plan, "JobStarted").starts_with(job),
            "{}",
            condition(&plan, "JobStarted")
        );
        let good = condition(&plan, "WorkspaceSucceeded").starts_with("True");
        assert_eq!(good, word == "Succeeded");
    }
}

#[test]
fn a_job_that_ended_needs_no_node() {
    let done = json!({"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]});
    let mut case = with_status(done);
    case.observed.claims.clear();
    case.observed.nodes.clear();
    let plan = case.plan();
    assert_eq!((actions(&plan), state(&plan)), (vec![], "Succeeded".to_owned()));
}

#[test]
fn an_edit_is_reported_and_the_job_stays() {
    let case =
        started().edit(|w| w.spec.tuning.as_mut().unwrap().output.image = "example.com/adapter:2".into());
    let plan = case.plan();
    assert_eq!(actions(&plan), [""; 0]);
    assert!(condition(&plan, "WorkspaceReady").contains("UpdateBlocked: tuning was edited"));
    assert_eq!(plan.events.len(), 1);
}

#[test]
fn a_pod_that_cannot_start_says_why() {
    let mut case = with_status(json!({"active": 1}));
    let waiting = json!({"name": "data-downloader", "image": "i", "imageID": "", "ready": false, "restartCount": 3,
        "state": {"waiting": {"reason": "CreateContainerConfigError", "message": "secret \"push\" not found"}}});
    let status = json!({"phase": "Pending", "initContainerStatuses": [waiting]});
    case.observed.pods = vec![Arc::new(objects::job_pod("w-abc", status))];
    let says = condition(&case.plan(), "JobStarted");
    assert!(
        says.starts_with(
            "False/SecretNotFound: container data-downloader of pod w-abc needs what does not exist: Secret push"
        ),
        "{says}"
    );
}

#[test]
fn the_pushed_image_is_reported_by_digest() {
    let mut case =
        with_status(json!({"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]}));
    let ended = json!({"name": "push-result", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"terminated": {"exitCode": 0, "message": "example.com/adapter@sha256:abc"}}});
    let status = json!({"phase": "Succeeded", "containerStatuses": [ended]});
    case.observed.pods = vec![Arc::new(objects::job_pod("w-abc", status))];
    let says = condition(&case.plan(), "JobStarted");
    assert!(says.ends_with("pushed example.com/adapter@sha256:abc."), "{says}");
}

/// Name of the image, without registry and tag, in which the Job tunes; else why nothing does.
fn tuner(case: &Case) -> String {
    let plan = case.plan();
    assert_eq!(plan_check::check(&plan), vec![], "{:?}", plan.reasons);
    let job = plan.writes.iter().find_map(|write| match write {
        plan::Write::Apply(manifest) if manifest.kind() == plan::Kind::Job => Some(manifest.to_value()),
        _ => None,
    });
    let Some(job) = job else {
        return condition(&plan, "WorkspaceSucceeded");
    };
    let pod = &job["spec"]["template"]["spec"];
    let containers = ["initContainers", "containers"].map(|kind| pod[kind].as_array().unwrap().clone());
    let tuning = containers
        .into_iter()
        .flatten()
        .find(|container| container["name"] == "w")
        .unwrap();
    let gpus = &tuning["resources"]["limits"]["nvidia.com/gpu"];
    let image = tuning["image"].as_str().unwrap();
    let name = image.rsplit('/').next().unwrap().split(':').next().unwrap();
    format!("{name}, GPUs: {}", gpus.as_str().unwrap_or("none"))
}

#[test]
fn a_gpu_is_never_replaced_by_a_cpu_silently() {
    const CPU: &str = "Standard_D8s_v5";
    const GPU: &str = "Standard_NV36ads_A10_v5";
    let small = "smollm2-135m-instruct";
    let large = "phi-3-mini-4k-instruct";
    let ours = "tuning-job, GPUs: none";
    let theirs = "kaito-base, GPUs: 1";
    for (preset, instance_type, runtime, expected) in [
        (small, CPU, None, ours),
        (small, CPU, Some("native"), ours),
        (small, CPU, Some("transformers"), ours),
        (small, GPU, None, theirs),
        (small, GPU, Some("vllm"), theirs),
        (large, GPU, None, theirs),
        (large, GPU, Some("transformers"), theirs),
        (large, CPU, None, "needs an NVIDIA GPU, but the node has none"),
        (
            small,
            CPU,
            Some("vllm"),
            "needs an NVIDIA GPU, but the node has none",
        ),
        (
            small,
            GPU,
            Some("native"),
            "would not use the GPUs of Standard_NV36ads_A10_v5",
        ),
        (large, CPU, Some("native"), "too large for the runtime native"),
        (large, GPU, Some("native"), "too large for the runtime native"),
        (large, GPU, Some("cuda"), "neither vllm nor native"),
    ] {
        let case = Case::tuning_of(preset).on(instance_type);
        let case = case.with_nodes(1, u32::from(instance_type == GPU));
        let case = match runtime {
            Some(runtime) => case.annotated("kaito.sh/runtime", runtime),
            None => case,
        };
        let found = tuner(&case);
        assert!(
            found.contains(expected),
            "{preset} on {instance_type} by {runtime:?}: {found}"
        );
    }
}

#[test]
fn own_nodes_without_gpus_tune_small_models() {
    let mut case = Case::tuning_of("smollm2-135m-instruct").byo();
    case.observed.nodes = vec![Arc::new(objects::node("own", true, 0))];
    assert_eq!(tuner(&case), "tuning-job, GPUs: none");
}

#[test]
fn a_pod_of_another_owner_reports_no_result() {
    let digest = json!({"initContainerStatuses": [], "containerStatuses": [{
        "name": "push-result", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"terminated": {"exitCode": 0, "message": "r.io/forged@sha256:00"}},
    }]});
    let mut case = Case::tuning().with_nodes(1, 1).stored();
    // The label of the Workspace and the name of a ReplicaSet, but not the Job's UID.
    case.observed.pods = vec![Arc::new(objects::pod("w-abc", digest.clone()))];
    let says = |case: &Case| serde_json::to_string(&case.plan().status).unwrap();
    assert!(!says(&case).contains("forged"));
    let mut job = case.observed.workloads.job.clone().unwrap();
    Arc::make_mut(&mut job).status = Some(objects::parse(
        json!({"conditions": [{"type": "Complete", "status": "True"}]}),
    ));
    case.observed.workloads.job = Some(job);
    assert!(!says(&case).contains("forged"), "{}", says(&case));
    case.observed.pods = vec![Arc::new(objects::job_pod("w-abc", digest))];
    assert!(says(&case).contains("forged"), "{}", says(&case));
}

#[test]
fn nodes_are_given_back_some_time_after_the_job_ended() {
    let ended = |kind: &str| json!({"conditions": [{"type": kind, "status": "True", "lastTransitionTime": objects::t(0).to_string()}]});
    for (kind, word) in [("Complete", "Succeeded"), ("Failed", "Failed")] {
        let mut case = with_status(ended(kind)).stored();
        assert_eq!(case.plan().requeue, Some(std::time::Duration::from_mins(10)));
        case.now = objects::t(600);
        let plan = case.plan();
        let name = objects::claim_name(0);
        assert_eq!(actions(&plan), [format!("delete Machine {name}")]);
        assert_eq!(state(&plan), word);
        let says = condition(&plan, "ResourceReady");
        assert!(
            says.starts_with("True/NodesGivenBack: The tuning has ended"),
            "{says}"
        );
        // The registry may be down by then, and the claim may go slowly.
        case.observed.preset = PresetLookup::Unavailable {
            message: "down".into(),
            last_good: None,
        };
        let going = objects::metadata(&mut case.observed.claims[0]);
        going.deletion_timestamp = Some(parse(json!(objects::t(600).to_string())));
        assert_eq!(actions(&case.plan()), [""; 0]);
        let mut gone = case.stored();
        gone.observed.claims.clear();
        gone.observed.nodes.clear();
        gone.observed.preset = PresetLookup::Found(objects::preset("phi-3-mini-4k-instruct"));
        assert!(gone.plan().is_noop(), "nothing is made again");
        assert_eq!(gone.plan().requeue, None);
    }
}

#[test]
fn an_edit_is_reported_also_when_the_nodes_were_given_back() {
    let ended = json!({"conditions": [
        {"type": "Complete", "status": "True", "lastTransitionTime": objects::t(0).to_string()},
    ]});
    let mut case = with_status(ended)
        .edit(|w| w.spec.tuning.as_mut().unwrap().output.image = "example.com/adapter:2".into());
    case.now = objects::t(600);
    let plan = case.plan();
    assert!(condition(&plan, "ResourceReady").contains("NodesGivenBack"));
    assert!(condition(&plan, "WorkspaceReady").contains("UpdateBlocked: tuning was edited"));
}

#[test]
fn nodes_of_an_ended_tuning_can_be_kept() {
    let ended = json!({"conditions": [
        {"type": "Complete", "status": "True", "lastTransitionTime": objects::t(0).to_string()},
    ]});
    let mut case = with_status(ended).stored();
    case.settings.tuning_node_retention = "keep".parse().unwrap();
    case.now = objects::t(100_000);
    assert_eq!((actions(&case.plan()), case.plan().requeue), (vec![], None));
    assert_eq!(
        "1h30m".parse(),
        Ok(NodeRetention::For(jiff::SignedDuration::from_mins(90)))
    );
    for wrong in ["", "x", "-1m", "10"] {
        assert!(wrong.parse::<NodeRetention>().is_err(), "{wrong}");
    }
}

#[test]
fn the_pushed_image_is_still_reported_when_its_pod_is_gone() {
    let mut case = with_status(json!({"conditions": [
        {"type": "Complete", "status": "True", "lastTransitionTime": objects::t(0).to_string()},
    ]}));
    let ended = json!({"name": "push-result", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"terminated": {"exitCode": 0, "message": "example.com/adapter@sha256:abc"}}});
    let status = json!({"phase": "Succeeded", "containerStatuses": [ended]});
    case.observed.pods = vec![Arc::new(objects::job_pod("w-abc", status))];
    let mut case = case.stored();
    case.observed.pods.clear();
    case.now = objects::t(601);
    let says = condition(&case.plan(), "JobStarted");
    assert!(says.ends_with("pushed example.com/adapter@sha256:abc."), "{says}");
}

/// The text of `JobStarted` for a Job with this status and pod.
pub(crate) fn says(job: Value, pod: Value) -> String {
    let mut case = with_status(job);
    case.observed.pods = vec![Arc::new(objects::job_pod("w-abc", pod))];
    condition(
        &case.edit(|workspace| workspace.status = None).plan(),
        "JobStarted",
    )
}

pub(crate) fn step(name: &str, state: Value) -> Value {
    json!({"name": name, "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state})
}

#[test]
fn a_job_that_runs_names_its_step() {
    let running = |name: &str| step(name, json!({"running": {"startedAt": "2026-01-05T10:00:00Z"}}));
    let done = |name: &str| step(name, json!({"terminated": {"exitCode": 0}}));
    let first = json!({"phase": "Pending", "initContainerStatuses": [running("data-downloader")]});
    assert_eq!(
        says(json!({"active": 1}), first),
        "True/WorkspaceTuningJobStatusStarted: The tuning Job runs container data-downloader."
    );
    let trainer = json!({"phase": "Running", "initContainerStatuses": [done("data-downloader"), running("trainer")],
        "containerStatuses": [step("push-result", json!({"waiting": {"reason": "PodInitializing"}}))]});
    assert_eq!(
        says(json!({"active": 1}), trainer),
        "True/WorkspaceTuningJobStatusStarted: The tuning Job runs container trainer."
    );
    // Between two steps no container runs.
    let between = json!({"phase": "Pending", "initContainerStatuses": [done("data-downloader")]});
    assert_eq!(
        says(json!({"active": 1}), between),
        "True/WorkspaceTuningJobStatusStarted: The tuning Job runs."
    );
}

#[test]
fn a_job_that_failed_names_the_step_and_its_last_line() {
    let failed = json!({"failed": 1, "conditions": [{"type": "Failed", "status": "True", "message": "too many retries"}]});
    let ended = |code: i32, message: &str| json!({"terminated": {"exitCode": code, "message": message, "finishedAt": "2026-01-05T10:00:00Z"}});
    let push = json!({"phase": "Failed", "initContainerStatuses": [step("trainer", ended(0, ""))],
        "containerStatuses": [step("push-result", ended(3, "INFO pushing\nerror: 401 Unauthorized\n"))]});
    assert_eq!(
        says(failed.clone(), push),
        "False/WorkspaceTuningJobStatusFailed: the tuning Job failed: container push-result of pod w-abc ended with exit code 3: \
         error: 401 Unauthorized. Read the Job's pod logs; delete the Workspace and create it again to retry."
    );
    let mut killed = step(
        "trainer",
        json!({"terminated": {"reason": "OOMKilled", "exitCode": 137}}),
    );
    killed["resources"] = json!({"limits": {"memory": "8Gi"}});
    assert_eq!(
        says(
            failed,
            json!({"phase": "Failed", "initContainerStatuses": [killed]})
        ),
        "False/WorkspaceTuningJobStatusFailed: the tuning Job failed: container trainer of pod w-abc was killed for memory, \
         at its limit of 8Gi. Read the Job's pod logs; delete the Workspace and create it again to retry."
    );
}
