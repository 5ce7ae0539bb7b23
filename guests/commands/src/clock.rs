//! What time it is: the system's, in UTC.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

/// Returns the seconds since 1970.
pub(crate) fn seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |age| age.as_secs_f64().floor())
}

pub(crate) fn now() -> Timestamp {
    timestamp(SystemTime::now())
}

/// Returns the time as files have it.
pub(crate) fn system(time: Timestamp) -> SystemTime {
    let age = std::time::Duration::from_nanos(u64::try_from(time.as_nanosecond()).unwrap_or(0));
    UNIX_EPOCH + age
}

/// Returns a file's time; one that no calendar has is the beginning.
pub(crate) fn timestamp(time: SystemTime) -> Timestamp {
    Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH)
}
