//! AWS's own packages, told everything: nothing is looked up in files or asked of other services.

use std::time::Duration;

use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region, SharedHttpClient};
use aws_sdk_dynamodb::error::DisplayErrorContext;
use aws_sdk_kms::primitives::Blob;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use writ_core::deployment::WRAPPING_KEY;
use writ_core::encoding::base64url;
use writ_process::crypto::WrappingKey;
use zeroize::Zeroizing;

use crate::settings::{SECRET, Settings, Wrapping};
use crate::store::Store;

/// The configuration of a service's client. The three services have types of their own for it.
macro_rules! config {
    ($service:ident, $settings:expr) => {{
        let mut config = $service::Config::builder();
        config.set_endpoint_url($settings.endpoint.clone());
        config
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new($settings.region.clone()))
            .credentials_provider($settings.credentials.clone())
            .http_client(connections())
            // What may be tried again, and for how long, is the store's affair.
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts())
            .build()
    }};
}

/// The store.
#[must_use]
pub fn store(settings: &Settings) -> Store {
    Store::new(dynamodb(settings), settings.table.clone())
}

/// The client that the store uses.
#[must_use]
pub fn dynamodb(settings: &Settings) -> aws_sdk_dynamodb::Client {
    aws_sdk_dynamodb::Client::from_conf(config!(aws_sdk_dynamodb, settings))
}

/// Gets the wrapping key from where it is.
///
/// # Errors
///
/// It cannot be had, or is none. The function does not start then.
pub async fn wrapping_key(settings: &Settings) -> Result<WrappingKey, String> {
    let (text, origin) = match &settings.wrapping {
        Wrapping::Secret(name) => {
            let config = config!(aws_sdk_secretsmanager, settings);
            let client = aws_sdk_secretsmanager::Client::from_conf(config);
            let secret = client.get_secret_value().secret_id(name).send().await;
            let secret = secret.map_err(|error| {
                format!("the secret of {SECRET} cannot be read: {}", DisplayErrorContext(error))
            })?;
            let text =
                secret.secret_string.ok_or_else(|| format!("the secret of {SECRET} is no text"))?;
            (Zeroizing::new(text), "Secrets Manager")
        }
        Wrapping::Ciphertext(bytes) => {
            let client = aws_sdk_kms::Client::from_conf(config!(aws_sdk_kms, settings));
            let decrypt = client.decrypt().ciphertext_blob(Blob::new(bytes.clone()));
            // A ciphertext made for another zone does not open.
            let decrypt =
                decrypt.encryption_context(CONTEXT, &settings.deployment.zone).send().await;
            let answer = decrypt.map_err(|error| {
                format!("KMS does not decrypt the wrapping key: {}", DisplayErrorContext(error))
            })?;
            let plain = answer.plaintext.map(|plain| Zeroizing::new(plain.into_inner()));
            let plain = plain.ok_or_else(|| "KMS gave no plaintext".to_owned())?;
            (Zeroizing::new(base64url(&plain)), "KMS")
        }
        Wrapping::Plain(text) => (text.clone(), WRAPPING_KEY),
    };
    WrappingKey::parse(&text, origin).map_err(|error| error.to_string())
}

/// The SDK's own, but for the time that a connection is kept for while nobody uses it: where an environment
/// was frozen meanwhile, the other end may have closed it, and what is sent on it fails.
fn connections() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new()
        .pool_idle_timeout(IDLE)
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .build_https()
}

/// What fails fast can be tried again within the time of one call (`limits::STORE_SECS`).
fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(1))
        .operation_attempt_timeout(Duration::from_secs(3))
        .operation_timeout(Duration::from_secs(4))
        .build()
}

/// How long an unused connection is kept: less than any load balancer keeps one for, and longer than the
/// pauses of an environment that has work.
const IDLE: Duration = Duration::from_secs(20);
/// The name in KMS's encryption context that holds the zone's.
const CONTEXT: &str = "writ-zone";
