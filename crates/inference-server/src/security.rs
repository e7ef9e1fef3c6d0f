//! Keys and certificate as flags name them: read at the start, and again whenever their files change.

pub(crate) mod keys;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use axum::middleware;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::api;
use crate::args::Args;
use crate::encrypted::Encryption;
use crate::follow::{self, Contents};
use crate::security::keys::Keys;
use crate::tls;

/// What protects the server.
#[derive(Debug)]
pub(crate) struct Security {
    keys: Option<watch::Receiver<Arc<Keys>>>,
    pub(crate) encryption: Option<Encryption>,
    /// Follow the files; they end with this value.
    _tasks: JoinSet<()>,
}

impl Security {
    /// Reads the files.
    ///
    /// # Errors
    /// When one cannot be read or used, or there is a file of keys without any.
    pub(crate) fn open(args: &Args) -> anyhow::Result<Self> {
        let mut tasks = JoinSet::new();
        let keys = args.api_key_file.as_ref().map(|file| {
            let parse = |contents: &Contents| Keys::parse(contents.concat().as_slice());
            watched(vec![file.clone()], &mut tasks, move |contents| {
                let keys = parse(contents);
                if keys.is_empty() {
                    tracing::warn!("--api-key-file holds no key: nobody is let in");
                }
                Ok(keys)
            })
        });
        let keys = keys.transpose()?;
        if let (Some(keys), Some(file)) = (&keys, &args.api_key_file) {
            anyhow::ensure!(
                !keys.borrow().is_empty(),
                "{} holds no key: write one a line, or leave --api-key-file out to let everybody in",
                file.display()
            );
        }
        let encryption = match (&args.tls_cert_file, &args.tls_key_file) {
            (Some(certificate), Some(key)) => Some(watched(
                vec![certificate.clone(), key.clone()],
                &mut tasks,
                |contents| match contents.as_slice() {
                    [certificate, key] => tls::config(certificate, key),
                    _ => anyhow::bail!("two files were expected"),
                },
            )?),
            (None, None) => None,
            _ => anyhow::bail!("--tls-cert-file and --tls-key-file are of use together only"),
        };
        Ok(Self {
            keys,
            encryption,
            _tasks: tasks,
        })
    }

    /// Puts the check of keys before all routes, if there are keys.
    pub(crate) fn guard(&self, router: Router) -> Router {
        match &self.keys {
            Some(keys) => router.layer(middleware::from_fn_with_state(keys.clone(), api::access)),
            None => router,
        }
    }
}

/// What the files hold, now and after every change.
fn watched<T: Send + Sync + 'static>(
    files: Vec<PathBuf>,
    tasks: &mut JoinSet<()>,
    parse: impl Fn(&Contents) -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<watch::Receiver<Arc<T>>> {
    let contents = follow::read(&files)?;
    let first = parse(&contents).with_context(|| format!("{files:?} cannot be used"))?;
    let (sender, receiver) = watch::channel(Arc::new(first));
    tasks.spawn(follow::follow(files, contents, move |contents| {
        sender.send_replace(Arc::new(parse(contents)?));
        Ok(())
    }));
    Ok(receiver)
}
