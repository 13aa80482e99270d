//! `writ verify`.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};
use writ_core::host::Unavailable;
use writ_core::jwt::Unverified;
use writ_core::moment::Timestamp;
use writ_core::verifier::{
    self, Call, Check, Reason, Rejected, Standing, Status, Verified, Verifier,
};
use writ_core::{limits, zone};
use writ_process::moment;
use writ_process::resource::Resource;

use super::sessions::look::{BAD, FAINT, GOOD, STRONG, instant, paint, plain, span};
use super::sessions::put;
use super::{Failure, Format, open};

/// Verify a token as a resource server does, and say what is wrong with it
///
/// Fetches the issuer's metadata, keys and status list, and makes every check that an API has to make,
/// in order, to the first that fails. What the token says of its issuer is not believed: name the one
/// that the API trusts.
///
/// Exits with 0 where the token is valid, with 1 where it is not, and with 2 where that cannot be told:
/// the issuer does not answer, or the command line makes no sense.
#[derive(Debug, clap::Args)]
pub(super) struct Verify {
    /// The token, or `-` to read it from standard input
    ///
    /// A token on a command line is in the shell's history and in the list of processes until it
    /// expires: `writ verify - < token` leaves it in neither.
    #[arg(value_name = "TOKEN")]
    token: String,

    /// The issuer that the API trusts, such as `https://auth.example`
    #[arg(long, value_name = "URL", required_unless_present = "zone", conflicts_with = "zone")]
    issuer: Option<String>,

    /// Directory of the zone, where its files are at hand: its issuer is meant
    #[arg(long, value_name = "DIR")]
    zone: Option<PathBuf>,

    /// The resource that the token must be for; without it the audience is shown and not compared
    #[arg(long, value_name = "RESOURCE")]
    audience: Option<String>,

    /// The DPoP proof that came with it, where the token is bound to a key
    #[arg(long, value_name = "PROOF", requires = "method", requires = "url")]
    dpop: Option<String>,

    /// The method of the request that the proof was made for
    #[arg(long, value_name = "METHOD", requires = "dpop")]
    method: Option<String>,

    /// The URL of the request that the proof was made for
    #[arg(long, value_name = "URL", requires = "dpop")]
    url: Option<String>,

    /// Do not ask whether its session was ended
    #[arg(long)]
    no_status: bool,

    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(super) fn run(command: &Verify) -> ExitCode {
    match verdict(command) {
        Ok(code) => code,
        // 1 would say that the token is not valid.
        Err(Failure(message)) => {
            let _ = writeln!(std::io::stderr().lock(), "writ: {message}");
            ExitCode::from(UNKNOWN)
        }
    }
}

fn verdict(command: &Verify) -> Result<ExitCode, Failure> {
    let token = token(&command.token)?;
    let claimed = Claimed::read(&token);
    let verifier = command.verifier(&claimed)?;
    let now = moment::now();
    let outcome = open::runtime()?.block_on(command.ask(&verifier, &token, now));
    let checks = checks(&outcome, command, &claimed, now);
    match command.format {
        Format::Text => put(&text(&outcome, &checks, now)),
        Format::Json => put(&document(&outcome, &checks).to_string()),
    }
    Ok(match outcome {
        Ok(_) => ExitCode::SUCCESS,
        Err(Rejected::Refused(_)) => ExitCode::FAILURE,
        Err(Rejected::Unknown(..)) => ExitCode::from(UNKNOWN),
    })
}

impl Verify {
    fn verifier(&self, claimed: &Claimed) -> Result<Verifier, Failure> {
        let issuer = match (&self.issuer, &self.zone) {
            (Some(issuer), _) => issuer.clone(),
            (None, Some(directory)) => open::sound_zone(directory)?.issuer,
            (None, None) => return Err(Failure("name the issuer with `--issuer`".to_owned())),
        };
        if let Err(wrong) = zone::check_issuer(&issuer) {
            return Err(Failure(format!("`--issuer` {wrong}")));
        }
        // Whoever names a loopback address means this machine.
        let loopback = issuer.starts_with("http://");
        let audience = self.audience.clone().unwrap_or_else(|| claimed.audience.clone());
        let status = if self.no_status { Status::Ignored } else { Status::Required };
        let verifier = Verifier::new(issuer, audience);
        Ok(Verifier { status, danger_allow_http_loopback: loopback, ..verifier })
    }

