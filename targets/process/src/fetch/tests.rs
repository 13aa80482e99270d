use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// What a test server does with a connection once it has read the request.
type Act = fn(TcpStream) -> futures_util::future::BoxFuture<'static, ()>;

/// A server on a loopback address. Counts its requests, and keeps the last one's text.
struct Server {
    port: u16,
    requests: Arc<AtomicUsize>,
    last: Arc<std::sync::Mutex<String>>,
}

async fn serve(act: Act) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let requests = Arc::new(AtomicUsize::new(0));
    let last = Arc::new(std::sync::Mutex::new(String::new()));
    let (count, text) = (Arc::clone(&requests), Arc::clone(&last));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = vec![0; 4_096];
            let length = stream.read(&mut head).await.unwrap();
            *text.lock().unwrap() = String::from_utf8_lossy(&head[..length]).to_lowercase();
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(act(stream));
        }
    });
    Server { port, requests, last }
}

fn answer(
    head: &'static str,
    body: &'static str,
) -> impl Fn(TcpStream) -> futures_util::future::BoxFuture<'static, ()> {
    move |mut stream| {
        Box::pin(async move {
            let length = body.len();
            let text = format!("HTTP/1.1 {head}\r\ncontent-length: {length}\r\n\r\n{body}");
            let _ = stream.write_all(text.as_bytes()).await;
        })
    }
}

fn loopback(url: String) -> Outbound {
    Outbound { url, loopback: true }
}

fn public(url: &str) -> Outbound {
    Outbound { url: url.into(), loopback: false }
}

fn scripted(answers: &[&str]) -> (Fetcher, Arc<(Vec<IpAddr>, AtomicUsize)>) {
    let answers = answers.iter().map(|text| text.parse().unwrap()).collect();
    let script = Arc::new((answers, AtomicUsize::new(0)));
    let names = Names::Script(Arc::clone(&script));
    (Fetcher { names, patience: Duration::from_secs(1), ..Fetcher::default() }, script)
}

#[tokio::test]
async fn fetches_from_loopback_where_allowed() {
    let server = serve(|stream| answer("200 OK", "{\"keys\":[]}")(stream)).await;
    let fetcher = Fetcher::default();
    for host in ["127.0.0.1", "localhost"] {
        let url = format!("http://{host}:{}/keys", server.port);
        let inbound = fetcher.fetch(&loopback(url)).await.unwrap();
        assert_eq!(inbound, Inbound { status: 200, body: b"{\"keys\":[]}".to_vec() });
    }
    let sent = server.last.lock().unwrap().clone();
    assert!(sent.starts_with("get /keys http/1.1\r\n"), "{sent}");
    for absent in ["accept-encoding", "cookie", "referer", "authorization"] {
        assert!(!sent.contains(absent), "{sent}");
    }
}

#[test]
fn k01_hosts_that_may_not_be_asked() {
    for url in [
        "http://issuer.example/",
        "ftp://issuer.example/",
        "file:///etc/passwd",
        "https://issuer.example:8443/",
        "https://issuer.example:80/",
        "https://user@issuer.example/",
        "https://user:pass@issuer.example/",
        "https://10.0.0.1/",
        "https://127.0.0.1/",
        "https://8.8.8.8/",
        "https://169.254.169.254/latest/meta-data/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "https://[::1]/",
        "https://[::ffff:169.254.169.254]/",
        "https://[2606:4700::1]/",
        "https://",
        "//issuer.example/",
        "issuer.example",
    ] {
        assert!(Reach::Public.url(url).is_err(), "{url}");
    }
    for url in ["https://issuer.example/", "https://issuer.example:443/a?b", "https://a.b.example"]
    {
        assert!(Reach::Public.url(url).is_ok(), "{url}");
    }
}

