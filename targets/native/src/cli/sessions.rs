//! `writ sessions`.

use std::collections::BTreeSet;
use std::process::ExitCode;

use serde_json::{Value, json};
use writ_core::limits;
use writ_core::operator::Step;
use writ_core::sessions::Place;
use writ_process::moment;

use super::remote::{Remote, To};
use super::{Failure, Format, ZoneArgument, open};

pub(super) mod look;

/// List sessions, the oldest first
///
/// A session is one task's tree of credentials. It is listed if a credential was issued in it within the
/// time asked for. The list is taken from an index that may be seconds behind.
#[derive(Debug, clap::Args)]
pub(super) struct List {
    #[command(flatten)]
    place: Deployed,

    /// Only those on behalf of this user, `user:ISSUER:SUBJECT`
    #[arg(long, value_name = "ID", conflicts_with_all = ["application", "resource"])]
    user: Option<String>,

    /// Only those in which this application took part
    #[arg(long, value_name = "ID", conflicts_with = "resource")]
    application: Option<String>,

    /// Only those with a credential for this resource
    #[arg(long, value_name = "URL")]
    resource: Option<String>,

    /// Only those of so long ago at most: `90s`, `15m`, `24h`, `7d`; or since an instant, in seconds
    /// since 1970
    #[arg(long, value_name = "AGE", default_value = "24h", value_parser = since)]
    since: Since,

    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
}

/// Show a session as a tree: who acted for whom, on what, and what was denied
#[derive(Debug, clap::Args)]
pub(super) struct Show {
    /// The session's id: the claim `sid` of its tokens
    #[arg(value_parser = id)]
    session: String,

    #[command(flatten)]
    place: Deployed,
}

/// End a session: nothing is issued in it any more, and no token of it is alive
///
/// It holds from the answer on, for every instance, and for introspection. Resources that verify tokens
/// offline accept one until it expires. Ending a session that was ended changes nothing.
#[derive(Debug, clap::Args)]
pub(super) struct End {
    /// The session's id: the claim `sid` of its tokens
    #[arg(value_parser = id)]
    session: String,

    #[command(flatten)]
    place: Deployed,
}

#[derive(Debug, clap::Args)]
struct Deployed {
    #[command(flatten)]
    zone: ZoneArgument,

