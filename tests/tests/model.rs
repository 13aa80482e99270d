//! Random traces, on the reference model and on the core: whatever applications, people, the operator and
//! time do in whatever order, the core does what the model says (X03, X11, X15, X16, J21).
//!
//! `WRIT_TRACES` sets the number of traces. A trace that parts the two is shrunk and printed as JSON, to
//! be kept in `traces/`, where each is played again.

#![expect(clippy::panic, clippy::arithmetic_side_effects, clippy::unwrap_used, reason = "a test")]

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use writ_tests::model::acts::{Act, App, Measure, Rule, Slot, Target, Task, Whom, Worker};
use writ_tests::model::lifetimes::Lifetimes;
use writ_tests::planted::Bug;
use writ_tests::trace::{Stage, brief};
use writ_tests::vector::package;

/// What random traces have of time, and how many of them restart an instance.
#[derive(Clone, Copy)]
struct Kind {
    /// The most acts of a trace.
    acts: usize,
    /// How long it waits at a time, and how often.
    waits: &'static [i64],
    often: u32,
    /// How long platforms' tokens live.
    proofs: &'static [i64],
    restarts: f64,
}

/// Where lifetimes are the usual ones, or those and an idle limit. What an instance remembers is compiled
/// anew after a restart, which takes its time.
const PLAIN: Kind = Kind {
    acts: 24,
    waits: &[1, 2, 5, 29, 31, 100, 299, 300, 1_000, 3_500, 3_690],
    often: 3,
    proofs: &[20, 300, 600],
    restarts: 0.05,
};

/// Where they are as short as a zone may have them.
const BRIEF: Kind = Kind {
    waits: &[1, 2, 4, 9, 11, 16, 19, 21, 29, 31, 45, 54, 61, 69, 71],
    proofs: &[5, 20, 45],
    ..PLAIN
};

/// The same on a target that runs, one trace after the other.
const ALONE: Kind = Kind { waits: &[1, 2, 4, 9], restarts: 0.5, ..BRIEF };

/// The same with others at the same time.
const TOGETHER: Kind = Kind { acts: 48, often: 8, ..BRIEF };

fn apps() -> impl Strategy<Value = App> {
    prop::sample::select(vec![App::Assistant, App::Assistant, App::Planner, App::Files])
}

fn targets() -> impl Strategy<Value = Target> {
    use Target as T;
    prop::sample::select(vec![
        T::Itself,
        T::Itself,
        T::Itself,
        T::Files,
        T::Files,
        T::Planner,
        T::Assistant,
        T::Quick,
    ])
}

/// Most requests come from whom they are fit for, or little would be issued.
fn others() -> impl Strategy<Value = Option<App>> {
    prop::option::weighted(0.25, apps())
}

fn scopes() -> impl Strategy<Value = Option<u8>> {
    prop::option::weighted(0.3, 1..4_u8)
}

fn proofs() -> impl Strategy<Value = Option<usize>> {
    prop::option::weighted(0.2, 0..8_usize)
}

fn whom() -> impl Strategy<Value = Whom> {
    prop_oneof![
        (0..2_u8).prop_map(Whom::User),
        prop::sample::select(vec![App::Assistant, App::Planner, App::Files, App::Job, App::Cron])
            .prop_map(Whom::App),
        prop::sample::select(vec![Rule::Job, Rule::Cron, Rule::Proof, Rule::People])
            .prop_map(Whom::Rule),
    ]
}

