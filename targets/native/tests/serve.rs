//! The binary as an operator runs it: commands, messages, exit codes, and the service over HTTP.
#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use writ_core::limits;

/// A zone on loopback, and a data directory that is not there yet.
fn workspace(zone_toml: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir_all(directory.path().join("zone/policies")).unwrap();
    fs::write(directory.path().join("zone/zone.toml"), zone_toml).unwrap();
    directory
}

const ZONE: &str = r#"
[zone]
name = "test"
issuer = "http://127.0.0.1:8787"
danger_allow_http_loopback = true
"#;

fn writ(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_writ"));
    command.current_dir(directory).args(arguments).env_remove("WRIT_WRAPPING_KEY");
    command
}

fn output(directory: &Path, arguments: &[&str]) -> Output {
    writ(directory, arguments).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

struct Service {
    child: Child,
    messages: BufReader<ChildStderr>,
    address: String,
    first: Value,
}

impl Service {
    fn start(directory: &Path) -> Self {
        let arguments = ["serve", "--zone", "zone", "--data", "data", "--listen", "127.0.0.1:0"];
        Self::spawn(writ(directory, &arguments))
    }

    fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let messages = BufReader::new(child.stderr.take().unwrap());
        let mut service = Self { child, messages, address: String::new(), first: Value::Null };
        while service.address.is_empty() {
            let mut line = String::new();
            assert!(service.messages.read_line(&mut line).unwrap() > 0, "the service ended");
            service.first = serde_json::from_str(&line).unwrap();
            let message = service.first.get("message").and_then(Value::as_str).unwrap();
            if let Some(address) = message.strip_prefix("listening on http://") {
                service.address = address.to_owned();
            }
        }
        service
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    /// Sends a request as it is, and returns head and body of the answer.
    fn send(&self, request: &[u8]) -> (String, String) {
        let mut stream = self.connect();
        stream.write_all(request).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_ascii_lowercase(), body.to_owned())
    }

    fn get(&self, path: &str) -> (String, String) {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").as_bytes())
    }

    /// Asks the service to stop, and returns its exit code, its events and its last messages.
    fn stop(mut self) -> (Option<i32>, String, String) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let (mut events, mut messages) = (String::new(), String::new());
        self.child.stdout.take().unwrap().read_to_string(&mut events).unwrap();
        self.messages.read_to_string(&mut messages).unwrap();
        (self.child.wait().unwrap().code(), events, messages)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Where a test failed half-way; a service that was stopped is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn serves_until_it_is_told_to_stop() {
    let directory = workspace(ZONE);
    let service = Service::start(directory.path());
    assert_eq!(service.first.get("zone").unwrap(), "test");

    let (head, _) = service.get("/healthz");
    assert!(head.starts_with("http/1.1 200 ok\r\n"), "{head}");
    assert!(head.contains("\r\ndate: "), "{head}");
    assert!(service.get("/readyz").0.starts_with("http/1.1 200 "));
    let (_, keys) = service.get("/.well-known/jwks.json");
    let keys: Value = serde_json::from_str(&keys).unwrap();
    let kid = keys.pointer("/keys/0/kid").unwrap().clone();
    assert!(keys.pointer("/keys/0/d").is_none(), "{keys}");
    assert!(service.get("/nowhere").0.starts_with("http/1.1 404 "));

    // A connection serves several requests.
    let mut stream = service.connect();
    for _ in 0..3 {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        let mut answer = [0; 4_096];
        assert!(stream.read(&mut answer).unwrap() > 0);
        assert!(answer.starts_with(b"HTTP/1.1 200"));
    }

    let (code, events, messages) = service.stop();
    assert_eq!(code, Some(0), "{messages}");
    assert!(messages.contains("\"stopped\""), "{messages}");
    let paths: Vec<Value> =
        events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(paths.len(), 7, "one event for each request: {events}");
    for event in &paths {
        assert_eq!(event.get("target").unwrap(), "native");
        assert!(event.get("latency_us").unwrap().is_u64());
    }

    // The same key and the same bundle after a restart.
    let service = Service::start(directory.path());
    let (_, again) = service.get("/.well-known/jwks.json");
    assert!(again.contains(kid.as_str().unwrap()), "{again}");
    assert_eq!(service.stop().0, Some(0));
}

#[test]
fn a_body_at_the_limit_is_read_and_one_beyond_it_refused() {
    let directory = workspace(ZONE);
    let service = Service::start(directory.path());
    let post = |length: usize| {
        let head = format!(
            "POST /oauth/token HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {length}\r\n\r\n"
        );
        let body = format!("grant_type=x&filler={}", "a".repeat(length.saturating_sub(20)));
        service.send(format!("{head}{body}").as_bytes())
    };
    let (head, body) = post(limits::BODY_BYTES);
    assert!(head.starts_with("http/1.1 400 ") && body.contains("unsupported_grant_type"), "{body}");
    let (head, body) = post(limits::BODY_BYTES.saturating_add(1));
    assert!(head.starts_with("http/1.1 4"), "{head}");
    assert!(!body.contains("unsupported_grant_type"), "{body}");
    // A head beyond its limit never reaches the core.
    let long = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(100_000));
    let mut stream = service.connect();
    let _ = stream.write_all(long.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(&answer));
    service.stop();
}

