//! AWS on this machine, and what stands in front of it to make requests go wrong.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "test support: a panic is a failed test"
)]

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::Value;
use writ_lambda::aws;
use writ_lambda::settings::Settings;
use writ_lambda::store::Store;
use writ_process::crypto::WrappingKey;

/// A way for a request to go wrong.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// The connection ends, and nothing was done.
    Refused,
    /// It is done, and the answer is lost.
    Lost,
    /// It is done so many milliseconds later.
    Delay(u64),
    /// An error of the service's own.
    Broken,
    /// A transaction meets another one on the same item.
    Conflict,
    /// A transaction meets a limit of one of its items.
    Busy,
    /// There are too many requests.
    Throttled,
    /// The same transaction is being made.
    InProgress,
}

/// What goes wrong, and what was sent.
#[derive(Default)]
pub(crate) struct Faults {
    next: Mutex<VecDeque<Fault>>,
    always: Mutex<Option<Fault>>,
    sent: Mutex<Vec<(String, Vec<u8>)>>,
    /// How often connections were cut.
    cuts: AtomicUsize,
}

impl Faults {
    /// The next requests go wrong in these ways, in turn.
    pub(crate) fn next(&self, faults: impl IntoIterator<Item = Fault>) {
        self.next.lock().unwrap().extend(faults);
    }

    /// Every request goes wrong.
    pub(crate) fn always(&self, fault: Fault) {
        *self.always.lock().unwrap() = Some(fault);
    }

    /// No request goes wrong any more.
    pub(crate) fn stop(&self) {
        *self.always.lock().unwrap() = None;
    }

    /// The connections that are there are dead, as after minutes in which nobody used them: what comes on
    /// one is not answered, and ends it.
    pub(crate) fn cut(&self) {
        self.cuts.fetch_add(1, Ordering::SeqCst);
    }

    /// Operation and body of each request since the last look.
    pub(crate) fn take(&self) -> Vec<(String, Vec<u8>)> {
        std::mem::take(&mut self.sent.lock().unwrap())
    }
}

/// One way into the AWS that all tests of this process share.
pub(crate) struct Aws {
    pub(crate) faults: Arc<Faults>,
    settings: Settings,
    url: String,
    /// One test at a time: moto is slow, and the store's time is short.
    _alone: MutexGuard<'static, ()>,
}

impl Aws {
    pub(crate) fn start() -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let faults = Arc::new(Faults::default());
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port on loopback");
        let port = listener.local_addr().unwrap().port();
        let (shared, behind) = (Arc::clone(&faults), moto()["url"].as_str().unwrap());
        let behind = behind.strip_prefix("http://").unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, behind, &shared));
            }
        });
        let url = format!("http://127.0.0.1:{port}");
        let settings = settings(&url, "one", "WRIT_WRAPPING_SECRET");
        Self { faults, settings, url, _alone: alone }
    }

    pub(crate) fn store(&self) -> Store {
        aws::store(&self.settings)
    }

    /// The wrapping key as a function of `zone` gets it, from the place that the variable names.
    pub(crate) async fn wrapping(&self, zone: &str, from: &str) -> Result<WrappingKey, String> {
        aws::wrapping_key(&settings(&self.url, zone, from)).await
    }

    /// The instant after which an item may be swept.
    pub(crate) async fn ttl(&self, partition: &str, item: &str) -> Option<i64> {
        let item = self.item(partition, item).await;
        item.get("ttl").map(|ttl| ttl.as_n().unwrap().parse().unwrap())
    }

    /// An item as it lies in the table.
    pub(crate) async fn item(
        &self,
        partition: &str,
        item: &str,
    ) -> HashMap<String, AttributeValue> {
        let get = aws::dynamodb(&self.settings).get_item().table_name("writ");
        let get = get.key("pk", AttributeValue::S(partition.into()));
        let found = get.key("sk", AttributeValue::S(item.into())).send().await.unwrap();
        found.item.expect("the item is there")
    }
}

fn settings(url: &str, zone: &str, wrapping: &str) -> Settings {
    let settings = Settings::read(|name| {
        let value = match name {
            "WRIT_ZONE" => zone,
            "WRIT_ISSUER" => "http://127.0.0.1:8787",
            "WRIT_TABLE" => "writ",
            "AWS_REGION" => "eu-central-1",
            "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" => "test",
            "AWS_ENDPOINT_URL" => url,
            _ if name == wrapping => moto()[name].as_str().unwrap(),
            _ => return None,
        };
        Some(value.to_owned())
    });
    settings.expect("settings")
}

