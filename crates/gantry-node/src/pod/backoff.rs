//! Growing pauses, per key.

use std::collections::HashMap;

const SECOND: i64 = 1_000_000_000;

/// Pauses that double from the first to the longest, and start over when nothing failed for twice the longest.
/// Times are in nanoseconds.
#[derive(Debug)]
pub struct Backoff {
    first: i64,
    longest: i64,
    entries: HashMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    pause: i64,
    at: i64,
}

impl Backoff {
    /// Of 10 seconds to 5 minutes, as containers' restarts and image pulls have.
    pub fn usual() -> Self {
        Backoff {
            first: 10 * SECOND,
            longest: 300 * SECOND,
            entries: HashMap::new(),
        }
    }

    /// Counts a failure at `at`; the next pause begins there.
    pub fn failed(&mut self, key: &str, at: i64) {
        let (first, longest) = (self.first, self.longest);
        let entry = self
            .entries
            .entry(key.to_string())
            .or_insert(Entry { pause: 0, at });
        let expired = at.saturating_sub(entry.at) > 2 * longest;
        entry.pause = match entry.pause {
            0 => first,
            _ if expired => first,
            pause => (pause * 2).min(longest),
        };
        entry.at = at;
    }

    /// The pause that goes on now for something that failed at `since`: its length, and when it ends.
    pub fn pause(&self, key: &str, since: i64, now: i64) -> Option<(i64, i64)> {
        let entry = self.entries.get(key)?;
        let expired = since.saturating_sub(entry.at) > 2 * self.longest;
        let end = since.saturating_add(entry.pause);
        (!expired && now < end).then_some((entry.pause, end))
    }

    /// Forgets all keys that begin with `prefix`.
    pub fn forget(&mut self, prefix: &str) {
        self.entries.retain(|key, _| !key.starts_with(prefix));
    }

    /// When the pause since the last failure ends.
    pub fn pause_since_failure(&self, key: &str, now: i64) -> Option<i64> {
        let entry = self.entries.get(key)?;
        let end = entry.at.saturating_add(entry.pause);
        (now < end).then_some(end)
    }
}

/// A pause as upstream's messages write it: `10s`, `1m20s`.
pub fn text(pause: i64) -> String {
    let seconds = pause / SECOND;
    match (seconds / 60, seconds % 60) {
        (0, s) => format!("{s}s"),
        (m, s) => format!("{m}m{s}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_start_over() {
        let mut backoff = Backoff::usual();
        let mut at = 0;
        assert_eq!(backoff.pause("a", at, at), None, "the first failure has no pause");
        for expected in ["10s", "20s", "40s", "1m20s", "2m40s", "5m0s", "5m0s"] {
            backoff.failed("a", at);
            let (pause, end) = backoff.pause("a", at, at).unwrap();
            assert_eq!(text(pause), expected);
            assert_eq!(backoff.pause("a", at, end), None, "the pause has an end");
            at = end;
        }
        at += 601 * SECOND;
        assert_eq!(backoff.pause("a", at, at), None, "ten quiet minutes end it");
        backoff.failed("a", at);
        assert_eq!(
            backoff.pause("a", at, at).map(|p| text(p.0)).as_deref(),
            Some("10s")
        );
    }
}
