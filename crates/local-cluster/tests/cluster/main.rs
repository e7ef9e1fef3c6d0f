//! Real clusters on this machine. Skipped, loudly, where the programs are not at hand yet
//! (`cargo xtask test` makes them first and forbids the skip).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod real_nodes;

use std::io::Write as _;

use local_cluster::{Assets, Cluster, ClusterOptions, Silent, Tier, WriteFilter};

/// Set after the programs were built: a missing one is then a failure.
const REQUIRED: &str = "KAITO_REQUIRE_CLUSTER";

fn at_hand(tier: Tier) -> bool {
    let at_hand = Assets::at_hand(tier.tools());
    assert!(
        at_hand || std::env::var_os(REQUIRED).is_none(),
        "the programs of {tier:?} are missing"
    );
    if !at_hand {
        skipped(&format!("the programs of {tier:?} are not built yet"));
    }
    at_hand
}

fn skipped(reason: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {reason}");
}

fn get(cluster: &Cluster, path: &str) -> (u16, String) {
    send(cluster, path, None)
}

/// GET, or POST where there is a body, as an administrator.
fn send(cluster: &Cluster, path: &str, body: Option<&str>) -> (u16, String) {
    let ca = std::fs::read(cluster.ca_file()).unwrap();
    let ca = ureq::tls::Certificate::from_pem(&ca).unwrap();
    let roots = ureq::tls::RootCerts::new_with_certs(&[ca]);
    let tls = ureq::tls::TlsConfig::builder().root_certs(roots).build();
    let config = ureq::Agent::config_builder()
        .tls_config(tls)
        .proxy(None)
        .http_status_as_error(false);
    let agent: ureq::Agent = config.build().into();
    let address = format!("{}{path}", cluster.server());
    let token = format!("Bearer {}", token(cluster));
    let response = match body {
        None => agent.get(&address).header("authorization", token).call(),
        Some(body) => agent
            .post(&address)
            .header("authorization", token)
            .header("content-type", "application/json")
            .send(body),
    };
    let mut response = response.unwrap();
    (
        response.status().as_u16(),
        response.body_mut().read_to_string().unwrap(),
    )
}

fn token(cluster: &Cluster) -> String {
    let kubeconfig = std::fs::read_to_string(cluster.kubeconfig()).unwrap();
    let line = kubeconfig.lines().find(|line| line.contains("token:")).unwrap();
    line.split('\'').nth(1).unwrap().to_owned()
}

#[test]
fn two_clusters_side_by_side() {
    if !at_hand(Tier::ControlPlaneOnly) {
        return;
    }
    let start = || Cluster::start(&ClusterOptions::new(Tier::ControlPlaneOnly), &Silent).unwrap();
    let (one, two) = std::thread::scope(|scope| {
        let one = scope.spawn(start);
        (start(), one.join().unwrap())
    });
    assert_ne!(one.server(), two.server());
    for cluster in [&one, &two] {
        assert_eq!(get(cluster, "/readyz"), (200, "ok".to_owned()));
    }

    let marks = [&one, &two].map(|cluster| cluster.audit().mark().unwrap());
    let namespace = r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"seen"}}"#;
    assert_eq!(send(&one, "/api/v1/namespaces", Some(namespace)).0, 201);
    assert_eq!(get(&two, "/api/v1/namespaces/seen").0, 404);
    let ours = WriteFilter::default()
        .user("admin")
        .verb("create")
        .resource("namespaces")
        .successful();
    assert_eq!(one.audit().count_since(marks[0], &ours).unwrap(), 1);
    assert_eq!(two.audit().count_since(marks[1], &ours).unwrap(), 0);

    let dir = one.dir().to_owned();
    one.stop();
    assert!(!dir.exists());
    assert_eq!(get(&two, "/readyz").0, 200);
}

const NODE: &str = r#"{"apiVersion":"v1","kind":"Node",
 "metadata":{"name":"gpu-1","annotations":{"kwok.x-k8s.io/node":"fake"},"labels":{"kubernetes.io/hostname":"gpu-1"}},
 "status":{"capacity":{"cpu":"8","memory":"64Gi","pods":"10","nvidia.com/gpu":"2"},
           "allocatable":{"cpu":"8","memory":"64Gi","pods":"10","nvidia.com/gpu":"2"}}}"#;

const DEPLOYMENT: &str = r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"model"},
 "spec":{"replicas":1,"selector":{"matchLabels":{"app":"model"}},
  "template":{"metadata":{"labels":{"app":"model"}},
   "spec":{"containers":[{"name":"c","image":"i","resources":{"limits":{"nvidia.com/gpu":"2"}}}]}}}}"#;

const JOB: &str = r#"{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"tuning"},
 "spec":{"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"i"}]}}}}"#;

const DOOMED: &str = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"doomed",
  "annotations":{"kwok.kaito.sh/fate":"crash-loop"}},
 "spec":{"containers":[{"name":"c","image":"i"}]}}"#;

/// Waits until the object at `path` has `expected` at the JSON pointer.
fn wait_for(cluster: &Cluster, path: &str, pointer: &str, expected: &serde_json::Value) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let object: serde_json::Value = serde_json::from_str(&get(cluster, path).1).unwrap();
        if object.pointer(pointer) == Some(expected) {
            return;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "{path} never had {expected} at {pointer}: {object}"
        );
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

#[test]
fn simulated_nodes_run_pods_and_jobs() {
    if !at_hand(Tier::WithNodes) {
        return;
    }
    let cluster = Cluster::start(&ClusterOptions::new(Tier::WithNodes), &Silent).unwrap();
    let objects = [
        ("/api/v1/nodes", NODE),
        ("/apis/apps/v1/namespaces/default/deployments", DEPLOYMENT),
        ("/apis/batch/v1/namespaces/default/jobs", JOB),
        ("/api/v1/namespaces/default/pods", DOOMED),
    ];
    for (path, object) in objects {
        let (status, answer) = send(&cluster, path, Some(object));
        assert_eq!(status, 201, "{answer}");
    }
    let node = "/api/v1/nodes/gpu-1";
    wait_for(&cluster, node, "/status/phase", &"Running".into());
    wait_for(&cluster, node, "/status/allocatable/nvidia.com~1gpu", &"2".into());
    let default = "/apis/apps/v1/namespaces/default/deployments/model";
    wait_for(&cluster, default, "/status/readyReplicas", &1.into());
    let job = "/apis/batch/v1/namespaces/default/jobs/tuning";
    wait_for(&cluster, job, "/status/succeeded", &1.into());
    let doomed = "/api/v1/namespaces/default/pods/doomed";
    let reason = "/status/containerStatuses/0/state/waiting/reason";
    wait_for(&cluster, doomed, reason, &"CrashLoopBackOff".into());
}
