//! `fetch`.

use crate::web::{Page, Web};
use crate::{Outcome, files, noise, run, run_with};

const FREE: [&str; 2] = ["--allow-http", "--allow-private"];

async fn fetch(to: &std::path::Path, flags: &[&str], urls: &[&str]) -> Outcome {
    let to = format!("--to={}", to.display());
    run(&[&["fetch", &to], flags, urls].concat()).await
}

fn sha256(bytes: &[u8]) -> String {
    oci_image::digest_of(bytes).unwrap().digest().to_owned()
}

#[tokio::test]
async fn a_large_file_comes_in_parts_and_is_checked() {
    let content = noise(300_000, 1);
    let web = Web::start(&[("/data/big.bin", Page::File(content.clone(), "\"v1\""))]).await;
    let to = tempfile::tempdir().unwrap();
    let url = format!(
        "{}?sig=s3cret#sha256={}",
        web.url("/data/big.bin"),
        sha256(&content)
    );
    let outcome = fetch(to.path(), &[&FREE[..], &["--part-bytes=65536"]].concat(), &[&url])
        .await
        .good();
    assert_eq!(files(to.path()), [("big.bin".to_owned(), content.clone())]);
    let mut ranges: Vec<_> = web
        .seen()
        .into_iter()
        .map(|(_, _, range)| range.unwrap())
        .collect();
    ranges.sort();
    assert_eq!(
        ranges,
        [
            "bytes=0-65535",
            "bytes=131072-196607",
            "bytes=196608-262143",
            "bytes=262144-299999",
            "bytes=65536-131071"
        ]
    );
    assert!(!outcome.said.contains("s3cret"), "{}", outcome.said);

    // With a checksum, a second run can tell that there is nothing to do; and that there is.
    fetch(to.path(), &FREE, &[&url]).await.good();
    assert_eq!(web.seen(), []);
    std::fs::write(to.path().join("big.bin"), "damaged").unwrap();
    fetch(to.path(), &FREE, &[&url]).await.good();
    assert_eq!(files(to.path()), [("big.bin".to_owned(), content)]);
}

#[tokio::test]
async fn several_files_and_servers_without_ranges() {
    let web = Web::start(&[
        ("/a.csv", Page::File(b"aaa".to_vec(), "\"v1\"")),
        ("/x/a.csv", Page::Plain(b"other".to_vec())),
        ("/c", Page::Chunked(noise(5000, 2))),
        ("/weak", Page::File(noise(5000, 3), "W/\"v1\"")),
        ("/go", Page::Redirect("/a.csv".to_owned())),
    ])
    .await;
    let to = tempfile::tempdir().unwrap();
    let urls: Vec<String> = ["/a.csv", "/x/a.csv", "/c", "/weak", "/go"]
        .map(|path| web.url(path))
        .into();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    fetch(to.path(), &[&FREE[..], &["--part-bytes=1024"]].concat(), &urls)
        .await
        .good();
    let expected = [
        ("a-2.csv", b"other".to_vec()),
        ("a.csv", b"aaa".to_vec()),
        ("c", noise(5000, 2)),
        ("go", b"aaa".to_vec()),
        ("weak", noise(5000, 3)),
    ];
    assert_eq!(
        files(to.path()),
        expected.map(|(name, content)| (name.to_owned(), content))
    );
}

