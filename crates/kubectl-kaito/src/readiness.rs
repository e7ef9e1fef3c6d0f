//! Reasons for which a Workspace cannot be asked, for people.

use std::fmt::Write as _;

use kaito_api::Workspace;

use crate::output::printable;
use crate::status::{message_and_remedy, state_word};

/// Says why the Workspace does not answer and what to do; `None` if it answers.
pub(crate) fn refusal(workspace: &Workspace) -> Option<String> {
    let (namespace, name) = (workspace.namespace(), workspace.name());
    if workspace.spec.tuning.is_some() {
        return Some(format!(
            "Workspace {namespace}/{name} tunes a model, and answers no questions. Use its result as an adapter of another Workspace.\n"
        ));
    }
    let status = workspace.status.as_ref();
    if status.is_some_and(|status| status.endpoint.is_some()) && !workspace.is_terminating() {
        return None;
    }
    let mut text = format!(
        "Workspace {namespace}/{name} does not answer: it is {}.\n",
        state_word(workspace)
    );
    if let Some(status) = status {
        let reason = status.reason.as_deref().map(printable);
        let (message, remedy) = message_and_remedy(status);
        if let Some(reason) = reason {
            let _ = writeln!(text, "{reason}: {message}");
        } else if !message.is_empty() {
            let _ = writeln!(text, "{message}");
        }
        if !remedy.is_empty() {
            let _ = writeln!(text, "{remedy}");
        }
    }
    if !workspace.is_terminating() {
        let _ = writeln!(
            text,
            "Follow it: `kubectl kaito status {name} --namespace {namespace} --watch`"
        );
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn of(spec: &str, status: &Value) -> Option<String> {
        let workspace = serde_json::from_value(json!({
            "apiVersion": "kaito.sh/v1beta1", "kind": "Workspace", "metadata": {"name": "w", "namespace": "n"},
            spec: {"preset": {"name": "phi-4"}}, "status": status,
        }));
        refusal(&workspace.unwrap())
    }

    #[test]
    fn it_says_why_and_what_helps() {
        assert_eq!(
            of(
                "inference",
                &json!({"state": "Ready", "endpoint": "http://w.n.svc"})
            ),
            None
        );
        let pending = json!({"state": "Pending", "reason": "SubscriptionQuotaReached", "conditions": [{
            "type": "ResourceReady", "status": "False", "reason": "SubscriptionQuotaReached", "message": "no quota for 24",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }]});
        let text = of("inference", &pending).unwrap();
        for part in [
            "Workspace n/w does not answer: it is Pending.\n",
            "SubscriptionQuotaReached: no quota for 24\n",
            "Ask for more quota",
            "`kubectl kaito status w --namespace n --watch`",
        ] {
            assert!(text.contains(part), "{part} is missing: {text}");
        }
        let new = of("inference", &Value::Null).unwrap();
        assert!(new.contains("it is New."), "{new}");
        let tuning = of("tuning", &json!({"state": "Succeeded"})).unwrap();
        assert!(tuning.contains("adapter of another Workspace"), "{tuning}");
    }
}