fn acts(kind: Kind) -> impl Strategy<Value = Act> {
    let workers = prop::sample::select(vec![Worker::Job, Worker::Assistant, Worker::Cron]);
    let tasks = prop::option::of((
        prop::option::of(prop::sample::select(vec![Task::Release, Task::Triage])),
        0..2_u8,
    ));
    let ids = prop::option::of(0..2_u8);
    let actors = prop::option::weighted(0.2, 0..32_usize);
    let slots = prop::sample::select(vec![Slot::Subject, Slot::Assertion, Slot::Client]);
    // Enabling is what follows a measure most often, or little would go on.
    let measures = prop::sample::select(vec![Measure::Disable, Measure::Enable, Measure::CutOff]);
    let seconds = prop::sample::select(kind.waits);
    let tokens = || 0..32_usize;
    prop_oneof![
        6 => (apps(), tasks, targets(), scopes())
            .prop_map(|(who, task, target, scopes)| Act::Open { who, task, target, scopes }),
        4 => (workers, prop::sample::select(kind.proofs))
            .prop_map(|(whose, secs)| Act::Sign { whose, secs }),
        4 => (0..8_usize, slots, ids, targets(), scopes()).prop_map(
            |(proof, slot, task, target, scopes)| Act::Redeem { proof, slot, task, target, scopes }
        ),
        4 => (0..2_u8, proofs(), targets(), scopes())
            .prop_map(|(person, proof, target, scopes)| Act::SignIn { person, proof, target, scopes }),
        16 => (tokens(), others(), proofs(), actors, targets(), scopes()).prop_map(
            |(token, who, proof, actor, target, scopes)| {
                Act::Exchange { token, who, proof, actor, target, scopes }
            }
        ),
        8 => (0..8_usize, prop::option::weighted(0.1, apps()), scopes())
            .prop_map(|(refresh, by, scopes)| Act::Refresh { refresh, by, scopes }),
        1 => (0..8_usize, others()).prop_map(|(refresh, by)| Act::GiveBack { refresh, by }),
        3 => (tokens(), others()).prop_map(|(token, by)| Act::Revoke { token, by }),
        1 => tokens().prop_map(|token| Act::End { token }),
        1 => (tokens(), apps()).prop_map(|(token, by)| Act::Complete { token, by }),
        2 => (measures, whom()).prop_map(|(measure, whom)| Act::Take { measure, whom }),
        3 => (tokens(), others()).prop_map(|(token, by)| Act::Introspect { token, by }),
        kind.often => seconds.prop_map(|secs| Act::Tick { secs }),
    ]
}

fn traces(kind: Kind) -> impl Strategy<Value = Vec<Act>> {
    let restarts = prop::option::weighted(kind.restarts, 0..kind.acts);
    (prop::collection::vec(acts(kind), 1..=kind.acts), restarts).prop_map(|(mut trace, restart)| {
        if let Some(at) = restart {
            trace.insert(at.min(trace.len()), Act::Restart);
        }
        trace
    })
}

/// Plays traces until one parts model and core: how many were played, and the shrunk one with what was
/// wrong.
fn explore(
    stage: &RefCell<Stage>,
    count: u32,
    shrinks: u32,
    random: TestRng,
    kind: Kind,
) -> (u32, Option<(Vec<Act>, String)>) {
    let config = Config {
        cases: count,
        failure_persistence: None,
        max_shrink_iters: shrinks,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, random);
    let (played, failed) = (Cell::new(0), Cell::new(false));
    let found = runner.run(&traces(kind), |trace| {
        if !failed.get() {
            played.set(played.get() + 1);
        }
        let played = stage.borrow_mut().play(&trace);
        played.map(drop).map_err(|what| {
            failed.set(true);
            TestCaseError::fail(what)
        })
    });
    let found = match found {
        Ok(()) => None,
        Err(TestError::Fail(what, trace)) => Some((trace, what.to_string())),
        Err(TestError::Abort(why)) => panic!("{why}"),
    };
    (played.get(), found)
}

/// A trace is made smaller at most so many times.
const SHRINKS: u32 = 4_000;

fn fixed() -> TestRng {
    TestRng::deterministic_rng(RngAlgorithm::ChaCha)
}

fn chance() -> TestRng {
    TestRunner::default().rng().clone()
}

#[test]
fn x11_x16_the_core_does_what_the_model_says() {
    play(Stage::new(Lifetimes::PLAIN, None), 1_000, PLAIN);
}

