//! The accepting side of a program: signals, TLS connections, reloaded files, probes, readiness and graceful shutdown.
//!
//! Knows no metrics library and no protocol above TLS, except the small HTTP server of [`Admin`].

mod accept;
mod admin;
mod checks;
mod directory;
mod files;
mod http;
mod peers;
mod readiness;
mod reload;
mod shutdown;
mod signals;
mod tls;

pub use accept::{Accepted, Connections, Encryption, Io, Limits, Permit};
pub use admin::{Admin, AdminArgs, BindError, bind};
pub use checks::Checks;
pub use directory::{DirectoryTexts, read_directory};
pub use files::FileChanges;
pub use http::http;
pub use peers::PeerPermit;
pub use readiness::{Gate, Readiness};
pub use reload::{ReadError, Reload, Reloaded};
pub use shutdown::with_grace;
pub use signals::{ListenError, StopSignals};
pub use tls::{TlsError, TlsFiles};
