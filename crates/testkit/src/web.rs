//! A web server with a few files, and the files of a model hub.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use serde_json::json;

/// Files by their path on the server, which begins with `/`.
type Files = BTreeMap<String, PathBuf>;

/// Serves files on a free port of `host` until the test's process ends, and returns the address.
///
/// # Errors
/// When nothing can listen on that address.
pub fn serve(host: &str, files: Files) -> Result<SocketAddr> {
    serve_counted(host, files).map(|(address, _)| address)
}

/// The addresses of clients, one for each request so far.
#[derive(Clone, Debug, Default)]
pub struct Clients(Arc<Mutex<Vec<IpAddr>>>);

impl Clients {
    /// Number of requests from this address.
    #[must_use]
    pub fn requests(&self, from: IpAddr) -> usize {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter(|client| **client == from).count()
    }

    fn add(&self, client: IpAddr) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(client);
    }
}

/// The same, and notes who asks.
///
/// # Errors
/// As [`serve`].
pub fn serve_counted(host: &str, files: Files) -> Result<(SocketAddr, Clients)> {
    let listener = TcpListener::bind((host, 0)).with_context(|| format!("failed to listen on {host}"))?;
    let address = listener.local_addr()?;
    let clients = Clients::default();
    let noted = clients.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if let Ok(peer) = stream.peer_addr() {
                noted.add(peer.ip());
            }
            // A client that disconnects early sends its request again.
            let _ = answer(stream, &files);
        }
    });
    Ok((address, clients))
}

/// The files of a model in the directory `model`, below `/hub`, at the addresses where Hugging Face has them. The
/// description of the repository is written to `scratch`.
///
/// # Errors
/// When a directory cannot be read or written.
pub fn hub_files(id: &str, commit: &str, model: &Path, scratch: &Path) -> Result<Files> {
    let mut files = Files::new();
    let mut siblings = Vec::new();
    for entry in std::fs::read_dir(model)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        files.insert(format!("/hub/{id}/resolve/{commit}/{name}"), path.clone());
        siblings.push(json!({"rfilename": name}));
    }
    let about = scratch.join("about.json");
    let info = json!({"id": id, "sha": commit, "gated": false, "siblings": siblings});
    std::fs::write(&about, info.to_string())?;
    files.insert(format!("/hub/api/models/{id}/revision/{commit}"), about);
    Ok(files)
}

fn answer(mut stream: TcpStream, files: &Files) -> std::io::Result<()> {
    let mut first = String::new();
    let mut reader = BufReader::new(stream.try_clone()?);
    reader.read_line(&mut first)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let mut words = first.split(' ');
    let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let path = target.split('?').next().unwrap_or("");
    let Some(file) = files.get(path) else {
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    let mut file = File::open(file)?;
    let length = file.metadata()?.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    if method == "GET" {
        std::io::copy(&mut file, &mut stream)?;
    }
    Ok(())
}