/// The same where a session is over after a while without a hop.
#[test]
fn x16_the_core_does_what_the_model_says_of_idle_sessions() {
    play(Stage::new(IDLE, None), 500, PLAIN);
}

/// Two of the waits of a trace together, and more than each.
const IDLE: Lifetimes = Lifetimes { idle_secs: Some(400), ..Lifetimes::PLAIN };

/// The same where everything ends as early as a zone may have it.
#[test]
fn x16_the_core_does_what_the_model_says_of_brief_lives() {
    play(Stage::new(Lifetimes::BRIEF, None), 500, BRIEF);
}

/// How many traces are played: what the variable says, or the usual number.
fn count(variable: &str, usual: u32) -> u32 {
    let count = std::env::var(variable).ok().and_then(|text| text.parse().ok());
    count.unwrap_or(usual)
}

fn play(stage: Stage, usual: u32, kind: Kind) {
    let count = count("WRIT_TRACES", usual);
    let stage = RefCell::new(stage);
    let (played, found) = explore(&stage, count, SHRINKS, chance(), kind);
    println!("{played} traces: {:?}", stage.borrow().played);
    if let Some((trace, what)) = found {
        panic!("{what}\nkeep it in tests/traces/:\n{}", json(&trace));
    }
}

/// The same on the target that `WRIT_TARGET` names, or the native one: two instances on its real store, its
/// own clock, and lives of seconds. `WRIT_HTTP_TRACES` sets the number of traces.
#[test]
fn x11_x16_targets_do_what_the_model_says() {
    let stage = RefCell::new(Stage::running(Arc::new(brief()), ALONE_SECS));
    // Shrinking would take its time there: the same trace is shrunk in process.
    let (played, found) = explore(&stage, count("WRIT_HTTP_TRACES", 8), 0, chance(), ALONE);
    println!("{played} traces: {:?}", stage.borrow().played);
    if let Some((trace, what)) = found {
        panic!("{what}\n{}", json(&trace));
    }
}

/// For so long a trace waits at most that is played alone on a target.
const ALONE_SECS: i64 = 12;

