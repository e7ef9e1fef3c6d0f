//! `check-push`: the right to push, before there is anything to push.

use serde_json::json;
use testkit::image_registry::{Auth, Registry};

use crate::docker_config::{auth_dir, login};
use crate::played::{Manner, Played};
use crate::proxy::{Fault, Proxy};
use crate::token_server::{IDENTITY, TokenServer};
use crate::{Outcome, run};

async fn check(flags: &[&str], reference: &str) -> Outcome {
    run(&[&["check-push", "--secret=push"], flags, &[reference]].concat()).await
}

#[tokio::test]
async fn an_upload_is_begun_and_canceled() {
    let registry = Played::start(Manner::Open).await;
    check(&[], &registry.reference("team/out:1")).await.good();
    let expected = [
        "POST /v2/team/out/blobs/uploads/",
        "DELETE /v2/a/blobs/uploads/one",
    ];
    let seen = registry.seen();
    let requests: Vec<_> = seen.iter().filter(|line| !line.starts_with("GET")).collect();
    assert_eq!(requests, expected, "{seen:?}");
}

#[tokio::test]
async fn a_refusal_names_the_secret_and_the_remedy() {
    let Some(registry) = Registry::start(&Auth::Basic).unwrap() else {
        return;
    };
    let host = registry.address().to_string();
    let reference = registry.reference("team/out:1");
    let of = |entry| {
        let secret = auth_dir(&host, &entry);
        let flag = format!("--auth-dir={}", secret.path().display());
        (secret, flag)
    };
    let (_kept, right) = of(login());
    check(&[&right], &reference).await.good();

    let (_kept, wrong) = of(json!({"username": "tester", "password": "wr0ng"}));
    let refused = check(&[&wrong], &reference).await;
    assert!(!refused.said.contains("wr0ng"), "{}", refused.said);
    let expected = format!(
        "registry {host} refuses a push to repository team/out with the credentials of Secret push \
         (401 Unauthorized: UNAUTHORIZED: authentication required): give their account the right to push there, or put \
         others into Secret push"
    );
    assert_eq!(refused.bad(4, "").termination, expected);

    let other = auth_dir("other.example.com", &login());
    let flag = format!("--auth-dir={}", other.path().display());
    let part = format!(
        "with no credentials (401 Unauthorized: UNAUTHORIZED: authentication required): put credentials for {host} into Secret push, which has none"
    );
    check(&[&flag], &reference).await.bad(4, &part);

    // A pull by digest is possible, a push is not.
    let digest = format!("{host}/a@sha256:{}", "a".repeat(64));
    check(&[&right], &digest).await.bad(2, "must be a tag");
}

#[tokio::test]
async fn a_right_to_pull_alone_is_refused() {
    let tokens = TokenServer::start().await;
    let auth = Auth::Token {
        realm: tokens.realm(),
        certificate: tokens.certificate.clone(),
    };
    let Some(registry) = Registry::start(&auth).unwrap() else {
        return;
    };
    let host = registry.address().to_string();
    let reference = registry.reference("team/out:1");
    // The token server gives anybody tokens, for reading only.
    let part = "refuses a push to repository team/out with no credentials (401 Unauthorized";
    check(&[], &reference).await.bad(4, part);
    for entry in [login(), json!({"identitytoken": IDENTITY})] {
        tokens.given();
        let secret = auth_dir(&host, &entry);
        let flag = format!("--auth-dir={}", secret.path().display());
        check(&[&flag], &reference).await.good();
        let given = tokens.given();
        let scope = "repository:team/out:pull,push";
        assert!(
            given.iter().all(|one| one.ends_with(scope)) && given.len() == 1,
            "{given:?}"
        );
    }
}

#[tokio::test]
async fn an_absent_repository_is_reported() {
    let registry = Played::start(Manner::NoRepository).await;
    let host = registry.address.to_string();
    let secret = auth_dir(&host, &login());
    let flag = format!("--auth-dir={}", secret.path().display());
    let part = format!(
        "registry {host} has no repository team/out for the credentials of Secret push (404 Not Found: NAME_UNKNOWN: no such repository): \
         create the repository"
    );
    check(&[&flag], &registry.reference("team/out:1"))
        .await
        .bad(5, &part);
}

#[tokio::test]
async fn an_outage_is_waited_for_within_bounds() {
    let Some(registry) = Registry::start(&Auth::Nobody).unwrap() else {
        return;
    };
    let faults = [
        Fault::Answer("503 Service Unavailable"),
        Fault::Answer("502 Bad Gateway"),
    ];
    let proxy = Proxy::start(registry.address(), &faults).await;
    let plain = format!("--plain-http={}", proxy.address);
    let reference = format!("{}/out:1", proxy.address);
    let said = check(&[&plain], &reference).await.good().said;
    assert_eq!(said.matches("trying again").count(), 2, "{said}");
    let nobody = "127.0.0.1:1/out:1";
    check(&["--plain-http=127.0.0.1:1", "--attempts=3"], nobody)
        .await
        .bad(6, "(tried 3 times)");
}
