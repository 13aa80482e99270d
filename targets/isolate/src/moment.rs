//! The one place that reads the clock and draws randomness.

use writ_core::host::Unavailable;
use writ_core::moment::{Moment, Timestamp};

use crate::crypto;

/// Milliseconds since 1970. On the platform the clock stands still while a request computes, and
/// goes on when it has waited for something.
pub fn millis() -> f64 {
    js_sys::Date::now()
}

/// Seconds since 1970.
pub fn now() -> Timestamp {
    #[expect(clippy::cast_possible_truncation, reason = "seconds since 1970 are far from the edge")]
    Timestamp((millis() / 1_000.0).floor() as i64)
}

/// The moment of a request.
///
/// # Errors
///
/// The platform gave no random bytes. Then there must be no answer: ids would be guessable.
pub fn draw() -> Result<Moment, Unavailable> {
    let mut entropy = [0; 32];
    crypto::random(&mut entropy)?;
    Ok(Moment { now: now(), entropy })
}