#[tokio::test]
async fn a_restart_goes_on_where_the_last_run_stopped() {
    let content = noise(100_000, 4);
    let web = Web::start(&[("/f", Page::File(content.clone(), "\"v1\""))]).await;
    let to = tempfile::tempdir().unwrap();
    let flags = [
        &FREE[..],
        &["--part-bytes=10000", "--attempts=1", "--connections=1"],
    ]
    .concat();
    let url = web.url("/f");
    web.break_off(3, 1);
    fetch(to.path(), &flags, &[&url]).await.bad(6, "tried 1 times");
    let before = web.seen().len();
    assert_eq!(before, 4);
    assert!(
        files(to.path())
            .iter()
            .all(|(name, _)| name.starts_with(".f.partial")),
        "nothing half done is shown"
    );
    fetch(to.path(), &flags, &[&url]).await.good();
    assert_eq!(files(to.path()), [("f".to_owned(), content)]);
    assert_eq!(web.seen().len(), 7, "what was there is not asked for again");

    // Another version in the meantime is fetched from the start.
    let to = tempfile::tempdir().unwrap();
    web.break_off(3, 1);
    fetch(to.path(), &flags, &[&url]).await.bad(6, "tried 1 times");
    let newer = noise(90_000, 5);
    web.put("/f", Page::File(newer.clone(), "\"v2\""));
    let flags = [&FREE[..], &["--part-bytes=10000", "--attempts=3"]].concat();
    let outcome = fetch(to.path(), &flags, &[&url]).await.good();
    assert!(
        outcome.said.contains("changed while it was fetched"),
        "{}",
        outcome.said
    );
    assert_eq!(files(to.path()), [("f".to_owned(), newer)]);
}

#[tokio::test]
async fn broken_answers_are_tried_again() {
    let content = noise(50_000, 6);
    let web = Web::start(&[("/f", Page::File(content.clone(), "\"v1\""))]).await;
    web.break_off(0, 3);
    let to = tempfile::tempdir().unwrap();
    let outcome = fetch(
        to.path(),
        &[&FREE[..], &["--part-bytes=20000"]].concat(),
        &[&web.url("/f")],
    )
    .await
    .good();
    assert_eq!(files(to.path()), [("f".to_owned(), content)]);
    assert_eq!(
        outcome.said.matches("trying again").count(),
        3,
        "{}",
        outcome.said
    );
}

#[tokio::test]
async fn failures_have_a_sentence_and_a_code() {
    let web = Web::start(&[
        ("/empty", Page::File(Vec::new(), "\"v1\"")),
        ("/secret", Page::Status(403)),
        ("/down", Page::Status(503)),
        ("/big", Page::Plain(vec![0; 5000])),
        ("/endless", Page::Chunked(vec![0; 5000])),
        ("/parts", Page::File(vec![0; 5000], "\"v1\"")),
    ])
    .await;
    let to = tempfile::tempdir().unwrap();
    let check = async |path: &str, flags: &[&str], code: i32, part: &str| {
        let all = [&FREE[..], &["--attempts=2"], flags].concat();
        fetch(to.path(), &all, &[&web.url(path)]).await.bad(code, part);
    };
    check("/none", &[], 5, "404 Not Found (the server's own words)").await;
    check("/empty", &[], 5, "is empty").await;
    check("/secret", &[], 4, "403 Forbidden").await;
    check(
        "/down",
        &[],
        6,
        "503 Service Unavailable (the server's own words) (tried 2 times)",
    )
    .await;
    for path in ["/big", "/endless", "/parts"] {
        check(path, &["--max-bytes=4000"], 8, "--max-bytes").await;
    }
    check(
        "/big#sha256=0000000000000000000000000000000000000000000000000000000000000000",
        &[],
        7,
        "tampered",
    )
    .await;
    check("/big", &["--timeout=0"], 8, "--timeout").await;
    assert_eq!(
        files(to.path())
            .into_iter()
            .filter(|(name, _)| !name.starts_with('.'))
            .count(),
        0
    );
    fetch(to.path(), &FREE, &["http://127.0.0.1:1/x", "--attempts=1"])
        .await
        .bad(6, "refused");
    fetch(to.path(), &FREE, &["not a url"]).await.bad(2, "malformed");
}

