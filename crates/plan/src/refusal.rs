//! A write that the API server refused: who refused it, about which object, and in which words.
//!
//! Words are made stable, so that a refusal that lasts is reported once: counters, times and generated names are
//! dropped.

use std::fmt;

use kaito_api::conditions::RefusalReason;

use crate::text::{cut, with_remedy};
use crate::{ObjectRef, Verb};

/// Longest text of the server that is repeated, in bytes: it leaves room for the object and the remedy.
const LONGEST: usize = 400;
/// Most words of the server that are repeated. Words are counted first: the length of a number must not move the cut.
const MOST_WORDS: usize = 40;

/// A refused write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedWrite {
    /// The way of writing.
    pub verb: Verb,
    /// Object that was to be written.
    pub target: ObjectRef,
    /// Part of the API server that refused.
    pub reason: RefusalReason,
    /// The server's words, stable and cut.
    pub words: String,
}

impl RefusedWrite {
    /// Classifies a response that is not a success. `code` is its HTTP status; `None` if there was no response.
    #[must_use]
    pub fn new(verb: Verb, target: ObjectRef, code: Option<u16>, message: &str) -> Self {
        Self {
            verb,
            target,
            reason: reason(code, message),
            words: stable(message),
        }
    }

    /// Returns the cause for people, without the remedy: what was to be written, and the server's words. `others` is the
    /// number of further objects that were refused.
    #[must_use]
    pub fn cause(&self, others: usize) -> String {
        let done = match self.verb {
            Verb::Apply | Verb::Patch | Verb::Status => "be written",
            Verb::Delete => "be deleted",
            Verb::Evict => "be evicted",
            Verb::EnsureFinalizer => "get our finalizer",
            Verb::ReleaseFinalizer => "be released",
        };
        let object = format!("{} {}", self.target.kind.as_str(), self.target.name);
        let others = match others {
            0 => String::new(),
            1 => ", and another object was refused too".to_owned(),
            _ => format!(", and {others} other objects were refused too"),
        };
        format!("{object} cannot {done}{others}: {}", self.words)
    }

    /// Returns the refusal as a note at the end of another message.
    #[must_use]
    pub fn note(&self, others: usize) -> String {
        let text = with_remedy(&self.cause(others), self.reason.remedy());
        format!("{}: {text}", self.reason.as_str())
    }
}

impl fmt::Display for RefusedWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.note(0))
    }
}

/// Returns the part of the API server that refused a request with this status and message.
///
/// Admission reports itself in the text alone, as plugins share the codes 403 and 422 with RBAC and validation.
#[must_use]
pub fn reason(code: Option<u16>, message: &str) -> RefusalReason {
    if let Some(reason) = by_text(message) {
        return reason;
    }
    match code {
        Some(401) => RefusalReason::PermissionDenied,
        Some(403) => RefusalReason::AdmissionDenied,
        Some(409) => RefusalReason::WriteConflict,
        Some(429) => RefusalReason::ServerOverloaded,
        Some(404 | 408) | None => RefusalReason::ServerUnavailable,
        Some(400..=499) => RefusalReason::ObjectInvalid,
        Some(_) => RefusalReason::ServerUnavailable,
    }
}

/// Returns the part of the API server that a message names. It is used for messages of controllers too, which have no
/// code.
#[must_use]
pub fn by_text(message: &str) -> Option<RefusalReason> {
    let has = |text: &str| message.contains(text);
    Some(match () {
        () if has("denied the request") && has("admission webhook") => RefusalReason::WebhookDenied,
        () if has("failed calling webhook") || has("failed to call webhook") => RefusalReason::WebhookFailed,
        () if has("ValidatingAdmissionPolicy") => RefusalReason::PolicyDenied,
        () if has("violates PodSecurity") => RefusalReason::PodSecurityViolation,
        () if has("exceeded quota:") || has("failed quota:") || has("status unknown for quota") => {
            RefusalReason::QuotaExceeded
        }
        () if is_limit_range(message) => RefusalReason::LimitRangeExceeded,
        () if has("because it is being terminated") || is_namespace_absent(message) => {
            RefusalReason::NamespaceTerminating
        }
        () if has("is forbidden: User ") && has(" cannot ") => RefusalReason::PermissionDenied,
        () => return None,
    })
}

fn is_namespace_absent(message: &str) -> bool {
    message.starts_with("namespaces \"") && message.ends_with("\" not found")
}

fn is_limit_range(message: &str) -> bool {
    let sized = ["Container", "Pod", "PersistentVolumeClaim"];
    let bounds = [" usage per ", " max limit to request ratio per "];
    bounds.iter().any(|bound| {
        sized
            .iter()
            .any(|kind| message.contains(&format!("{bound}{kind}")))
    })
}

/// Returns the server's words on one line, without what changes from one attempt to the next, and cut.
#[must_use]
pub fn stable(message: &str) -> String {
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = without_generated_name(&line);
    let text = without_usage(text);
    let mut words: Vec<String> = text.split(' ').map(without_local_port).collect();
    if words.len() > MOST_WORDS {
        words.truncate(MOST_WORDS);
        words.push("...".to_owned());
    }
    cut(&words.join(" "), LONGEST)
}

// `pods "w-5d9c-x7k2p" is forbidden: …`: each attempt of a controller has another name.
fn without_generated_name(message: &str) -> &str {
    let is_pod = |before: &str| before.contains("pods \"") && before.len() < 120;
    match message.split_once(" is forbidden: ") {
        Some((before, after)) if is_pod(before) => after,
        _ => message,
    }
}

// `…, used: pods=3, limited: pods=3`: the use changes with other objects of the namespace.
fn without_usage(message: &str) -> String {
    let mut text = message.to_owned();
    while let Some(start) = text.find(", used: ") {
        let Some(length) = text.get(start..).and_then(|rest| rest.find(", limited: ")) else {
            break;
        };
        text.replace_range(start..start + length, "");
    }
    text
}

// `read tcp 10.0.0.1:51712->10.0.0.2:443: …`: the local port differs.
fn without_local_port(word: &str) -> String {
    match word.split_once("->") {
        Some((local, remote)) if local.contains(':') => remote.to_owned(),
        _ => word.to_owned(),
    }
}

/// Reports whether two messages differ at most in words that contain digits, such as times, counters and identifiers.
#[must_use]
pub fn differ_in_numbers_only(a: &str, b: &str) -> bool {
    let has_digit = |word: &str| word.contains(|c: char| c.is_ascii_digit());
    let (mut a, mut b) = (a.split_whitespace(), b.split_whitespace());
    loop {
        match (a.next(), b.next()) {
            (None, None) => return true,
            (Some(a), Some(b)) if a == b || (has_digit(a) && has_digit(b)) => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests;
