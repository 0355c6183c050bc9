//! Times as the API writes them.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Now, in nanoseconds since 1970, as CRI counts.
pub fn now() -> i64 {
    i64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos()).unwrap_or(i64::MAX)
}

/// A time as the API writes it: whole seconds, UTC.
pub fn stamp(nanos: i64) -> String {
    OffsetDateTime::from_unix_timestamp(nanos.div_euclid(1_000_000_000))
        .ok()
        .and_then(|t| t.format(&Rfc3339).ok())
        .unwrap_or_default()
}

/// A time that the API wrote, in nanoseconds; `None` if it is none.
pub fn parse(text: &str) -> Option<i64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(time.unix_timestamp_nanos()).ok()
}
