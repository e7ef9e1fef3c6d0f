//! One line of the audit log.

use anyhow::{Context as _, Result};
use serde::Deserialize;

/// The only stage counted: one entry for each request, once it is answered.
const FINISHED: &str = "ResponseComplete";

/// A finished write.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditEntry {
    /// create, update, patch, delete or deletecollection.
    pub verb: String,
    /// The API group, empty for the core group.
    pub group: String,
    /// The resource in the plural.
    pub resource: String,
    /// For example `status`; empty for the object itself.
    pub subresource: String,
    /// The name; the server's choice where it generated one, empty for a collection.
    pub name: String,
    /// The namespace; empty for cluster-scoped objects.
    pub namespace: String,
    /// The user of the request.
    pub user: String,
    /// With which program.
    pub user_agent: String,
    /// The whole request address, with field manager and other parameters.
    pub request_uri: String,
    /// The HTTP status of the answer.
    pub code: u16,
    /// The time of the request, as the server wrote it (RFC 3339 with microseconds).
    pub received: String,
}

impl AuditEntry {
    /// Parses one line; none for an event that is not a finished request for a resource.
    ///
    /// # Errors
    /// When the line is not an audit event.
    pub fn parse(line: &str) -> Result<Option<Self>> {
        let event: AuditEvent =
            serde_json::from_str(line).with_context(|| format!("no audit event: {line}"))?;
        if event.stage != FINISHED {
            return Ok(None);
        }
        let Some(object) = event.object_ref else {
            return Ok(None);
        };
        Ok(Some(Self {
            verb: event.verb,
            group: object.api_group,
            resource: object.resource,
            subresource: object.subresource,
            name: object.name,
            namespace: object.namespace,
            user: event.user.username,
            user_agent: event.user_agent,
            request_uri: event.request_uri,
            code: event.response_status.code,
            received: event.request_received_timestamp,
        }))
    }

    /// The field manager the request named, if it did.
    pub fn field_manager(&self) -> Option<&str> {
        let query = self.request_uri.split_once('?')?.1;
        query
            .split('&')
            .find_map(|pair| pair.strip_prefix("fieldManager="))
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuditEvent {
    stage: String,
    verb: String,
    #[serde(default)]
    user: User,
    #[serde(default)]
    user_agent: String,
    #[serde(default, rename = "requestURI")]
    request_uri: String,
    #[serde(default)]
    request_received_timestamp: String,
    object_ref: Option<ObjectRef>,
    #[serde(default)]
    response_status: ResponseStatus,
}

#[derive(Debug, Default, Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ObjectRef {
    api_group: String,
    resource: String,
    subresource: String,
    name: String,
    namespace: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ResponseStatus {
    code: u16,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_real_server() {
        let line = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"x","stage":"ResponseComplete","requestURI":"/apis/apps/v1/namespaces/n/deployments/d/status?fieldManager=workspace-controller&force=true","verb":"patch","user":{"username":"system:serviceaccount:kaito:workspace-controller","uid":"u","groups":["system:authenticated"]},"sourceIPs":["127.0.0.1"],"userAgent":"workspace-controller/0.0.0","objectRef":{"resource":"deployments","namespace":"n","name":"d","apiGroup":"apps","apiVersion":"v1","subresource":"status"},"responseStatus":{"metadata":{},"code":200},"requestReceivedTimestamp":"2026-11-24T17:00:00.000001Z","stageTimestamp":"2026-11-24T17:00:00.000002Z","annotations":{}}"#;
        let entry = AuditEntry::parse(line).unwrap().unwrap();
        assert_eq!((entry.verb.as_str(), entry.code), ("patch", 200));
        assert_eq!(
            (entry.group.as_str(), entry.resource.as_str()),
            ("apps", "deployments")
        );
        assert_eq!(entry.subresource, "status");
        assert_eq!(entry.user, "system:serviceaccount:kaito:workspace-controller");
        assert_eq!(entry.field_manager(), Some("workspace-controller"));
    }

    #[test]
    fn other_stages_do_not_count() {
        let line = r#"{"stage":"Panic","verb":"create","objectRef":{"resource":"pods"}}"#;
        assert_eq!(AuditEntry::parse(line).unwrap(), None);
        assert!(AuditEntry::parse("not json").is_err());
    }
}
