//! The right to push, tried without anything to push.

use egress::Request;
use reqwest::header::CONTENT_LENGTH;
use reqwest::{Method, StatusCode};
use url::Url;

use super::client::{Registry, location, refusal, with_header};
use crate::error::Result;

impl Registry {
    /// Begins an upload and cancels it. The registry checks the credentials as for a real one.
    ///
    /// # Errors
    /// The registry refuses, or every attempt failed.
    pub(crate) async fn check_push(&mut self) -> Result<()> {
        let doing = format!("begin an upload to {}", self.target.reference);
        let url = self.url("blobs/uploads/")?;
        let call = with_header(Request::new(&doing, Method::POST, url), CONTENT_LENGTH, "0");
        let response = self.execute(&call).await?;
        match response.status() {
            StatusCode::ACCEPTED => {
                if let Some(upload) = location(&call.url, response.headers()) {
                    self.cancel(upload).await;
                }
                Ok(())
            }
            StatusCode::CREATED => Ok(()),
            _ => Err(refusal(&doing, response).await),
        }
    }

    /// Cancels an upload. A failure is harmless: some registries want another right for it, and all forget unfinished uploads.
    async fn cancel(&self, upload: Url) {
        let call = Request::new("cancel an upload", Method::DELETE, upload);
        drop(self.send(&call).await);
    }
}
