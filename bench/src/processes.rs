//! What the processes of a target consume, from `/proc`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use serde::Serialize;

/// A process and all that descend from it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tree(pub(crate) u32);

/// What the processes of one name consume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Usage {
    /// How many they are.
    pub(crate) processes: usize,
    /// Processor time since they started, in user and in kernel mode, in 10 ms steps.
    pub(crate) cpu: Duration,
    /// The same of the threads that live, in nanoseconds: what a start takes is a few milliseconds.
    pub(crate) fine: Duration,
    /// Resident memory, in bytes; pages that they share are counted in each.
    pub(crate) resident: u64,
    /// When the last of them started, in 10 ms steps since the machine did.
    pub(crate) started: Duration,
}

impl Tree {
    /// What each of its processes consumes, by the process's name. Those that ended are not in it.
    #[must_use]
    pub(crate) fn usage(self) -> BTreeMap<String, Usage> {
        let mut usage: BTreeMap<String, Usage> = BTreeMap::new();
        for process in self.processes() {
            let entry = usage.entry(process.name.clone()).or_default();
            entry.processes += 1;
            entry.cpu += process.cpu;
            entry.fine += fine(process.id);
            entry.resident += resident(process.id);
            entry.started = entry.started.max(process.started);
        }
        usage
    }

    /// The processor time of each process of that name.
    #[must_use]
    pub(crate) fn each(self, name: &str) -> Vec<Duration> {
        let of = self.processes().into_iter().filter(|process| process.name == name);
        of.map(|process| fine(process.id)).collect()
    }

    fn processes(self) -> Vec<Process> {
        let all: Vec<Process> = ids().into_iter().filter_map(Process::read).collect();
        let mut tree = BTreeSet::from([self.0]);
        // A child may have a smaller id than its parent, so until no more are found.
        loop {
            let before = tree.len();
            for process in &all {
                if tree.contains(&process.parent) {
                    tree.insert(process.id);
                }
            }
            if tree.len() == before {
                break;
            }
        }
        all.into_iter().filter(|process| tree.contains(&process.id)).collect()
    }
}

/// The processor time of this process.
#[must_use]
pub(crate) fn own() -> Duration {
    Process::read(std::process::id()).map(|process| process.cpu).unwrap_or_default()
}

/// How long the machine has been running.
#[must_use]
pub(crate) fn uptime() -> Duration {
    let text = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds = text.split(' ').next().and_then(|first| first.parse().ok());
    Duration::from_secs_f64(seconds.unwrap_or_default())
}

struct Process {
    id: u32,
    parent: u32,
    name: String,
    cpu: Duration,
    started: Duration,
}

impl Process {
    /// Reads `/proc/ID/stat` (proc(5)), where the process is still there.
    fn read(id: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // A name may hold spaces and brackets itself.
        let (head, rest) = stat.rsplit_once(") ")?;
        let name = head.split_once('(')?.1.to_owned();
        let fields: Vec<&str> = rest.split(' ').collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        let ticks = |index| Some(Duration::from_millis(number(index)? * TICK_MILLIS));
        Some(Self {
            id,
            parent: u32::try_from(number(1)?).ok()?,
            name,
            cpu: ticks(11)? + ticks(12)?,
            started: ticks(19)?,
        })
    }
}

fn ids() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn fine(id: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    let nanos = tasks.filter_map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

fn resident(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() * 1_024
}

/// The unit of times in `/proc/ID/stat`: `getconf CLK_TCK` is 100 on every Linux there is.
const TICK_MILLIS: u64 = 10;
