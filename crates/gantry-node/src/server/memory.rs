//! Remembers answers for a while.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Answers kept at once.
const MOST: usize = 1024;

/// Answers by what was asked, each for the same time.
pub struct Memory<T> {
    holds: Duration,
    entries: Mutex<HashMap<String, (Instant, T)>>,
}

impl<T: Clone> Memory<T> {
    /// Keeps each answer for `holds`.
    pub fn new(holds: Duration) -> Self {
        Memory {
            holds,
            entries: Mutex::default(),
        }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<String, (Instant, T)>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An answer that still holds.
    pub fn get(&self, key: &str) -> Option<T> {
        let entries = self.entries();
        let (end, value) = entries.get(key)?;
        (Instant::now() < *end).then(|| value.clone())
    }

    /// Keeps an answer; others make room for it.
    pub fn put(&self, key: String, value: T) {
        let now = Instant::now();
        let mut entries = self.entries();
        if entries.len() >= MOST {
            entries.retain(|_, (end, _)| now < *end);
        }
        if entries.len() >= MOST {
            entries.clear();
        }
        entries.insert(key, (now + self.holds, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn answers_hold_for_a_while() {
        let memory = Memory::new(Duration::from_secs(10));
        memory.put("a".into(), 1);
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!(memory.get("a"), Some(1));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(memory.get("a"), None);
        for n in 0..2 * MOST {
            memory.put(n.to_string(), n);
            assert!(memory.entries().len() <= MOST);
        }
        assert_eq!(memory.get(&(2 * MOST - 1).to_string()), Some(2 * MOST - 1));
    }
}
