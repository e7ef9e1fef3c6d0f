//! The end of a server: a bounded time to finish open requests.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// Runs a server until it ends, or until `grace` has passed since the token was canceled.
///
/// Returns `None` if the time ran out and open requests were cut off. The server itself must stop accepting when the token
/// is canceled.
pub async fn with_grace<T>(
    server: impl Future<Output = T>,
    token: &CancellationToken,
    grace: Duration,
) -> Option<T> {
    let deadline = async {
        token.cancelled().await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        ended = server => Some(ended),
        () = deadline => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_grace_begins_with_the_cancellation() {
        let token = CancellationToken::new();
        let grace = Duration::from_secs(5);
        let slow = || tokio::time::sleep(Duration::from_secs(60));
        assert_eq!(with_grace(slow(), &token, grace).await, Some(()));
        token.cancel();
        assert_eq!(with_grace(slow(), &token, grace).await, None);
        assert_eq!(with_grace(std::future::ready(1), &token, grace).await, Some(1));
    }
}
