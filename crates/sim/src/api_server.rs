//! An in-memory model of the API server, as far as plans use it.
//!
//! Objects are JSON. Versions, generations, UIDs, finalizers, field ownership and the history for watches follow the
//! real server. It knows no planner.

pub mod admission;
pub mod apply;
pub mod defaults;
pub mod delete;
pub mod fields;
pub mod garbage;
pub mod patch;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use plan::{Kind, ObjectRef};
use serde_json::{Value, json};

use crate::json;
use fields::FieldSet;

/// RefusedWrite of a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// The object does not exist.
    #[error("404 not found: {0}")]
    NotFound(String),
    /// A precondition on version or uid does not hold.
    #[error("409 conflict: {0}")]
    Conflict(String),
    /// The object would be wrong.
    #[error("422 invalid: {0}")]
    Invalid(String),
    /// A disruption budget forbids it now.
    #[error("429 too many requests: {0}")]
    Refused(String),
    /// Admission denies it, or fails.
    #[error("{1}")]
    Denied(u16, String),
}

/// One change of one object, as a watch reports it.
#[derive(Clone, Debug)]
pub struct Event {
    /// Kind and name.
    pub key: ObjectRef,
    /// The object after the change; `None` if it is gone.
    pub value: Option<Arc<Value>>,
    /// Resource version of the change.
    pub version: u64,
}

/// One line of the write log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Simulated time.
    pub at: Timestamp,
    /// Field manager, or the part of the simulation that wrote.
    pub actor: &'static str,
    /// `create`, `apply`, `status`, `patch`, `delete`, `evict` or `gone`.
    pub verb: &'static str,
    /// Kind and name.
    pub key: ObjectRef,
}

#[derive(Clone, Debug)]
struct Stored {
    value: Arc<Value>,
    owners: BTreeMap<&'static str, FieldSet>,
}

/// The server: objects and their history.
#[derive(Clone, Debug)]
pub struct ApiServer {
    now: Timestamp,
    objects: BTreeMap<ObjectRef, Stored>,
    version: u64,
    uids: u64,
    events: Vec<Event>,
    /// Kinds whose applies are denied: status and message of the response.
    pub denials: BTreeMap<Kind, (u16, String)>,
    log: Vec<LogLine>,
    budgets: BTreeSet<(String, String)>,
}

impl ApiError {
    /// HTTP status of the refusal.
    #[must_use]
    pub fn code(&self) -> u16 {
        match self {
            Self::NotFound(_) => 404,
            Self::Conflict(_) => 409,
            Self::Invalid(_) => 422,
            Self::Refused(_) => 429,
            Self::Denied(code, _) => *code,
        }
    }
}