/// Where moto listens, and where it has the wrapping key. It ends with this process, which holds its
/// stdin.
fn moto() -> &'static Value {
    static MOTO: OnceLock<(Value, Child)> = OnceLock::new();
    let (places, _) = MOTO.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        let tools = root.join(".tools/lambda-python");
        assert!(tools.join("stamp").exists(), "moto is not installed: run `tests/tools/lambda`");
        let mut child = Command::new(tools.join("bin/python"))
            .arg(root.join("tests/lambda/table.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).expect("a line");
        (serde_json::from_str(&line).expect("moto starts"), child)
    });
    places
}

/// Passes one request after the other on, for as long as nothing goes wrong.
fn serve(client: TcpStream, behind: &str, faults: &Faults) {
    let cuts = faults.cuts.load(Ordering::SeqCst);
    let mut client = BufReader::new(client);
    while pass(&mut client, behind, faults, cuts).is_some() {}
}

/// Passes one request on, unless it is to go wrong. `cuts` were made before its connection.
fn pass(
    client: &mut BufReader<TcpStream>,
    behind: &str,
    faults: &Faults,
    cuts: usize,
) -> Option<()> {
    let (mut head, mut operation, mut length) = (String::new(), String::new(), 0_usize);
    loop {
        let mut line = String::new();
        if client.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let (name, value) = line.trim().split_once(':').unwrap_or((line.trim(), ""));
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().ok()?,
            "x-amz-target" => operation = value.trim().to_owned(),
            "" => break,
            _ => {}
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    client.read_exact(&mut body).ok()?;
    faults.sent.lock().unwrap().push((operation, body.clone()));
    if faults.cuts.load(Ordering::SeqCst) > cuts {
        return None;
    }
    let always = faults.always.lock().unwrap().clone();
    let fault = faults.next.lock().unwrap().pop_front().or(always);
    match &fault {
        Some(Fault::Refused) => return None,
        Some(Fault::Delay(millis)) => std::thread::sleep(Duration::from_millis(*millis)),
        Some(Fault::Lost) | None => {}
        Some(error) => {
            client.get_mut().write_all(answer(error).as_bytes()).ok()?;
            return None;
        }
    }
    let mut service = TcpStream::connect(behind).ok()?;
    service.write_all(format!("{head}connection: close\r\n\r\n").as_bytes()).ok()?;
    service.write_all(&body).ok()?;
    let mut answer = Vec::new();
    service.read_to_end(&mut answer).ok()?;
    if matches!(fault, Some(Fault::Lost)) {
        return None;
    }
    client.get_mut().write_all(&kept(&answer)?).ok()
}

/// An answer after which the connection stays: moto ends its own, and DynamoDB does not.
fn kept(answer: &[u8]) -> Option<Vec<u8>> {
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let (head, rest) = answer.split_at(end);
    let head = String::from_utf8(head.to_vec()).ok()?.replacen("HTTP/1.0", "HTTP/1.1", 1);
    let ends = |line: &&str| !line.to_ascii_lowercase().starts_with("connection:");
    let head: Vec<&str> = head.split("\r\n").filter(ends).collect();
    Some([head.join("\r\n").as_bytes(), rest].concat())
}

/// An answer in DynamoDB's words.
fn answer(fault: &Fault) -> String {
    let cancelled = |code: &str| {
        format!(
            r#"{{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","Message":"Transaction cancelled","CancellationReasons":[{{"Code":"None"}},{{"Code":"{code}","Message":"-"}}]}}"#
        )
    };
    let error = |name: &str| format!(r#"{{"__type":"{name}","message":"-"}}"#);
    let (status, body) = match fault {
        Fault::Conflict => (400, cancelled("TransactionConflict")),
        Fault::Busy => (400, cancelled("ProvisionedThroughputExceeded")),
        Fault::Throttled => (400, error("com.amazon.coral.availability#ThrottlingException")),
        Fault::InProgress => {
            (400, error("com.amazonaws.dynamodb.v20120810#TransactionInProgressException"))
        }
        _ => (500, error("com.amazonaws.dynamodb.v20120810#InternalServerError")),
    };
    let length = body.len();
    format!(
        "HTTP/1.1 {status} -\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}
