//! The one place that reads the clock and draws randomness.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use writ_core::moment::{Moment, Timestamp};

/// The system's time. A clock before 1970 reads as 1970, and every token as not yet valid.
#[must_use]
pub fn now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "a target is where the clock is read")]
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// A clock for durations.
#[must_use]
pub fn instant() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a target is where the clock is read")]
    Instant::now()
}

/// The moment of a request.
///
/// # Errors
///
/// The system gave no random bytes. Then there must be no answer: ids would be guessable.
pub fn draw() -> Result<Moment, getrandom::Error> {
    let mut entropy = [0; 32];
    getrandom::fill(&mut entropy)?;
    Ok(Moment { now: now(), entropy })
}
