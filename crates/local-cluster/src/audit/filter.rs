//! A choice of writes. Every condition that is set must hold.

use super::AuditEntry;

/// A filter over writes; the default admits all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteFilter {
    user: Option<String>,
    user_agent: Option<String>,
    namespace: Option<String>,
    verb: Option<String>,
    resource: Option<String>,
    without: Vec<String>,
    successful: bool,
}

impl WriteFilter {
    /// Only of this user, named in full or, with a leading `:`, by the end of its name
    /// (`:workspace-controller` is every ServiceAccount of that name).
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// Only with a user agent that starts so.
    #[must_use]
    pub fn user_agent(mut self, prefix: impl Into<String>) -> Self {
        self.user_agent = Some(prefix.into());
        self
    }

    /// Only in this namespace.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Only this verb.
    #[must_use]
    pub fn verb(mut self, verb: impl Into<String>) -> Self {
        self.verb = Some(verb.into());
        self
    }

    /// Only this resource, in the plural; a subresource is named `pods/status`.
    #[must_use]
    pub fn resource(mut self, resource: impl Into<String>) -> Self {
        self.resource = Some(resource.into());
        self
    }

    /// Not this resource, in the plural: `without("leases").without("events")`.
    #[must_use]
    pub fn without(mut self, resource: impl Into<String>) -> Self {
        self.without.push(resource.into());
        self
    }

    /// Only those that the server carried out.
    #[must_use]
    pub fn successful(mut self) -> Self {
        self.successful = true;
        self
    }

    /// True when the entry passes.
    pub fn admits(&self, entry: &AuditEntry) -> bool {
        let is =
            |wanted: &Option<String>, actual: &str| wanted.as_deref().is_none_or(|wanted| wanted == actual);
        is(&self.namespace, &entry.namespace)
            && is(&self.verb, &entry.verb)
            && self.user.as_deref().is_none_or(|user| is_user(user, &entry.user))
            && self
                .user_agent
                .as_deref()
                .is_none_or(|prefix| entry.user_agent.starts_with(prefix))
            && self
                .resource
                .as_deref()
                .is_none_or(|resource| is_resource(resource, entry))
            && !self.without.contains(&entry.resource)
            && (!self.successful || (200..300).contains(&entry.code))
    }
}

fn is_user(wanted: &str, actual: &str) -> bool {
    if wanted.starts_with(':') {
        actual.ends_with(wanted)
    } else {
        actual == wanted
    }
}

fn is_resource(wanted: &str, entry: &AuditEntry) -> bool {
    let (resource, subresource) = wanted.split_once('/').unwrap_or((wanted, ""));
    entry.resource == resource && entry.subresource == subresource
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> AuditEntry {
        AuditEntry {
            verb: "patch".into(),
            resource: "workspaces".into(),
            subresource: "status".into(),
            namespace: "n".into(),
            user: "system:serviceaccount:kaito:workspace-controller".into(),
            user_agent: "workspace-controller/0.0.0".into(),
            code: 409,
            ..AuditEntry::default()
        }
    }

    #[test]
    fn every_condition_must_hold() {
        let all = WriteFilter::default();
        assert!(all.admits(&entry()));
        assert!(
            all.clone()
                .user(":workspace-controller")
                .verb("patch")
                .namespace("n")
                .admits(&entry())
        );
        assert!(!all.clone().user("workspace-controller").admits(&entry()));
        assert!(
            !all.clone()
                .user(":workspace-controller")
                .verb("create")
                .admits(&entry())
        );
        assert!(all.clone().user_agent("workspace-controller/").admits(&entry()));
        assert!(all.clone().resource("workspaces/status").admits(&entry()));
        assert!(!all.clone().resource("workspaces").admits(&entry()));
        assert!(
            !all.clone()
                .without("events")
                .without("workspaces")
                .admits(&entry())
        );
        assert!(!all.successful().admits(&entry()));
    }
}