impl ApiServer {
    /// Returns an empty server at this time.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self {
            now,
            objects: BTreeMap::new(),
            version: 1,
            uids: 0,
            events: Vec::new(),
            denials: BTreeMap::new(),
            log: Vec::new(),
            budgets: BTreeSet::new(),
        }
    }

    /// Moves the server's clock.
    pub fn set_now(&mut self, now: Timestamp) {
        self.now = now;
    }

    /// All changes since the beginning, in order.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// All writes that changed something, in order.
    #[must_use]
    pub fn log(&self) -> &[LogLine] {
        &self.log
    }

    /// Resource version of an object; the server's latest one if the object is gone.
    #[must_use]
    pub fn version_of(&self, key: &ObjectRef) -> u64 {
        let version = self
            .get(key)
            .map(|value| json::text(value, &["metadata", "resourceVersion"]));
        version
            .and_then(|version| version.parse().ok())
            .unwrap_or(self.version)
    }

    /// Returns one object.
    #[must_use]
    pub fn get(&self, key: &ObjectRef) -> Option<&Arc<Value>> {
        self.objects.get(key).map(|stored| &stored.value)
    }

    /// Iterates over the objects of a kind, by namespace and name.
    pub fn list(&self, kind: Kind) -> impl Iterator<Item = (&ObjectRef, &Arc<Value>)> {
        let start = ObjectRef {
            kind,
            namespace: None,
            name: String::new(),
        };
        self.objects
            .range(start..)
            .take_while(move |(key, _)| key.kind == kind)
            .map(|(k, s)| (k, &s.value))
    }

    /// Iterates over all objects, by kind, namespace and name.
    pub fn all(&self) -> impl Iterator<Item = (&ObjectRef, &Arc<Value>)> {
        self.objects.iter().map(|(key, stored)| (key, &stored.value))
    }

    /// Refuses evictions of a pod while `held`.
    pub fn hold_pod(&mut self, namespace: &str, name: &str, held: bool) {
        let key = (namespace.to_owned(), name.to_owned());
        if held {
            self.budgets.insert(key);
        } else {
            self.budgets.remove(&key);
        }
    }

    /// Creates an object that must not exist yet.
    ///
    /// # Errors
    /// If an object of the name exists, or it has no name.
    pub fn create(&mut self, actor: &'static str, key: &ObjectRef, value: Value) -> Result<(), ApiError> {
        if self.objects.contains_key(key) {
            return Err(ApiError::Conflict(format!("{} exists", shown(key))));
        }
        if key.name.is_empty() {
            return Err(ApiError::Invalid("metadata.name is empty".to_owned()));
        }
        let owned = fields::fields(&fields::configuration(&value));
        let owners = BTreeMap::from([(actor, owned)]);
        let mut value = json::without_nulls(value);
        self.uids += 1;
        json::set(&mut value, &["apiVersion"], json!(key.kind.api_version()));
        json::set(&mut value, &["kind"], json!(key.kind.as_str()));
        json::set(&mut value, &["metadata", "name"], json!(key.name));
        if let Some(namespace) = &key.namespace {
            json::set(&mut value, &["metadata", "namespace"], json!(namespace));
        }
        json::set(
            &mut value,
            &["metadata", "uid"],
            json!(format!("uid-{:04}", self.uids)),
        );
        json::set(
            &mut value,
            &["metadata", "creationTimestamp"],
            json::stamp(self.now),
        );
        json::set(&mut value, &["metadata", "generation"], json!(1));
        defaults::fill(key.kind, &mut value);
        self.store(actor, "create", key, value, owners);
        Ok(())
    }

    fn store(
        &mut self,
        actor: &'static str,
        verb: &'static str,
        key: &ObjectRef,
        mut value: Value,
        owners: BTreeMap<&'static str, FieldSet>,
    ) {
        self.version += 1;
        json::set(
            &mut value,
            &["metadata", "resourceVersion"],
            json!(self.version.to_string()),
        );
        let value = Arc::new(value);
        self.objects.insert(
            key.clone(),
            Stored {
                value: Arc::clone(&value),
                owners,
            },
        );
        self.events.push(Event {
            key: key.clone(),
            value: Some(value),
            version: self.version,
        });
        self.note(actor, verb, key);
    }

    fn note(&mut self, actor: &'static str, verb: &'static str, key: &ObjectRef) {
        self.log.push(LogLine {
            at: self.now,
            actor,
            verb,
            key: key.clone(),
        });
    }

    fn found(&self, key: &ObjectRef) -> Result<Stored, ApiError> {
        self.objects
            .get(key)
            .cloned()
            .ok_or_else(|| ApiError::NotFound(shown(key)))
    }
}

/// Returns an object's kind and name, for people.
#[must_use]
pub fn shown(key: &ObjectRef) -> String {
    match &key.namespace {
        Some(namespace) => format!("{} {namespace}/{}", key.kind.as_str(), key.name),
        None => format!("{} {}", key.kind.as_str(), key.name),
    }
}

/// Returns the key of an object; `namespace` is empty for cluster-scoped kinds.
#[must_use]
pub fn key(kind: Kind, namespace: &str, name: &str) -> ObjectRef {
    let namespace = (!namespace.is_empty()).then(|| namespace.to_owned());
    ObjectRef {
        kind,
        namespace,
        name: name.to_owned(),
    }
}

/// Returns true if an object is terminating.
#[must_use]
pub(crate) fn is_deleting(value: &Value) -> bool {
    !json::text(value, &["metadata", "deletionTimestamp"]).is_empty()
}
