//! The closed set of reasons for a write that the API server refused. Each names the part that refused, and a remedy.
//!
//! Conditions of Workspaces and of claims use the same words, for our own writes and for pods that a controller of
//! Kubernetes could not create.

use crate::conditions::reasons;

reasons! {
    /// Reason for a refused write.
    RefusalReason {
        /// A ResourceQuota of the namespace is used up, or demands a limit that the object lacks.
        QuotaExceeded = "ResourceQuotaExceeded" => "Raise the ResourceQuota that the message names, or delete what uses it.",
        /// A LimitRange of the namespace does not allow the size of a container, pod or volume.
        LimitRangeExceeded = "LimitRangeExceeded" => "Change the LimitRange of the namespace so that it allows what the message names.",
        /// Pod Security of the namespace does not allow the pod.
        PodSecurityViolation = "PodSecurityViolation" => "Use a namespace with a less strict pod-security.kubernetes.io/enforce label, or remove from the Workspace what the message names.",
        /// An admission webhook denied the object.
        WebhookDenied = "AdmissionWebhookDenied" => "Ask the owner of the webhook that the message names, or satisfy its rule.",
        /// An admission webhook did not answer.
        WebhookFailed = "AdmissionWebhookFailed" => "Repair the webhook that the message names; nothing can be written until it answers. The write is repeated.",
        /// A ValidatingAdmissionPolicy denied the object.
        PolicyDenied = "AdmissionPolicyDenied" => "Satisfy the ValidatingAdmissionPolicy that the message names, or ask its owner.",
        /// Another admission plugin of the API server denied the object.
        AdmissionDenied = "AdmissionDenied" => "See the server's message: an admission plugin of the API server denied the object.",
        /// RBAC does not allow the write.
        PermissionDenied = "PermissionDenied" => "Give the account that the message names this permission; `helm upgrade` restores the chart's roles.",
        /// The namespace is being deleted.
        NamespaceTerminating = "NamespaceTerminating" => "Nothing to do: the namespace is being deleted, and the Workspace with it.",
        /// The API server finds the object invalid.
        ObjectInvalid = "ObjectInvalid" => "Correct the field of the Workspace that leads to what the message names; report it if there is none.",
        /// Another writer changed the object at the same time, several times in a row.
        WriteConflict = "WriteConflict" => "Find the other controller that writes the object which the message names, and stop it.",
        /// The API server limits requests.
        ServerOverloaded = "APIServerOverloaded" => "Nothing to do: the write is repeated. If it lasts, look at the API server's priority levels.",
        /// The API server does not answer, or fails.
        ServerUnavailable = "APIServerUnavailable" => "Nothing to do: the write is repeated. If it lasts, look at the API server and etcd.",
    }
}

impl RefusalReason {
    /// Reports whether the refusal may end by itself within seconds: it is shown only after some attempts in a row.
    #[must_use]
    pub fn is_transient(self) -> bool {
        matches!(
            self,
            Self::WebhookFailed | Self::WriteConflict | Self::ServerOverloaded | Self::ServerUnavailable
        )
    }

    /// Reports whether the reason concerns every write, not the object alone: another write would be refused too.
    #[must_use]
    pub fn is_server_wide(self) -> bool {
        matches!(
            self,
            Self::WriteConflict | Self::ServerOverloaded | Self::ServerUnavailable
        )
    }
}
