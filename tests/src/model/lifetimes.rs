//! How long things last in a zone, in seconds.

use super::acts::Target;

/// What a zone says of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// A session that rests on no proof with an end of its own.
    pub session_secs: i64,
    /// A session to which no hop is added.
    pub idle_secs: Option<i64>,
    /// A token for a resource.
    pub token_secs: i64,
    /// One for `quick`.
    pub quick_secs: i64,
    /// An unused refresh token.
    pub refresh_secs: i64,
    /// For so long after a refresh its answer may be asked for again. No zone says otherwise.
    pub grace_secs: i64,
}

impl Lifetimes {
    /// Those of the zone `plain`.
    pub const PLAIN: Self = Self {
        session_secs: 3_600,
        idle_secs: None,
        token_secs: 300,
        quick_secs: 30,
        refresh_secs: 600,
        grace_secs: 30,
    };

    /// As short as a zone may have them: all ends come within 70 s, and a test can wait for each. A session
    /// lasts a little longer than it may be idle and than a refresh token lives, or neither end would be
    /// seen; tokens for most resources live twice the least, so that a hop can follow one that is issued
    /// before something else ends.
    pub const BRIEF: Self = Self {
        session_secs: 70,
        idle_secs: Some(60),
        token_secs: 20,
        quick_secs: 10,
        refresh_secs: 60,
        grace_secs: 30,
    };

    /// How long a token lives at most.
    pub(super) const fn of(&self, target: Target) -> i64 {
        match target {
            Target::Itself => self.session_secs,
            Target::Quick => self.quick_secs,
            Target::Files | Target::Planner | Target::Assistant => self.token_secs,
        }
    }
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self::PLAIN
    }
}
