//! Plays Python in the image of the GPU engine: listens where the engine and Ray listen, and answers their health checks.
//!
//! It computes nothing. Tests of networks, nodes and pods use it, where a real engine needs GPUs and gigabytes.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

/// The port of PyTorch's rendezvous.
const TORCH_PORT: u16 = 29500;

/// The port of the engine's API, unless the command line has another.
const API_PORT: u16 = 5000;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let script = args
        .first()
        .map_or("", |path| path.rsplit('/').next().unwrap_or(""));
    let played = match script {
        "inference_api.py" => engine(&args),
        "ray-leader" => serve("0.0.0.0", port(&args, "ray_port").unwrap_or_default()),
        "ray-worker" => worker(&args),
        "multi-node-health-check.py" => check(&args),
        // The command that ends the front.
        "-c" => drain(&args),
        _ => Err(std::io::Error::other(format!(
            "expected a script of the image: {args:?}"
        ))),
    };
    match played {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "failed to play {script}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn value<'a>(args: &'a [String], name: &str) -> Option<&'a str> {
    let prefix = format!("--{name}=");
    args.iter().find_map(|arg| arg.strip_prefix(&prefix))
}

fn port(args: &[String], name: &str) -> Option<u16> {
    value(args, name)?.parse().ok()
}

/// The engine's API, and beside it PyTorch's rendezvous.
fn engine(args: &[String]) -> std::io::Result<()> {
    std::thread::spawn(|| serve("0.0.0.0", TORCH_PORT));
    serve(
        value(args, "host").unwrap_or("0.0.0.0"),
        port(args, "port").unwrap_or(API_PORT),
    )
}

/// Answers every request with the name of the port.
fn serve(host: &str, port: u16) -> std::io::Result<()> {
    let listener = TcpListener::bind((host, port))?;
    for stream in listener.incoming().flatten() {
        // A client that leaves early is no concern of the others.
        let _ = answer(stream, port);
    }
    Ok(())
}

fn answer(mut stream: TcpStream, port: u16) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        request.extend(byte);
    }
    let body = format!("{{\"played\": {port}}}");
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n";
    let answer = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(answer.as_bytes())
}

/// A worker says which ports of its leader it reaches, until it is killed.
fn worker(args: &[String]) -> std::io::Result<()> {
    let leader = value(args, "ray_address").unwrap_or_default();
    let ray = port(args, "ray_port").unwrap_or_default();
    loop {
        for port in [ray, TORCH_PORT] {
            let said = match get(leader, port, "/") {
                Ok(_) => format!("reached port {port} of {leader}"),
                Err(error) => format!("failed to reach port {port} of {leader}: {error}"),
            };
            writeln!(std::io::stderr(), "{said}")?;
        }
        std::thread::sleep(Duration::from_secs(2));
    }
}

fn check(args: &[String]) -> std::io::Result<()> {
    let leader = value(args, "leader-address").unwrap_or_default();
    let port = port(args, "vllm-port").or_else(|| port(args, "ray-port"));
    get(leader, port.unwrap_or_default(), "/health").map(drop)
}

fn drain(args: &[String]) -> std::io::Result<()> {
    let script = args.get(1).map_or("", String::as_str);
    let address = script.split("http://").nth(1).unwrap_or_default();
    let (host, rest) = address.split_once(':').unwrap_or_default();
    let (port, path) = rest.split_once('/').unwrap_or_default();
    let path = path.split('\'').next().unwrap_or_default();
    get(host, port.parse().unwrap_or_default(), &format!("/{path}")).map(drop)
}

fn get(host: &str, port: u16, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect((host, port))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    if text.starts_with("HTTP/1.1 200") {
        Ok(text)
    } else {
        Err(std::io::Error::other(text))
    }
}
