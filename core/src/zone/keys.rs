//! `keys`: where an issuer's or an application's public keys are, and key sets that were uploaded.

use serde_json::{Map, Value};
use toml::de::{DeTable, DeValue};

use super::header::Frame;
use super::names;
use super::read::{At, Item, Table, Text};
use super::url::Url;
use crate::bundle::KeySource;
use crate::jwk::{Algorithm, JwkError, PublicKey};
use crate::limits;

/// Reads `keys` of `owner`. Discovery is for issuers: `issuer` is what its document must say.
pub(super) fn read(
    owner: &Table,
    frame: &Frame,
    issuer: Option<&str>,
    algorithms: &[Algorithm],
) -> Option<KeySource> {
    let keys = owner.table("keys")?;
    let url = keys.text("url");
    let file = keys.text("file");
    let inline = keys.item("jwks");
    let discovery = issuer.and_then(|_| keys.text("discovery"));
    let host = issuer.and_then(|_| keys.text("keys_host"));
    keys.finish();
    let given = [url.is_some(), file.is_some(), inline.is_some(), discovery.is_some()];
    if given.iter().filter(|given| **given).count() != 1 {
        let discovery = if issuer.is_some() { ", `discovery`" } else { "" };
        keys.mistake(keys.at, format!("must have one of `url`{discovery}, `file` and `jwks`"));
        return None;
    }
    if let Some(host) = host
        && (discovery.is_none()
            || Url::fetched(&format!("https://{}", host.text), frame.loopback)
                .map_or(true, |url| url.host != host.text))
    {
        keys.mistake(host.at, "`keys_host` must be a host, and goes with `discovery`");
    }
    if let Some(url) = url {
        check_url(&keys, frame, "url", url);
        return Some(KeySource::Url(url.text.to_owned()));
    }
    if let (Some(url), Some(issuer)) = (discovery, issuer) {
        check_url(&keys, frame, "discovery", url);
        return Some(KeySource::Discovery {
            url: url.text.to_owned(),
            issuer: issuer.to_owned(),
            keys_host: host.map(|host| host.text.to_owned()),
        });
    }
    let keys = match (file, inline) {
        (Some(file), _) => uploaded(&keys, frame, file, algorithms)?,
        (None, Some(inline)) => {
            let set = json(inline);
            if set.is_none() {
                keys.mistake(inline.at, "`jwks` is not a JSON Web Key Set");
            }
            key_set(&keys, inline.at, "`jwks`", &set?, algorithms)
        }
        (None, None) => return None,
    };
    Some(KeySource::Uploaded(keys))
}

/// The files that `keys` tables name, wherever they are.
pub(super) fn files(table: &DeTable, names: &mut Vec<String>) {
    for (key, value) in table {
        match value.get_ref() {
            DeValue::Table(inner) => {
                let file = inner.get("file").and_then(|file| file.get_ref().as_str());
                if let ("keys", Some(file)) = (key.get_ref().as_ref(), file) {
                    names.push(file.to_owned());
                }
                files(inner, names);
            }
            DeValue::Array(rows) => rows
                .iter()
                .filter_map(|row| row.get_ref().as_table())
                .for_each(|row| files(row, names)),
            _ => {}
        }
    }
}

/// Checks a file's name: beneath the zone's directory, whatever the operator's system.
///
/// # Errors
///
/// What is wrong with it, as the rest of a sentence that begins with the name.
pub(super) fn check_file(name: &str) -> Result<(), String> {
    names::check(name)?;
    let climbs = name.split('/').any(|part| part.is_empty() || part == "." || part == "..");
    if climbs || name.contains(['\\', ':']) {
        return Err("must lie beneath the zone's directory".to_owned());
    }
    Ok(())
}

/// A TOML value as JSON; `None` where it holds a date or a number with a fraction.
pub(super) fn json(item: Item) -> Option<Value> {
    value_json(item.value)
}