#[tokio::test]
async fn k01_names_of_private_addresses_are_not_connected_to() {
    for address in ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "fd00::1", "100.64.0.1"] {
        let (fetcher, script) = scripted(&[address]);
        for name in ["localhost", "localhost.", "metadata.google.internal", "issuer.example"] {
            let error = fetcher.fetch(&public(&format!("https://{name}/"))).await.unwrap_err();
            assert!(error.0.contains("no public address"), "{error:?}");
        }
        assert_eq!(script.1.load(Ordering::SeqCst), 4, "each was looked up once");
    }
}

#[tokio::test]
async fn k03_a_name_that_changes_its_mind_is_judged_by_each_answer() {
    let (fetcher, _) = scripted(&["203.0.114.1", "127.0.0.1", "203.0.114.1"]);
    let resolver = Resolver { names: fetcher.names.clone(), reach: Reach::Public };
    assert_eq!(resolver.lookup("a.example").await.unwrap(), ["203.0.114.1:0".parse().unwrap()]);
    assert!(resolver.lookup("a.example").await.is_err());
    assert!(resolver.lookup("a.example").await.is_ok());
}

#[tokio::test]
async fn k01_loopback_reaches_loopback_only() {
    let fetcher = Fetcher::default();
    for url in [
        "http://127.0.0.2/",
        "http://0.0.0.0/",
        "http://10.0.0.1/",
        "http://[::ffff:127.0.0.1]/",
        "http://localhost.evil.example/",
        "http://issuer.example/",
        "https://issuer.example/",
        "ftp://localhost/",
        "http://user@localhost/",
    ] {
        assert!(fetcher.fetch(&loopback(url.into())).await.is_err(), "{url}");
    }
    // Nor is a name believed that somebody made point elsewhere.
    let (fetcher, _) = scripted(&["10.0.0.1"]);
    let error = fetcher.fetch(&loopback("http://localhost/".into())).await.unwrap_err();
    assert!(error.0.contains("no loopback address"), "{error:?}");
}

#[tokio::test]
async fn k02_no_redirect_is_followed() {
    let server = serve(|stream| answer("302 Found\r\nlocation: /elsewhere", "")(stream)).await;
    let url = format!("http://127.0.0.1:{}/", server.port);
    let inbound = Fetcher::default().fetch(&loopback(url)).await.unwrap();
    assert_eq!(inbound.status, 302);
    assert_eq!(server.requests.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn k04_a_body_without_end_is_cut_off() {
    let server = serve(|mut stream| {
        Box::pin(async move {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            while stream.write_all(&[b'a'; 8_192]).await.is_ok() {}
        })
    })
    .await;
    let url = format!("http://127.0.0.1:{}/", server.port);
    let inbound = Fetcher::default().fetch(&loopback(url)).await.unwrap();
    assert_eq!(inbound.body.len(), limits::FETCH_BYTES + 1);
}

#[tokio::test]
async fn k04_a_slow_server_is_given_up() {
    let patience = Duration::from_millis(300);
    let silent: Act = |stream| {
        Box::pin(async move {
            let _stream = stream;
            std::future::pending::<()>().await;
        })
    };
    let dripping: Act = |mut stream| {
        Box::pin(async move {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await;
            while stream.write_all(b"a").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
    };
    for act in [silent, dripping] {
        let server = serve(act).await;
        let fetcher = Fetcher { patience, ..Fetcher::default() };
        let began = tokio::time::Instant::now();
        let url = format!("http://127.0.0.1:{}/", server.port);
        let error = fetcher.fetch(&loopback(url)).await.unwrap_err();
        assert!(error.0.contains("no full answer"), "{error:?}");
        assert!(began.elapsed() < patience * 10);
    }
}

#[tokio::test]
async fn k04_a_broken_answer_is_an_error() {
    let server = serve(|mut stream| {
        Box::pin(async move {
            let text = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this";
            let _ = stream.write_all(text).await;
        })
    })
    .await;
    let url = format!("http://127.0.0.1:{}/", server.port);
    assert!(Fetcher::default().fetch(&loopback(url)).await.is_err());
    let nobody = loopback("http://127.0.0.1:1/".into());
    let error = Fetcher::default().fetch(&nobody).await.unwrap_err();
    assert!(error.0.contains("refused"), "{error:?}");
}
