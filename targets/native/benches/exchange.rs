//! One exchange, in parts, as CPU time of the whole process (its threads and the kernel's work for
//! it included): `cargo bench -p writ`.
//!
//! A user's token that a key of ES256 (or RS256) signed is exchanged by an application with a
//! secret, for a token with `act`, under ten policies, recorded durably in SQLite. Sixty-four
//! exchanges are under way at once, as in a busy server; HTTP is not in it.
//!
//! `cargo bench -p writ -- ES256` does nothing but exchanges, 16,384 of them: for a profiler.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "a benchmark"
)]

use std::collections::BTreeMap;
use std::future::Future;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde_json::json;
use writ::events::Events;
use writ::host::{Instance, Native};
use writ::store::{Store, StoreOptions};
use writ::wrapping::{self, Absent};
use writ_core::active::{self, Active};
use writ_core::ask::Ask;
use writ_core::bundle::TokenType;
use writ_core::client;
use writ_core::deployment::Deployment;
use writ_core::encoding::{base64url, hex, sha256};
use writ_core::event::Event;
use writ_core::form::Form;
use writ_core::grant::{Grant, Standing};
use writ_core::host::{Batch, Expect, Host, NewKey, Record, Write};
use writ_core::http::Request;
use writ_core::identity;
use writ_core::jwk::Algorithm;
use writ_core::keys::{self, Rotation};
use writ_core::parties::{Parties, Proofs};
use writ_core::policy::{self, Told};
use writ_core::refusal::Slot;
use writ_core::secret::Secret;
use writ_core::zone::{self, Source, Sources};
use writ_core::{publish, session, token};
use writ_process::crypto::PrivateKey;
use writ_process::moment;

const AT_ONCE: usize = 64;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let only = std::env::args().nth(1).and_then(|name| Algorithm::from_name(&name));
        if let Some(algorithm) = only {
            let bench = Bench::new(algorithm).await;
            println!("{:.1} us", measure(2_341, AT_ONCE, || bench.whole()).await);
            return;
        }
        println!("CPU time of one native exchange, in microseconds (median of 7 rounds)\n");
        println!(
            "| subject | total | parse | client | verify | decide | sign | commit | record | rest |"
        );
        println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
        for algorithm in [Algorithm::ES256, Algorithm::RS256] {
            let bench = Bench::new(algorithm).await;
            bench.row().await;
        }
        println!();
        for policies in [10, 100, 1_000, 10_000] {
            scoped(policies).await;
        }
        println!("\nresident memory: {} KiB", resident());
    });
}

