//! The one installation of all tests, and its end.

use std::ops::Deref;

use anyhow::{Result, ensure};
use installation::Installation;
use local_cluster::nodes;
use tokio::sync::{Mutex, MutexGuard, OnceCell, RwLock, RwLockReadGuard, RwLockWriteGuard};

static SHARED: OnceCell<Installation> = OnceCell::const_new();

/// Held for reading by each test that needs the operator. True once the operator is gone.
static UNINSTALLED: RwLock<bool> = RwLock::const_new(false);

/// The right to use the installation. The operator stays until this is dropped.
pub(crate) struct Tenant {
    installation: &'static Installation,
    _stays: RwLockReadGuard<'static, bool>,
}

impl Tenant {
    /// The installation, which stays until all tests have ended.
    pub(crate) fn installation(&self) -> &'static Installation {
        self.installation
    }
}

impl Deref for Tenant {
    type Target = Installation;

    fn deref(&self) -> &Installation {
        self.installation
    }
}

/// The operator on a cluster with real nodes. None, said on standard error, where there can be none.
pub(crate) async fn operator() -> Result<Option<Tenant>> {
    let Some(installation) = installation().await? else {
        return Ok(None);
    };
    let stays = UNINSTALLED.read().await;
    ensure!(!*stays, "the operator is uninstalled");
    Ok(Some(Tenant {
        installation,
        _stays: stays,
    }))
}

/// The same for the test that uninstalls the operator. Waits until all tests that began have ended.
pub(crate) async fn alone() -> Result<Option<(&'static Installation, RwLockWriteGuard<'static, bool>)>> {
    let Some(installation) = installation().await? else {
        return Ok(None);
    };
    Ok(Some((installation, UNINSTALLED.write().await)))
}

/// The right to change the release: one test at a time.
pub(crate) async fn release() -> MutexGuard<'static, ()> {
    static RELEASE: Mutex<()> = Mutex::const_new(());
    RELEASE.lock().await
}

async fn installation() -> Result<Option<&'static Installation>> {
    if let Err(error) = nodes::ensure_root() {
        said(&format!("SKIPPED: {error}"));
        return Ok(None);
    }
    SHARED
        .get_or_try_init(|| Installation::start(said))
        .await
        .map(Some)
}

#[allow(
    clippy::print_stderr,
    reason = "a test that is skipped, or takes long, has to say so"
)]
fn said(line: &str) {
    eprintln!("{line}");
}
