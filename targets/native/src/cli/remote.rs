//! A deployment that is reached over HTTP, and `writ publish`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};
use writ_core::bundle::Bundle;
use writ_core::deployment::Deployment;
use writ_core::encoding::base64url;
use writ_core::operator::Step;
use writ_process::crypto::PrivateKey;
use writ_process::moment;

use super::{Failure, Format, ZoneArgument, open, operator, print};

/// Where a deployment answers, and who changes it.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct To {
    /// Where the deployment answers, where that is not the zone's issuer
    #[arg(long, value_name = "URL")]
    pub(super) to: Option<String>,

    /// The operator's private key, as `writ operator new` wrote it
    #[arg(long, value_name = "FILE")]
    pub(super) operator_key: PathBuf,
}

/// Bring a zone to a deployment and make it the active one
///
/// Compiles the zone, uploads the bundle over HTTP and activates it; nothing changes for requests until
/// all of it is there. The deployment's first signing key is made on the way. Every instance follows
/// within five seconds.
#[derive(Debug, clap::Args)]
pub(super) struct Publish {
    #[command(flatten)]
    zone: ZoneArgument,

    #[command(flatten)]
    to: To,

    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(super) fn publish(command: &Publish) -> Result<ExitCode, Failure> {
    let bundle = open::sound_zone(&command.zone.directory)?;
    let bytes = bundle.to_bytes()?;
    let remote = Remote::new(&command.to, &bundle)?;
    open::runtime()?.block_on(async {
        let steps = Step::publication(&bytes);
        let mut answer = Value::Null;
        for step in &steps {
            answer = remote.ask(step).await?;
        }
        let (name, seq) = (Bundle::name(&bytes), answer.get("seq").cloned().unwrap_or_default());
        match command.format {
            Format::Text => {
                let (zone, size) = (&bundle.zone, bytes.len());
                print(&format!(
                    "zone `{zone}` at {} is at seq {seq}\nbundle {name}, {size} bytes",
                    remote.base
                ));
            }
            Format::Json => {
                print(&json!({ "zone": bundle.zone, "bundle": name, "seq": seq }).to_string());
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// A deployment that is reached over HTTP.
pub(super) struct Remote {
    base: String,
    deployment: Deployment,
    key: PrivateKey,
    client: reqwest::Client,
}

impl Remote {
    /// The deployment of the bundle's zone.
    pub(super) fn new(to: &To, bundle: &Bundle) -> Result<Self, Failure> {
        let base = to.to.clone().unwrap_or_else(|| bundle.issuer.clone());
        let base = base.trim_end_matches('/').to_owned();
        // What is signed is no secret, but an answer that anybody can forge is worth nothing.
        let loopback = ["http://127.0.0.1", "http://[::1]", "http://localhost"];
        let near = loopback.iter().any(|start| {
            base.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
        });
        if !base.starts_with("https://") && !near {
            return Err(Failure(format!("`{base}` must start with `https://`, or be on loopback")));
        }
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIME)
            .no_proxy()
            .build()?;
        let deployment =
            Deployment { zone: bundle.zone.clone(), issuer: bundle.issuer.clone(), operator: None };
        Ok(Self { base, deployment, key: operator::read(&to.operator_key)?, client })
    }

    /// Makes one request, signed, and returns its answer.
    pub(super) async fn ask(&self, step: &Step) -> Result<Value, Failure> {
        let (jti, now) = (open::draw()?.id("jti"), moment::now());
        let message =
            step.signing_input(&self.deployment, operator::ALGORITHM, jti, now).map_err(Failure)?;
        let signature = self.key.sign(message.as_bytes())?;
        let url = format!("{}{}", self.base, step.path);
        let method = reqwest::Method::from_bytes(step.method.as_bytes())?;
        let request = self
            .client
            .request(method, &url)
            .bearer_auth(format!("{message}.{}", base64url(&signature)))
            .body(step.body.clone());
        let answer = request.send().await.map_err(|error| unreachable(&url, &error))?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(|error| unreachable(&url, &error))?;
        let document: Value = serde_json::from_slice(&body).unwrap_or_default();
        if status.is_success() {
            return Ok(document);
        }
        let said = document.get("error_description").and_then(Value::as_str);
        let said = said.unwrap_or("it does not say why");
        let hint = match status.as_u16() {
            401 => "; does WRIT_OPERATOR_KEY there belong to this key, and do both clocks agree?",
            404 if step.path.starts_with("/sessions/") => {
                "; either there is no such session, or it is over, or WRIT_OPERATOR_KEY is not set there"
            }
            404 => "; is WRIT_OPERATOR_KEY set there?",
            _ => "",
        };
        Err(Failure(format!("{url} answers {}: {said}{hint}", status.as_u16())))
    }
}

fn unreachable(url: &str, error: &reqwest::Error) -> Failure {
    let mut why = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        why = cause.to_string();
        source = cause.source();
    }
    Failure(format!("{url} cannot be reached: {why}"))
}

/// For one request: a bundle of 10,000 policies takes its time to compile.
const TIME: Duration = Duration::from_secs(60);
