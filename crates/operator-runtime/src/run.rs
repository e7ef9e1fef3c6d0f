//! The frame of a program: its tasks, signals and shutdown. One task that ends early ends all.

use std::time::Duration;

use anyhow::Context as _;
use serve::StopSignals;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

type Ended = (&'static str, anyhow::Result<()>);

/// The tasks of a program. Each must return soon after the token is canceled, and not before.
#[derive(Debug)]
pub struct Tasks {
    set: JoinSet<Ended>,
    token: CancellationToken,
}

impl Tasks {
    /// Returns an empty set. From now on SIGTERM and SIGINT cancel the token.
    ///
    /// # Errors
    /// If the signal handlers cannot be installed.
    pub fn new() -> anyhow::Result<Self> {
        let tasks = Self::without_signals();
        let signals = StopSignals::listen()?;
        let token = tasks.token();
        tokio::spawn(async move {
            tokio::select! {
                signal = signals.first() => tracing::info!(signal, "shutting down"),
                () = token.cancelled() => {}
            }
            token.cancel();
        });
        Ok(tasks)
    }

    fn without_signals() -> Self {
        Self {
            set: JoinSet::new(),
            token: CancellationToken::new(),
        }
    }

    /// Token that is canceled at shutdown; canceling it ends the program.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Spawns a task. Its name appears in errors.
    pub fn spawn<F>(&mut self, name: &'static str, task: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.set.spawn(async move { (name, task.await) });
    }

    /// Runs until a signal or until a task ends. The other tasks then have `grace` to finish their work.
    ///
    /// # Errors
    /// If a task failed, panicked or ended early, or `grace` was too short.
    pub async fn run(mut self, grace: Duration) -> anyhow::Result<()> {
        let mut result = self.first_end().await;
        self.token.cancel();
        let drained = tokio::time::timeout(grace, async {
            while let Some(ended) = self.set.join_next().await {
                let ended = flatten(ended);
                // The first error is the cause; later ones usually follow from it.
                match (&result, ended) {
                    (Ok(()), Err(error)) => result = Err(error),
                    (Err(_), Err(error)) => tracing::warn!(
                        error = format!("{error:#}"),
                        "another task failed during shutdown"
                    ),
                    (_, Ok(_)) => {}
                }
            }
        })
        .await;
        match drained {
            Ok(()) => result,
            Err(_) => {
                result.and_then(|()| anyhow::bail!("{} tasks did not end within {grace:?}", self.set.len()))
            }
        }
    }

    async fn first_end(&mut self) -> anyhow::Result<()> {
        tokio::select! {
            () = self.token.cancelled() => Ok(()),
            Some(ended) = self.set.join_next() => match flatten(ended) {
                Err(error) => Err(error),
                Ok(_) if self.token.is_cancelled() => Ok(()),
                Ok(name) => Err(anyhow::anyhow!("task {name:?} ended early")),
            },
        }
    }
}

fn flatten(ended: Result<Ended, JoinError>) -> anyhow::Result<&'static str> {
    let (name, result) = ended.context("a task panicked")?;
    result.with_context(|| format!("task {name:?}"))?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(5);

    async fn until(token: CancellationToken) -> anyhow::Result<()> {
        token.cancelled().await;
        Ok(())
    }

    #[tokio::test]
    async fn a_cancelled_token_is_a_good_end() {
        let mut tasks = Tasks::without_signals();
        let token = tasks.token();
        tasks.spawn("a", until(token.clone()));
        token.cancel();
        tasks.run(GRACE).await.unwrap();
    }

    #[tokio::test]
    async fn the_first_error_ends_all_and_is_told() {
        let mut tasks = Tasks::without_signals();
        tasks.spawn("waits", until(tasks.token()));
        tasks.spawn("fails", async { anyhow::bail!("no more disk") });
        let error = tasks.run(GRACE).await.unwrap_err();
        assert_eq!(format!("{error:#}"), "task \"fails\": no more disk");
    }

    #[tokio::test]
    async fn a_task_that_ends_early_is_an_error() {
        let mut tasks = Tasks::without_signals();
        tasks.spawn("short", async { Ok(()) });
        assert_eq!(
            tasks.run(GRACE).await.unwrap_err().to_string(),
            "task \"short\" ended early"
        );
    }

    #[tokio::test]
    async fn a_panic_is_an_error() {
        let mut tasks = Tasks::without_signals();
        tasks.spawn("bad", async { panic!("oh") });
        assert!(tasks.run(GRACE).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_hangs_is_left_behind() {
        let mut tasks = Tasks::without_signals();
        tasks.spawn("hangs", std::future::pending());
        tasks.token().cancel();
        assert!(
            tasks
                .run(GRACE)
                .await
                .unwrap_err()
                .to_string()
                .contains("1 tasks did not end")
        );
    }
}
