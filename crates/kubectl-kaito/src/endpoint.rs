//! `endpoint`: the address at which a model answers.

use kaito_api::Workspace;
use serde_json::json;

use crate::answer::Answer;
use crate::args::{EndpointArgs, Format};
use crate::output::{printable, serialized};

/// Prints the address. It is a finding if the model does not answer.
pub(crate) async fn run(args: &EndpointArgs) -> anyhow::Result<Answer> {
    let access = args.cluster.connect().await?;
    let workspace = access.workspace(&args.workspace).await?;
    shown(&workspace, args.output)
}

fn shown(workspace: &Workspace, format: Format) -> anyhow::Result<Answer> {
    let status = workspace.status.as_ref();
    let endpoint = status.and_then(|status| status.endpoint.as_deref());
    let model = status.and_then(|status| status.model.as_deref());
    let text = match (format, endpoint) {
        (Format::Table, Some(endpoint)) => format!("{}\n", printable(endpoint)),
        (Format::Table, None) => {
            let name = workspace.name();
            format!("The model does not answer yet: see `kubectl kaito status {name}`.\n")
        }
        (format, endpoint) => serialized(format, &json!({"endpoint": endpoint, "model": model}))?,
    };
    Ok(Answer {
        text,
        findings: endpoint.is_none(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_or_a_hint() {
        let of = |status: serde_json::Value| -> Workspace {
            serde_json::from_value(json!({
                "apiVersion": "kaito.sh/v1beta1", "kind": "Workspace", "metadata": {"name": "w"}, "status": status,
            }))
            .unwrap()
        };
        let ready = of(json!({"endpoint": "http://w.n.svc", "model": "phi-4"}));
        let answer = shown(&ready, Format::Table).unwrap();
        assert_eq!(
            (answer.text.as_str(), answer.findings),
            ("http://w.n.svc\n", false)
        );
        let answer = shown(&ready, Format::Json).unwrap();
        assert!(answer.text.contains("\"model\": \"phi-4\""), "{}", answer.text);
        let answer = shown(&of(json!({})), Format::Table).unwrap();
        assert!(
            answer.findings && answer.text.contains("kubectl kaito status w"),
            "{}",
            answer.text
        );
    }
}