    #[command(flatten)]
    to: To,

    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Deployed {
    fn remote(&self) -> Result<Remote, Failure> {
        Remote::new(&self.to, &open::sound_zone(&self.zone.directory)?)
    }
}

pub(super) fn list(command: &List) -> Result<ExitCode, Failure> {
    let remote = command.place.remote()?;
    let now = moment::now();
    let from = match command.since {
        Since::Age(secs) => now.0.saturating_sub(secs),
        Since::Instant(at) => at,
    };
    let filters = [
        ("user", command.user.clone()),
        ("application", command.application.clone()),
        ("resource", command.resource.clone()),
        ("since", Some(from.max(0).to_string())),
        ("limit", Some(limits::SESSIONS.to_string())),
    ];
    let filters: Vec<String> = filters
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", encode(&value?))))
        .collect();
    let (mut sessions, mut seen) = (Vec::new(), BTreeSet::new());
    let more = open::runtime()?.block_on(async {
        let mut after = String::new();
        loop {
            let query = format!("{}{after}", filters.join("&"));
            let page = remote.ask(&Step::sessions(&query)).await?;
            for line in array(&page, "sessions") {
                if sessions.len() >= command.limit {
                    return Ok::<_, Failure>(true);
                }
                if seen.insert(text(line, "session").to_owned()) {
                    sessions.push(line.clone());
                }
            }
            let Some(next) = page.get("next").and_then(Value::as_str) else { return Ok(false) };
            after = format!("&after={next}");
        }
    })?;
    match command.place.format {
        Format::Json => put(&json!({ "sessions": sessions, "more": more }).to_string()),
        Format::Text if sessions.is_empty() => put("there is none: `--since` reaches further back"),
        Format::Text => {
            put(&look::list(&sessions, now));
            if more {
                put("there are more: `--limit` shows them, or a filter fewer");
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn show(command: &Show) -> Result<ExitCode, Failure> {
    let remote = command.place.remote()?;
    let id = &command.session;
    let session = open::runtime()?.block_on(async {
        let mut whole = remote.ask(&Step::session(id, "")).await?;
        while let Some(next) = whole.get("next").and_then(Value::as_str).map(str::to_owned) {
            let page = remote.ask(&Step::session(id, &format!("after={next}"))).await?;
            join(&mut whole, page);
        }
        Ok::<_, Failure>(whole)
    })?;
    match command.place.format {
        Format::Json => put(&session.to_string()),
        Format::Text => put(&look::tree(&session, moment::now())),
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn end(command: &End) -> Result<ExitCode, Failure> {
    let remote = command.place.remote()?;
    let id = &command.session;
    open::runtime()?.block_on(remote.ask(&Step::end(id)))?;
    match command.place.format {
        Format::Json => put(&json!({ "session": id, "state": "ended" }).to_string()),
        Format::Text => put(&format!("session {id} is ended")),
    }
    Ok(ExitCode::SUCCESS)
}

/// Adds a further page to a session; what stands on every page is as fresh as the last.
fn join(whole: &mut Value, page: Value) {
    let (Some(whole), Value::Object(page)) = (whole.as_object_mut(), page) else { return };
    for (name, value) in page {
        match (whole.get_mut(&name), value) {
            (Some(Value::Array(all)), Value::Array(more)) => all.extend(more),
            // The count of denials is on one page alone.
            (Some(count), more) if name == "denials" => {
                if more.as_u64() > count.as_u64() {
                    *count = more;
                }
            }
            (_, value) => {
                whole.insert(name, value);
            }
        }
    }
}

fn array<'a>(document: &'a Value, name: &str) -> &'a [Value] {
    document.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn text<'a>(document: &'a Value, name: &str) -> &'a str {
    document.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Writes what is coloured on a terminal alone. Where nobody reads it, nobody misses it.
pub(super) fn put(text: &str) {
    use std::io::Write;
    let _ = writeln!(anstream::stdout().lock(), "{text}");
}

/// When a list begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Since {
    Age(i64),
    Instant(i64),
}

fn since(text: &str) -> Result<Since, String> {
    let wrong =
        || format!("`{text}` is neither an age such as `15m`, `24h` or `7d`, nor an instant");
    let number = |digits: &str| {
        let digit = |byte: u8| byte.is_ascii_digit();
        digits.bytes().all(digit).then(|| digits.parse::<i64>().ok()).flatten().ok_or_else(wrong)
    };
    for (unit, secs) in [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400)] {
        if let Some(digits) = text.strip_suffix(unit) {
            return Ok(Since::Age(number(digits)?.saturating_mul(secs)));
        }
    }
    number(text).map(Since::Instant)
}

fn id(text: &str) -> Result<String, String> {
    match Place::find(&format!("sessions/{text}")) {
        Some(Place::One(id)) => Ok(id),
        _ => Err("a session's id is the claim `sid` of its tokens".to_owned()),
    }
}

/// Percent-encodes all but what needs none (RFC 3986 §2.3), so that nothing on the way writes the query
/// otherwise than it was signed.
fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_instants_are_read() {
        assert_eq!(since("15m"), Ok(Since::Age(900)));
        assert_eq!(since("7d"), Ok(Since::Age(604_800)));
        assert_eq!(since("1800000000"), Ok(Since::Instant(1_800_000_000)));
        for wrong in ["", "h", "-1h", "1.5h", "yesterday", "１h"] {
            assert!(since(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn queries_and_ids_are_what_they_seem() {
        assert_eq!(encode("user:idp:a b/ü"), "user%3Aidp%3Aa%20b%2F%C3%BC");
        assert!(id("abc-_9").is_ok());
        for wrong in ["", "a/b", "a%2f", "../x", "a/complete"] {
            assert!(id(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn pages_are_one_session() {
        let mut whole = json!({ "hops": [1], "denials": 3, "state": "active", "next": "x" });
        join(&mut whole, json!({ "hops": [2], "denials": 0, "state": "ended", "next": null }));
        let expected = json!({ "hops": [1, 2], "denials": 3, "state": "ended", "next": null });
        assert_eq!(whole, expected);
    }
}
