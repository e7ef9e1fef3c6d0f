//! The test environment itself, against a real API server. Skipped, loudly, where the programs are not
//! at hand yet (`cargo xtask test` makes them first and forbids the skip).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write as _;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::Api;
use kube::api::{ListParams, PostParams};
use local_cluster::{Assets, Tier};
use serde_json::json;
use testkit::{TestEnv, WriteFilter, eventually, install_crds};

async fn env() -> Option<&'static TestEnv> {
    let at_hand = Assets::at_hand(Tier::ControlPlaneOnly.tools());
    assert!(
        at_hand || std::env::var_os("KAITO_REQUIRE_CLUSTER").is_none(),
        "the programs are missing"
    );
    if !at_hand {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: the programs of a cluster are not built yet"
        );
        return None;
    }
    Some(TestEnv::shared().await.unwrap())
}

#[tokio::test]
async fn each_test_has_a_namespace_that_admits_pods() {
    let Some(env) = env().await else { return };
    let (one, two) = (env.namespace().await.unwrap(), env.namespace().await.unwrap());
    assert_ne!(one, two);
    let pods: Api<Pod> = Api::namespaced(env.client().await.unwrap(), &one);
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap())
        .await
        .unwrap();
}

#[tokio::test]
async fn definitions_are_served_after_installing_them_twice() {
    let Some(env) = env().await else { return };
    let client = env.client().await.unwrap();
    install_crds(client.clone()).await.unwrap();
    install_crds(client.clone()).await.unwrap();
    for crd in kaito_api::crd::all() {
        let version = crd.spec.versions.last().unwrap().name.clone();
        let path = format!("/apis/{}/{version}/{}", crd.spec.group, crd.spec.names.plural);
        let request = kube::core::Request::new(path)
            .list(&ListParams::default())
            .unwrap();
        let list: serde_json::Value = client.request(request).await.unwrap();
        assert_eq!(list["items"], json!([]));
    }
}

#[tokio::test]
async fn a_service_account_may_do_only_what_it_was_granted() {
    let Some(env) = env().await else { return };
    let namespace = env.namespace().await.unwrap();
    let kubeconfig = env
        .service_account_kubeconfig(&namespace, "nobody")
        .await
        .unwrap();
    let client = env.client_with(&kubeconfig).await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client, &namespace);
    let mark = env.audit().mark().unwrap();
    let map = serde_json::from_value(json!({"metadata": {"name": "m"}})).unwrap();
    let error = maps.create(&PostParams::default(), &map).await.unwrap_err();
    assert!(
        matches!(&error, kube::Error::Api(status) if status.code == 403),
        "{error}"
    );

    let tried = WriteFilter::default().user(":nobody").namespace(&namespace);
    assert_eq!(env.audit().count_since(mark, &tried).unwrap(), 1);
    assert_eq!(env.audit().count_since(mark, &tried.successful()).unwrap(), 0);
}

#[tokio::test]
async fn waiting_shows_what_was_seen() {
    let Some(env) = env().await else { return };
    let maps: Api<ConfigMap> = Api::default_namespaced(env.client().await.unwrap());
    let seen = eventually("a map", Duration::from_millis(300), async || {
        maps.get("none").await.map(drop).map_err(Into::into)
    });
    assert!(format!("{:#}", seen.await.unwrap_err()).contains("not found"));
}
