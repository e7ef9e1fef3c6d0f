//! Arguments of the commands that reach the pods of a Workspace, or show a page.

use super::day_two::{ClusterArgs, ReadArgs};

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct EndpointArgs {
    /// Name of the Workspace.
    pub(crate) workspace: String,
    /// Open the address on this machine: at this port of 127.0.0.1, or at any free one. Runs until it is stopped.
    #[arg(
        long,
        value_name = "PORT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "0"
    )]
    pub(crate) port_forward: Option<u16>,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ChatArgs {
    /// Name of the Workspace.
    pub(crate) workspace: String,
    /// Prompt; - is standard input. Without it, a conversation on a terminal, and standard input elsewhere.
    pub(crate) prompt: Option<String>,
    /// Model or adapter, by a name of /v1/models; the default is the first.
    #[arg(long, value_name = "ADAPTER")]
    pub(crate) model: Option<String>,
    /// Instructions that come before the conversation.
    #[arg(long, value_name = "TEXT")]
    pub(crate) system: Option<String>,
    /// Largest number of tokens of an answer.
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_tokens: Option<u32>,
    /// Randomness of the answer, from 0 to 2; the default is the model's.
    #[arg(long, value_parser = temperature)]
    pub(crate) temperature: Option<f64>,
    /// Secret with the API keys of the Workspace; the first one is sent. The default is $KAITO_API_KEY.
    #[arg(long, value_name = "NAME")]
    pub(crate) key_from_secret: Option<String>,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DashboardArgs {
    /// Show the Workspaces of all namespaces.
    #[arg(long, short = 'A', conflicts_with = "namespace")]
    pub(crate) all_namespaces: bool,
    /// Port of 127.0.0.1; 0 is any free one.
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

fn temperature(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.parse().ok();
    let number = number.filter(|number| (0.0..=2.0).contains(number));
    number.ok_or_else(|| "must be a number from 0 to 2".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::args::{Args, Command};

    fn parsed(words: &[&str]) -> Option<Command> {
        let words = ["kubectl-kaito"].iter().chain(words);
        Args::try_parse_from(words).ok().map(|args| args.command)
    }

    #[test]
    fn a_forwarded_port_is_optional() {
        let port = |words: &[&str]| match parsed(words) {
            Some(Command::Endpoint(args)) => Some(args.port_forward),
            _ => None,
        };
        assert_eq!(port(&["endpoint", "w"]), Some(None));
        assert_eq!(port(&["endpoint", "--port-forward", "w"]), Some(Some(0)));
        assert_eq!(port(&["endpoint", "w", "--port-forward=8080"]), Some(Some(8080)));
        assert_eq!(port(&["endpoint", "w", "--port-forward=http"]), None);
    }

    #[test]
    fn numbers_have_bounds() {
        assert!(parsed(&["chat", "w", "--temperature", "0", "--max-tokens", "1"]).is_some());
        assert!(parsed(&["chat", "w", "--temperature", "2.1"]).is_none());
        assert!(parsed(&["chat", "w", "--temperature", "NaN"]).is_none());
        assert!(parsed(&["chat", "w", "--max-tokens", "0"]).is_none());
    }
}
