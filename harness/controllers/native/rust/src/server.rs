//! /metrics, /healthz and /readyz.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::series::Series;

/// Bind now, so that an address that is taken is an error at the start; answer from then on.
pub async fn serve(address: SocketAddr, series: Arc<Series>) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    tokio::spawn(async move {
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    eprintln!("a connection could not be taken: {error}");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    continue;
                }
            };
            let series = series.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let answered = answer(&request, &series);
                    async move { Ok::<_, Infallible>(answered) }
                });
                // An error is that of a client that has gone.
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    Ok(())
}

fn answer(request: &Request<Incoming>, series: &Series) -> Response<Full<Bytes>> {
    let (status, text) = match request.uri().path() {
        "/metrics" => (StatusCode::OK, series.text()),
        "/healthz" => (StatusCode::OK, "ok\n".to_owned()),
        "/readyz" if series.synced() => (StatusCode::OK, "ok\n".to_owned()),
        "/readyz" => (StatusCode::SERVICE_UNAVAILABLE, "the initial list has not come\n".to_owned()),
        _ => (StatusCode::NOT_FOUND, "there is nothing here\n".to_owned()),
    };
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = status;
    let plain = hyper::header::HeaderValue::from_static("text/plain; version=0.0.4");
    answer.headers_mut().insert(hyper::header::CONTENT_TYPE, plain);
    answer
}
