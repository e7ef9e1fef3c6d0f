//! The Workspace of a plan's best candidate, as YAML.

use anyhow::ensure;
use kaito_api::labels;
use preset_catalog::fit::{FitReport, Purpose};
use serde_json::{Value, json};

/// Longest name of a Workspace that its Service can have, too.
const NAME_MAX: usize = 63;

/// A Workspace to be written.
#[derive(Clone, Debug)]
pub(crate) struct NewWorkspace {
    pub(crate) name: String,
    pub(crate) preset: String,
    pub(crate) instance_type: String,
    /// Tokens that were asked for.
    pub(crate) context_tokens: Option<u32>,
    /// Secret with a token for a gated model.
    pub(crate) access_secret: Option<String>,
}

impl NewWorkspace {
    /// The Workspace of the best candidate; `None` if nothing fits.
    ///
    /// # Errors
    /// Fails for a plan of a tuning, whose data no plan knows, and for an invalid name.
    pub(crate) fn of(
        plan: &FitReport,
        name: Option<&str>,
        context_tokens: Option<u32>,
        access_secret: Option<&str>,
    ) -> anyhow::Result<Option<Self>> {
        ensure!(
            plan.purpose == Purpose::Inference,
            "a tuning needs data and a place for its result: see docs/tuning.md"
        );
        let name = name.map_or_else(|| object_name(&plan.preset), str::to_owned);
        ensure!(
            is_label(&name),
            "{name} must be a name of lower-case letters, digits and hyphens; see --name"
        );
        Ok(plan.best().map(|(instance_type, _)| Self {
            name,
            preset: plan.preset.clone(),
            instance_type: instance_type.name.clone(),
            context_tokens,
            access_secret: access_secret.map(str::to_owned),
        }))
    }

    /// The manifest of the best candidate, under a note as a comment.
    ///
    /// # Errors
    /// As for [`NewWorkspace::of`].
    pub(crate) fn text(plan: &FitReport, context_tokens: Option<u32>, note: &str) -> anyhow::Result<String> {
        let Some(new) = Self::of(plan, None, context_tokens, None)? else {
            return Ok("Nothing fits.\n".to_owned());
        };
        let note = match note {
            "" => String::new(),
            note => format!("# {note}"),
        };
        Ok(format!("{note}{}", new.yaml()))
    }

    /// The manifest, in the order in which people write it.
    pub(crate) fn yaml(&self) -> String {
        let context = self.context_tokens.map_or_else(String::new, |tokens| {
            format!("  annotations:\n    {}: \"{tokens}\"\n", labels::MAX_CONTEXT)
        });
        let secret = self.access_secret.as_ref().map_or_else(String::new, |secret| {
            format!("    presetOptions:\n      modelAccessSecret: {secret}\n")
        });
        format!(
            "apiVersion: kaito.sh/v1beta1\nkind: Workspace\nmetadata:\n  name: {name}\n{context}resource:\n  instanceType: {}\n  \
             labelSelector:\n    matchLabels:\n      apps: {name}\ninference:\n  preset:\n    name: {}\n{secret}",
            self.instance_type,
            self.preset,
            name = self.name,
        )
    }

    /// The same as an object.
    pub(crate) fn object(&self) -> Value {
        let mut object = json!({
            "apiVersion": "kaito.sh/v1beta1", "kind": "Workspace", "metadata": {"name": self.name},
            "resource": {"instanceType": self.instance_type, "labelSelector": {"matchLabels": {"apps": self.name}}},
            "inference": {"preset": {"name": self.preset}},
        });
        if let Some(tokens) = self.context_tokens {
            object["metadata"]["annotations"] = json!({labels::MAX_CONTEXT: tokens.to_string()});
        }
        if let Some(secret) = &self.access_secret {
            object["inference"]["preset"]["presetOptions"] = json!({"modelAccessSecret": secret});
        }
        object
    }
}

/// A name that Kubernetes accepts, made of a preset's.
fn object_name(preset: &str) -> String {
    let last = preset.rsplit('/').next().unwrap_or(preset).to_lowercase();
    let plain: String = last
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(NAME_MAX)
        .collect();
    plain.trim_matches('-').to_owned()
}

fn is_label(name: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=NAME_MAX).contains(&name.len())
        && name.chars().all(is_allowed)
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_is_the_object() {
        let full = NewWorkspace {
            name: "llama-3-3-70b-instruct".to_owned(),
            preset: "llama-3.3-70b-instruct".to_owned(),
            instance_type: "Standard_ND96isr_H200_v5".to_owned(),
            context_tokens: Some(8192),
            access_secret: Some("hub".to_owned()),
        };
        let plain = NewWorkspace {
            context_tokens: None,
            access_secret: None,
            ..full.clone()
        };
        for workspace in [full, plain] {
            let read: Value = serde_saphyr::from_str(&workspace.yaml()).unwrap();
            assert_eq!(read, workspace.object(), "{}", workspace.yaml());
            serde_json::from_value::<kaito_api::Workspace>(read).unwrap();
        }
    }

    #[test]
    fn names_are_labels() {
        assert_eq!(object_name("Qwen/Qwen2.5-0.5B_"), "qwen2-5-0-5b");
        assert!(is_label("a-1") && !is_label("1a") && !is_label("a-") && !is_label("A") && !is_label(""));
    }
}