fn value_json(value: &DeValue) -> Option<Value> {
    Some(match value {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Boolean(flag) => Value::from(*flag),
        DeValue::Integer(number) => {
            Value::from(i64::from_str_radix(number.as_str(), number.radix()).ok()?)
        }
        DeValue::Array(elements) => Value::Array(
            elements.iter().map(|element| value_json(element.get_ref())).collect::<Option<_>>()?,
        ),
        DeValue::Table(entries) => Value::Object(
            entries
                .iter()
                .map(|(name, value)| {
                    Some((name.get_ref().to_string(), value_json(value.get_ref())?))
                })
                .collect::<Option<_>>()?,
        ),
        DeValue::Float(_) | DeValue::Datetime(_) => return None,
    })
}

fn check_url(keys: &Table, frame: &Frame, key: &str, url: Text) {
    if let Err(wrong) = Url::fetched(url.text, frame.loopback) {
        keys.mistake(url.at, format!("`{key}` `{}` {wrong}", names::shown(url.text)));
    }
}

fn uploaded(
    keys: &Table,
    frame: &Frame,
    file: Text,
    algorithms: &[Algorithm],
) -> Option<Vec<PublicKey>> {
    let name = names::shown(file.text);
    if let Err(wrong) = check_file(file.text) {
        keys.mistake(file.at, format!("`file` `{name}` {wrong}"));
        return None;
    }
    let Some(text) = frame.uploaded.get(file.text) else {
        keys.mistake(file.at, format!("there is no file `{name}`"));
        return None;
    };
    if text.len() > limits::FETCH_BYTES {
        let most = limits::FETCH_BYTES;
        keys.report.add_to(file.text, 1, format!("a key set may have at most {most} bytes"));
        return None;
    }
    // Read twice: once for the line of a fault, once strictly, as everything from outside is.
    let read = serde_json::from_str::<Value>(text);
    if read.as_ref().is_ok_and(Value::is_object)
        && let Err(wrong) = crate::strict::object(text.as_bytes())
    {
        keys.report.add_to(file.text, 1, wrong);
        return None;
    }
    match read {
        Ok(set) => Some(key_set(keys, file.at, &format!("`{name}`"), &set, algorithms)),
        Err(error) => {
            keys.report.add_to(file.text, error.line().max(1), format!("not JSON: {error}"));
            None
        }
    }
}

/// The keys of a set. What spoils one key of a fetched set spoils an uploaded one as a whole: its
/// operator is here to be told.
fn key_set(
    table: &Table,
    at: At,
    name: &str,
    set: &Value,
    algorithms: &[Algorithm],
) -> Vec<PublicKey> {
    let Some(rows) = set.get("keys").and_then(Value::as_array) else {
        table.mistake(at, format!("{name} is not a JSON Web Key Set: it has no array `keys`"));
        return Vec::new();
    };
    if rows.is_empty() || rows.len() > limits::KEYS {
        table.mistake(at, format!("{name} must have from 1 to {} keys", limits::KEYS));
    }
    let mut keys: Vec<PublicKey> = Vec::new();
    for (count, row) in (1_usize..).zip(rows) {
        let empty = Map::new();
        match PublicKey::parse(row.as_object().unwrap_or(&empty)) {
            Ok(key) => {
                if key.kid.is_some() && keys.iter().any(|other| other.kid == key.kid) {
                    table.mistake(at, format!("{name}: key {count} has the `kid` of another one"));
                }
                keys.push(key);
            }
            // Providers publish encryption keys beside the others.
            Err(JwkError::Foreign) => {}
            Err(JwkError::Private) => {
                let advice = "it is compromised: make a new one and upload its public half";
                let message = format!("{name}: key {count} carries private members; {advice}");
                table.mistake(at, message);
            }
            Err(error) => table.mistake(at, format!("{name}: key {count}: {error}")),
        }
    }
    let serves = |key: &PublicKey| algorithms.iter().any(|algorithm| key.serves(*algorithm));
    if !keys.is_empty() && !algorithms.is_empty() && !keys.iter().any(serves) {
        let all = names::listed(algorithms.iter().map(|algorithm| algorithm.name()), "or");
        table.mistake(at, format!("{name} has no key for {all}"));
    }
    keys
}
