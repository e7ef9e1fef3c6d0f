//! `logs`: the log of the container that matters now, and with `--follow` of those that matter next.

use std::io::Write as _;

use anyhow::Context as _;
use futures::{AsyncBufReadExt as _, StreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{ListParams, LogParams};
use kube::runtime::wait::await_condition;

use crate::answer::Answer;
use crate::args::LogsArgs;
use crate::cluster::{in_time, list};
use crate::pod_step::{self, PodStep};
use crate::status::of_workspace;

/// Prints the logs. It is a finding if there is none.
pub(crate) async fn run(args: &LogsArgs) -> anyhow::Result<Answer> {
    let access = args.cluster.connect().await?;
    let api: Api<Pod> = Api::namespaced(access.client.clone(), &access.namespace);
    let params = ListParams::default().labels(&of_workspace(&args.workspace));
    let mut notes = Vec::new();
    let pods = list(&api, &params, &mut notes).await?;
    let pods = pods.with_context(|| format!("you may not list pods in namespace {}", access.namespace))?;
    let chosen = chosen(&pods, args.all_pods);
    if chosen.is_empty() {
        return Ok(Answer {
            text: format!(
                "There is no pod yet: see `kubectl kaito status {}`.\n",
                args.workspace
            ),
            findings: true,
        });
    }
    let printer = Printer {
        api,
        tail: args.tail,
        container: args.container.clone(),
        names_pods: chosen.len() > 1,
    };
    if args.follow {
        let all = chosen.iter().map(|step| printer.follow(&step.pod));
        futures::future::try_join_all(all).await?;
        return Ok(Answer::fine(String::new()));
    }
    let mut text = String::new();
    let mut findings = false;
    for step in &chosen {
        if !step.has_log && args.container.is_none() {
            text.push_str(&format!(
                "{}: {} is {}, and has no log yet.\n",
                step.pod, step.container, step.state
            ));
            findings = true;
            continue;
        }
        printer.once(step).await?;
    }
    Ok(Answer { text, findings })
}

/// The pods whose logs are printed: all, or the first that is not ready.
fn chosen(pods: &[Pod], all: bool) -> Vec<PodStep> {
    let mut steps: Vec<PodStep> = pods.iter().map(pod_step::of).collect();
    if all {
        steps.sort_by(|a, b| a.pod.cmp(&b.pod));
        return steps;
    }
    let rank = |step: &PodStep| (step.state == "ready", step.pod.clone());
    steps.sort_by_key(rank);
    steps.truncate(1);
    steps
}

/// Prints lines of containers.
struct Printer {
    api: Api<Pod>,
    tail: Option<i64>,
    /// Container that the user names.
    container: Option<String>,
    /// True if lines of several pods mix.
    names_pods: bool,
}

impl Printer {
    fn params(&self, step: &PodStep, follow: bool) -> LogParams {
        LogParams {
            container: Some(self.container.clone().unwrap_or_else(|| step.container.clone())),
            previous: step.previous && self.container.is_none(),
            tail_lines: self.tail,
            follow,
            ..LogParams::default()
        }
    }

    async fn once(&self, step: &PodStep) -> anyhow::Result<()> {
        let params = self.params(step, false);
        let text = in_time(self.api.logs(&step.pod, &params))
            .await
            .with_context(|| format!("failed to read the log of pod {}", step.pod))?;
        text.lines().try_for_each(|line| self.say(&step.pod, line))
    }

    /// Follows one pod from container to container, until it has ended or is gone.
    async fn follow(&self, pod: &str) -> anyhow::Result<()> {
        let mut shown: Option<(String, i32)> = None;
        loop {
            let last = shown.clone();
            let is_news = move |pod: Option<&Pod>| pod.is_none_or(|pod| is_news(pod, last.as_ref()));
            let found = await_condition(self.api.clone(), pod, is_news).await?;
            let Some(found) = found else {
                return Ok(());
            };
            let step = pod_step::of(&found);
            let run = (step.container.clone(), step.restarts);
            if shown.as_ref() == Some(&run) {
                return Ok(());
            }
            let params = self.params(&step, true);
            let stream = self.api.log_stream(pod, &params).await;
            let stream = stream.with_context(|| format!("failed to follow the log of pod {pod}"))?;
            let mut lines = stream.lines();
            while let Some(line) = lines.next().await {
                self.say(pod, &line?)?;
            }
            // A container that the user names is the only one.
            if self.container.is_some() {
                return Ok(());
            }
            shown = Some(run);
        }
    }

    /// Prints a line. A closed pipe ends the program.
    fn say(&self, pod: &str, line: &str) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        if self.names_pods {
            write!(out, "{pod}: ")?;
        }
        writeln!(out, "{line}")?;
        out.flush()?;
        Ok(())
    }
}

/// Returns true if there is a log beyond the one that was shown, or there will be none.
fn is_news(pod: &Pod, shown: Option<&(String, i32)>) -> bool {
    let step = pod_step::of(pod);
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    let is_over = phase.is_some_and(|phase| phase == "Succeeded" || phase == "Failed");
    match shown {
        None => step.has_log || is_over,
        Some((container, restarts)) => {
            is_over || (step.is_running && (&step.container, step.restarts) != (container, *restarts))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(name: &str, state: &Value, restarts: i32, ready: bool) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": name},
            "spec": {"containers": [{"name": "vllm"}]},
            "status": {"containerStatuses": [{
                "name": "vllm", "state": state, "ready": ready, "restartCount": restarts, "image": "", "imageID": "",
            }]},
        }))
        .unwrap()
    }

    #[test]
    fn the_pod_that_is_not_ready_comes_first() {
        let running = json!({"running": {}});
        let pods = [
            pod("b", &running, 0, true),
            pod("c", &running, 0, false),
            pod("a", &running, 0, true),
        ];
        let names = |all| {
            chosen(&pods, all)
                .into_iter()
                .map(|step| step.pod)
                .collect::<Vec<_>>()
        };
        assert_eq!(names(false), ["c"]);
        assert_eq!(names(true), ["a", "b", "c"]);
    }

    #[test]
    fn a_restart_is_news_and_a_pause_is_none() {
        let running = json!({"running": {}});
        let first = ("vllm".to_owned(), 0);
        assert!(is_news(&pod("a", &running, 0, false), None));
        assert!(!is_news(&pod("a", &running, 0, false), Some(&first)));
        assert!(is_news(&pod("a", &running, 1, false), Some(&first)));
        let waiting = json!({"waiting": {"reason": "ContainerCreating"}});
        assert!(!is_news(&pod("a", &waiting, 0, false), None));
        assert!(!is_news(&pod("a", &waiting, 1, false), Some(&first)));
    }
}
