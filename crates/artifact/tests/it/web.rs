//! A web server with files, ranges, redirects and faults.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode, Uri};

/// The response at a path.
#[derive(Clone, Debug)]
pub(crate) enum Page {
    /// A file, with its `ETag`.
    File(Vec<u8>, &'static str),
    /// A file of a hub that states its checksum.
    Lfs(Vec<u8>),
    /// A file from a server that knows no ranges.
    Plain(Vec<u8>),
    /// A file whose length is not announced.
    Chunked(Vec<u8>),
    Redirect(String),
    Status(u16),
}

#[derive(Debug, Default)]
pub(crate) struct Site {
    pages: Mutex<HashMap<String, Page>>,
    /// So many answers with parts of files are whole; then so many break off in the middle.
    broken: Mutex<(u32, u32)>,
    /// Path, status and range of every answer.
    seen: Mutex<Vec<(String, u16, Option<String>)>>,
}

#[derive(Debug)]
pub(crate) struct Web {
    pub(crate) address: SocketAddr,
    pub(crate) site: Arc<Site>,
}

impl Web {
    pub(crate) async fn start(pages: &[(&str, Page)]) -> Self {
        let site = Arc::new(Site::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&site));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let web = Self { address, site };
        for (path, page) in pages {
            web.put(path, page.clone());
        }
        web
    }

    pub(crate) fn put(&self, path: &str, page: Page) {
        self.site.pages.lock().unwrap().insert(path.to_owned(), page);
    }

    pub(crate) fn break_off(&self, whole: u32, broken: u32) {
        *self.site.broken.lock().unwrap() = (whole, broken);
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn seen(&self) -> Vec<(String, u16, Option<String>)> {
        std::mem::take(&mut *self.site.seen.lock().unwrap())
    }
}

async fn answer(State(site): State<Arc<Site>>, uri: Uri, headers: HeaderMap) -> Response {
    let page = site.pages.lock().unwrap().get(uri.path()).cloned();
    let range = headers
        .get("range")
        .map(|value| value.to_str().unwrap().to_owned());
    let response = match page {
        None => status(404),
        Some(Page::Status(code)) => status(code),
        Some(Page::Redirect(to)) => Response::builder()
            .status(302)
            .header("location", to)
            .body(Body::empty())
            .unwrap(),
        Some(Page::Lfs(bytes)) => {
            let mut response = file(&site, &bytes, "\"v1\"", &headers, range.as_deref());
            let digest = oci_image::digest_of(&bytes[..]).unwrap();
            let stated = [
                ("x-linked-size", bytes.len().to_string()),
                ("x-linked-etag", format!("\"{}\"", digest.digest())),
            ];
            for (name, value) in stated {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            response
        }
        Some(Page::Plain(bytes)) => Response::new(Body::from(bytes)),
        Some(Page::Chunked(bytes)) => {
            let pieces: Vec<_> = bytes
                .chunks(1000)
                .map(|piece| Ok::<_, std::io::Error>(piece.to_vec()))
                .collect();
            Response::new(Body::from_stream(futures::stream::iter(pieces)))
        }
        Some(Page::File(bytes, tag)) => file(&site, &bytes, tag, &headers, range.as_deref()),
    };
    let code = response.status().as_u16();
    site.seen
        .lock()
        .unwrap()
        .push((uri.path().to_owned(), code, range));
    response
}

fn status(code: u16) -> Response {
    let code = StatusCode::from_u16(code).unwrap();
    Response::builder()
        .status(code)
        .body(Body::from("the server's own words"))
        .unwrap()
}

fn file(site: &Site, bytes: &[u8], tag: &str, headers: &HeaderMap, range: Option<&str>) -> Response {
    let total = bytes.len();
    let response = Response::builder().header("etag", tag);
    let other_version = headers.get("if-range").is_some_and(|wanted| wanted != tag);
    let Some(range) = range.filter(|_| !other_version) else {
        return response.body(Body::from(bytes.to_vec())).unwrap();
    };
    let (first, last) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
    let first: usize = first.parse().unwrap();
    let last = last.parse().unwrap_or(total).min(total.saturating_sub(1));
    if first >= total {
        return response
            .status(416)
            .header("content-range", format!("bytes */{total}"))
            .body(Body::empty())
            .unwrap();
    }
    let part = bytes[first..=last].to_vec();
    let response = response
        .status(206)
        .header("content-range", format!("bytes {first}-{last}/{total}"))
        .header("content-length", part.len());
    let mut broken = site.broken.lock().unwrap();
    match &mut *broken {
        (0, 1..) => broken.1 -= 1,
        (whole, _) => {
            *whole = whole.saturating_sub(1);
            return response.body(Body::from(part)).unwrap();
        }
    }
    let half = part[..part.len() / 2].to_vec();
    let pieces = [Ok(half), Err(std::io::Error::other("the plug is pulled"))];
    response
        .body(Body::from_stream(futures::stream::iter(pieces)))
        .unwrap()
}
