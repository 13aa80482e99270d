//! How a target's figures grow with policies, applications and sessions.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use serde::Serialize;
use serde_json::Value;
use writ_process::moment::instant;

use crate::load::{Requests, Until};
use crate::measure::{self, Effort};
use crate::target::{Kind, Served};
use crate::zone::Size;

/// What grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum What {
    Policies,
    Applications,
    Sessions,
}

/// One step.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Step {
    /// What there are more of.
    pub(crate) what: What,
    /// How many.
    pub(crate) count: usize,
    /// The figures, or why there are none.
    pub(crate) outcome: Result<Grown, String>,
}

/// The figures of a step.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Grown {
    /// Processor time of the serving processes for an exchange, in microseconds.
    pub(crate) cpu_micros: f64,
    /// Half of the exchanges took at most so long, one at a time, in milliseconds.
    pub p50_millis: f64,
    /// All but one in a hundred.
    pub p99_millis: f64,
    /// Resident memory of a serving process afterwards, in bytes.
    pub(crate) resident: u64,
    /// The first exchange after a start, in milliseconds.
    pub(crate) first_millis: f64,
    /// How long it took to publish the zone, or to make the sessions, in seconds.
    pub(crate) made_secs: f64,
    /// How the sessions were made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) made: Option<&'static str>,
}

/// The counts to go through.
#[derive(Clone, Debug)]
pub(crate) struct Counts {
    /// Of policies.
    pub(crate) policies: Vec<usize>,
    /// Of applications.
    pub(crate) applications: Vec<usize>,
    /// Of sessions.
    pub(crate) sessions: Vec<usize>,
    /// How long exchanges may be made to get so many.
    pub(crate) patience: Duration,
}

/// Goes through the counts on a target that was just started.
pub(crate) fn steps(
    kind: &Kind,
    served: &mut Served,
    requests: &Requests,
    effort: Effort,
    counts: &Counts,
    told: &dyn Fn(&Step),
) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut add = |what, count, outcome| {
        let step = Step { what, count, outcome };
        told(&step);
        steps.push(step);
    };
    let policies = counts.policies.iter().map(|&policies| Size { policies, ..Size::BASE });
    let applications =
        counts.applications.iter().map(|&applications| Size { applications, ..Size::BASE });
    for size in policies {
        add(What::Policies, size.policies, of_size(kind, served, requests, effort, size));
    }
    for size in applications {
        add(What::Applications, size.applications, of_size(kind, served, requests, effort, size));
    }
    if !counts.sessions.is_empty()
        && let Err(error) = served.publish(Size::BASE)
    {
        add(What::Sessions, 0, Err(error));
        return steps;
    }
    let mut there = 0;
    for &count in &counts.sessions {
        let outcome = sessions(kind, served, requests, effort, &mut there, count, counts.patience);
        add(What::Sessions, there, outcome);
    }
    steps
}

fn of_size(
    kind: &Kind,
    served: &mut Served,
    requests: &Requests,
    effort: Effort,
    size: Size,
) -> Result<Grown, String> {
    let began = instant();
    served.publish(size)?;
    let made_secs = began.elapsed().as_secs_f64();
    grown(kind, served, requests, effort, made_secs, None)
}

fn sessions(
    kind: &Kind,
    served: &mut Served,
    requests: &Requests,
    effort: Effort,
    there: &mut usize,
    count: usize,
    patience: Duration,
) -> Result<Grown, String> {
    let began = instant();
    let wanted = count.saturating_sub(*there);
    let copied = match kind.name {
        "native" => Some(("data/writ.db", multiply as fn(&Path, usize) -> Result<(), String>)),
        "lambda" => Some(("items.json", multiply_items as _)),
        _ => None,
    };
    let made = if let Some((file, multiply)) = copied {
        let Served::Writ(running) = &*served else { return Err("it has no store".to_owned()) };
        let path = running.path(file);
        requests.once(&served.authority())?;
        served.stop();
        multiply(&path, wanted)?;
        *there += wanted;
        "what a real exchange left in the store, copied under other ids while it was stopped"
    } else {
        let until = Until { time: patience, answers: wanted };
        let heard = requests.send(&served.authority(), kind.clients, until);
        *there += heard.times.len();
        "exchanges"
    };
    grown(kind, served, requests, effort, began.elapsed().as_secs_f64(), Some(made))
}

