//! Requests to servers of these tests.

use reqwest::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::error::ErrorClass;
use crate::policy::WebPolicy;
use crate::retry::Transient as _;

fn settings() -> Settings {
    Settings {
        user_agent: "test",
        connect_timeout: Duration::from_secs(5),
        read_timeout: Duration::from_secs(5),
        redirects: 3,
        proxy: crate::client::ProxySettings::default(),
        ca_file: None,
    }
}

fn client(policy: WebPolicy) -> Client {
    Client::new(Arc::new(policy), settings()).unwrap()
}

fn error(code: u16, words: &str, headers: &HeaderMap) -> Error {
    Error::Status {
        doing: "do it".to_owned(),
        status: StatusCode::from_u16(code).unwrap(),
        words: plain(words),
        retry_after: retry_after(headers),
    }
}

#[test]
fn answers_have_classes() {
    for (codes, class) in [
        (&[401, 403][..], ErrorClass::Unauthorized),
        (&[404, 410], ErrorClass::NotFound),
        (&[400], ErrorClass::Refused),
        (&[429, 500, 503, 408], ErrorClass::Unavailable),
    ] {
        for code in codes {
            assert_eq!(error(*code, "", &HeaderMap::new()).class(), class, "{code}");
        }
    }
}

#[test]
fn a_server_may_ask_for_a_pause() {
    let mut headers = HeaderMap::new();
    headers.insert(RETRY_AFTER, HeaderValue::from_static("7"));
    let error = error(429, "slow\n down", &headers);
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    assert_eq!(
        error.to_string(),
        "failed to do it: the server answered 429 Too Many Requests (slow down)"
    );
    assert_eq!(plain("<html>"), "");
    let later = SystemTime::now() + Duration::from_secs(90);
    for (date, least) in [(later, 80), (SystemTime::UNIX_EPOCH, 0)] {
        let text = httpdate::fmt_http_date(date);
        headers.insert(RETRY_AFTER, HeaderValue::try_from(text).unwrap());
        let pause = retry_after(&headers).unwrap().as_secs();
        assert!((least..=least + 10).contains(&pause), "{pause}");
    }
}

#[tokio::test]
async fn a_name_is_refused_by_the_address_it_has() {
    // Not checked before it is sent, as a name of the internet would not be found out either.
    let get = async |policy| {
        let sent = client(policy).http().get("https://localhost:1/").send().await;
        failure("fetch", sent.unwrap_err())
    };
    let error = get(WebPolicy::default()).await;
    assert!(matches!(error, Error::Refused(_)), "{error:?}");
    let private = WebPolicy {
        allow_private: true,
        ..WebPolicy::default()
    };
    let error = get(private).await;
    assert_eq!(error.class(), ErrorClass::Unavailable, "{error:?}");
}

/// A server that answers every request alike, and notes the requests.
async fn server(response: String) -> (Url, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    let (sender, requests) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = vec![0; 8192];
            let read = socket.read(&mut request).await.unwrap();
            let _ = sender.send(String::from_utf8_lossy(&request[..read]).into_owned());
            socket.write_all(response.as_bytes()).await.unwrap();
        }
    });
    (url, requests)
}

const EMPTY: &str = "content-length: 0\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn credentials_stay_with_their_origin_and_every_hop_is_checked() {
    let (aside, mut seen_aside) = server(format!("HTTP/1.1 200 OK\r\n{EMPTY}")).await;
    let (origin, mut seen) = server(format!("HTTP/1.1 302 Found\r\nlocation: {aside}\r\n{EMPTY}")).await;
    let credentials = Credentials {
        origin: origin.origin(),
        authorization: HeaderValue::from_static("Bearer secret"),
    };
    let request = Request::get(&origin);
    let open = WebPolicy {
        allow_http: true,
        allow_private: true,
        ..WebPolicy::default()
    };
    let sent = client(open.clone())
        .send(&request, Some(&credentials), Follow::All)
        .await;
    assert!(sent.unwrap().status().is_success());
    assert!(seen.recv().await.unwrap().contains("Bearer secret"));
    assert!(!seen_aside.recv().await.unwrap().contains("secret"));

    // A redirect that says what was asked for is the response, and so is one that leaves.
    let stayed = client(open)
        .send(&request, None, Follow::WithinOrigin(&|_| false))
        .await;
    assert_eq!(stayed.unwrap().status(), StatusCode::FOUND);

    // The permission of a host is not that of its redirects.
    let (stray, _) = server(format!(
        "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.2:1/\r\n{EMPTY}"
    ))
    .await;
    let one = WebPolicy {
        allow_http: true,
        allowed_hosts: vec!["127.0.0.1".to_owned()],
        ..WebPolicy::default()
    };
    let refused = client(one).send(&Request::get(&stray), None, Follow::All).await;
    assert!(matches!(refused, Err(Error::Refused(Refusal::Address { .. }))));
    assert!(!format!("{credentials:?}").contains("secret"));
}

/// A certificate for 127.0.0.1, and a TLS server with it.
async fn tls_server() -> (Url, String) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("https://{}/", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            if let Ok(mut stream) = acceptor.accept(socket).await {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream
                    .write_all(format!("HTTP/1.1 200 OK\r\n{EMPTY}").as_bytes())
                    .await;
                let _ = stream.shutdown().await;
            }
        }
    });
    (url, made.cert.pem())
}

#[tokio::test]
async fn changed_authorities_are_used_by_the_next_request() {
    let (url, pem) = tls_server().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ca.crt");
    let (_, other) = tls_server().await;
    std::fs::write(&file, other).unwrap();
    let policy = WebPolicy {
        allow_private: true,
        ..WebPolicy::default()
    };
    let with_file = Settings {
        ca_file: Some(file.clone()),
        ..settings()
    };
    let client = Client::new(Arc::new(policy), with_file).unwrap();
    let get = async || client.send(&Request::get(&url), None, Follow::All).await;
    assert!(get().await.is_err());
    assert!(
        client.serves_tls(&url).await,
        "an unknown authority is TLS all the same"
    );
    std::fs::write(&file, &pem).unwrap();
    get().await.unwrap();
    std::fs::remove_file(&file).unwrap();
    get().await.unwrap();
}
