//! A function that was frozen for minutes: its connections are there, and nobody is at their other end.

use serde_json::Value;
use writ_core::deployment::Deployment;
use writ_core::encoding::{hex, sha256};
use writ_core::http::Request;
use writ_core::jwk::Algorithm;
use writ_core::keys::{self, Rotation};
use writ_core::moment::Moment;
use writ_core::zone::{self, Source, Sources};
use writ_core::{handle, limits, publish};
use writ_lambda::host::{Instance, Lambda};
use writ_process::moment;

use super::aws::{Aws, Fault};
use super::deeply;

const ISSUER: &str = "https://idle.example";

/// A zone of one application, on DynamoDB, and the environment that published it.
async fn published(aws: &Aws) -> (Lambda, Deployment) {
    let wrapping = aws.wrapping("idle", "WRIT_WRAPPING_SECRET").await.unwrap();
    let host = Lambda::new(Instance::new(aws.store(), wrapping));
    let secret = hex(&sha256(b"secret"));
    let document = format!(
        "[zone]\nname = \"idle\"\nissuer = \"{ISSUER}\"\nalgorithm = \"ES256\"\n\
         [applications.job]\ncredentials = [{{ kind = \"secret\", sha256 = \"{secret}\" }}]\n"
    );
    let policy = "@id(\"all\") permit (principal, action, resource);".to_owned();
    let sources = Sources {
        zone: Source { path: "zone.toml".to_owned(), text: document },
        policies: vec![Source { path: "all.cedar".to_owned(), text: policy }],
        ..Sources::default()
    };
    let bundle = zone::compile(&sources).unwrap();
    let draw = || moment::draw().unwrap();
    keys::rotate(&host, "idle", Algorithm::ES256, Rotation::AtOnce, &draw()).await.unwrap();
    publish::activate(&host, &bundle, &draw()).await.unwrap();
    let (zone, issuer) = ("idle".to_owned(), ISSUER.to_owned());
    (host, Deployment { zone, issuer, operator: None })
}

/// The status of a request for a token, so many seconds from now.
async fn status(host: &Lambda, deployment: &Deployment, secs: i64) -> u16 {
    let form = "grant_type=client_credentials&client_id=job&client_secret=secret&audience=job";
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let request = Request {
        method: "POST".to_owned(),
        path: "/oauth/token".to_owned(),
        query: None,
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        body: form.as_bytes().to_vec(),
    };
    let moment = moment::draw().unwrap();
    let moment = Moment { now: moment.now.plus(secs), ..moment };
    handle(host, deployment, moment, request).await.status
}

#[test]
fn the_first_request_after_ten_idle_minutes_is_answered() {
    deeply(after_ten_idle_minutes);
}

async fn after_ten_idle_minutes() {
    let aws = Aws::start();
    let (host, deployment) = published(&aws).await;
    assert_eq!(status(&host, &deployment, 0).await, 200);
    aws.faults.cut();
    aws.faults.take();
    assert_eq!(status(&host, &deployment, 600).await, 200);
    let sent = aws.faults.take();
    let asked = |number: usize| serde_json::from_slice::<Value>(&sent[number].1).unwrap();
    assert_eq!(asked(0), asked(1), "the read that was lost is made once more");
    // So is one that DynamoDB fails, or that hangs: and both together take no longer than one call.
    let hangs = Fault::Delay(1_000 * limits::STORE_SECS);
    for (once, twice, fault) in [(1_200, 1_800, Fault::Broken), (2_400, 3_000, hangs)] {
        aws.faults.next([fault.clone()]);
        assert_eq!(status(&host, &deployment, once).await, 200, "{fault:?}");
        let began = tokio::time::Instant::now();
        aws.faults.next([fault.clone(), fault.clone()]);
        assert_eq!(status(&host, &deployment, twice).await, 503, "{fault:?}");
        assert!(began.elapsed().as_secs() <= limits::STORE_SECS, "{fault:?}");
    }
}
