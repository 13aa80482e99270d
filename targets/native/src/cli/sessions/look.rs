//! How sessions look to people.

use std::collections::{BTreeMap, BTreeSet};

use anstyle::{AnsiColor, Style};
use serde_json::Value;
use writ_core::moment::Timestamp;

use super::{array, text};

pub(in crate::cli) const STRONG: Style = Style::new().bold();
pub(in crate::cli) const FAINT: Style = Style::new().dimmed();
pub(in crate::cli) const GOOD: Style = AnsiColor::Green.on_default().bold();
pub(in crate::cli) const BAD: Style = AnsiColor::Red.on_default().bold();

/// One line a session.
pub(super) fn list(sessions: &[Value], now: Timestamp) -> String {
    sessions.iter().map(|line| listed(line, now)).collect::<Vec<_>>().join("\n")
}

fn listed(line: &Value, now: Timestamp) -> String {
    let state = state(&format!("{:<7}", text(line, "state")));
    let session = paint(STRONG, &plain(text(line, "session")));
    let at = instant(number(line, "at").unwrap_or_default());
    let whose = match line.get("opened").filter(|opened| opened.is_object()) {
        Some(opened) => opening(opened),
        // Its opening is forgotten; a hop of it is there.
        None => line.get("hop").map(|hop| behalf(text(hop, "client"), hop)).unwrap_or_default(),
    };
    let ends = remaining(line, now).map(|ends| paint(FAINT, &format!("  {ends}")));
    format!("{state}  {at}  {session}  {whose}{}", ends.unwrap_or_default())
}

/// A session and all below it.
pub(super) fn tree(session: &Value, now: Timestamp) -> String {
    let id = paint(STRONG, &plain(text(session, "session")));
    let mut lines = vec![format!("session {id}  {}", state(text(session, "state")))];
    if let Some(opened) = session.get("opened").filter(|opened| opened.is_object()) {
        let at = instant(number(opened, "at").unwrap_or_default());
        let ends = remaining(session, now).map(|ends| format!(", {ends}")).unwrap_or_default();
        lines.push(format!("opened {at} by {}{ends}", opening(opened)));
    }
    if let Some(ended) = session.get("ended").filter(|ended| ended.is_object()) {
        let at = instant(number(ended, "at").unwrap_or_default());
        let by = ended.pointer("/by/application").and_then(Value::as_str);
        lines.push(format!("ended  {at} by {}", plain(by.unwrap_or("the operator"))));
    }
    let revoked: BTreeMap<&str, i64> = array(session, "revoked")
        .iter()
        .map(|fact| (text(fact, "hop"), number(fact, "at").unwrap_or_default()))
        .collect();
    let mut hops: Vec<&Value> = array(session, "hops").iter().collect();
    hops.sort_by_key(|hop| (number(hop, "time"), text(hop, "hop").to_owned()));
    let there: BTreeSet<&str> = hops.iter().map(|hop| text(hop, "hop")).collect();
    let mut below: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for hop in hops {
        // A parent that is not there was forgotten: its hops are roots, as those without one are.
        let parent = Some(text(hop, "parent")).filter(|parent| there.contains(parent));
        below.entry(parent.unwrap_or_default()).or_default().push(hop);
    }
    let roots = below.get("").cloned().unwrap_or_default();
    for (index, root) in roots.iter().enumerate() {
        let last = index.saturating_add(1) == roots.len();
        branch(&mut lines, root, "", last, &below, &revoked, now);
    }
    denials(&mut lines, session);
    lines.join("\n")
}

/// A hop and those below it. A path has at most eight hops, so this goes no deeper.
fn branch(
    lines: &mut Vec<String>,
    hop: &Value,
    lead: &str,
    last: bool,
    below: &BTreeMap<&str, Vec<&Value>>,
    revoked: &BTreeMap<&str, i64>,
    now: Timestamp,
) {
    let (corner, further) = if last { ("└ ", "  ") } else { ("├ ", "│ ") };
    lines.push(format!("{}{}", paint(FAINT, &format!("{lead}{corner}")), line(hop, revoked, now)));
    let children = below.get(text(hop, "hop")).map(Vec::as_slice).unwrap_or_default();
    let lead = format!("{lead}{further}");
    for (index, child) in children.iter().enumerate() {
        let last = index.saturating_add(1) == children.len();
        branch(lines, child, &lead, last, below, revoked, now);
    }
}

