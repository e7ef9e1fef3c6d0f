//! Our programs: to their end, or as servers that are asked.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Time between questions whether a server is ready.
const PAUSE: Duration = Duration::from_millis(100);

/// The program that lies beside this test.
///
/// # Panics
/// When it is not built.
#[must_use]
pub fn program(name: &str) -> Command {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().and_then(Path::parent).unwrap().join(name);
    assert!(
        path.is_file(),
        "{} is not built: run `cargo build --package {name}`",
        path.display()
    );
    Command::new(path)
}

/// Runs a program to its end.
///
/// # Errors
/// With what it said, when it failed.
pub fn run(command: &mut Command) -> Result<(), String> {
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
#[derive(Debug)]
pub struct Server {
    child: Child,
    address: String,
}

impl Server {
    /// Starts a server that listens on loopback and says where, and returns once `path` is answered with 200.
    ///
    /// # Panics
    /// When it ends before that.
    #[must_use]
    pub fn start(command: &mut Command, path: &str) -> Self {
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let address = announced(&mut child).unwrap_or_else(|said| {
            panic!("{command:?} ended without saying its address: {said:#?}");
        });
        let mut server = Self { child, address };
        while server.ask("GET", path, "").0 != 200 {
            assert!(
                server.child.try_wait().unwrap().is_none(),
                "{command:?} ended before it was ready"
            );
            std::thread::sleep(PAUSE);
        }
        server
    }

    /// Status and body of an answer; 0 where none came.
    ///
    /// # Panics
    /// When the server does not listen.
    #[must_use]
    pub fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.unwrap_or(0), body.to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address of loopback in a line that it prints, or all lines where none has one; those after it are forgotten.
fn announced(child: &mut Child) -> Result<String, Vec<String>> {
    let printed = child.stderr.take().unwrap();
    let mut lines = BufReader::new(printed).lines().map_while(Result::ok);
    let mut said = Vec::new();
    for line in lines.by_ref() {
        if let Some((_, rest)) = line.split_once("127.0.0.1:") {
            let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
            // The server blocks when its output is not read.
            std::thread::spawn(move || lines.for_each(drop));
            return Ok(format!("127.0.0.1:{port}"));
        }
        said.push(line);
    }
    Err(said)
}
