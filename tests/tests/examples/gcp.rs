//! `examples/gcp`: the service, started as Cloud Run starts it, beside a metadata server.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};
use writ_core::http::Request;
use writ_tests::client::send;
use writ_tests::emulation::{Reply, header, listen, parameter};
use writ_tests::target::get;
use writ_tests::{example, tools};

use crate::scene::{Mint, Scene};

#[test]
fn a_google_service_reports() {
    let scene = Scene::open();
    let service = Service::start(&scene);
    assert_eq!(service.get(), (200, json!({ "sub": "reports", "scope": "read" })));
    let claims = scene.served();
    assert_eq!(claims["sub"], "reports");
    assert_eq!(claims["aud"], "https://customers.example.com");
    assert_eq!(claims["scope"], "read");
    assert_eq!(claims["call"], "GET /count");
}

#[test]
fn a_google_service_of_another_account_does_not() {
    let scene = Scene::open();
    // The same address, made again: its number is another.
    scene.mint.change("sub", "112233445566778899002");
    let service = Service::start(&scene);
    assert_eq!(service.get(), (502, json!({ "error": "no report today" })));
    scene.assert_refused("rule_missing");
}

#[test]
fn the_emulated_google_refuses_what_google_would() {
    let mint = Scene::open().mint;
    let path = "/computeMetadata/v1/instance/service-accounts/default/identity";
    let ask = |flavor: &str, query: &str| {
        let headers = vec![("metadata-flavor".to_owned(), flavor.to_owned())];
        identity(&mint, &Request { headers, query: Some(query.to_owned()), ..get(path) }).status
    };
    assert_eq!(ask("Google", "audience=https://a.example&format=full"), 200);
    assert_eq!(ask("Other", "audience=https://a.example&format=full"), 403);
    assert_eq!(ask("Google", "format=full"), 400);
}

/// A running instance. It is killed when this is dropped.
struct Service {
    child: Child,
    authority: String,
}

impl Service {
    fn start(scene: &Scene) -> Self {
        let mint = scene.mint.clone();
        let metadata = listen(move |request| identity(&mint, request));
        // Cloud Run says which port; this one was free a moment ago.
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let mut python = tools::python();
        python.arg("-B").arg(example::path("gcp/main.py")).stderr(Stdio::null());
        python.env("WRIT", &scene.writ).env("CUSTOMERS_API", &scene.api);
        python.env("GCE_METADATA_HOST", metadata.strip_prefix("http://").unwrap());
        python.env("HOST", "127.0.0.1").env("PORT", port.to_string());
        let service = Self {
            child: python.stdout(Stdio::null()).spawn().unwrap(),
            authority: format!("127.0.0.1:{port}"),
        };
        for _ in 0..500 {
            if TcpStream::connect(&service.authority).is_ok() {
                return service;
            }
            sleep(Duration::from_millis(20));
        }
        panic!("the service does not listen");
    }

    fn get(&self) -> (u16, Value) {
        let answer = send(&self.authority, &get("/")).expect("an answer");
        (answer.status, answer.json().unwrap())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The metadata server: the token itself comes back.
fn identity(mint: &Mint, request: &Request) -> Reply {
    let path = "/computeMetadata/v1/instance/service-accounts/default/identity";
    if (request.method.as_str(), request.path.as_str()) != ("GET", path) {
        return Reply::refusal(404, "there is nothing here");
    }
    if header(request, "metadata-flavor") != Some("Google") {
        return Reply::refusal(403, "the header `Metadata-Flavor: Google` is missing");
    }
    let query = request.query.as_deref().unwrap_or_default().as_bytes();
    match parameter(query, "audience") {
        Some(audience) => Reply::ok(mint.token("gcp", "gcp-cloud-run", &audience, &[])),
        None => Reply::refusal(400, "the parameter `audience` is missing"),
    }
}
