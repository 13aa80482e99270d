//! Faults on order: which call of the port fails, when, and how.

use std::collections::BTreeMap;
use std::sync::Mutex;

/// The calls of the port that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are the port's")]
pub enum Call {
    Fetch,
    Commit,
    Read,
    Verify,
    Sign,
    List,
    Publish,
    Published,
    Generate,
}

impl Call {
    /// The calls that nothing else can stand in for.
    pub const NEEDED: [Self; 7] = [
        Self::Fetch,
        Self::Commit,
        Self::Read,
        Self::Verify,
        Self::Sign,
        Self::List,
        Self::Generate,
    ];

    /// The calls that make an answer faster and nothing else.
    pub const COPIES: [Self; 2] = [Self::Publish, Self::Published];
}

/// How a call goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The host does not know what happened; nothing did.
    Unavailable,
    /// A commit is applied, and its answer is lost.
    Lost,
    /// A commit finds others writing until its time is up.
    Contended,
    /// A commit is told that the condition on this key does not hold.
    Refused(String),
}

/// Which calls fail.
#[derive(Debug, Default)]
pub struct Faults {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    ordered: Vec<(Call, When, Effect)>,
    made: BTreeMap<Call, usize>,
}

/// When a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Only the n-th call of its kind from the order on, counted from 1.
    Nth(usize),
    /// The n-th call of its kind and every later one.
    From(usize),
    /// Every call of its kind.
    Always,
}

impl When {
    const fn holds(self, count: usize) -> bool {
        match self {
            Self::Nth(nth) => count == nth,
            Self::From(first) => count >= first,
            Self::Always => true,
        }
    }
}

impl Faults {
    /// Orders a fault and starts counting anew.
    pub fn order(&self, call: Call, when: When, effect: Effect) {
        let mut inner = self.inner.lock().unwrap();
        inner.made.clear();
        inner.ordered.push((call, when, effect));
    }

    /// Withdraws every order and starts counting anew.
    pub fn clear(&self) {
        *self.inner.lock().unwrap() = Inner::default();
    }

    /// How many calls of this kind were made since the last order or clearing.
    pub fn made(&self, call: Call) -> usize {
        self.inner.lock().unwrap().made.get(&call).copied().unwrap_or(0)
    }

    /// Counts one call and says how it fails, if it does.
    pub fn strike(&self, call: Call) -> Option<Effect> {
        let mut inner = self.inner.lock().unwrap();
        let count = inner.made.entry(call).or_insert(0);
        *count += 1;
        let count = *count;
        inner
            .ordered
            .iter()
            .find(|(kind, when, _)| *kind == call && when.holds(count))
            .map(|(_, _, effect)| effect.clone())
    }
}
