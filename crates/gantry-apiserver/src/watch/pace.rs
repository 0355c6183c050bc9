//! How watches share the machine: the more there are, the less often each is told, and the more at once.
//!
//! An event costs each of its watchers a wake-up, a TLS record and a system call. A thousand watchers of a thousand
//! changes a second would take a million of each, which no small machine has. A watch that was just told something is
//! therefore left alone for a moment that grows with the number of watches, and then told all that came meanwhile. One
//! that has been idle is told at once, and where there are few watches, so are all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Up to so many watches do not need to share.
const FEW: usize = 100;
/// What each watch adds to the pause of all.
const EACH: Duration = Duration::from_micros(30);
/// The pause does not grow further: clients notice delays.
const LONGEST: Duration = Duration::from_millis(30);

/// All running watches, counted.
#[derive(Clone, Default)]
pub struct Watches(Arc<AtomicUsize>);

/// One running watch, for as long as it is not dropped.
pub struct Counted(Watches);

impl Watches {
    /// Counts one more.
    pub fn count(&self) -> Counted {
        self.0.fetch_add(1, Ordering::Relaxed);
        Counted(self.clone())
    }
}

impl Counted {
    /// How long a watch is left alone after it was told something.
    pub fn pause(&self) -> Duration {
        match self.0.0.load(Ordering::Relaxed) {
            few if few <= FEW => Duration::ZERO,
            many => EACH
                .saturating_mul(u32::try_from(many).unwrap_or(u32::MAX))
                .min(LONGEST),
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_grows_with_the_watches() {
        let watches = Watches::default();
        let mut running = vec![watches.count()];
        let mut check = |count: usize, expected: Duration| {
            running.truncate(count);
            running.extend((running.len()..count).map(|_| watches.count()));
            assert_eq!(running[0].pause(), expected, "{count}");
        };
        check(1, Duration::ZERO);
        check(100, Duration::ZERO);
        check(900, Duration::from_millis(27));
        check(9000, LONGEST);
        check(500, Duration::from_millis(15));
        check(2, Duration::ZERO);
    }
}
