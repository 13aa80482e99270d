//! What was measured, for people and as JSON, beside what the design allows.

use std::fs;

use serde::Serialize;

use crate::calls::Calls;
use crate::floor::Floor;
use crate::growth::{Step, What};
use crate::measure::{Figures, Times};
use crate::sizes::Bytes;

/// A run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Where it ran.
    pub(crate) machine: Machine,
    /// Whether the run was too short for its figures to mean much.
    pub(crate) quick: bool,
    /// Calls of the port for an exchange where the instance knows the zone.
    pub(crate) warm: Calls,
    /// The same where it knows nothing.
    pub(crate) cold: Calls,
    /// What workerd itself takes, where it was measured.
    pub(crate) floor: Option<Floor>,
    /// What was measured.
    pub(crate) rows: Vec<Row>,
}

/// What was measured of one target.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// Its name.
    pub(crate) name: &'static str,
    /// What the figures are of.
    pub(crate) is: &'static str,
    /// The figures, or why there are none.
    pub(crate) figures: Result<Figures, String>,
    /// How they grow.
    pub(crate) growth: Vec<Step>,
    /// The size of what is deployed.
    pub(crate) bytes: Option<Bytes>,
}

/// The machine.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    /// Its processor.
    pub(crate) processor: String,
    /// How many of them.
    pub(crate) processors: usize,
    /// Its load over a minute, five and fifteen, before the run.
    pub(crate) load_before: String,
    /// The same afterwards: the run's own is in it.
    pub(crate) load_after: String,
}

impl Machine {
    /// This one.
    #[must_use]
    pub(crate) fn read() -> Self {
        let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Self {
            processor: model.map(|(_, name)| name.to_owned()).unwrap_or_default(),
            processors: text.lines().filter(|line| line.starts_with("processor")).count(),
            load_before: load(),
            load_after: String::new(),
        }
    }
}

/// The load of the machine over a minute, five and fifteen.
#[must_use]
pub(crate) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

impl Row {
    /// Whether an exchange failed where none should have.
    pub(crate) fn failed(&self) -> bool {
        self.figures.as_ref().map_or(true, |figures| {
            let further = figures.further.as_ref().map_or(0, |busy| busy.failed);
            figures.busy.failed + further > 0
        })
    }
}

impl Report {
    /// Prints it for people.
    pub(crate) fn print(&self) {
        let Machine { processor, processors, load_before, load_after } = &self.machine;
        println!("# One exchange, side by side\n");
        println!(
            "{processors} × {processor}; load average {load_before} before and {load_after} after"
        );
        if self.quick {
            println!("\nA quick run: it shows that everything works, and its figures mean little.");
        }
        self.exchange();
        self.further();
        self.ratios();
        self.floor();
        self.starts();
        self.stores();
        self.growth();
        self.budgets();
        println!("\n## What the figures are of\n");
        for row in &self.rows {
            println!("- **{}**: {}", row.name, row.is);
        }
    }

    fn measured(&self) -> impl Iterator<Item = (&Row, &Figures)> {
        self.rows.iter().filter_map(|row| Some((row, row.figures.as_ref().ok()?)))
    }

    fn exchange(&self) {
        println!("\n## Exchange\n");
        println!(
            "| target | CPU, µs (least to most) | beside it, µs | alone p50 / p99, ms | under load p50 / p99, \
             ms | at once | a second | resident, MB: started / after | clients' own CPU, µs |"
        );
        println!("|---|---:|---|---:|---:|---:|---:|---:|---:|");
        for (row, figures) in self.measured() {
            let busy = &figures.busy;
            let [median, least, most] = busy.cpu_micros;
            let beside: Vec<String> =
                busy.beside_micros.iter().map(|(name, cpu)| format!("{name} {cpu:.0}")).collect();
            let many = if figures.processes > 1 { " each" } else { "" };
            println!(
                "| {} | {median:.0} ({least:.0} to {most:.0}) | {} | {} | {} | {} | {:.0} | {:.0} / {:.0}{many} \
                 | {:.0} |",
                row.name,
                beside.join(", "),
                times(figures.alone),
                times(busy.times),
                busy.clients,
                busy.per_second,
                megabytes(figures.resident_started),
                megabytes(figures.resident_after),
                busy.client_micros,
            );
        }
        for row in &self.rows {
            match &row.figures {
                Err(error) => println!("\n{}: not measured: {error}", row.name),
                Ok(Figures { busy, further, .. }) => {
                    for busy in [Some(busy), further.as_ref()].into_iter().flatten() {
                        let (failed, failure) = (busy.failed, busy.failure.as_deref());
                        if let Some(failure) = failure {
                            println!("\n{}: {failed} exchanges failed: {failure}", row.name);
                        }
                    }
                }
            }
        }
    }

