//! `endpoint`: the address at which a model answers, in the cluster or on this machine.

use std::io::Write as _;
use std::net::Ipv4Addr;

use anyhow::{Context as _, anyhow};
use kaito_api::Workspace;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};

use crate::answer::Answer;
use crate::args::{EndpointArgs, Format};
use crate::cluster::ClusterAccess;
use crate::output::{printable, serialized};
use crate::readiness;
use crate::tunnel::PodPort;

/// Prints the address. It is a finding if the model does not answer.
pub(crate) async fn run(args: &EndpointArgs) -> anyhow::Result<Answer> {
    let access = args.read.cluster.connect().await?;
    let workspace = access.workspace(&args.workspace).await?;
    match args.port_forward {
        Some(port) => forward(&access, workspace, port, args.read.output).await,
        None => shown(&workspace, args.read.output),
    }
}

/// Forwards a port of this machine until the program is stopped.
async fn forward(
    access: &ClusterAccess,
    mut workspace: Workspace,
    port: u16,
    format: Format,
) -> anyhow::Result<Answer> {
    if let Some(why) = readiness::refusal(&workspace) {
        return Ok(Answer {
            text: why,
            findings: true,
        });
    }
    let target = PodPort::find(access, workspace.name()).await?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
    let listener = listener.with_context(|| format!("failed to listen on 127.0.0.1:{port}"))?;
    let scheme = if target.tls { "https" } else { "http" };
    if let Some(status) = &mut workspace.status {
        status.endpoint = Some(format!("{scheme}://{}", listener.local_addr()?));
    }
    let shown = shown(&workspace, format)?;
    let mut out = std::io::stdout().lock();
    out.write_all(shown.text.as_bytes())?;
    out.flush()?;
    drop(out);
    loop {
        let (client, _) = listener.accept().await.context("failed to accept a connection")?;
        let (access, name) = (access.clone(), workspace.name().to_owned());
        // It ends with the connection, or with the program.
        tokio::spawn(async move {
            if let Err(error) = joined(&access, &name, client).await {
                let _ = writeln!(
                    std::io::stderr().lock(),
                    "failed to forward a connection: {error:#}"
                );
            }
        });
    }
}

/// Joins one connection with a pod that is ready now.
async fn joined(access: &ClusterAccess, workspace: &str, mut client: TcpStream) -> anyhow::Result<()> {
    let target = PodPort::find(access, workspace).await?;
    let (mut stream, complaint) = target.connect(access).await?.raw();
    match tokio::io::copy_bidirectional(&mut client, &mut stream).await {
        // A kubelet that cannot reach the port ends the stream at once.
        Ok((1.., 0)) => Err(complaint.added_to(anyhow!("the pod sent nothing")).await),
        Ok(_) => Ok(()),
        Err(error) => Err(complaint.added_to(error.into()).await),
    }
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
