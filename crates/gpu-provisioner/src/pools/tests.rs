//! Tests of what is remembered of the cloud's answers.

use std::collections::VecDeque;

use async_trait::async_trait;
use cloudprovider::Accepted;

use super::*;

/// Answers from a script, in order; a call that the script does not foresee fails the test.
#[derive(Debug, Default)]
struct Scripted {
    gets: Mutex<VecDeque<Result<AgentPool, ProviderError>>>,
    creates: Mutex<VecDeque<Result<Accepted, ProviderError>>>,
    deletes: Mutex<VecDeque<Result<Accepted, ProviderError>>>,
    lists: Mutex<VecDeque<Result<Vec<AgentPool>, ProviderError>>>,
    operations: Mutex<VecDeque<Result<OperationStatus, ProviderError>>>,
}

fn next<T>(script: &Mutex<VecDeque<T>>) -> T {
    script
        .lock()
        .unwrap()
        .pop_front()
        .expect("a call that the script does not foresee")
}

#[async_trait]
impl CloudProvider for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }
    async fn list(&self) -> Result<Vec<AgentPool>, ProviderError> {
        next(&self.lists)
    }
    async fn get(&self, _: &str) -> Result<AgentPool, ProviderError> {
        next(&self.gets)
    }
    async fn create(&self, _: &AgentPoolSpec) -> Result<Accepted, ProviderError> {
        next(&self.creates)
    }
    async fn delete(&self, _: &str, _: Option<&str>) -> Result<Accepted, ProviderError> {
        next(&self.deletes)
    }
    async fn abort(&self, _: &str) -> Result<Accepted, ProviderError> {
        unreachable!("no test aborts")
    }
    async fn operation(&self, _: &str) -> Result<OperationStatus, ProviderError> {
        next(&self.operations)
    }
}

fn error(class: ErrorClass) -> ProviderError {
    ProviderError {
        class,
        code: "Code".into(),
        message: "text".into(),
        retry_after: None,
        request_id: None,
    }
}

fn pool() -> AgentPool {
    AgentPool {
        name: "ws1".into(),
        ..AgentPool::default()
    }
}

fn create() -> CloudCall {
    CloudCall::Create(Box::new(AgentPoolSpec {
        name: "ws1".into(),
        ..AgentPoolSpec::default()
    }))
}

fn pools(script: Scripted) -> Pools {
    Pools::new(Arc::new(script))
}

fn view(pools: &Pools) -> PoolView {
    pools.view("ws1", "uid", Timestamp::now())
}

#[tokio::test]
async fn an_accepted_create_is_seen_before_any_listing() {
    let accepted = Accepted {
        operation_url: Some("url".into()),
        ..Accepted::default()
    };
    let pools = pools(Scripted {
        creates: Mutex::new([Ok(accepted)].into()),
        ..Scripted::default()
    });
    assert_eq!(view(&pools).pool, PoolLookup::Unknown);
    pools.carry_out(&create()).await.unwrap();
    let seen = view(&pools);
    assert!(matches!(seen.pool, PoolLookup::Found(pool) if pool.state == ProvisioningState::Creating));
    let call = seen.last_call.unwrap();
    assert_eq!((call.failures, call.operation_url.as_deref()), (0, Some("url")));
}

#[tokio::test]
async fn a_create_whose_answer_was_lost_is_looked_up() {
    let pools = pools(Scripted {
        creates: Mutex::new([Err(error(ErrorClass::Transient))].into()),
        gets: Mutex::new([Ok(pool())].into()),
        ..Scripted::default()
    });
    view(&pools);
    assert!(pools.carry_out(&create()).await.is_err());
    assert!(matches!(view(&pools).pool, PoolLookup::Found(_)));
}

#[tokio::test]
async fn failures_of_one_kind_are_counted_until_a_success() {
    let refused = || Err(error(ErrorClass::Quota));
    let pools = pools(Scripted {
        creates: Mutex::new([refused(), refused(), Ok(Accepted::default())].into()),
        ..Scripted::default()
    });
    view(&pools);
    for want in [1, 2, 0] {
        let _ = pools.carry_out(&create()).await;
        assert_eq!(view(&pools).last_call.unwrap().failures, want);
    }
}

#[tokio::test]
async fn a_delete_that_finds_nothing_is_a_live_read_and_no_failure() {
    let gone = || Err(error(ErrorClass::NotFound));
    let pools = pools(Scripted {
        deletes: Mutex::new([gone(), gone()].into()),
        ..Scripted::default()
    });
    view(&pools);
    let delete = CloudCall::Delete {
        name: "ws1".into(),
        etag: None,
    };
    pools.carry_out(&delete).await.unwrap();
    pools.carry_out(&delete).await.unwrap();
    let seen = view(&pools);
    assert_eq!(seen.pool, PoolLookup::Absent { reads: 2 });
    assert_eq!(seen.last_call.unwrap().failures, 0);
}

#[tokio::test]
async fn an_error_is_never_absence() {
    let pools = pools(Scripted {
        lists: Mutex::new([Ok(vec![pool()]), Err(error(ErrorClass::ClusterNotFound))].into()),
        gets: Mutex::new([Err(error(ErrorClass::Unauthorized))].into()),
        ..Scripted::default()
    });
    view(&pools);
    assert_eq!(pools.refresh().await.unwrap(), ["ws1"]);
    assert!(pools.refresh().await.is_err());
    assert!(
        pools
            .carry_out(&CloudCall::Read { name: "ws1".into() })
            .await
            .is_err()
    );
    assert!(matches!(view(&pools).pool, PoolLookup::Found(_)));
}

#[tokio::test]
async fn a_new_claim_of_an_old_name_starts_afresh() {
    let pools = pools(Scripted {
        creates: Mutex::new([Err(error(ErrorClass::Quota))].into()),
        ..Scripted::default()
    });
    view(&pools);
    let _ = pools.carry_out(&create()).await;
    assert!(view(&pools).last_call.is_some());
    assert!(
        pools
            .view("ws1", "another uid", Timestamp::now())
            .last_call
            .is_none()
    );
}

#[tokio::test]
async fn a_lost_operation_document_leaves_a_failure_without_words() {
    let pools = pools(Scripted {
        operations: Mutex::new([Err(error(ErrorClass::NotFound))].into()),
        ..Scripted::default()
    });
    view(&pools);
    pools
        .carry_out(&CloudCall::ReadOperation {
            name: "ws1".into(),
            url: "url".into(),
        })
        .await
        .unwrap();
    assert_eq!(view(&pools).failure.unwrap().code, "Unexplained");
}
