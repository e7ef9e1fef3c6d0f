//! Tests of the page over a socket.

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use super::*;

struct Served {
    address: SocketAddr,
    secret: String,
    pictures: watch::Sender<String>,
}

async fn served() -> Served {
    let (pictures, receiver) = watch::channel("{\"first\":\"</script>\"}".to_owned());
    let page = Page::bind(0).await.unwrap();
    let served = Served {
        address: page.address,
        secret: page.secret.clone(),
        pictures,
    };
    tokio::spawn(page.serve(receiver));
    served
}

impl Served {
    async fn send(&self, method: &str, path: &str, host: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    async fn text(&self, method: &str, path: &str, host: &str) -> String {
        let mut text = String::new();
        let mut stream = self.send(method, path, host).await;
        stream.read_to_string(&mut text).await.unwrap();
        text
    }
}

#[tokio::test]
async fn only_the_printed_address_opens_the_page() {
    let served = served().await;
    let (own, path) = (served.address.to_string(), format!("/{}/", served.secret));
    let local = format!("localhost:{}", served.address.port());
    for host in [&own, &local] {
        let page = served.text("GET", &path, host).await;
        assert!(
            page.starts_with("HTTP/1.1 200") && page.contains("<title>KAITO</title>"),
            "{page}"
        );
        assert!(page.contains("{\"first\":\"\\u003c/script>\"}"), "{page}");
        let page = page.to_lowercase();
        for header in [
            "content-security-policy: default-src 'none'",
            "cache-control: no-store",
            "referrer-policy: no-referrer",
        ] {
            assert!(page.contains(header), "{header} is missing: {page}");
        }
    }
    for (method, path, host, status) in [
        // A page of the internet whose name resolves to this machine.
        ("GET", path.as_str(), "evil.example:80", "421"),
        ("GET", &format!("{path}events"), "evil.example", "421"),
        ("GET", "/", &own, "403"),
        ("GET", "/0123456789abcdef0123456789abcdef/events", &own, "403"),
        ("GET", &format!("{path}none"), &own, "404"),
        ("POST", &path, &own, "405"),
        ("DELETE", &format!("{path}events"), &own, "405"),
    ] {
        let refused = served.text(method, path, host).await;
        assert!(
            refused.starts_with(&format!("HTTP/1.1 {status}")),
            "{method} {path} {host}: {refused}"
        );
    }
    let other = Page::bind(0).await.unwrap();
    assert!(other.secret.len() == 32 && other.secret != served.secret);
}

#[tokio::test]
async fn news_comes_without_a_question() {
    let served = served().await;
    let path = format!("/{}/events", served.secret);
    let stream = served.send("GET", &path, &served.address.to_string()).await;
    let mut lines = BufReader::new(stream).lines();
    let mut next = async || {
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some(data) = line.strip_prefix("data: ") {
                return data.to_owned();
            }
        }
        panic!("the stream ended");
    };
    assert_eq!(next().await, "{\"first\":\"</script>\"}");
    served.pictures.send_replace("{\"second\":2}".to_owned());
    assert_eq!(next().await, "{\"second\":2}");
}

#[test]
fn the_page_needs_nothing_from_elsewhere() {
    let files = [
        include_str!("../page.html"),
        include_str!("../page.js"),
        include_str!("../page.css"),
    ];
    for text in files {
        for part in ["http://", "https://", "innerHTML", "eval(", " style=", "onclick"] {
            assert!(!text.contains(part), "{part}");
        }
    }
}