    async fn ask(
        &self,
        verifier: &Verifier,
        token: &str,
        now: Timestamp,
    ) -> Result<Verified, Rejected> {
        let scheme = if self.dpop.is_some() { "DPoP" } else { "Bearer" };
        let mut headers = vec![("authorization".to_owned(), format!("{scheme} {token}"))];
        headers.extend(self.dpop.iter().map(|proof| ("dpop".to_owned(), proof.clone())));
        let call = Call {
            method: self.method.as_deref().unwrap_or_default(),
            url: self.url.as_deref().unwrap_or_default(),
            headers: &headers,
        };
        verifier::verify(&Resource::default(), verifier, &call, now).await
    }
}

/// The token that was named: as it is, or what standard input holds.
fn token(named: &str) -> Result<String, Failure> {
    if named != "-" {
        return Ok(named.to_owned());
    }
    let mut text = String::new();
    // A little more than a token may have, so that one that is too long is called that.
    let most = limits::TOKEN_BYTES.saturating_add(16);
    let input = std::io::stdin().lock();
    input
        .take(u64::try_from(most).unwrap_or(u64::MAX))
        .read_to_string(&mut text)
        .map_err(|error| Failure(format!("standard input cannot be read: {error}")))?;
    Ok(text.trim().to_owned())
}

/// What a token says of itself, before anything of it is known to be true: to be shown, and to stand
/// in for the audience that nobody named.
struct Claimed {
    audience: String,
    key: String,
}

impl Claimed {
    fn read(token: &str) -> Self {
        let Ok(token) = Unverified::parse(token) else {
            return Self { audience: String::new(), key: String::new() };
        };
        let audience = token.unverified_claim("aud").and_then(Value::as_str);
        let key =
            format!("{} {}", token.algorithm.name(), token.kid.as_deref().unwrap_or_default());
        Self { audience: audience.unwrap_or_default().to_owned(), key }
    }
}

/// What became of a check.
struct Checked {
    check: Check,
    mark: Mark,
    detail: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Passed,
    Failed,
    /// It could not be made.
    Unknown,
    /// It was not made, because an earlier one failed or nobody asked for it.
    Skipped,
}

impl Mark {
    const fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Skipped => "skipped",
        }
    }
}

/// The checks, in order, to the first that did not pass.
fn checks(
    outcome: &Result<Verified, Rejected>,
    command: &Verify,
    claimed: &Claimed,
    now: Timestamp,
) -> Vec<Checked> {
    let stop = match outcome {
        Ok(_) => None,
        Err(Rejected::Refused(refused)) => {
            let hint = match refused.reason {
                Reason::Bound => ": show the proof with `--dpop`",
                Reason::Revoked => ": it, or a session that shares the entry, was ended",
                _ => "",
            };
            let detail = format!("{}{hint}", refused.detail);
            Some((refused.reason.check(), Mark::Failed, detail))
        }
        Err(Rejected::Unknown(check, Unavailable(why))) => {
            Some((*check, Mark::Unknown, why.clone()))
        }
    };
    let all = Check::ALL.into_iter().map(|check| match &stop {
        Some((at, ..)) if check > *at => {
            Checked { check, mark: Mark::Skipped, detail: String::new() }
        }
        Some((at, mark, detail)) if check == *at => {
            Checked { check, mark: *mark, detail: plain(detail) }
        }
        _ => passed(check, outcome.as_ref().ok(), command, claimed, now),
    });
    all.collect()
}

