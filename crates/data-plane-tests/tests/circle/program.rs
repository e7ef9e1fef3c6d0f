//! Our programs as processes.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// The program that lies beside this test.
pub(crate) fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().and_then(|deps| deps.parent()).unwrap().join(name);
    assert!(
        path.is_file(),
        "{} is not built: run `cargo build --package {name}`",
        path.display()
    );
    path
}

/// Runs a program to its end; what it said is the error when it failed.
pub(crate) fn run(mut command: Command) -> Result<(), String> {
    let output = command.output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("{command:?}: {said}"))
    }
}

/// A server; it ends with this value.
pub(crate) struct Server {
    child: Child,
    address: String,
}

impl Server {
    /// Starts a server that listens on loopback and says where, and returns once `path` is answered with 200.
    pub(crate) fn start(mut command: Command, path: &str) -> Self {
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap())
            .lines()
            .map_while(Result::ok);
        let port = |line: &str| -> Option<String> {
            let rest = line.split_once("127.0.0.1:")?.1;
            Some(rest.chars().take_while(char::is_ascii_digit).collect())
        };
        let mut said = Vec::new();
        let found = lines.find_map(|line| {
            said.push(line);
            port(said.last()?)
        });
        let Some(port) = found else {
            panic!("{command:?} ended without saying its address: {said:#?}");
        };
        // Whoever stops reading stops the server.
        std::thread::spawn(move || lines.for_each(drop));
        let mut server = Self {
            child,
            address: format!("127.0.0.1:{port}"),
        };
        while !server.ask("GET", path, "").starts_with("HTTP/1.1 200") {
            assert!(
                server.child.try_wait().unwrap().is_none(),
                "{command:?} ended before it was ready"
            );
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        server
    }

    /// The body of an answer.
    pub(crate) fn post(&self, path: &str, body: &str) -> String {
        let answer = self.ask("POST", path, body);
        answer
            .split_once("\r\n\r\n")
            .map(|(_, body)| body.to_owned())
            .unwrap_or_default()
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.replacen("HTTP/1.0", "HTTP/1.1", 1)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