    fn further(&self) {
        println!("\n## A further exchange in a session that is there\n");
        println!("| target | CPU, µs (least to most) | under load p50 / p99, ms | a second |");
        println!("|---|---:|---:|---:|");
        for (row, figures) in self.measured() {
            let Some(busy) = &figures.further else { continue };
            let [median, least, most] = busy.cpu_micros;
            println!(
                "| {} | {median:.0} ({least:.0} to {most:.0}) | {} | {:.0} |",
                row.name,
                times(busy.times),
                busy.per_second,
            );
        }
    }

    fn ratios(&self) {
        let Some((_, other)) = self.measured().find(|(row, _)| row.name == "oidc-provider") else {
            return;
        };
        println!("\n## Beside oidc-provider, of this run\n");
        println!("| target | CPU | alone p50 | resident |\n|---|---:|---:|---:|");
        #[expect(clippy::cast_precision_loss, reason = "a ratio")]
        let ratio = |ours: u64, theirs: u64| ours as f64 / theirs as f64;
        for (row, ours) in self.measured().filter(|(row, _)| row.name != "oidc-provider") {
            println!(
                "| {} | {:.2} | {:.2} | {:.2} |",
                row.name,
                ours.busy.cpu_micros[0] / other.busy.cpu_micros[0],
                ours.alone.p50 / other.alone.p50,
                ratio(ours.resident_after, other.resident_after),
            );
        }
        println!("\nBelow 1, Writ takes less.");
    }

    fn floor(&self) {
        let Some(Floor { nothing, there, made }) = self.floor else { return };
        println!("\n## workerd itself, of this run\n");
        println!("A Worker of a few lines, without Writ, under the same load:\n");
        println!("| a request that | CPU, µs |\n|---|---:|");
        println!("| does nothing | {nothing:.0} |");
        println!("| commits two records to an object that is there | {there:.0} |");
        println!("| commits two records to an object that is made for it | {made:.0} |");
    }

    fn starts(&self) {
        println!("\n## Start and size\n");
        println!(
            "| target | script to first answer, ms | process to first answer, ms | CPU until then, ms | first \
             exchange, ms | its CPU, ms | artefact, MB | gzip -9, MB |"
        );
        println!("|---|---:|---:|---:|---:|---:|---:|---:|");
        for (row, Figures { start, .. }) in self.measured() {
            let bytes = |size: fn(&Bytes) -> u64| {
                row.bytes.map(|bytes| format!("{:.2}", megabytes(size(&bytes)))).unwrap_or_default()
            };
            println!(
                "| {} | {:.0} | {:.0} | {:.1} | {:.1} | {:.1} | {} | {} |",
                row.name,
                start.script,
                start.process,
                start.cpu,
                start.exchange,
                start.exchange_cpu,
                bytes(|bytes| bytes.raw),
                bytes(|bytes| bytes.gzipped),
            );
        }
    }

    fn stores(&self) {
        println!("\n## Calls of the port for an exchange, counted in process\n");
        println!(
            "| instance | commits | strong reads | looks for copies | copies published | fetches |"
        );
        println!("|---|---:|---:|---:|---:|---:|");
        for (name, calls) in [("warm", self.warm), ("remembers nothing", self.cold)] {
            let Calls { commits, reads, copies, published, fetches } = calls;
            println!("| {name} | {commits} | {reads} | {copies} | {published} | {fetches} |");
        }
    }

