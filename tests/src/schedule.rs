//! A deterministic scheduler: several requests run over one store, one step at a time, and a seeded
//! choice says which of them goes on. A step ends at every call of the port, before it has its effect
//! and again before its answer arrives. Where the seed says so, calls fail, and everybody's clock leaps
//! ahead while requests are under way.
//!
//! Nothing here waits and nothing runs in parallel: the same seed gives the same schedule.

pub mod idle;
pub mod invariants;
pub mod refreshes;
pub mod scene;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use writ_core::deployment::Deployment;
use writ_core::host::{Batch, Partition, Write};
use writ_core::http::{Request, Response};
use writ_core::moment::Timestamp;

use self::scene::Scene;
use crate::client::Answer;
use crate::faults::Effect;
use crate::memory::Memory;
use crate::planted::{Bug, Planted};
use crate::world::moment;

/// What is raced for.
pub trait Scenario {
    /// On what it is played.
    #[must_use]
    fn scene() -> Scene {
        Scene::default()
    }

    /// What every schedule begins with.
    fn begin(scene: &mut Scene) -> Self;

    /// Plays the schedule of one seed.
    ///
    /// # Errors
    ///
    /// What does not hold.
    fn play(&self, scene: &Scene, seed: u64, bug: Option<Bug>) -> Result<Ran, String>;
}

/// Numbers that follow from a seed (SplitMix64).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The numbers of `seed`.
    #[must_use]
    pub const fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.number() % bound as u64).expect("less than a usize")
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of some things.
    pub fn one_of<T: Clone>(&mut self, things: &[T]) -> T {
        things[self.below(things.len())].clone()
    }
}

/// One request of a schedule, and where it is handled.
pub struct Racer<'a> {
    /// The request.
    pub request: Request,
    /// The instance that handles it.
    pub host: &'a Memory,
    /// Where it shows the proof that is raced for, which [`Bug::ClaimPerSlot`] goes by.
    pub slot: &'static str,
}

/// What goes wrong in a schedule.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trouble {
    /// One call in so many fails; none where it is 0.
    pub faults_in: usize,
    /// How often the clock leaps at most.
    pub leaps: usize,
    /// What is wrong with the hosts.
    pub bug: Option<Bug>,
}

/// A write that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// At which step.
    pub step: usize,
    /// When.
    pub at: i64,
    /// By which racer's request.
    pub by: usize,
    /// Where.
    pub partition: Partition,
    /// The keys of the records put or found there already.
    pub keys: Vec<String>,
}

impl Written {
    /// Whether the record with this key was among those written.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.keys.iter().any(|written| written == key)
    }
}

/// What became of a schedule.
pub struct Ran {
    /// Each racer's answer.
    pub answers: Vec<Answer>,
    /// The step at which each racer began.
    pub began: Vec<usize>,
    /// The step after which each racer had its answer.
    pub answered: Vec<usize>,
    /// Every write that happened, in order.
    pub written: Vec<Written>,
    /// How many calls failed on order, or because they came too late.
    pub faults: usize,
}

/// What the racers of one schedule share: the dice and the log.
pub struct Turns {
    inner: RefCell<Inner>,
}

struct Inner {
    random: Random,
    /// One call in so many fails; none where it is 0.
    faults_in: usize,
    faults: usize,
    step: usize,
    now: i64,
    done: BTreeSet<String>,
    written: Vec<Written>,
}

impl Turns {
    /// How the next call of a racer fails, if it does. Only a commit can have an effect and fail.
    pub fn fault(&self, commits: bool) -> Option<Effect> {
        let mut inner = self.inner.borrow_mut();
        let faults_in = inner.faults_in;
        if faults_in == 0 || !inner.random.once_in(faults_in) {
            return None;
        }
        inner.faults += 1;
        let effects = [Effect::Unavailable, Effect::Lost, Effect::Contended];
        Some(if commits { inner.random.one_of(&effects) } else { Effect::Unavailable })
    }