/// On that target all lives are seen to their ends, and a little beyond: tokens', proofs', sessions',
/// refresh tokens', the time that a session may be idle and that in which a lost answer is given again. The
/// traces that go over each of these edges and random ones are played at once, each with people, tasks and
/// sessions of its own, so that all wait together. `WRIT_BRIEF_TRACES` sets the number of random ones.
#[test]
fn x11_x16_targets_do_what_the_model_says_at_every_end() {
    let running = Arc::new(brief());
    let kept = kept("traces/brief");
    let random = together(count("WRIT_BRIEF_TRACES", 24));
    let played: Vec<_> = std::thread::scope(|scope| {
        // Twice, because a machine may be too slow for an edge once.
        let traces = kept.iter().chain(&kept).chain(&random);
        let threads: Vec<_> = traces
            .map(|(name, trace)| {
                let mut stage = Stage::running(Arc::clone(&running), TOGETHER_SECS);
                scope.spawn(move || {
                    let outcomes = stage.play(trace);
                    let outcomes =
                        outcomes.unwrap_or_else(|what| panic!("{name}: {what}\n{}", json(trace)));
                    (name, outcomes, stage.played)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut all: BTreeMap<&str, usize> = BTreeMap::new();
    for (what, times) in played.iter().flat_map(|(_, _, played)| played) {
        *all.entry(what).or_default() += times;
    }
    println!("{} traces: {all:?}", played.len());
    // What comes of them where time is a value is on both sides of each edge, and so it is here.
    let mut stage = Stage::new(Lifetimes::BRIEF, None);
    for (name, trace) in &kept {
        let wanted = stage.play(trace).unwrap();
        let met = played.iter().any(|(played, outcomes, _)| *played == name && *outcomes == wanted);
        assert!(met, "{name} was never in time");
    }
}

/// As long as the longest of the traces that are kept for it waits, and no longer.
const TOGETHER_SECS: i64 = 73;

/// Random traces that leave alone what is everybody's: no instance starts anew, and the operator's measures
/// are about people.
fn together(count: u32) -> Vec<(String, Vec<Act>)> {
    let mut runner = TestRunner::new_with_rng(Config::default(), chance());
    let traces = traces(TOGETHER).prop_map(|trace| {
        let own = |act: &Act| match act {
            Act::Restart => false,
            Act::Take { whom, .. } => matches!(whom, Whom::User(_)),
            _ => true,
        };
        trace.into_iter().filter(own).collect()
    });
    let mut trace = || traces.new_tree(&mut runner).unwrap().current();
    (0..count).map(|number| (format!("random {number}"), trace())).collect()
}

/// The traces of a directory, by name.
fn kept(directory: &str) -> Vec<(String, Vec<Act>)> {
    let files = std::fs::read_dir(package().join(directory)).unwrap();
    let files = files.map(|file| file.unwrap().path()).filter(|path| path.is_file());
    let read = |path: PathBuf| {
        let name = path.display().to_string();
        (name, serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap())
    };
    files.map(read).collect()
}

fn json(trace: &[Act]) -> String {
    serde_json::to_string(trace).unwrap()
}

/// Every trace that once parted model and core, and those that show what is meant.
#[test]
fn x11_x16_kept_traces_hold() {
    let zones = [("traces", Lifetimes::PLAIN), ("traces/brief", Lifetimes::BRIEF)];
    for (directory, lifetimes) in zones {
        let mut stage = Stage::new(lifetimes, None);
        let kept = kept(directory);
        assert!(!kept.is_empty());
        for (name, trace) in kept {
            let outcomes = stage.play(&trace).unwrap_or_else(|what| panic!("{name}: {what}"));
            println!("{name}: {outcomes:?}");
        }
    }
}

/// The traces that go over the edges of brief lives find each one that is 5 s longer or shorter than is
/// meant.
#[test]
fn x11_x16_the_kept_traces_find_lives_that_are_longer_or_shorter() {
    let changes: [fn(&mut Lifetimes, i64); 5] = [
        |lives, secs| lives.session_secs += secs,
        |lives, secs| lives.idle_secs = lives.idle_secs.map(|idle| idle + secs),
        |lives, secs| lives.token_secs += secs,
        |lives, secs| lives.refresh_secs += secs,
        |lives, secs| lives.grace_secs += secs,
    ];
    let kept = kept("traces/brief");
    for (number, change) in changes.iter().enumerate() {
        for secs in [-5, 5] {
            let mut stage = Stage::new(Lifetimes::BRIEF, None);
            change(&mut stage.lifetimes, secs);
            let found = kept.iter().find_map(|(_, trace)| stage.play(trace).err());
            let found = found.unwrap_or_else(|| panic!("life {number}, {secs} s: not found"));
            println!("life {number}, {secs} s: {found}");
        }
    }
}

/// A model that finds nothing says nothing: each of these bugs parts it from the core.
#[test]
fn x11_x16_the_traces_find_planted_bugs() {
    let bugs = [
        Bug::IgnoreEnded,
        Bug::DropRevoked,
        Bug::CheckOnlyParent,
        Bug::IgnoreSpent,
        Bug::DropHop,
        Bug::RotateBlindly,
    ];
    let stages = bugs.map(|bug| (bug, Stage::new(Lifetimes::PLAIN, Some(bug)))).into_iter();
    let idle = (Bug::IgnoreIdle, Stage::new(IDLE, Some(Bug::IgnoreIdle)));
    for (bug, stage) in stages.chain([idle]) {
        let stage = RefCell::new(stage);
        let (played, found) = explore(&stage, 2_000, SHRINKS, fixed(), PLAIN);
        let (trace, what) = found.unwrap_or_else(|| panic!("{bug:?} was not found"));
        println!("{bug:?} after {played} traces, {} acts: {what}", trace.len());
    }
}