fn grown(
    kind: &Kind,
    served: &mut Served,
    requests: &Requests,
    effort: Effort,
    made_secs: f64,
    made: Option<&'static str>,
) -> Result<Grown, String> {
    let (start, _) = measure::start(kind, served, requests, 1)?;
    let busy = measure::busy(kind, served, requests, effort);
    if let Some(failure) = busy.failure {
        return Err(format!(
            "{} of {} failed: {failure}",
            busy.failed,
            busy.exchanges + busy.failed
        ));
    }
    let alone = measure::alone(served, requests, effort.alone);
    let usage = measure::serving(kind, served);
    Ok(Grown {
        cpu_micros: busy.cpu_micros[0],
        p50_millis: alone.p50,
        p99_millis: alone.p99,
        resident: usage.resident / u64::try_from(usage.processes.max(1)).unwrap_or(1),
        first_millis: start.exchange,
        made_secs,
        made,
    })
}

/// Copies the rows of one session so many times, each copy under an id of its own: a million
/// exchanges would take an hour and leave the same rows.
fn multiply(path: &Path, copies: usize) -> Result<(), String> {
    multiply_rows(path, copies).map_err(|error| error.to_string())
}

fn multiply_rows(path: &Path, copies: usize) -> rusqlite::Result<()> {
    let connection = Connection::open(path)?;
    // Nothing else has the file open, and a copy that breaks off is thrown away.
    connection.execute_batch(
        "PRAGMA synchronous = OFF; PRAGMA cache_size = -1000000; PRAGMA temp_store = MEMORY;",
    )?;
    connection.execute_batch(&format!(
        "BEGIN;
         CREATE TEMP TABLE one AS SELECT id FROM record WHERE kind = 'session' AND key = 'opened'
             ORDER BY rowid DESC LIMIT 1;
         CREATE TEMP TABLE copy AS
             WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number LIMIT {copies})
             SELECT substr(hex(randomblob(16)), 1, 22) AS id FROM number;
         INSERT INTO record (zone, kind, id, key, expires, version, batch, value)
             SELECT zone, kind, copy.id, key, expires, version, batch, value
             FROM copy, record WHERE record.id = (SELECT id FROM one);
         INSERT INTO entry (zone, name, value, at, kind, id, key, expires)
             SELECT zone, name, value, at, kind, copy.id, key, expires
             FROM copy, entry WHERE entry.id = (SELECT id FROM one);
         COMMIT;
         PRAGMA wal_checkpoint(TRUNCATE);"
    ))
}

/// The same for the items that the stand-in for DynamoDB keeps while it is stopped (tests/lambda/aws.py): it
/// makes a few hundred sessions a minute. A session's id is in the keys of each of its items.
fn multiply_items(path: &Path, copies: usize) -> Result<(), String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let items: Vec<Value> = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let opened = items.iter().rev().find(|item| item.get("opened").is_some());
    let partition = opened.and_then(|item| item.pointer("/pk/S")?.as_str());
    let id = partition.and_then(|partition| partition.rsplit(' ').next());
    let id = id.ok_or("no session is among the items")?;
    let of_session = items.iter().map(Value::to_string).filter(|item| item.contains(id));
    let session = of_session.collect::<Vec<_>>().join(",\n");
    let whole = text.trim_end().strip_suffix(']').ok_or("the items are no list")?;
    let mut file = BufWriter::new(File::create(path).map_err(|error| error.to_string())?);
    let mut write = |text: &str| file.write_all(text.as_bytes()).map_err(|error| error.to_string());
    write(whole)?;
    for number in 0..copies {
        write(",\n")?;
        write(&session.replace(id, &format!("copy-{number:017}")))?;
    }
    write("]")?;
    file.flush().map_err(|error| error.to_string())
}
