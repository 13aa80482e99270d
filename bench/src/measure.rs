//! One target: what an exchange costs when it is busy, how long one alone takes, how it starts.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::Duration;

use serde::Serialize;
use writ_process::moment::instant;

use crate::load::{Heard, Requests, Until};
use crate::processes::{self, Usage};
use crate::target::{Kind, Served};
use crate::zone;

/// How long everything takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Rounds under load.
    pub(crate) rounds: usize,
    /// How long a round is.
    pub(crate) round: Duration,
    /// How long nothing is asked, to learn what is consumed then.
    pub(crate) idle: Duration,
    /// Exchanges one at a time, and how long at most.
    pub(crate) alone: Until,
    /// Cold starts.
    pub(crate) starts: usize,
}

/// The figures of a target.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figures {
    /// Under load.
    pub(crate) busy: Busy,
    /// Further exchanges in sessions that are there, under load; nothing where there are no sessions.
    pub(crate) further: Option<Busy>,
    /// One exchange at a time.
    pub(crate) alone: Times,
    /// Starts on what is there.
    pub(crate) start: Start,
    /// Resident memory of the serving processes once started, before an exchange, in bytes.
    pub(crate) resident_started: u64,
    /// The same after all of this, for each of them.
    pub(crate) resident_after: u64,
    /// How many they are.
    pub(crate) processes: usize,
}

/// What was measured under load.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Busy {
    /// Clients at once.
    pub(crate) clients: usize,
    /// Exchanges measured.
    pub(crate) exchanges: usize,
    /// Requests that got no token, and what the first of them got.
    pub(crate) failed: usize,
    /// What the first of them got.
    pub(crate) failure: Option<String>,
    /// Processor time of the serving processes for an exchange, in microseconds: the median of the
    /// rounds, the least and the most.
    pub(crate) cpu_micros: [f64; 3],
    /// The median of other processes, by name: stand-ins for the platform.
    pub(crate) beside_micros: BTreeMap<String, f64>,
    /// What the serving processes consume while nothing is asked, in milliseconds a second. It is
    /// not in the above.
    pub(crate) idle_millis: f64,
    /// The processor time of the clients for an exchange, which is not in the above either.
    pub(crate) client_micros: f64,
    /// Exchanges a second, on a machine that the clients and the stand-ins share.
    pub(crate) per_second: f64,
    /// How long they took.
    pub(crate) times: Times,
}

/// How long exchanges took, in milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Times {
    /// How many.
    pub(crate) exchanges: usize,
    /// Half of them, at most.
    pub p50: f64,
    /// All but one in a hundred, at most.
    pub p99: f64,
}

/// What a start takes, in milliseconds; medians.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Start {
    /// From the script's start to a first answer: stand-ins included.
    pub(crate) script: f64,
    /// From the start of the serving process to that answer, in steps of 10 ms.
    pub(crate) process: f64,
    /// Processor time of a serving process until then: the median of several.
    pub(crate) cpu: f64,
    /// The first exchange: zone, bundle and keys are read and compiled.
    pub(crate) exchange: f64,
    /// The processor time of that, in all serving processes.
    pub(crate) exchange_cpu: f64,
}

/// Measures a target that runs.
///
/// # Errors
///
/// Where no exchange comes to an end.
pub(crate) fn figures(
    kind: &Kind,
    served: &mut Served,
    requests: &Requests,
    effort: Effort,
) -> Result<Figures, String> {
    let (start, resident_started) = start(kind, served, requests, effort.starts)?;
    let alone = alone(served, requests, effort.alone);
    let first = busy(kind, served, requests, effort);
    let further = match served {
        Served::Writ(running) => {
            let requests = zone::further(kind.path(), running, SESSIONS)?;
            Some(busy(kind, served, &requests, effort))
        }
        Served::Other(_) => None,
    };
    let usage = serving(kind, served);
    let processes = usage.processes.max(1);
    let resident_after = usage.resident / u64::try_from(processes).unwrap_or(1);
    let resident_started = resident_started / u64::try_from(processes).unwrap_or(1);
    Ok(Figures { busy: first, further, alone, start, resident_started, resident_after, processes })
}

/// Exchanges one at a time, over one connection.
pub(crate) fn alone(served: &Served, requests: &Requests, until: Until) -> Times {
    Times::of(&requests.send(&served.authority(), 1, until))
}