struct Bench {
    algorithm: Algorithm,
    instance: Arc<Instance>,
    deployment: Deployment,
    zone: Arc<Active>,
    request: Request,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn new(algorithm: Algorithm) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("writ.db");
        let store = Store::open(&StoreOptions { path, max_bytes: None }).unwrap();
        let wrapping = wrapping::load(folder.path(), None, Absent::Create).unwrap();
        let events = Events::new(std::io::sink()).unwrap();
        let instance = Instance::new(store, wrapping, events);
        let idp = PrivateKey::generate(algorithm).unwrap();
        let host = Native::new(Arc::clone(&instance));
        let bundle = bundle(&idp, 10);
        let key = PrivateKey::generate(Algorithm::ES256).unwrap();
        let wrapped = instance.wrapping().wrap("bench", "key-1", &key).unwrap();
        let public = key.public(Some("key-1"));
        let moment = moment::draw().unwrap();
        let key = NewKey { public, wrapped };
        keys::put_to_use(&host, "bench", Algorithm::ES256, key, Rotation::AtOnce, &moment)
            .await
            .unwrap();
        publish::activate(&host, &bundle, &moment).await.unwrap();
        let (zone, issuer) = (bundle.zone.clone(), bundle.issuer.clone());
        let deployment = Deployment { zone, issuer, operator: None };
        let zone = active::zone(&host, &deployment, moment.now).await.unwrap();
        let request = request(&user_token(&idp, algorithm, moment.now.0));
        Self { algorithm, instance, deployment, zone, request, _folder: folder }
    }

    fn host(&self) -> Native {
        Native::new(Arc::clone(&self.instance))
    }

    async fn row(&self) {
        let total = measure(2_000, AT_ONCE, || self.whole()).await;
        let parse = measure(4_000, 1, async || {
            black_box(self.ask());
        })
        .await;
        let ask = self.ask();
        let now = moment::now();
        let proof = ask.client.as_ref().unwrap();
        let client = measure(2_000, 1, async || {
            black_box(client::verify(&self.host(), &self.zone, proof, None, now).await.unwrap());
        })
        .await;
        let subject = subject(&self.request);
        let verify = measure(2_000, 1, async || {
            let (shown, host) = (Some(TokenType::IdToken), self.host());
            black_box(
                identity::verify(&host, &self.zone, Slot::Subject, shown, &subject, None, now)
                    .await
                    .unwrap(),
            );
        })
        .await;
        let grant = self.grant(&ask, &subject).await;
        let decide = measure(2_000, 1, async || {
            black_box(policy::decide(&self.zone, &grant, Told::default(), now).unwrap());
        })
        .await;
        let claims = token::mint(&self.zone, &grant, now);
        let sign = measure(2_000, 1, async || {
            black_box(token::sign(&self.host(), &self.zone, &claims).await.unwrap());
        })
        .await;
        let commit = measure(2_000, AT_ONCE, || self.commit()).await;
        let event = Event {
            request: "request".into(),
            zone: "bench".into(),
            endpoint: "token",
            subject: Some(grant.subject.id().to_owned()),
            chain: grant.chain(),
            session: Some(grant.session.id.clone()),
            bundle: Some(self.zone.name.clone()),
            ..Event::default()
        };
        let record = measure(4_000, 1, async || self.host().record(&event)).await;
        let rest = total - parse - client - verify - decide - sign - commit - record;
        println!(
            "| {} | {total:.1} | {parse:.1} | {client:.1} | {verify:.1} | {decide:.1} | {sign:.1} \
             | {commit:.1} | {record:.1} | {rest:.1} |",
            self.algorithm.name()
        );
    }

    async fn whole(&self) {
        let moment = moment::draw().unwrap();
        let response =
            writ_core::handle(&self.host(), &self.deployment, moment, self.request.clone()).await;
        assert_eq!(response.status, 200, "{}", String::from_utf8_lossy(&response.body));
    }

    fn ask(&self) -> Ask {
        let form = Form::parse(&self.request.body).unwrap();
        Ask::parse(&self.request, &form).unwrap()
    }

    async fn grant(&self, ask: &Ask, subject: &Secret) -> Grant {
        let moment = moment::draw().unwrap();
        let (host, zone) = (self.host(), &self.zone);
        let shown = Some(TokenType::IdToken);
        let proof = ask.client.as_ref().unwrap();
        let client = client::verify(&host, zone, proof, None, moment.now).await.unwrap();
        let subject =
            identity::verify(&host, zone, Slot::Subject, shown, subject, None, moment.now)
                .await
                .unwrap();
        let proofs = Proofs {
            client: Some(client),
            subject: Some(subject),
            actor: None,
            slot: Slot::Subject,
            key: None,
        };
        let parties = Parties::join(zone, "agent".into(), proofs).unwrap();
        Grant::narrow(zone, ask, &parties, None, &Standing::default(), &moment).unwrap()
    }

    /// A batch of the size that an exchange commits.
    async fn commit(&self) {
        let moment = moment::draw().unwrap();
        let id = moment.id("session");
        let record = |key: String, bytes: usize| Record {
            key,
            value: vec![b'x'; bytes],
            expires: moment.now.plus(600),
            version: 0,
        };
        let entry = |index, name: &str| writ_core::host::Entry {
            index,
            name: name.to_owned(),
            at: moment.now,
            key: format!("hop/{id}"),
            expires: moment.now.plus(600),
        };
        let absent = |key: &str| Expect::Absent(key.to_owned());
        let batch = Batch {
            id: id.clone(),
            now: moment.now,
            until: None,
            expect: vec![absent("opened"), absent("spent"), absent("ended")],
            write: vec![
                Write::Put(record(format!("hop/{id}"), 900)),
                Write::PutIfAbsent(record("opened".to_owned(), 100)),
            ],
            index: vec![
                entry("record", "bench"),
                entry("user", "user:idp:alice"),
                entry("application", "agent"),
                entry("resource", "https://api.example.com"),
            ],
        };
        self.host().commit(&session::partition("bench", &id), batch).await.unwrap();
    }
}

/// The decision alone, with that many policies of which all but ten name another resource.
async fn scoped(policies: usize) {
    let idp = PrivateKey::generate(Algorithm::ES256).unwrap();
    let bundle = bundle(&idp, policies);
    let snapshot = active::Snapshot { seq: 1, ..active::Snapshot::default() };
    let moment = moment::draw().unwrap();
    let zone = Active::new(snapshot, moment.now, "bench".to_owned(), bundle).unwrap();
    let ask = {
        let request = request("x.y.z");
        let form = Form::parse(&request.body).unwrap();
        Ask::parse(&request, &form).unwrap()
    };
    let client = client::Client { application: "agent".into(), proof: client::Proof::Secret };
    let slot = Slot::Client;
    let proofs = Proofs { client: Some(client), subject: None, actor: None, slot, key: None };
    let parties = Parties::join(&zone, "agent".into(), proofs).unwrap();
    let grant = Grant::narrow(&zone, &ask, &parties, None, &Standing::default(), &moment).unwrap();
    let decide = measure(2_000, 1, async || {
        black_box(policy::decide(&zone, &grant, Told::default(), moment.now).unwrap());
    })
    .await;
    println!("decision with {policies:>6} scoped policies: {decide:.1} us");
}

