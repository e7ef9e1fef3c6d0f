//! Reads past every cache, for the few decisions that a cache's lag would make wrong.

use std::time::Duration;

use kube::api::ListParams;
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt as _};

use crate::cache_writer::Watched;
use crate::error::Error;
use crate::key::Key;

const TIMEOUT: Duration = Duration::from_secs(15);

/// Lists every object of a kind that carries these labels, such as `a=b,c=d`, in any namespace.
///
/// # Errors
/// If the API server refuses, or does not answer in time.
pub async fn list<K: Watched>(client: &Client, labels: &str) -> Result<Vec<K>, Error> {
    let api: Api<K> = Api::all(client.clone());
    let what = || format!("list {}s with {labels}", K::kind_name());
    match tokio::time::timeout(TIMEOUT, api.list(&ListParams::default().labels(labels))).await {
        Ok(Ok(found)) => Ok(found.items),
        Ok(Err(error)) => Err(Error::from_kube(what(), error)),
        Err(_) => Err(Error::Timeout { what: what() }),
    }
}

/// Returns the UID of a namespaced object; `None` if it does not exist.
///
/// # Errors
/// If the API server refuses, does not serve the kind, or does not answer in time.
pub async fn uid<K>(client: &Client, key: &Key) -> Result<Option<String>, Error>
where
    K: Watched + Resource<Scope = NamespaceResourceScope>,
{
    let namespace = key.namespace.as_deref().unwrap_or_default();
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let what = || format!("get {} {key}", K::kind_name());
    match tokio::time::timeout(TIMEOUT, api.get_metadata_opt(&key.name)).await {
        Ok(Ok(found)) => Ok(found.and_then(|object| object.metadata.uid)),
        Ok(Err(error)) => Err(Error::from_kube(what(), error)),
        Err(_) => Err(Error::Timeout { what: what() }),
    }
}

/// Returns the cluster-scoped object of a name; `None` if it does not exist. It needs the permission to list only.
///
/// # Errors
/// If the API server refuses, or does not answer in time.
pub async fn named<K: Watched>(client: &Client, name: &str) -> Result<Option<K>, Error> {
    let api: Api<K> = Api::all(client.clone());
    let what = || format!("list the {} {name}", K::kind_name());
    let only = ListParams::default().fields(&format!("metadata.name={name}"));
    match tokio::time::timeout(TIMEOUT, api.list(&only)).await {
        Ok(Ok(found)) => Ok(found.items.into_iter().next()),
        Ok(Err(error)) => Err(Error::from_kube(what(), error)),
        Err(_) => Err(Error::Timeout { what: what() }),
    }
}

/// Result of [`existence`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Existence {
    /// The object exists.
    Exists {
        /// Its UID.
        uid: String,
    },
    /// The kind is served, and the object does not exist.
    Absent,
    /// The API server does not serve the kind.
    NotServed,
}

/// Reports whether a cluster-scoped object exists.
///
/// # Errors
/// If the API server refuses, or does not answer in time.
pub async fn existence<K: Watched>(client: &Client, name: &str) -> Result<Existence, Error> {
    let api: Api<K> = Api::all(client.clone());
    let what = || format!("get {} {name}", K::kind_name());
    match tokio::time::timeout(TIMEOUT, api.get_opt(name)).await {
        Ok(Ok(Some(found))) => Ok(Existence::Exists {
            uid: found.uid().unwrap_or_default(),
        }),
        Ok(Ok(None)) => Ok(Existence::Absent),
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => Ok(Existence::NotServed),
        Ok(Err(error)) => Err(Error::from_kube(what(), error)),
        Err(_) => Err(Error::Timeout { what: what() }),
    }
}