#[tokio::test]
async fn nothing_inside_is_reached() {
    let web = Web::start(&[
        ("/f", Page::File(b"secret".to_vec(), "\"v1\"")),
        (
            "/meta",
            Page::Redirect("http://169.254.169.254/latest/meta-data".to_owned()),
        ),
        ("/file", Page::Redirect("file:///etc/passwd".to_owned())),
        ("/loop", Page::Redirect("/loop".to_owned())),
    ])
    .await;
    let port = web.address.port();
    web.put("/inside", Page::Redirect(format!("http://localhost:{port}/f")));
    let to = tempfile::tempdir().unwrap();
    let check = async |url: &str, flags: &[&str], part: &str| {
        fetch(to.path(), flags, &[url]).await.bad(3, part);
    };
    check(&web.url("/f"), &["--allow-private"], "is plain http").await;
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.1",
        "[::1]",
        "[::ffff:7f00:1]",
        "localhost",
        "x.localhost.",
    ] {
        let url = format!("http://{host}:{port}/f");
        check(&url, &["--allow-http"], "--allow-private or --allow-host").await;
    }
    check("file:///etc/passwd", &FREE, "the scheme must be https").await;
    check("https://169.254.169.254/", &["--allow-private"], "link-local").await;
    check(
        "https://metadata.google.internal/",
        &["--allow-private"],
        "metadata service",
    )
    .await;
    assert_eq!(web.seen(), [], "nothing was asked for");
    // An allowed host cannot lend its permission to where it redirects.
    let one = ["--allow-http", "--allow-host=127.0.0.1"];
    check(&web.url("/meta"), &one, "link-local").await;
    check(&web.url("/inside"), &one, "this machine itself").await;
    check(&web.url("/file"), &one, "the scheme must be https").await;
    check(&web.url("/loop"), &one, "more than 10 redirects").await;
    assert_eq!(web.seen().iter().filter(|(path, ..)| path == "/f").count(), 0);
    fetch(to.path(), &one, &[&web.url("/f")]).await.good();
}

/// Runs `fetch` with variables of the environment.
async fn fetch_with(variables: &[(&'static str, String)], to: &std::path::Path, url: &str) -> Outcome {
    let to = format!("--to={}", to.display());
    run_with(variables, &["fetch", &to, "--allow-http", url]).await
}

#[tokio::test]
async fn a_proxy_is_used_for_names_that_are_not_inside() {
    // A proxy for http serves the URL that it is asked for; this one has the page of every host.
    let proxy = Web::start(&[("/f", Page::File(b"from outside".to_vec(), "\"v1\""))]).await;
    let variables = |no: &str| {
        [
            ("HTTP_PROXY", proxy.url("")),
            ("NO_PROXY", no.to_owned()),
            ("no_proxy", no.to_owned()),
        ]
    };
    let to = tempfile::tempdir().unwrap();
    fetch_with(&variables(""), to.path(), "http://data.invalid/f")
        .await
        .good();
    assert_eq!(files(to.path()), [("f".to_owned(), b"from outside".to_vec())]);
    assert!(!proxy.seen().is_empty());

    // Neither an address nor a name inside passes through it, and the proxy itself is none of the user's business.
    let own = proxy.url("/f");
    for url in [
        "http://10.0.0.1/f",
        "http://169.254.169.254/f",
        "http://localhost/f",
        &own,
    ] {
        fetch_with(&variables(""), to.path(), url)
            .await
            .bad(3, "--allow-host");
    }
    // A name without an address is not found where no proxy looks for it.
    let outcome = fetch_with(&variables("data.invalid"), to.path(), "http://data.invalid/f").await;
    assert_eq!(outcome.code, 6, "{}", outcome.said);
    assert_eq!(proxy.seen(), []);
}

#[tokio::test]
async fn the_authorities_of_the_environment_are_read() {
    let to = tempfile::tempdir().unwrap();
    let missing = to.path().join("nothing.pem").display().to_string();
    fetch_with(&[("SSL_CERT_FILE", missing)], to.path(), "https://data.invalid/f")
        .await
        .bad(1, "nothing.pem");
}