#[test]
fn a_request_runs_to_its_end_without_its_client() {
    let directory = workspace(ZONE);
    let service = Service::start(directory.path());
    for _ in 0..20 {
        let mut stream = service.connect();
        let request = b"GET /readyz HTTP/1.1\r\nhost: a\r\n\r\n";
        stream.write_all(request).unwrap();
        drop(stream);
    }
    // Answered after them, so that all of them have been read.
    std::thread::sleep(Duration::from_millis(300));
    let (_, events, _) = service.stop();
    assert_eq!(events.lines().count(), 20, "{events}");
}

#[test]
fn a_stop_waits_for_a_request_that_has_begun() {
    let directory = workspace(ZONE);
    let service = Service::start(directory.path());
    let mut stream = service.connect();
    let head = b"POST /oauth/token HTTP/1.1\r\nhost: a\r\ncontent-length: 12\r\n\
                 content-type: application/x-www-form-urlencoded\r\n\r\n";
    stream.write_all(head).unwrap();
    stream.write_all(b"grant_").unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let stopping = std::thread::spawn(move || service.stop());
    std::thread::sleep(Duration::from_millis(300));
    stream.write_all(b"type=x").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    let (code, events, _) = stopping.join().unwrap();
    assert_eq!((code, events.lines().count()), (Some(0), 1));
}

#[test]
fn keys_new_changes_the_signing_key_and_keeps_the_old_one_published() {
    let directory = workspace(ZONE);
    let service = Service::start(directory.path());
    let new = ["keys", "new", "--zone", "zone", "--data", "data", "--format", "json"];
    let made = output(directory.path(), &new);
    assert!(made.status.success(), "{}", stderr(&made));
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    assert!(made.pointer("/jwk/d").is_none());
    let kid = made.get("kid").unwrap().as_str().unwrap();
    std::thread::sleep(Duration::from_millis(3_200));
    // The first request after two seconds may still see the old snapshot while it asks anew.
    service.get("/readyz");
    let (_, keys) = service.get("/.well-known/jwks.json");
    let keys: Value = serde_json::from_str(&keys).unwrap();
    let kids = keys.get("keys").unwrap().as_array().unwrap();
    assert_eq!(kids.len(), 2, "{keys}");
    assert!(kids.iter().any(|key| key.get("kid").unwrap() == kid), "{keys}");
    service.stop();
}