fn line(hop: &Value, revoked: &BTreeMap<&str, i64>, now: Timestamp) -> String {
    let actor = paint(STRONG, &plain(text(hop, "actor")));
    let resource = plain(text(hop, "resource"));
    let scopes: Vec<String> =
        array(hop, "scopes").iter().filter_map(Value::as_str).map(plain).collect();
    let at = instant(number(hop, "time").unwrap_or_default());
    let id = plain(text(hop, "hop"));
    let fate = match (revoked.get(text(hop, "hop")), number(hop, "expires")) {
        (Some(at), _) => paint(BAD, &format!("revoked {}", instant(*at))),
        (None, Some(expires)) if expires <= now.0 => paint(FAINT, "expired"),
        (None, Some(expires)) => {
            paint(GOOD, &format!("{} left", span(expires.saturating_sub(now.0))))
        }
        (None, None) => String::new(),
    };
    let scopes = if scopes.is_empty() { String::new() } else { format!(" {}", scopes.join(" ")) };
    format!("{actor} → {resource}{scopes}  {}  {fate}", paint(FAINT, &format!("{at}  {id}")))
}

fn denials(lines: &mut Vec<String>, session: &Value) {
    let mut denied: Vec<&Value> = array(session, "denied").iter().collect();
    denied.sort_by_key(|denial| number(denial, "time"));
    let count = number(session, "denials").unwrap_or_default();
    let (shown, count) = (denied.len(), usize::try_from(count).unwrap_or_default());
    for denial in denied {
        let at = instant(number(denial, "time").unwrap_or_default());
        let who = plain(text(denial, "client"));
        let resource = plain(text(denial, "resource"));
        let reason = plain(text(denial, "reason"));
        let policies: Vec<&str> =
            array(denial, "policies").iter().filter_map(Value::as_str).collect();
        let by =
            if policies.is_empty() { String::new() } else { format!(" {}", policies.join(" ")) };
        let denied = paint(BAD, "denied");
        lines.push(format!("{denied} {at} {who} → {resource}  {reason}{}", plain(&by)));
    }
    if count > shown {
        lines.push(format!("{count} denials in all"));
    }
}

fn opening(opened: &Value) -> String {
    behalf(text(opened, "application"), opened)
}

/// Who acts, for whom, at which task.
fn behalf(application: &str, of: &Value) -> String {
    let subject = text(of, "subject");
    let subject =
        if subject == application { String::new() } else { format!(" for {}", plain(subject)) };
    let task = of.get("task");
    let (name, id) = match task {
        Some(Value::String(name)) => (name.as_str(), text(of, "task_id")),
        Some(task) => (text(task, "name"), text(task, "id")),
        None => ("", ""),
    };
    let task = match (name, id) {
        ("", "") => String::new(),
        (name, "") => format!(", task {}", plain(name)),
        (name, id) => format!(", task {} {}", plain(name), plain(id)),
    };
    format!("{}{subject}{task}", plain(application))
}

fn state(state: &str) -> String {
    let style = match state.trim_end() {
        "active" => GOOD,
        "ended" => BAD,
        _ => FAINT,
    };
    paint(style, state)
}

/// How long an active session has left.
fn remaining(session: &Value, now: Timestamp) -> Option<String> {
    let ends = session.pointer("/opened/ends").and_then(Value::as_i64)?;
    let active = text(session, "state") == "active";
    active.then(|| format!("ends in {}", span(ends.saturating_sub(now.0))))
}

