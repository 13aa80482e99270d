//! HTTP/1.1 before the component, with the headers that Spin adds.

use std::convert::Infallible;
use std::net::SocketAddr;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_LENGTH, HOST, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use tokio::net::TcpListener;
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

use crate::runtime::Runtime;

/// Answers requests for as long as it is polled.
pub async fn serve(listener: TcpListener, runtime: Runtime) {
    loop {
        let Ok((stream, client)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let runtime = runtime.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                // In a task of its own: a client that hangs up ends no instance.
                let task = tokio::spawn(answer(runtime.clone(), request, client));
                async move { Ok::<_, Infallible>(task.await.unwrap_or_else(|_| broken())) }
            });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    runtime: Runtime,
    mut request: Request<Incoming>,
    client: SocketAddr,
) -> Response<HyperOutgoingBody> {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let host = host.unwrap_or("127.0.0.1").to_owned();
    let path = request.uri().path().to_owned();
    let url = format!("http://{host}{}", request.uri());
    let mut add = |name: &'static str, value: &str| {
        let value = HeaderValue::from_str(value).unwrap_or(HeaderValue::from_static(""));
        // Appended, as Spin does: what a client sent under the name stands before it.
        request.headers_mut().append(HeaderName::from_static(name), value);
    };
    if runtime.wanted().spoof {
        add("spin-full-url", "https://attacker.example/oauth/token");
        add("spin-client-addr", "6.6.6.6:1");
        add("spin-path-info", "/admin");
    }
    add("spin-full-url", &url);
    add("spin-path-info", &path);
    add("spin-matched-route", "/...");
    add("spin-raw-component-route", "/...");
    add("spin-component-route", "");
    add("spin-base-path", "/");
    add("spin-client-addr", &client.to_string());
    if runtime.wanted().short {
        request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("60000"));
    }
    match runtime.answer(request).await {
        Ok(response) => response,
        Err(error) => {
            eprintln!("a request failed: {error:?}");
            broken()
        }
    }
}

/// What Spin answers where a component traps.
fn broken() -> Response<HyperOutgoingBody> {
    let body = Full::new(Bytes::new()).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = hyper::StatusCode::INTERNAL_SERVER_ERROR;
    response
}
