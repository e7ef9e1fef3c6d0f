//! The layer before all services: admits callers, and keeps account of the connection's requests.
//!
//! Health is open to everyone, because load balancers have no token.

use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body_util::BodyExt as _;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, Response};
use tower::Layer;

use crate::callers::Callers;
use crate::connection::ConnectionInfo;

/// Path of the service that needs no token.
const HEALTH: &str = "/grpc.health.v1.Health/";

/// Puts [`Access`] before a service.
#[derive(Debug, Clone)]
pub(crate) struct AccessLayer(pub(crate) Callers);

impl<S> Layer<S> for AccessLayer {
    type Service = Access<S>;

    fn layer(&self, inner: S) -> Access<S> {
        Access {
            callers: self.0.clone(),
            inner,
        }
    }
}

/// Answers admitted callers only. Their identity is in the request's extensions.
#[derive(Debug, Clone)]
pub(crate) struct Access<S> {
    callers: Callers,
    inner: S,
}

impl<S> Service<Request<Body>> for Access<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        // The service that was polled as ready answers; its clone waits for the next call.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        if request.uri().path().starts_with(HEALTH) {
            return Box::pin(inner.call(request));
        }
        let callers = self.callers.clone();
        Box::pin(async move {
            let connection = request.extensions().get::<ConnectionInfo>().cloned();
            let unknown = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
            let peer = connection.as_ref().map_or(unknown, ConnectionInfo::peer);
            let caller = match callers.admit(request.headers(), peer).await {
                Ok(caller) => caller,
                Err(status) => return Ok(status.into_http()),
            };
            let open = connection.map(|connection| connection.begin());
            request.extensions_mut().insert(caller);
            let response = inner.call(request).await?;
            // The request is open until its last message is sent.
            Ok(response.map(|body| {
                Body::new(body.map_frame(move |frame| {
                    let _open = &open;
                    frame
                }))
            }))
        })
    }
}