/// A span, in its largest whole unit.
pub(in crate::cli) fn span(secs: i64) -> String {
    match secs {
        ..120 => format!("{secs} s"),
        120..7_200 => format!("{} min", secs.div_euclid(60)),
        7_200..172_800 => format!("{} h", secs.div_euclid(3_600)),
        _ => format!("{} days", secs.div_euclid(86_400)),
    }
}

/// An instant in UTC (RFC 3339), by the civil calendar with the year beginning in March.
pub(in crate::cli) fn instant(secs: i64) -> String {
    let (days, second) = (secs.div_euclid(86_400), secs.rem_euclid(86_400));
    let shifted = days.saturating_add(719_468);
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let leaps = [(1_460, -1), (36_524, 1), (146_096, -1)];
    let counted = leaps.iter().fold(day, |sum, (period, sign)| {
        sum.saturating_add(day.div_euclid(*period).saturating_mul(*sign))
    });
    let year = counted.div_euclid(365);
    let before = year
        .saturating_mul(365)
        .saturating_add(year.div_euclid(4))
        .saturating_sub(year.div_euclid(100));
    let day_of_year = day.saturating_sub(before);
    let month = day_of_year.saturating_mul(5).saturating_add(2).div_euclid(153);
    let days_before = month.saturating_mul(153).saturating_add(2).div_euclid(5);
    let date = day_of_year.saturating_sub(days_before).saturating_add(1);
    let month = if month < 10 { month.saturating_add(3) } else { month.saturating_sub(9) };
    let year = era.saturating_mul(400).saturating_add(year);
    let year = if month <= 2 { year.saturating_add(1) } else { year };
    let (hour, minute) = (second.div_euclid(3_600), second.div_euclid(60).rem_euclid(60));
    let second = second.rem_euclid(60);
    format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}Z")
}

fn number(document: &Value, name: &str) -> Option<i64> {
    document.get(name).and_then(Value::as_i64)
}

pub(in crate::cli) fn paint(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// Without what could steer a terminal: some of it is the caller's.
pub(in crate::cli) fn plain(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bare(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn instants_are_those_of_the_calendar() {
        for (secs, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_800_000_000, "2027-01-15T08:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(instant(secs), expected);
        }
    }

    #[test]
    fn a_session_is_a_tree() {
        let hop = |id: &str, parent: Option<&str>, actor: &str, time: i64| {
            json!({ "hop": id, "parent": parent, "actor": actor, "time": time,
                "expires": time + 100, "resource": format!("https://{id}.example"),
                "scopes": ["read"] })
        };
        let session = json!({
            "session": "s1", "state": "ended",
            "opened": { "at": 0, "ends": 3_600, "subject": "user:idp:u", "application": "agent",
                "task": { "name": "release", "id": "r-1" } },
            "ended": { "at": 60, "by": "operator" },
            "hops": [hop("d", Some("b"), "deep", 4), hop("b", Some("a"), "second", 2),
                hop("c", Some("a"), "third", 3), hop("a", None, "agent", 1)],
            "revoked": [{ "hop": "c", "at": 5 }],
            "denied": [{ "time": 7, "client": "agent", "resource": "https://x.example",
                "reason": "policy_forbids", "policies": ["no\u{1b}[31mpii"] }],
            "denials": 300,
        });
        let expected = "\
session s1  ended
opened 1970-01-01T00:00:00Z by agent for user:idp:u, task release r-1
ended  1970-01-01T00:01:00Z by the operator
└ agent → https://a.example read  1970-01-01T00:00:01Z  a  51 s left
  ├ second → https://b.example read  1970-01-01T00:00:02Z  b  52 s left
  │ └ deep → https://d.example read  1970-01-01T00:00:04Z  d  54 s left
  └ third → https://c.example read  1970-01-01T00:00:03Z  c  revoked 1970-01-01T00:00:05Z
denied 1970-01-01T00:00:07Z agent → https://x.example  policy_forbids no[31mpii
300 denials in all";
        assert_eq!(bare(&tree(&session, Timestamp(50))), expected);
        let line = list(std::slice::from_ref(&session), Timestamp(50));
        assert!(bare(&line).starts_with("ended    1970"), "{line}");
    }
}