/// Exchanges of many clients.
pub(crate) fn busy(kind: &Kind, served: &Served, requests: &Requests, effort: Effort) -> Busy {
    let authority = served.authority();
    let round = Until { time: effort.round, answers: usize::MAX };
    // The first round is not counted: caches fill, and compilers that compile as they go are done.
    let _ = requests.send(&authority, kind.clients, round);
    sleep(SETTLE);
    let idle = Span::over(served, || sleep(effort.idle));
    let rounds: Vec<(Heard, Span)> = (0..effort.rounds)
        .map(|_| {
            let mut heard = Heard::default();
            let span = Span::over(served, || {
                heard = requests.send(&authority, kind.clients, round);
                // What follows an answer is part of the exchange.
                sleep(SETTLE);
            });
            (heard, span)
        })
        .collect();
    let of = |names: &dyn Fn(&str) -> bool| -> Vec<f64> {
        let each = rounds.iter().map(|(heard, span)| {
            let spent = span.cpu(names).as_secs_f64();
            let baseline = idle.rate(names) * span.wall.as_secs_f64();
            micros((spent - baseline).max(0.0)) / count(heard.times.len().max(1))
        });
        each.collect()
    };
    let served_by = of(&|name| kind.serves(name));
    let names = idle.names().into_iter().filter(|name| !kind.serves(name));
    let beside = names.map(|name| {
        let micros = median(&of(&|other| other == name));
        (name, micros)
    });
    let all = merged(rounds.iter().map(|(heard, _)| heard));
    Busy {
        clients: kind.clients,
        exchanges: all.times.len(),
        failed: all.failed,
        cpu_micros: [median(&served_by), least(&served_by), most(&served_by)],
        beside_micros: beside.filter(|(_, micros)| *micros >= 1.0).collect(),
        idle_millis: idle.rate(&|name| kind.serves(name)) * 1e3,
        client_micros: micros(all.own.as_secs_f64()) / count(all.times.len().max(1)),
        per_second: count(all.times.len()) / all.wall.as_secs_f64(),
        times: Times::of(&all),
        failure: all.failure,
    }
}

/// Stops and starts it several times. Also, what it then has in memory.
///
/// # Errors
///
/// Where the first exchange comes to nothing.
pub(crate) fn start(
    kind: &Kind,
    served: &mut Served,
    requests: &Requests,
    times: usize,
) -> Result<(Start, u64), String> {
    let (mut starts, mut resident) = (Vec::new(), 0);
    for _ in 0..times {
        served.stop();
        let began = instant();
        served.resume();
        let script = began.elapsed();
        let uptime = processes::uptime();
        let usage = serving(kind, served);
        let mut each: Vec<f64> = match kind.served {
            Some(name) => served.tree().each(name).iter().map(Duration::as_secs_f64).collect(),
            None => vec![usage.fine.as_secs_f64()],
        };
        each.sort_by(f64::total_cmp);
        resident = usage.resident;
        let exchange = requests.once(&served.authority())?;
        let then = serving(kind, served);
        starts.push(Start {
            script: millis(script),
            process: millis(uptime.saturating_sub(usage.started)),
            cpu: median(&each) * 1e3,
            exchange: millis(exchange),
            exchange_cpu: millis(then.fine.saturating_sub(usage.fine)),
        });
    }
    let of = |value: fn(&Start) -> f64| median(&starts.iter().map(value).collect::<Vec<_>>());
    let start = Start {
        script: of(|start| start.script),
        process: of(|start| start.process),
        cpu: of(|start| start.cpu),
        exchange: of(|start| start.exchange),
        exchange_cpu: of(|start| start.exchange_cpu),
    };
    Ok((start, resident))
}

/// What the serving processes consume together.
pub(crate) fn serving(kind: &Kind, served: &Served) -> Usage {
    let mut all = Usage::default();
    for (name, usage) in served.tree().usage() {
        if kind.serves(&name) {
            all.processes += usage.processes;
            all.cpu += usage.cpu;
            all.fine += usage.fine;
            all.resident += usage.resident;
            all.started = all.started.max(usage.started);
        }
    }
    all
}

/// What was consumed over a time.
struct Span {
    wall: Duration,
    cpu: BTreeMap<String, Duration>,
}

impl Span {
    fn over(served: &Served, work: impl FnOnce()) -> Self {
        let (before, began) = (served.tree().usage(), instant());
        work();
        let (after, wall) = (served.tree().usage(), began.elapsed());
        let spent = |name: &String, usage: &Usage| {
            let before = before.get(name).map(|usage| usage.cpu).unwrap_or_default();
            usage.cpu.saturating_sub(before)
        };
        let cpu = after.iter().map(|(name, usage)| (name.clone(), spent(name, usage))).collect();
        Self { wall, cpu }
    }

    fn cpu(&self, names: &dyn Fn(&str) -> bool) -> Duration {
        self.cpu.iter().filter(|(name, _)| names(name)).map(|(_, cpu)| *cpu).sum()
    }

    fn rate(&self, names: &dyn Fn(&str) -> bool) -> f64 {
        self.cpu(names).as_secs_f64() / self.wall.as_secs_f64()
    }

    fn names(&self) -> Vec<String> {
        self.cpu.keys().cloned().collect()
    }
}

impl Times {
    fn of(heard: &Heard) -> Self {
        let (p50, p99) = (heard.quantile(0.5), heard.quantile(0.99));
        Self { exchanges: heard.times.len(), p50: millis(p50), p99: millis(p99) }
    }
}

fn merged<'a>(rounds: impl Iterator<Item = &'a Heard>) -> Heard {
    let mut all = Heard::default();
    for heard in rounds {
        all.times.extend(&heard.times);
        all.failed += heard.failed;
        all.failure = all.failure.or_else(|| heard.failure.clone());
        all.wall += heard.wall;
        all.own += heard.own;
    }
    all.times.sort_unstable();
    all
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn micros(seconds: f64) -> f64 {
    seconds * 1e6
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests")]
fn count(number: usize) -> f64 {
    number as f64
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn most(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}

/// Sessions that further exchanges are divided between.
const SESSIONS: usize = 64;

/// How long what follows an answer may take: entries reach the index, events the file.
const SETTLE: Duration = Duration::from_millis(700);
