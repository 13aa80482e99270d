//! `writ demo` as a process: what it prints, what it exits with, and that it leaves nothing.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed test panics")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

/// Every step, in order: the story that the README promises.
const TITLES: [&str; 14] = [
    "A GitHub Actions job gets a deploy token",
    "A Vercel function gets its token",
    "A Fly.io machine gets its token",
    "An AWS role gets its token",
    "A Google Cloud service account gets its token",
    "An agent acting for a user: a token naming both",
    "A token to ask a second agent with",
    "The second agent takes the second hop",
    "A request for personal data is denied",
    "The CI token again, as assertion",
    "The CI token again, as client_assertion",
    "The CI token again, as subject_token",
    "The CI token again, as actor_token",
    "A stolen token, shown by another application",
];

/// A `writ demo` on a free port, whose temporary folder lies beneath `folder`.
fn demo(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_writ"));
    command
        .args(["demo", "--listen", "127.0.0.1:0"])
        .args(arguments)
        .env("TMPDIR", folder)
        .env_remove("CLICOLOR_FORCE");
    command
}

fn once(arguments: &[&str]) -> (Output, String) {
    let folder = tempfile::tempdir().unwrap();
    let output = demo(folder.path(), &[&["--once"], arguments].concat()).output().unwrap();
    assert!(is_empty(folder.path()), "the demonstration left something");
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    (output, text)
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}

#[test]
fn every_step_goes_as_told_and_nothing_is_left() {
    let (output, text) = once(&[]);
    assert!(output.status.success(), "{text}");
    assert_eq!(output.stderr, b"", "operational messages between the steps");
    for (number, title) in (1..).zip(TITLES) {
        assert!(text.contains(&format!("✓ {number:>2}  {title}\n")), "{title}");
    }
    assert!(text.contains("14 of 14 steps went as told."));
    assert!(text.contains("denied by forbid/no-pii-for-agents"));
    assert!(text.contains("\"act\": { \"sub\": \"health\", \"act\": { \"sub\": \"fixer\" } }"));
    assert!(text.contains("replayed: a single-use token was shown before"));
    assert!(!text.contains("NOT AS TOLD"));
}

#[test]
fn in_a_pipe_it_is_plain_text_that_fits_a_terminal() {
    let (_, text) = once(&[]);
    assert!(!text.contains('\u{1b}'), "an escape sequence");
    for line in text.lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
}

#[test]
fn for_programs_it_is_a_json_object_a_line() {
    let (output, text) = once(&["--format", "json"]);
    assert!(output.status.success());
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let steps: Vec<_> = lines.iter().filter(|line| line.get("step").is_some()).collect();
    assert_eq!(steps.len(), TITLES.len());
    for (step, title) in steps.iter().zip(TITLES) {
        assert_eq!(step["title"], title);
        assert_eq!(step["as_told"], true, "{step}");
    }
    assert!(!text.contains(".eyJ"), "a token");
}

#[test]
fn it_needs_nothing_of_the_system() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("nowhere");
    let output = demo(folder.path(), &["--once"])
        .env("SSL_CERT_FILE", &nowhere)
        .env("SSL_CERT_DIR", &nowhere)
        .env("http_proxy", "http://127.0.0.1:9")
        .env("WRIT_WRAPPING_KEY", "no key")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn afterwards_it_stays_up_and_goes_without_a_trace() {
    let folder = tempfile::tempdir().unwrap();
    let mut child =
        Ended(demo(folder.path(), &["--format", "json"]).stdout(Stdio::piped()).spawn().unwrap());
    let mut output = BufReader::new(child.0.stdout.take().unwrap());
    let mut line = || {
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        serde_json::from_str::<Value>(&line).unwrap()
    };
    let first = line();
    let at = |name: &str| first[name].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
    while line().get("steps").is_none() {}
    assert!(!is_empty(folder.path()));

    // A job asks its platform as GitHub's do, and a token of another branch is of no use.
    let answer = get(&at("issuers"), "/github/token?audience=a&ref=refs/heads/b");
    let value: Value = serde_json::from_str(&answer).unwrap();
    let token = value["value"].as_str().unwrap();
    assert_eq!(token.split('.').count(), 3);
    let alive = get(&at("writ"), "/healthz");
    assert!(alive.contains("ok"), "{alive}");
    assert_eq!(line()["event"]["endpoint"], "healthz");

    signal(&child.0, "INT");
    assert!(child.0.wait().unwrap().success());
    assert!(is_empty(folder.path()), "the demonstration left something");
}

#[test]
fn an_interruption_leaves_nothing_and_is_no_success() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = demo(folder.path(), &["--once", "--format", "json"]);
    let mut child = Ended(child.stdout(Stdio::piped()).spawn().unwrap());
    let mut output = BufReader::new(child.0.stdout.take().unwrap());
    output.read_line(&mut String::new()).unwrap();
    signal(&child.0, "TERM");
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    let status = child.0.wait().unwrap();
    // On a fast machine the last step may have been over.
    assert!(!status.success() || rest.contains("\"steps\":14"), "{status}");
    assert!(is_empty(folder.path()), "the demonstration left something");
}

#[test]
fn it_listens_on_loopback_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_writ"));
    command.args(["demo", "--once", "--listen", "0.0.0.0:0"]).env("TMPDIR", folder.path());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("127.0.0.1"));
    assert!(is_empty(folder.path()));
}

/// A process that ends with its test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args(["-s", name, &child.id().to_string()]).status();
    assert!(status.unwrap().success());
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let head = "host: localhost\r\nconnection: close\r\naccept: application/json";
    write!(stream, "GET {path} HTTP/1.1\r\n{head}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let Some((_, body)) = answer.split_once("\r\n\r\n") else { panic!("no answer: {answer}") };
    body.to_owned()
}
