//! HTTP/1.1 around `writ_core::handle`. It converts, and decides nothing.
//!
//! A request runs in a task of its own to its end, even where its client hangs up: half an exchange
//! must not depend on somebody's patience. Everything has a limit: connections, the time a head or
//! a body may take, their sizes.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderName, HeaderValue, RETRY_AFTER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{sleep, timeout};
use writ_core::deployment::Deployment;
use writ_core::{Unread, http, limits};
use writ_process::{log, moment};

use crate::host::{Instance, Native};

/// Answers requests until `stop` is ready, and then finishes those that have begun, for a while.
///
/// Returns whether all of them came to their end.
pub async fn serve(
    listener: TcpListener,
    instance: Arc<Instance>,
    deployment: Arc<Deployment>,
    stop: impl Future<Output = ()>,
) -> bool {
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    // Every request's task holds a sender; when the last one is gone, all of them have ended.
    let (running, mut ended) = mpsc::channel::<Infallible>(1);
    let service = Service { instance, deployment, running };
    tokio::pin!(stop);
    loop {
        let next = async {
            let place = Arc::clone(&connections).acquire_owned().await;
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            biased;
            () = &mut stop => break,
            next = next => next,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                log::warn("a connection was not accepted", &[("error", error.to_string().into())]);
                // Most often there are no file descriptors left, and asking again at once is idle.
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let connection = graceful.watch(connection(stream, service.clone()));
        tokio::spawn(async move {
            // Clients break connections off as they please; that is nobody's error.
            let _ = connection.await;
            drop(place);
        });
    }
    drop(listener);
    drop(service);
    timeout(FINISH, async {
        graceful.shutdown().await;
        ended.recv().await;
    })
    .await
    .is_ok()
}

fn connection(
    stream: TcpStream,
    service: Service,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> {
    // Answers are small and go out in one piece, so there is nothing to wait for.
    let _ = stream.set_nodelay(true);
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(
            TokioIo::new(stream),
            service_fn(move |request| {
                // Begun here and not when first awaited: hyper drops what it awaits as soon as it
                // sees that the client has hung up.
                let task = tokio::spawn(service.clone().answer(request));
                async {
                    Ok::<_, Infallible>(task.await.unwrap_or_else(|error| {
                        let error = error.to_string();
                        log::error("a request did not end well", &[("error", error.into())]);
                        unavailable()
                    }))
                }
            }),
        )
}

#[derive(Clone)]
struct Service {
    instance: Arc<Instance>,
    deployment: Arc<Deployment>,
    running: mpsc::Sender<Infallible>,
}

impl Service {
    async fn answer(self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let native = Native::new(self.instance);
        let request = match timeout(BODY_TIME, convert(request)).await {
            Ok(Ok(request)) => Ok(request),
            // The client stopped in the middle, and nothing has begun.
            Ok(Err(_)) => Err(Unread::Broken),
            Err(_) => Err(Unread::Late),
        };
        let moment = match moment::draw() {
            Ok(moment) => moment,
            Err(error) => {
                log::error("no random bytes", &[("error", error.to_string().into())]);
                return unavailable();
            }
        };
        let answer = match request {
            Ok(request) => writ_core::handle(&native, &self.deployment, moment, request).await,
            Err(unread) => writ_core::unread(&native, &self.deployment, &moment, unread),
        };
        drop(self.running);
        render(answer)
    }
}

async fn convert(request: Request<Incoming>) -> Result<http::Request, hyper::Error> {
    let (head, mut incoming) = request.into_parts();
    let headers = head
        .headers
        .iter()
        .map(|(name, value)| {
            (name.as_str().to_owned(), value.to_str().unwrap_or_default().to_owned())
        })
        .collect();
    // One byte more than the limit tells the core that there was more.
    let most = limits::BODY_BYTES.saturating_add(1);
    let mut body = Vec::new();
    while body.len() < most {
        let Some(frame) = incoming.frame().await else { break };
        if let Ok(data) = frame?.into_data() {
            let room = most.saturating_sub(body.len());
            body.extend_from_slice(data.get(..room).unwrap_or(&data));
        }
    }
    Ok(http::Request {
        method: head.method.as_str().to_owned(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().map(str::to_owned),
        headers,
        body,
    })
}

fn render(answer: http::Response) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    let Ok(status) = StatusCode::from_u16(answer.status) else { return unavailable() };
    *response.status_mut() = status;
    for (name, value) in answer.headers {
        let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value))
        else {
            // Half an answer may mean something else than the whole.
            log::error("an answer has a header that cannot be sent", &[("header", name.into())]);
            return unavailable();
        };
        response.headers_mut().append(name, value);
    }
    response
}

/// The answer of the server itself, where the core did not answer.
fn unavailable() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// Connections at once. Beyond it, clients wait to be accepted.
const CONNECTIONS: usize = 4_096;
/// Bytes of a request's head: twice a bearer token of the largest size, and room.
const HEAD_BYTES: usize = 64 * 1024;
/// How long a head may take, and a connection may idle.
const HEAD_TIME: Duration = Duration::from_secs(30);
/// How long a body may take.
const BODY_TIME: Duration = Duration::from_secs(limits::BODY_SECS);
/// How long requests that have begun may go on when the service stops.
const FINISH: Duration = Duration::from_secs(10);
/// The pause after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