    /// Whether it is later than that by now.
    pub fn is_past(&self, until: Option<Timestamp>) -> bool {
        let mut inner = self.inner.borrow_mut();
        let past = until.is_some_and(|until| inner.now > until.0);
        inner.faults += usize::from(past);
        past
    }

    /// Notes that a batch was done. One that was done before wrote nothing now.
    pub fn wrote(&self, by: usize, partition: &Partition, batch: &Batch) {
        let mut inner = self.inner.borrow_mut();
        if !inner.done.insert(batch.id.clone()) {
            return;
        }
        let keys = batch.write.iter().map(|write| Write::key(write).to_owned()).collect();
        let (step, at) = (inner.step, inner.now);
        inner.written.push(Written { step, at, by, partition: partition.clone(), keys });
    }
}

/// Lets another racer go first.
pub async fn turn() {
    let mut had = false;
    std::future::poll_fn(|_| {
        if std::mem::replace(&mut had, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Runs the racers to their ends from `now` on, in the order that `random` chooses.
///
/// # Panics
///
/// Where they come to no end.
pub fn run(
    deployment: &Deployment,
    racers: &[Racer<'_>],
    now: i64,
    mut random: Random,
    trouble: Trouble,
) -> Ran {
    let Trouble { faults_in, mut leaps, bug } = trouble;
    // In every other schedule one of them is slower than the rest.
    let slow = random.below(racers.len() * 2);
    let dice = Random::of(random.number());
    let (done, written) = (BTreeSet::new(), Vec::new());
    let inner = Inner { random: dice, faults_in, faults: 0, step: 0, now, done, written };
    let turns = Turns { inner: RefCell::new(inner) };
    let hosts: Vec<Planted<'_>> = racers
        .iter()
        .enumerate()
        .map(|(who, racer)| {
            let turns = Some((&turns, who));
            Planted { host: racer.host, bug, slot: racer.slot, turns }
        })
        .collect();
    let begin = |who: usize, now: i64| -> Pin<Box<dyn Future<Output = Response> + '_>> {
        let (host, request) = (&hosts[who], racers[who].request.clone());
        Box::pin(writ_core::handle(host, deployment, moment(now), request))
    };
    let mut running: Vec<_> = racers.iter().map(|_| None).collect();
    let mut answers: Vec<Option<Answer>> = racers.iter().map(|_| None).collect();
    let mut began: Vec<Option<usize>> = vec![None; racers.len()];
    let mut answered = vec![0; racers.len()];
    let mut context = Context::from_waker(Waker::noop());
    for step in 1..MOST_STEPS {
        let waiting: Vec<usize> = (0..racers.len()).filter(|who| answers[*who].is_none()).collect();
        if waiting.is_empty() {
            let inner = turns.inner.borrow();
            let (written, faults) = (inner.written.clone(), inner.faults);
            let answers = answers.iter().cloned().map(|answer| answer.expect("an answer"));
            let began = began.into_iter().map(|step| step.expect("a beginning")).collect();
            return Ran { answers: answers.collect(), began, answered, written, faults };
        }
        let mut who = random.one_of(&waiting);
        if who == slow && !random.once_in(4) {
            who = random.one_of(&waiting);
        }
        let now = {
            let mut inner = turns.inner.borrow_mut();
            inner.step = step;
            if leaps > 0 && random.once_in(4) {
                leaps -= 1;
                inner.now += i64::try_from(1 + random.below(8)).expect("a few seconds");
            }
            inner.now
        };
        began[who].get_or_insert(step);
        let future = running[who].get_or_insert_with(|| begin(who, now));
        if let Poll::Ready(response) = future.as_mut().poll(&mut context) {
            answers[who] = Some(Answer::from(response));
            answered[who] = step;
        }
    }
    panic!("the requests came to no end in {MOST_STEPS} steps");
}

/// Far more than any schedule takes.
const MOST_STEPS: usize = 20_000;