#[test]
fn a_wrong_wrapping_key_stops_the_start_and_changes_nothing() {
    let directory = workspace(ZONE);
    Service::start(directory.path()).stop();
    let path = directory.path().join("data/wrapping.key");
    let right = fs::read(&path).unwrap();
    let serve = ["serve", "--zone", "zone", "--data", "data", "--listen", "127.0.0.1:0"];

    fs::write(&path, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n").unwrap();
    let failed = output(directory.path(), &serve);
    assert_eq!(failed.status.code(), Some(1));
    let message = stderr(&failed);
    assert!(message.contains("wrapping.key") && message.contains("signing key `"), "{message}");

    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let message = stderr(&output(directory.path(), &serve));
    assert!(message.contains("chmod 600"), "{message}");

    fs::remove_file(&path).unwrap();
    let message = stderr(&output(directory.path(), &serve));
    assert!(message.contains("is missing"), "{message}");
    assert!(!path.exists(), "no other key takes its place");

    fs::write(&path, right).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    Service::start(directory.path()).stop();
}

#[test]
fn mistakes_are_one_sentence_and_an_exit_code() {
    let directory = workspace(ZONE);
    fs::write(directory.path().join("taken"), "a file").unwrap();
    let zone = directory.path();
    for (arguments, code, says) in [
        (&["serve", "--zone", "absent"][..], 1, "--zone"),
        (&["serve", "--zone", "zone", "--data", "absent/data"], 1, "--data"),
        (&["serve", "--zone", "zone", "--data", "taken"], 1, "taken"),
        (&["serve", "--zone", "zone", "--listen", "192.0.2.1:1", "--data", "data"], 1, "--listen"),
        (&["serve", "--zone", "zone", "--listen", "nowhere"], 2, "--listen"),
        (&["serve"], 2, "--zone"),
        (&["dance"], 2, "dance"),
        (&["check", "--zone", "absent"], 1, "zone.toml"),
    ] {
        let output = output(zone, arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?} {}", stderr(&output));
        let message = stderr(&output);
        assert!(message.contains(says), "{arguments:?}: {message}");
        if code == 1 {
            // A created signing key may have been logged before.
            let last = message.lines().last().unwrap();
            assert!(last.starts_with("writ: "), "{message}");
        }
    }
}

#[test]
fn check_lists_every_mistake() {
    let sound = workspace(ZONE);
    let output_ = output(sound.path(), &["check", "--zone", "zone"]);
    assert!(output_.status.success(), "{output_:?}");

    let broken = workspace(&format!("{ZONE}frobnicate = 1\n[nonsense]\n"));
    let text = output(broken.path(), &["check", "--zone", "zone"]);
    assert_eq!(text.status.code(), Some(1));
    let listed = String::from_utf8(text.stdout).unwrap();
    assert!(listed.contains("zone/zone.toml:") && listed.contains("2 mistakes"), "{listed}");
    let json = output(broken.path(), &["check", "--zone", "zone", "--format", "json"]);
    assert_eq!(json.status.code(), Some(1));
    let listed: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(listed.pointer("/mistakes").unwrap().as_array().unwrap().len(), 2, "{listed}");
}

/// An agent is let in, watched, stopped and let in again, with the commands alone.
#[test]
fn sessions_are_listed_shown_and_ended_and_principals_stopped_over_http() {
    let secret = "a-secret-of-the-agent";
    let zone = format!(
        "{ZONE}\n[applications.agent]\ncredentials = [{{ kind = \"secret\", sha256 = \"{}\" }}]\n",
        writ_core::encoding::hex(&writ_core::encoding::sha256(secret.as_bytes()))
    );
    let directory = workspace(&zone);
    let here = directory.path();
    let policy = "@id(\"all\")\npermit (principal, action, resource);";
    fs::write(here.join("zone/policies/all.cedar"), policy).unwrap();
    let made = output(here, &["operator", "new", "--out", "operator.pem", "--format", "json"]);
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    let mut command = writ(here, &["serve", "--zone", "zone", "--data", "data"]);
    command
        .args(["--listen", "127.0.0.1:0"])
        .env("WRIT_OPERATOR_KEY", made.get("jwk").unwrap().to_string());
    let service = Service::spawn(command);
    let to = format!("http://{}", service.address);
    let remote = |arguments: &[&str]| {
        let key = ["--operator-key", "operator.pem", "--to", &to, "--zone", "zone"];
        let done = output(here, &[arguments, &key].concat());
        (done.status.success(), String::from_utf8(done.stdout.clone()).unwrap(), stderr(&done))
    };
    let token = || {
        let body = format!(
            "grant_type=client_credentials&client_id=agent&client_secret={secret}&audience=agent"
        );
        let length = body.len();
        let head = format!(
            "POST /oauth/token HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {length}\r\n\r\n"
        );
        service.send(format!("{head}{body}").as_bytes())
    };
    let (head, body) = token();
    assert!(head.starts_with("http/1.1 200 "), "{head} {body}");

    let (done, listed, message) = remote(&["sessions", "list", "--format", "json"]);
    assert!(done, "{message}");
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let id = listed.pointer("/sessions/0/session").and_then(Value::as_str).unwrap().to_owned();
    let (_, listed, _) = remote(&["sessions", "list", "--application", "agent"]);
    assert!(listed.starts_with("active ") && listed.contains(&id), "{listed}");
    assert!(!listed.contains('\u{1b}'), "no colours where there is no terminal");
    let (_, shown, message) = remote(&["sessions", "show", &id]);
    assert!(shown.contains("└ agent → agent"), "{shown} {message}");
    let (done, ended, message) = remote(&["sessions", "end", &id]);
    assert!(done && ended.contains("is ended"), "{ended} {message}");
    let (_, shown, _) = remote(&["sessions", "show", &id]);
    assert!(shown.contains("by the operator"), "{shown}");
    let (done, _, message) = remote(&["sessions", "end", "AAAA"]);
    assert!(!done && message.contains("no such session"), "{message}");

    let (done, _, message) = remote(&["disable", "application", "agnet"]);
    assert!(!done && message.contains("there is no application `agnet`"), "{message}");
    let follows = |wanted: &str| {
        let answered = |_| {
            std::thread::sleep(std::time::Duration::from_millis(250));
            token().0.starts_with(wanted)
        };
        assert!((0..40).any(answered), "{wanted}");
    };
    for (command, wanted) in [("disable", "http/1.1 401 "), ("enable", "http/1.1 200 ")] {
        let (done, told, message) = remote(&[command, "application", "agent"]);
        assert!(done && told.contains("`agent`"), "{told} {message}");
        follows(wanted);
    }
    let (done, told, message) = remote(&["cut-off", "user", "user:idp:somebody"]);
    assert!(done && told.contains("is cut off"), "{told} {message}");
}

/// An operator with nothing but the binary: a key, a service without a zone, and then one with it.
#[test]
fn a_zone_is_published_and_its_key_rotated_over_http() {
    let directory = workspace(ZONE);
    let here = directory.path();
    let made = output(here, &["operator", "new", "--out", "operator.pem", "--format", "json"]);
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    let mut command = writ(here, &["serve", "--data", "data", "--listen", "127.0.0.1:0"]);
    command
        .env("WRIT_ZONE", "test")
        .env("WRIT_ISSUER", "http://127.0.0.1:8787")
        .env("WRIT_OPERATOR_KEY", made.get("jwk").unwrap().to_string());
    let service = Service::spawn(command);
    assert!(service.get("/readyz").0.starts_with("http/1.1 503 "));
    let to = format!("http://{}", service.address);
    let remote = |arguments: &[&str]| {
        let key = ["--operator-key", "operator.pem", "--to", &to, "--format", "json"];
        output(here, &[arguments, &["--zone", "zone"], &key].concat())
    };
    let published = remote(&["publish"]);
    assert!(published.status.success(), "{}", stderr(&published));
    assert!(service.get("/readyz").0.starts_with("http/1.1 200 "));
    let rotated = remote(&["keys", "rotate"]);
    assert!(rotated.status.success(), "{}", stderr(&rotated));
    let rotated: Value = serde_json::from_slice(&rotated.stdout).unwrap();
    assert_eq!(rotated.get("keys").unwrap(), 2);
    // Beside the store no operator's key is needed, and what is on its way already stays.
    let local = output(here, &["keys", "rotate", "--zone", "zone", "--data", "data"]);
    assert!(local.status.success(), "{}", stderr(&local));
    assert!(String::from_utf8_lossy(&local.stdout).contains("it publishes 2"));
    // Somebody else's key does nothing, and the message says where to look.
    output(here, &["operator", "new", "--out", "other.pem"]);
    fs::rename(here.join("other.pem"), here.join("operator.pem")).unwrap();
    let refused = remote(&["keys", "rotate", "--emergency"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("WRIT_OPERATOR_KEY"), "{}", stderr(&refused));
}
