//! What a start costs: processor time from the start of the process to its first question for an event
//! (design §8). AWS is played over plain HTTP here, so no TLS handshake and no root certificates are in it.
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a failed test panics")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Milliseconds; what is not optimized is measured, and held to less.
const BUDGET_MILLIS: f64 = if cfg!(debug_assertions) { 200.0 } else { 10.0 };
const STARTS: usize = 9;

#[test]
fn a_start_stays_within_its_budget() {
    let aws = listen(|target| {
        if target.ends_with("GetSecretValue") {
            r#"{"SecretString":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#.to_owned()
        } else {
            // The facts of the zone: none yet.
            "{}".to_owned()
        }
    });
    let mut spent: Vec<f64> = (0..STARTS).map(|_| start(&aws)).collect();
    spent.sort_by(f64::total_cmp);
    let median = spent.get(STARTS / 2).copied().unwrap();
    let kind = if cfg!(debug_assertions) { "not optimized" } else { "release" };
    println!("init ({kind}): {median:.2} ms of processor time, {spent:.2?}");
    assert!(median <= BUDGET_MILLIS, "{median:.2} ms of {BUDGET_MILLIS} ms");
}

/// Starts the function once. Its processor time, in milliseconds, until it asks for an event.
fn start(aws: &str) -> f64 {
    let runtime = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_writ-lambda"))
        .env_clear()
        .env("AWS_LAMBDA_RUNTIME_API", runtime.local_addr().unwrap().to_string())
        .env("AWS_LAMBDA_FUNCTION_NAME", "function")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")
        .env("AWS_LAMBDA_LOG_GROUP_NAME", "log")
        .env("AWS_LAMBDA_LOG_STREAM_NAME", "stream")
        .env("AWS_REGION", "eu-central-1")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_ENDPOINT_URL", aws)
        .env("WRIT_TABLE", "writ")
        .env("WRIT_ZONE", "one")
        .env("WRIT_ISSUER", "https://auth.acme.example")
        .env("WRIT_WRAPPING_SECRET", "name")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let (stream, _) = runtime.accept().unwrap();
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).unwrap();
    assert!(line.starts_with("GET /2018-06-01/runtime/invocation/next"), "{line}");
    // It waits now; what it has run is final.
    std::thread::sleep(Duration::from_millis(20));
    let threads = std::fs::read_dir(format!("/proc/{}/task", child.id())).unwrap();
    let nanos: u64 = threads
        .map(|thread| {
            let path = thread.unwrap().path().join("schedstat");
            let text = std::fs::read_to_string(path).unwrap();
            text.split(' ').next().unwrap().parse::<u64>().unwrap()
        })
        .sum();
    child.kill().unwrap();
    child.wait().unwrap();
    Duration::from_nanos(nanos).as_secs_f64() * 1e3
}

/// A server that answers each request by its operation.
fn listen(answer: fn(&str) -> String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(&stream, answer));
        }
    });
    url
}

fn serve(mut stream: &TcpStream, answer: fn(&str) -> String) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let (mut length, mut target) = (0, String::new());
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            match line.trim().split_once(": ") {
                Some(("content-length", value)) => length = value.parse().ok()?,
                Some(("x-amz-target", value)) => target = value.to_owned(),
                Some(_) => {}
                None if line.trim().is_empty() => break,
                None => {}
            }
        }
        reader.read_exact(&mut vec![0; length]).ok()?;
        let body = answer(&target);
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).ok()?;
    }
}
