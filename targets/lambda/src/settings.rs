//! What the function is told by its environment (template.yaml).

use aws_sdk_dynamodb::config::Credentials;
use base64ct::{Base64, Encoding};
use writ_core::deployment::{Deployment, WRAPPING_KEY};
use zeroize::Zeroizing;

/// What the function is told by its environment.
pub struct Settings {
    /// The zone that it serves, and who may change it.
    pub deployment: Deployment,
    /// The table that is the store.
    pub table: String,
    /// Where the table and the wrapping key are.
    pub region: String,
    /// Where AWS is, in tests: a server on this machine that plays it.
    pub endpoint: Option<String>,
    /// What the platform gave the function to prove itself with.
    pub credentials: Credentials,
    /// Where the wrapping key is.
    pub wrapping: Wrapping,
}

/// Where the wrapping key is.
pub enum Wrapping {
    /// In Secrets Manager, under this name.
    Secret(String),
    /// Here, encrypted by KMS.
    Ciphertext(Vec<u8>),
    /// Here, as it is. On a developer's machine only.
    Plain(Zeroizing<String>),
}

impl Settings {
    /// Reads them, each by its name.
    ///
    /// # Errors
    ///
    /// Every mistake in them.
    pub fn read(find: impl Fn(&str) -> Option<String>) -> Result<Self, Vec<String>> {
        let mut mistakes = Vec::new();
        let find = |name: &str| find(name).filter(|value| !value.is_empty());
        let mut must = |name: &str| {
            find(name).unwrap_or_else(|| {
                mistakes.push(format!("{name} is not set"));
                String::new()
            })
        };
        let (table, region) = (must("WRIT_TABLE"), must("AWS_REGION"));
        let (id, secret) = (must("AWS_ACCESS_KEY_ID"), must("AWS_SECRET_ACCESS_KEY"));
        let credentials =
            Credentials::new(id, secret, find("AWS_SESSION_TOKEN"), None, "environment");
        let deployment = Deployment::read(find);
        let endpoint = find("AWS_ENDPOINT_URL");
        if endpoint.as_deref().is_some_and(|url| !is_loopback(url)) {
            mistakes.push(
                "AWS_ENDPOINT_URL is for tests and must begin with http://127.0.0.1:".to_owned(),
            );
        }
        let places = [SECRET, CIPHERTEXT, WRAPPING_KEY].map(&find);
        let wrapping = match places {
            [Some(name), None, None] => Some(Wrapping::Secret(name)),
            [None, Some(text), None] => match Base64::decode_vec(text.trim()) {
                Ok(bytes) => Some(Wrapping::Ciphertext(bytes)),
                Err(_) => {
                    mistakes.push(format!("{CIPHERTEXT} is not base64"));
                    None
                }
            },
            // Whoever may look at a function's configuration reads its variables.
            [None, None, Some(_)] if endpoint.is_none() => {
                mistakes.push(format!(
                    "{WRAPPING_KEY} is for tests: a function's variables can be read by everybody who may \
                     look at it; use {SECRET} or {CIPHERTEXT}"
                ));
                None
            }
            [None, None, Some(key)] => Some(Wrapping::Plain(Zeroizing::new(key))),
            _ => {
                mistakes
                    .push(format!("one of {SECRET} and {CIPHERTEXT} must be set, and only one"));
                None
            }
        };
        match (deployment, wrapping) {
            (Ok(deployment), Some(wrapping)) if mistakes.is_empty() => {
                Ok(Self { deployment, table, region, endpoint, credentials, wrapping })
            }
            (deployment, _) => {
                mistakes.extend(deployment.err().into_iter().flatten());
                Err(mistakes)
            }
        }
    }
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").field("zone", &self.deployment.zone).finish_non_exhaustive()
    }
}

/// Whether the URL leads to this machine: credentials go there in the clear.
fn is_loopback(url: &str) -> bool {
    let port = url.strip_prefix("http://127.0.0.1:");
    port.is_some_and(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The variable that names the wrapping key's secret.
pub const SECRET: &str = "WRIT_WRAPPING_SECRET";
/// The variable that holds the wrapping key encrypted by KMS, in base64.
pub const CIPHERTEXT: &str = "WRIT_WRAPPING_CIPHERTEXT";

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: [(&str, &str); 7] = [
        ("WRIT_ZONE", "z"),
        ("WRIT_ISSUER", "https://auth.acme.example"),
        ("WRIT_TABLE", "t"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("WRIT_WRAPPING_SECRET", "name"),
    ];

    fn read(changes: &[(&str, &str)]) -> Result<Settings, Vec<String>> {
        Settings::read(|name| {
            let found = changes.iter().chain(&SOUND).find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn every_mistake_is_said_at_once() {
        assert!(read(&[]).is_ok());
        let mistakes = Settings::read(|_| None).unwrap_err();
        assert_eq!(mistakes.len(), 7, "{mistakes:?}");
    }

    #[test]
    fn the_wrapping_key_comes_from_one_place() {
        let two = [("WRIT_WRAPPING_CIPHERTEXT", "AAAA")];
        assert!(read(&two).is_err());
        let none = [("WRIT_WRAPPING_SECRET", "")];
        assert!(read(&none).is_err());
        let kms = [none[0], two[0]];
        assert!(
            matches!(read(&kms).unwrap().wrapping, Wrapping::Ciphertext(bytes) if bytes == [0; 3])
        );
        assert!(read(&[none[0], ("WRIT_WRAPPING_CIPHERTEXT", "?")]).is_err());
    }

    #[test]
    fn a_key_in_the_open_is_for_tests() {
        let open = [("WRIT_WRAPPING_SECRET", ""), ("WRIT_WRAPPING_KEY", "AAAA")];
        assert!(read(&open).is_err());
        let test = [open[0], open[1], ("AWS_ENDPOINT_URL", "http://127.0.0.1:5000")];
        assert!(matches!(read(&test).unwrap().wrapping, Wrapping::Plain(_)));
    }

    #[test]
    fn credentials_are_sent_in_the_clear_to_this_machine_only() {
        for (url, sound) in [
            ("http://127.0.0.1:5000", true),
            ("http://127.0.0.1:", false),
            ("http://127.0.0.1:80@evil.example", false),
            ("http://127.0.0.1.evil.example:80", false),
            ("http://evil.example", false),
            ("https://evil.example", false),
        ] {
            assert_eq!(read(&[("AWS_ENDPOINT_URL", url)]).is_ok(), sound, "{url}");
        }
    }

    #[test]
    fn s14_settings_show_no_secret() {
        assert_eq!(format!("{:?}", read(&[]).unwrap()), "Settings { zone: \"z\", .. }");
    }
}
