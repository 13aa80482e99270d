//! Bodies that do not come whole: half a form is no form, and spends no proof.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use writ_core::http::Request;
use writ_core::limits;
use writ_tests::client::parts;
use writ_tests::faulty::Faulty;

/// How a body stops before its end.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stops {
    /// Its client hangs up.
    Closed,
    /// Its client says no more, and would still read.
    HalfClosed,
    /// The same, of a body in chunks.
    Chunked,
}

#[test]
fn half_a_form_begins_nothing() {
    let service = Faulty::start("spin", &[]);
    for (number, stops) in (1..).zip([Stops::Closed, Stops::HalfClosed, Stops::Chunked]) {
        let (request, half) = cut(&service);
        let mut stream = begin(&service, &request, half, stops == Stops::Chunked);
        match stops {
            Stops::HalfClosed | Stops::Chunked => {
                stream.shutdown(Shutdown::Write).unwrap();
                let _ = stream.read_to_end(&mut Vec::new());
            }
            _ => drop(stream),
        }
        let event = event(&service, number);
        assert_eq!(event["status"], 400, "{stops:?}");
        assert_eq!(event["outcome"], "refuse", "{stops:?}");
        assert_eq!(service.status(&request), 200, "{stops:?}: the proof is not spent");
    }
}

/// A platform may take a connection that ends for the end of a body.
#[test]
fn a_body_that_is_shorter_than_was_said_begins_nothing() {
    let service = Faulty::start("spin", &[]);
    let request = service.once();
    service.spoil(&json!({ "short": true }));
    assert_eq!(service.status(&request), 400);
    assert_eq!(event(&service, 1)["status"], 400);
    service.spoil(&json!({}));
    assert_eq!(service.status(&request), 200, "the proof is not spent");
}

#[test]
fn a_body_may_take_its_time_and_no_longer() {
    let service = Faulty::start("spin", &[]);
    let (request, half) = cut(&service);
    let began = Instant::now();
    let mut stream = begin(&service, &request, half, false);
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
    let mut rest = String::new();
    let _ = stream.read_to_string(&mut rest);
    for said in ["x-request-id: ", "cache-control: no-store", r#""error":"invalid_request""#] {
        assert!(rest.contains(said), "{rest}");
    }
    assert!(began.elapsed() >= Duration::from_secs(limits::BODY_SECS));
    assert_eq!(event(&service, 1)["status"], 408);
    // In two pieces, and in time.
    let mut stream = begin(&service, &request, half, false);
    std::thread::sleep(Duration::from_secs(1));
    stream.write_all(&request.body[half..]).unwrap();
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
}

/// An exchange, and how much of its body is an exchange too.
fn cut(service: &Faulty) -> (Request, usize) {
    let mut request = service.once();
    let half = request.body.len();
    request.body.extend(b"&scope=read");
    (request, half)
}

/// Sends a request's head and the beginning of its body.
fn begin(service: &Faulty, request: &Request, half: usize, chunked: bool) -> TcpStream {
    let authority = &service.running.instances[0];
    let (head, body) = parts(authority, request);
    let (mut head, mut part) = (String::from_utf8(head).unwrap(), body[..half].to_vec());
    if chunked {
        let length = format!("content-length: {}", body.len());
        head = head.replace(&length, "transfer-encoding: chunked");
        part = [format!("{half:x}\r\n").as_bytes(), &part, b"\r\n"].concat();
    }
    let mut stream = TcpStream::connect(authority).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(2 * limits::BODY_SECS))).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&part).unwrap();
    // The component has begun to read.
    std::thread::sleep(Duration::from_millis(300));
    stream
}

/// The last of so many events of requests that did not come whole.
fn event(service: &Faulty, count: usize) -> Value {
    let broken = |event: &Value| event["reason"] == "body_incomplete";
    let mut events = service.running.await_events(count, broken);
    assert_eq!(events.len(), count, "{events:?}");
    events.pop().unwrap()
}