/// A check that did not fail, and what it found.
fn passed(
    check: Check,
    verified: Option<&Verified>,
    command: &Verify,
    claimed: &Claimed,
    now: Timestamp,
) -> Checked {
    let mut mark = Mark::Passed;
    let of = |found: fn(&Verified, Timestamp) -> String| {
        verified.map(|verified| found(verified, now)).unwrap_or_default()
    };
    let detail = match check {
        Check::Key => plain(&claimed.key),
        Check::Audience if command.audience.is_none() => {
            mark = Mark::Skipped;
            format!(
                "{} (not compared: name the resource with `--audience`)",
                plain(&claimed.audience)
            )
        }
        Check::Audience => plain(&claimed.audience),
        Check::Lifetime => of(|verified, now| match verified.expires.since(now) {
            left @ 1.. => format!("{} left", span(left)),
            over => {
                format!("it expired {} s ago, within what clocks may differ", over.saturating_neg())
            }
        }),
        Check::Binding => of(|verified, _| match &verified.key {
            Some(key) => format!("bound to the key {}, of which the proof is", plain(key)),
            None => "a bearer token".to_owned(),
        }),
        Check::Status => {
            if verified.is_some_and(|verified| {
                matches!(verified.standing, Standing::Unlisted | Standing::Ignored)
            }) {
                mark = Mark::Skipped;
            }
            of(|verified, now| match &verified.standing {
                Standing::Unlisted => {
                    "it names no list: an API that asks for one refuses it".to_owned()
                }
                Standing::Ignored => "not asked".to_owned(),
                Standing::Alive(at) => format!("alive, as of {} ago", span(now.since(*at).max(0))),
                Standing::Unknown(why) => plain(why),
            })
        }
        Check::Token | Check::Issuer | Check::Signature | Check::Claims | Check::Scope => {
            String::new()
        }
    };
    Checked { check, mark, detail }
}

/// As people read it: the checks, then what the token says.
fn text(outcome: &Result<Verified, Rejected>, checks: &[Checked], now: Timestamp) -> String {
    let line = |checked: &Checked| {
        let mark = match checked.mark {
            Mark::Passed => paint(GOOD, "✓"),
            Mark::Failed => paint(BAD, "✗"),
            Mark::Unknown => paint(BAD, "?"),
            Mark::Skipped => paint(FAINT, "-"),
        };
        format!("{mark} {:<9}  {}", checked.check.name(), checked.detail).trim_end().to_owned()
    };
    let mut lines: Vec<String> = checks.iter().map(line).collect();
    lines.push(String::new());
    match outcome {
        Ok(verified) => {
            lines.push(paint(GOOD, "valid"));
            lines.extend(said(verified, now));
        }
        Err(Rejected::Refused(refused)) => {
            lines.push(format!("{}: {}", paint(BAD, "not valid"), refused.reason.code()));
        }
        Err(Rejected::Unknown(..)) => {
            lines.push(format!("{}: ask again", paint(BAD, "cannot be told now")));
        }
    }
    lines.join("\n")
}

/// What a valid token says, a line each.
fn said(verified: &Verified, now: Timestamp) -> Vec<String> {
    let task = verified.task.as_ref().map(|(name, id)| match id {
        Some(id) => format!("{name} {id}"),
        None => name.clone(),
    });
    let joined = |words: &[String], between: &str| {
        (!words.is_empty()).then(|| words.join(between)).map(|text| plain(&text))
    };
    let expires = instant(verified.expires.0);
    let left = span(verified.expires.since(now).max(0));
    let rows = [
        ("subject", Some(paint(STRONG, &plain(&verified.subject)))),
        ("actors", joined(&verified.actors, " for ")),
        ("client", Some(plain(&verified.client_id))),
        ("scopes", joined(&verified.scopes, " ")),
        ("task", task.map(|task| plain(&task))),
        ("session", Some(plain(&verified.session))),
        ("token", Some(plain(&verified.id))),
        ("expires", Some(format!("{expires}, {left} left"))),
    ];
    let row = |(name, value): (&str, Option<String>)| Some(format!("  {name:<7}  {}", value?));
    rows.into_iter().filter_map(row).collect()
}

/// For programs.
fn document(outcome: &Result<Verified, Rejected>, checks: &[Checked]) -> Value {
    let checks: Vec<Value> = checks
        .iter()
        .map(|checked| {
            json!({
                "check": checked.check.name(),
                "result": checked.mark.name(),
                "detail": checked.detail,
            })
        })
        .collect();
    let (valid, reason) = match outcome {
        Ok(_) => (Some(true), None),
        Err(Rejected::Refused(refused)) => (Some(false), Some(refused.reason.code())),
        Err(Rejected::Unknown(..)) => (None, None),
    };
    let claims = outcome.as_ref().ok().and_then(|verified| verified.claims.pointer("").cloned());
    json!({ "valid": valid, "reason": reason, "checks": checks, "claims": claims })
}

/// The exit code of what cannot be told.
const UNKNOWN: u8 = 2;
