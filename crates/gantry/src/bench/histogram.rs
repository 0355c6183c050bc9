//! Counts durations in buckets that are at most 3% wide, so that millions fit into a few kilobytes.

use std::time::Duration;

/// Each doubling of the duration has so many buckets.
const STEPS: usize = 32;
/// Doublings of a microsecond, up to over an hour.
const DOUBLINGS: usize = 32;

/// Durations, counted.
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    longest: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram {
            counts: vec![0; STEPS * (DOUBLINGS + 1)],
            total: 0,
            longest: Duration::ZERO,
        }
    }
}

impl Histogram {
    /// Counts one.
    pub fn add(&mut self, duration: Duration) {
        let last = self.counts.len() - 1;
        self.counts[bucket(duration).min(last)] += 1;
        self.total += 1;
        self.longest = self.longest.max(duration);
    }

    /// Counts all of another.
    pub fn merge(&mut self, other: &Histogram) {
        for (mine, others) in self.counts.iter_mut().zip(&other.counts) {
            *mine += others;
        }
        self.total += other.total;
        self.longest = self.longest.max(other.longest);
    }

    /// The duration that a share of all does not exceed.
    pub fn quantile(&self, share: f64) -> Duration {
        let wanted = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (i, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return upper(i).min(self.longest);
            }
        }
        self.longest
    }

    /// The longest.
    pub fn longest(&self) -> Duration {
        self.longest
    }
}

fn bucket(duration: Duration) -> usize {
    let micros = duration.as_micros().min(u128::from(u64::MAX)) as u64;
    // Below one step a microsecond each, then the leading bits.
    if micros < STEPS as u64 {
        return micros as usize;
    }
    let doubling = micros.ilog2() as usize - STEPS.ilog2() as usize;
    (doubling + 1) * STEPS + (micros >> doubling) as usize - STEPS
}

/// The longest duration of a bucket.
fn upper(bucket: usize) -> Duration {
    if bucket < STEPS {
        return Duration::from_micros(bucket as u64);
    }
    let (doubling, step) = (bucket / STEPS - 1, bucket % STEPS);
    Duration::from_micros((((STEPS + step + 1) as u64) << doubling) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_near_the_truth() {
        let mut histogram = Histogram::default();
        let mut other = Histogram::default();
        for i in 1..=10_000u64 {
            let half = if i % 2 == 0 { &mut histogram } else { &mut other };
            half.add(Duration::from_micros(i * 7));
        }
        histogram.merge(&other);
        for (share, truth) in [
            (0.5, 35_000.0),
            (0.9, 63_000.0),
            (0.99, 69_300.0),
            (1.0, 70_000.0),
        ] {
            let found = histogram.quantile(share).as_micros() as f64;
            assert!(
                (found / truth - 1.0).abs() < 0.035,
                "{share}: {found} for {truth}"
            );
        }
        assert_eq!(histogram.longest(), Duration::from_micros(70_000));
        assert_eq!(Histogram::default().quantile(0.5), Duration::ZERO);
    }

    #[test]
    fn every_duration_has_its_bucket() {
        for micros in (0..100_000).chain([u64::MAX / 2, 1 << 33]) {
            let found = upper(bucket(Duration::from_micros(micros)));
            let found = found.as_micros() as u64;
            assert!(
                found >= micros && found - micros <= micros / 32 + 1,
                "{micros} {found}"
            );
        }
    }
}
