//! Random traces, on the reference model and on the core: whatever applications, people, the operator and
//! time do in whatever order, the core does what the model says (X03, X11, X15, X16, J21).
//!
//! `WRIT_TRACES` sets the number of traces. A trace that parts the two is shrunk and printed as JSON, to
//! be kept in `traces/`, where each is played again.

#![expect(clippy::panic, clippy::arithmetic_side_effects, clippy::unwrap_used, reason = "a test")]

use std::cell::{Cell, RefCell};

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use writ_tests::model::acts::{Act, App, Measure, Rule, Slot, Target, Task, Whom, Worker};
use writ_tests::planted::Bug;
use writ_tests::running::{Running, target};
use writ_tests::trace::Stage;
use writ_tests::vector::package;

/// The most acts of a trace.
const ACTS: usize = 24;

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
        prop::sample::select(vec![App::Assistant, App::Planner, App::Files, App::Job])
            .prop_map(Whom::App),
        prop::sample::select(vec![Rule::Job, Rule::Proof, Rule::People]).prop_map(Whom::Rule),
    ]
}

fn acts() -> impl Strategy<Value = Act> {
    let workers = prop::sample::select(vec![Worker::Job, Worker::Assistant]);
    let tasks = prop::option::of((
        prop::option::of(prop::sample::select(vec![Task::Release, Task::Triage])),
        0..2_u8,
    ));
    let slots = prop::sample::select(vec![Slot::Subject, Slot::Assertion, Slot::Client]);
    // Enabling is what follows a measure most often, or little would go on.
    let measures = prop::sample::select(vec![Measure::Disable, Measure::Enable, Measure::CutOff]);
    let seconds = prop::sample::select(vec![1, 2, 5, 29, 31, 100, 299, 300, 1_000, 3_500, 3_690]);
    let tokens = || 0..32_usize;
    prop_oneof![
        6 => (apps(), tasks, targets(), scopes())
            .prop_map(|(who, task, target, scopes)| Act::Open { who, task, target, scopes }),
        4 => (workers, prop::sample::select(vec![20, 300, 600]))
            .prop_map(|(whose, secs)| Act::Sign { whose, secs }),
        4 => (0..8_usize, slots, targets(), scopes())
            .prop_map(|(proof, slot, target, scopes)| Act::Redeem { proof, slot, target, scopes }),
        4 => (0..2_u8, proofs(), targets(), scopes())
            .prop_map(|(person, proof, target, scopes)| Act::SignIn { person, proof, target, scopes }),
        16 => (tokens(), others(), proofs(), targets(), scopes()).prop_map(
            |(token, who, proof, target, scopes)| Act::Exchange { token, who, proof, target, scopes }
        ),
        8 => (0..8_usize, prop::option::weighted(0.1, apps()), scopes())
            .prop_map(|(refresh, by, scopes)| Act::Refresh { refresh, by, scopes }),
        1 => (0..8_usize, others()).prop_map(|(refresh, by)| Act::GiveBack { refresh, by }),
        3 => (tokens(), others()).prop_map(|(token, by)| Act::Revoke { token, by }),
        1 => tokens().prop_map(|token| Act::End { token }),
        1 => (tokens(), apps()).prop_map(|(token, by)| Act::Complete { token, by }),
        2 => (measures, whom()).prop_map(|(measure, whom)| Act::Take { measure, whom }),
        3 => (tokens(), others()).prop_map(|(token, by)| Act::Introspect { token, by }),
        3 => seconds.prop_map(|secs| Act::Tick { secs }),
    ]
}

fn traces() -> impl Strategy<Value = Vec<Act>> {
    // What an instance remembers is compiled anew after a restart, which takes its time.
    let restarts = prop::option::weighted(0.05, 0..ACTS);
    (prop::collection::vec(acts(), 1..=ACTS), restarts).prop_map(|(mut trace, restart)| {
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
    turned: impl Fn(Act) -> Act,
) -> (u32, Option<(Vec<Act>, String)>) {
    let config = Config {
        cases: count,
        failure_persistence: None,
        max_shrink_iters: shrinks,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, random);
    let (played, failed) = (Cell::new(0), Cell::new(false));
    let found = runner.run(&traces(), |trace| {
        let trace: Vec<Act> = trace.into_iter().map(&turned).collect();
        if !failed.get() {
            played.set(played.get() + 1);
        }
        stage.borrow_mut().play(&trace).map_err(|what| {
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
    play(Stage::new(None), 1_000);
}

/// The same where a session is over after a while without a hop.
#[test]
fn x16_the_core_does_what_the_model_says_of_idle_sessions() {
    play(Stage::idle(IDLE_SECS, None), 500);
}

/// Two of the waits of a trace together, and more than each.
const IDLE_SECS: i64 = 400;

fn play(stage: Stage, usual: u32) {
    let count = std::env::var("WRIT_TRACES").ok().and_then(|text| text.parse().ok());
    let count = count.unwrap_or(usual);
    let stage = RefCell::new(stage);
    let (played, found) = explore(&stage, count, SHRINKS, chance(), |act| act);
    println!("{played} traces: {:?}", stage.borrow().played);
    if let Some((trace, what)) = found {
        panic!("{what}\nkeep it in tests/traces/:\n{}", serde_json::to_string(&trace).unwrap());
    }
}

/// The same on the target that `WRIT_TARGET` names, or the native one: two instances on its real store, its
/// own clock, and proofs that live for seconds. `WRIT_HTTP_TRACES` sets the number of traces.
#[test]
fn x11_x16_targets_do_what_the_model_says() {
    let count = std::env::var("WRIT_HTTP_TRACES").ok().and_then(|text| text.parse().ok());
    let running = Running::with(&target(), "plain", &[("WRIT_INSTANCES", "2")]);
    let stage = RefCell::new(Stage::running(running));
    // Shrinking would take its time there: the same trace is shrunk in process.
    let (played, found) = explore(&stage, count.unwrap_or(4), 0, chance(), |act| match act {
        Act::Sign { whose, secs: 20 } => Act::Sign { whose, secs: 3 },
        other => other,
    });
    println!("{played} traces: {:?}", stage.borrow().played);
    if let Some((trace, what)) = found {
        panic!("{what}\n{}", serde_json::to_string(&trace).unwrap());
    }
}

/// Every trace that once parted model and core, and those that show what is meant.
#[test]
fn x11_x16_kept_traces_hold() {
    let mut stage = Stage::new(None);
    let mut played = 0;
    for entry in std::fs::read_dir(package().join("traces")).unwrap() {
        let path = entry.unwrap().path();
        let trace: Vec<Act> = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        stage.play(&trace).unwrap_or_else(|what| panic!("{}: {what}", path.display()));
        played += 1;
    }
    assert!(played > 0);
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
    let stages = bugs.map(|bug| (bug, Stage::new(Some(bug)))).into_iter();
    let idle = (Bug::IgnoreIdle, Stage::idle(IDLE_SECS, Some(Bug::IgnoreIdle)));
    for (bug, stage) in stages.chain([idle]) {
        let stage = RefCell::new(stage);
        let (played, found) = explore(&stage, 2_000, SHRINKS, fixed(), |act| act);
        let (trace, what) = found.unwrap_or_else(|| panic!("{bug:?} was not found"));
        println!("{bug:?} after {played} traces, {} acts: {what}", trace.len());
    }
}