/// Median over rounds of the CPU time per call, `at_once` calls being under way together.
async fn measure<F: Future<Output = ()>>(
    calls: usize,
    at_once: usize,
    call: impl Fn() -> F,
) -> f64 {
    let mut rounds = Vec::new();
    for _ in 0..7 {
        let before = cpu();
        for _ in 0..calls / at_once {
            let mut together: Vec<_> = (0..at_once).map(|_| Box::pin(call())).collect();
            for one in futures_util::future::join_all(together.drain(..)).await {
                black_box(one);
            }
        }
        let spent = cpu() - before;
        rounds.push(spent.as_secs_f64() * 1e6 / (calls / at_once * at_once) as f64);
    }
    rounds.sort_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}

/// CPU time of the process so far.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

const SECRET: &str = "a-generated-secret-of-some-length";

fn bundle(idp: &PrivateKey, policies: usize) -> writ_core::bundle::Bundle {
    let jwk = idp.public(Some("idp-1")).to_jwk();
    let jwk: Vec<String> = jwk.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    let text = format!(
        r#"
[zone]
name = "bench"
issuer = "https://writ.example.com"

[issuers.idp]
issuer = "https://idp.example.com"
subject = "user"
audience = "agent"
client_claim = "/azp"
algorithms = ["{}"]
token_types = ["id_token"]
single_use = "never"
lifetime_secs = 90000
keys = {{ jwks = {{ keys = [{{ {} }}] }} }}

[rules.people]
issuer = "idp"
user = true
claims = {{ "/aud" = "agent" }}

[applications.agent]
tags = {{ trust = "exclusive" }}
credentials = [{{ kind = "secret", sha256 = "{}" }}]

[resources."https://api.example.com"]
scopes = ["read", "write"]
tags = {{ sensitivity = "internal" }}

[tags.trust]
on = ["application"]
values = ["exclusive", "shared"]
default = "shared"

[tags.sensitivity]
on = ["resource"]
values = ["public", "internal", "pii"]
default = "internal"
"#,
        idp.public(None).algorithm.unwrap().name(),
        jwk.join(", "),
        hex(&sha256(SECRET.as_bytes())),
    );
    let mut cedar = String::from(
        r#"@id("agents") permit (principal is Application, action, resource) when { principal.tags.trust == "exclusive" };
@id("people") permit (principal is User, action, resource) when { context.on_behalf };
@id("pii") forbid (principal, action, resource) when { resource.tags.sensitivity == "pii" };
@id("shared") forbid (principal, action, resource) when { context.chain_tags.trust.contains("shared") };
@id("deep") forbid (principal, action, resource) when { context.depth > 6 };
@id("delete") forbid (principal, action, resource) when { context.scopes.contains("delete") };
@id("task") forbid (principal, action, resource) when { context has task && context.task.name == "none" && context.depth > 1 };
@id("device") forbid (principal, action, resource) when { context has device && context.device == "lost" };
@id("night") forbid (principal, action, resource) when { context.time < 0 };
"#,
    )
    .replace("@id(\"task\") forbid (principal, action, resource) when { context has task && context.task.name == \"none\" && context.depth > 1 };\n", "@id(\"wide\") forbid (principal, action, resource) when { context.scopes.contains(\"admin\") };\n");
    for number in 9..policies {
        cedar.push_str(&format!(
            "@id(\"r{number}\") permit (principal == Application::\"a{number}\", action, resource == Resource::\"https://r{number}.example.com\") when {{ context.depth < 3 }};\n"
        ));
    }
    let sources = Sources {
        zone: Source { path: "zone.toml".into(), text },
        policies: vec![Source { path: "bench.cedar".into(), text: cedar }],
        uploaded: BTreeMap::new(),
    };
    zone::compile(&sources).unwrap_or_else(|mistakes| panic!("{}", mistakes[0]))
}

fn user_token(idp: &PrivateKey, algorithm: Algorithm, now: i64) -> String {
    let header = json!({ "alg": algorithm.name(), "typ": "JWT", "kid": "idp-1" });
    let claims = json!({
        "iss": "https://idp.example.com", "sub": "00uid4BxXw6I6TV4m0g3", "aud": "agent",
        "azp": "agent", "iat": now, "exp": now + 3_600, "email": "user@example.com",
        "name": "A User", "auth_time": now, "amr": ["pwd", "mfa"], "nonce": "n-0S6_WzA2Mj",
    });
    let part = |value: &serde_json::Value| base64url(value.to_string().as_bytes());
    let message = format!("{}.{}", part(&header), part(&claims));
    let signature = idp.sign(message.as_bytes()).unwrap();
    format!("{message}.{}", base64url(&signature))
}

fn request(token: &str) -> Request {
    let body = format!(
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&subject_token={token}\
         &subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aid_token\
         &resource=https%3A%2F%2Fapi.example.com&scope=read&client_id=agent&client_secret={SECRET}"
    );
    Request {
        method: "POST".into(),
        path: "/oauth/token".into(),
        headers: vec![("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned())],
        body: body.into_bytes(),
        ..Request::default()
    }
}

fn subject(request: &Request) -> Secret {
    let form = Form::parse(&request.body).unwrap();
    Secret::new(form.text("subject_token").expect("the request has one"))
}
