//! The demo application's door: `GET /metrics` for everybody on this machine, `POST /incident/NAME` for
//! who knows the token.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{AUTHORIZATION, CONTENT_TYPE},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use super::App;
use crate::base::secret::Secret;

/// The content type of Prometheus' classic text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Serves until the future is dropped.
pub(super) async fn serve(listener: TcpListener, app: Arc<App>) {
    loop {
        // Out of file descriptors or a connection reset before we looked: the next one may do.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            continue;
        };
        let app = Arc::clone(&app);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, &app));
            // A client that goes away in the middle is its own affair.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    app: &App,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path();
    let (status, kind, body) = match (request.method(), path.strip_prefix("/incident/")) {
        (&Method::GET, None) if path == "/metrics" => match app.store.metrics() {
            Ok(text) => (StatusCode::OK, METRICS_TYPE, text),
            Err(why) => (StatusCode::INTERNAL_SERVER_ERROR, "text/plain", why.to_string()),
        },
        (&Method::POST, Some(name)) if authorized(&request, &app.options.token) => {
            match app.incident(name).await {
                Ok(()) => (StatusCode::OK, "text/plain", "done\n".to_owned()),
                Err(why) => (StatusCode::UNPROCESSABLE_ENTITY, "text/plain", why),
            }
        }
        (&Method::POST, Some(_)) => {
            (StatusCode::UNAUTHORIZED, "text/plain", "the token is missing or wrong\n".to_owned())
        }
        _ => (StatusCode::NOT_FOUND, "text/plain", "there is /metrics\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    Ok(response)
}

fn authorized(request: &Request<Incoming>, token: &Secret) -> bool {
    let given = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    given.is_some_and(|given| token.is_same_as(given))
}
