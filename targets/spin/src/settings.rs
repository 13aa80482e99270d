//! What the variables of `spin.toml` say, and what of it is refused.
//!
//! Spin's variables are in lower case: `WRIT_ZONE` is `writ_zone` there. The issuer comes from its
//! variable alone, never from a request.

use writ_core::deployment::{Deployment, WRAPPING_KEY};

use crate::crypto::WrappingKey;
use crate::redis::Durable;

/// How this deployment is set up.
#[derive(Debug)]
pub struct Settings {
    /// What the core is told.
    pub deployment: Deployment,
    /// What private keys are sealed with.
    pub wrapping: WrappingKey,
    /// Where partitions are.
    pub store: Store,
}

/// Where partitions are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Store {
    /// In Spin's own SQLite.
    Sqlite,
    /// In Redis.
    Redis {
        /// Its address.
        url: String,
        /// How it is known to keep what it acknowledges.
        durable: Durable,
    },
}

impl Settings {
    /// Reads the variables.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with them, a sentence each.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Vec<String>> {
        let text = |name: &str| variable(&name.to_ascii_lowercase()).unwrap_or_default();
        let mut wrong = Vec::new();
        let deployment = Deployment::read(|name| Some(text(name)));
        let issuer = text(writ_core::deployment::ISSUER);
        if let Err(more) = &deployment {
            wrong.extend(more.iter().map(|what| what.replace("WRIT_", "writ_").to_lowercase()));
        }
        let wrapping = WrappingKey::read(&text(WRAPPING_KEY));
        if wrapping.is_none() {
            wrong.push("`writ_wrapping_key` is not 32 bytes in base64url".to_owned());
        }
        let store = store(&text, &issuer).map_err(|what| wrong.push(what)).ok();
        match (deployment, wrapping, store) {
            (Ok(deployment), Some(wrapping), Some(store)) => {
                Ok(Self { deployment, wrapping, store })
            }
            _ => Err(wrong),
        }
    }
}

fn store(text: &impl Fn(&str) -> String, issuer: &str) -> Result<Store, String> {
    let url = text("redis_url");
    if !url.is_empty() {
        let durable = match text("redis_durable").as_str() {
            "" | "asked" => Durable::Asked,
            "asserted" => Durable::Asserted,
            other => {
                return Err(format!(
                    "`redis_durable` is `{other}`, and neither `asked` nor `asserted`"
                ));
            }
        };
        return Ok(Store::Redis { url, durable });
    }
    if !cfg!(feature = "sqlite") {
        return Err("this component was built without SQLite: name a Redis in the variable \
                    `redis_url`"
            .to_owned());
    }
    // Spin's SQLite is a file of one process. Behind two of them, each would take the same proof once.
    if is_loopback(issuer) || text("single_node") == "true" {
        return Ok(Store::Sqlite);
    }
    Err("Spin's SQLite serves one node alone: name a Redis in the variable `redis_url`, or set \
         `single_node` to `true` where there is and will be only one"
        .to_owned())
}

fn is_loopback(issuer: &str) -> bool {
    let rest = issuer.strip_prefix("http://").or_else(|| issuer.strip_prefix("https://"));
    let host = rest.map(|rest| match rest.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => rest,
    });
    matches!(host, Some("127.0.0.1" | "localhost" | "[::1]"))
}
