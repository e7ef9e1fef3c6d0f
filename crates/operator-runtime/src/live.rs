//! Reads past every store, for the few decisions that a store's lag would make wrong. It decides nothing.

use std::time::Duration;

use kube::api::ListParams;
use kube::{Api, Client};

use crate::cache::Watched;
use crate::error::Error;

const TIMEOUT: Duration = Duration::from_secs(15);

/// Every object of a kind that carries these labels, such as `a=b,c=d`, in whatever namespace.
///
/// # Errors
/// When the API server does not answer in time, or refuses.
pub async fn list<K: Watched>(client: &Client, labels: &str) -> Result<Vec<K>, Error> {
    let api: Api<K> = Api::all(client.clone());
    let what = || format!("list {}s with {labels}", K::kind_name());
    match tokio::time::timeout(TIMEOUT, api.list(&ListParams::default().labels(labels))).await {
        Ok(Ok(found)) => Ok(found.items),
        Ok(Err(error)) => Err(Error::from_kube(what(), error)),
        Err(_) => Err(Error::Timeout { what: what() }),
    }
}