    fn growth(&self) {
        if self.rows.iter().all(|row| row.growth.is_empty()) {
            return;
        }
        println!("\n## Growth\n");
        println!(
            "| target | of | count | CPU, µs | alone p50 / p99, ms | resident, MB | first exchange, ms | made in, s |"
        );
        println!("|---|---|---:|---:|---:|---:|---:|---:|");
        for row in &self.rows {
            for step in &row.growth {
                let what = name(step.what);
                match &step.outcome {
                    Ok(grown) => println!(
                        "| {} | {what} | {} | {:.0} | {:.1} / {:.1} | {:.0} | {:.0} | {:.1} |",
                        row.name,
                        step.count,
                        grown.cpu_micros,
                        grown.p50_millis,
                        grown.p99_millis,
                        megabytes(grown.resident),
                        grown.first_millis,
                        grown.made_secs,
                    ),
                    Err(error) => {
                        let first = error.lines().next().unwrap_or_default();
                        println!("| {} | {what} | {} | {first} | | | | |", row.name, step.count);
                    }
                }
            }
        }
    }

    fn budgets(&self) {
        println!("\n## Budgets\n\n| what | budget | measured | |\n|---|---:|---:|---|");
        let line = |what: &str, unit: &str, budget: f64, measured: f64| {
            let met = if measured <= budget { "met" } else { "**not met**" };
            println!("| {what} | {budget} {unit} | {measured:.2} {unit} | {met} |");
        };
        let calls = self.warm;
        let (commits, reads) = (count(calls.commits), count(calls.reads));
        line("commits of an exchange, warm", "", 1.0, commits);
        line("reads of an exchange, warm", "", 0.0, reads);
        for (row, figures) in self.measured() {
            let (cpu, start) = (figures.busy.cpu_micros[0], figures.start.cpu);
            let gzipped = row.bytes.map(|bytes| megabytes(bytes.gzipped));
            match row.name {
                "native" => {
                    line("native: CPU of an exchange, ES256", "µs", 110.0, cpu);
                    let after = megabytes(figures.resident_after);
                    line("native: resident", "MB", 25.0, after);
                }
                "worker" => {
                    line("workerd: CPU of an exchange", "µs", 180.0, cpu);
                    line("Worker: start-up, workerd's own in it", "ms CPU", 100.0, start);
                    line("Worker: bundle, gzipped", "MB", 1.5, gzipped.unwrap_or(f64::NAN));
                }
                "spin" => {
                    let what = "Spin: an exchange on a fresh instance, 10 policies";
                    line(&format!("{what}, that opens a session"), "ms CPU", 8.0, cpu / 1e3);
                    if let Some(further) = &figures.further {
                        let cpu = further.cpu_micros[0] / 1e3;
                        line(&format!("{what}, in a session"), "ms CPU", 8.0, cpu);
                    }
                    line("Spin: component, gzipped", "MB", 1.3, gzipped.unwrap_or(f64::NAN));
                }
                _ => {}
            }
            let decided = |count| {
                let step = |step: &&Step| step.what == What::Policies && step.count == count;
                let step = row.growth.iter().find(step)?;
                step.outcome.as_ref().ok().map(|grown| grown.cpu_micros)
            };
            if let (Some(few), Some(many)) = (decided(10), decided(10_000)) {
                let what = format!("{}: an exchange with 10,000 policies against 10", row.name);
                line(&what, "×", 2.0, many / few);
            }
        }
    }
}

/// One step of growth, in a line.
#[must_use]
pub(crate) fn told(step: &Step) -> String {
    let what = name(step.what);
    match &step.outcome {
        Ok(grown) => format!("{} {what}: {:.0} µs", step.count, grown.cpu_micros),
        Err(error) => format!("{} {what}: {error}", step.count),
    }
}

fn name(what: What) -> &'static str {
    match what {
        What::Policies => "policies",
        What::Applications => "applications",
        What::Sessions => "sessions",
    }
}

fn times(times: Times) -> String {
    format!("{:.2} / {:.2}", times.p50, times.p99)
}

#[expect(clippy::cast_precision_loss, reason = "bytes, for people")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

#[expect(clippy::cast_precision_loss, reason = "a few calls")]
fn count(calls: usize) -> f64 {
    calls as f64
}
