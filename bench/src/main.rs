//! One exchange, measured side by side on every target and on npm's `oidc-provider`: `bench/run`.
#![expect(
    clippy::expect_used,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "a benchmark: a panic is a run that broke off"
)]

mod calls;
mod floor;
mod growth;
mod load;
mod measure;
mod processes;
mod report;
mod sizes;
mod target;
mod zone;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::growth::Counts;
use crate::load::Until;
use crate::measure::Effort;
use crate::report::{Machine, Report, Row};
use crate::target::{KINDS, Kind};

/// Measure one exchange on every target, side by side
#[derive(Debug, Parser)]
#[command(name = "bench/run", about, disable_help_subcommand = true)]
struct Options {
    /// Two minutes, to see that everything still works: the figures mean little
    #[arg(long)]
    quick: bool,

    /// How to print what was measured
    #[arg(long, value_enum, default_value = "table")]
    format: Format,

    /// Which rows
    #[arg(long, value_delimiter = ',', value_name = "ROW,…", default_values = NAMES)]
    targets: Vec<String>,

    /// Without the growth with policies, applications and sessions
    #[arg(long)]
    no_growth: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let mut kinds = Vec::new();
    for name in &options.targets {
        let Some(kind) = KINDS.iter().find(|kind| kind.name == name) else {
            eprintln!("there is no row `{name}`: {}", NAMES.join(", "));
            return ExitCode::from(2);
        };
        kinds.push(*kind);
    }
    let report = measure(&kinds, &options);
    match options.format {
        Format::Table => report.print(),
        Format::Json => println!("{}", serde_json::to_string_pretty(&report).expect("JSON")),
    }
    let failed = report.rows.iter().any(Row::failed);
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn measure(kinds: &[Kind], options: &Options) -> Report {
    let mut machine = Machine::read();
    let (warm, cold) = calls::counted();
    let effort = if options.quick { QUICK } else { FULL };
    let rows = kinds.iter().map(|kind| row(kind, effort, options)).collect();
    let floor = kinds.iter().any(|kind| kind.name == "worker").then(floor::measured).flatten();
    machine.load_after = report::load();
    Report { machine, warm, cold, floor, rows, quick: options.quick }
}

fn row(kind: &Kind, effort: Effort, options: &Options) -> Row {
    eprintln!("{}: {}", kind.name, kind.is);
    let requests = zone::requests(kind.path(), PERSONS);
    let mut served = kind.start();
    let figures = measure::figures(kind, &mut served, &requests, effort);
    drop(served);
    let growth = if kind.script.is_none() || options.no_growth {
        Vec::new()
    } else {
        let told = |step: &growth::Step| eprintln!("  {}", report::told(step));
        let effort = if options.quick { effort } else { STEP };
        let mut served = kind.start();
        growth::steps(kind, &mut served, &requests, effort, &counts(kind, options.quick), &told)
    };
    Row { name: kind.name, is: kind.is, figures, growth, bytes: sizes::of(kind.name) }
}

/// The counts that the figures are taken at: a million sessions natively, ten thousand elsewhere. No more
/// applications fit a bundle than the last of these.
fn counts(kind: &Kind, quick: bool) -> Counts {
    let native = kind.name == "native";
    let (policies, applications, sessions) = match (quick, native) {
        (true, _) => (vec![10, 100], vec![100], vec![200]),
        (false, true) => (
            vec![10, 100, 1_000, 10_000],
            vec![1_000, 10_000, 100_000, 1_000_000],
            vec![10_000, 100_000, 1_000_000],
        ),
        (false, false) => (vec![10, 100, 1_000, 10_000], vec![1_000, 10_000], vec![10_000]),
    };
    let patience = Duration::from_secs(if quick { 5 } else { 300 });
    Counts { policies, applications, sessions, patience }
}

/// What is measured where nothing else is said.
const NAMES: [&str; 6] = ["native", "worker", "spin", "spin-redis", "lambda", "oidc-provider"];

/// Tokens that are signed beforehand; each is shown more than once.
const PERSONS: usize = 5_000;

/// A run whose figures are worth writing down.
const FULL: Effort = Effort {
    rounds: 5,
    round: Duration::from_secs(4),
    idle: Duration::from_secs(4),
    alone: Until { time: Duration::from_secs(20), answers: 2_000 },
    starts: 5,
};

/// One step of growth.
const STEP: Effort = Effort {
    rounds: 3,
    round: Duration::from_secs(2),
    idle: Duration::from_secs(1),
    alone: Until { time: Duration::from_secs(5), answers: 500 },
    starts: 1,
};

/// A run that shows that all of it works.
const QUICK: Effort = Effort {
    rounds: 1,
    round: Duration::from_millis(700),
    idle: Duration::from_millis(500),
    alone: Until { time: Duration::from_secs(1), answers: 100 },
    starts: 1,
};
