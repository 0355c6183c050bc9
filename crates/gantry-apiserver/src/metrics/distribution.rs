//! How values are distributed over buckets: Prometheus' histograms.

use crate::metrics::text::Text;
use std::sync::atomic::{AtomicU64, Ordering};

/// Values counted by the buckets they fall in.
#[derive(Debug)]
pub struct Distribution {
    bounds: &'static [f64],
    /// The last are those beyond all bounds.
    counts: Box<[AtomicU64]>,
    /// The sum of all values, in millionths.
    sum: AtomicU64,
}

impl Distribution {
    /// One over buckets with these upper bounds.
    pub fn new(bounds: &'static [f64]) -> Self {
        Distribution {
            bounds,
            counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
        }
    }

    /// Counts a value.
    pub fn note(&self, value: f64) {
        let bucket = self.bounds.iter().position(|bound| value <= *bound);
        self.counts[bucket.unwrap_or(self.bounds.len())].fetch_add(1, Ordering::Relaxed);
        // Times and sizes are neither negative nor that large.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates"
        )]
        self.sum.fetch_add((value * 1e6) as u64, Ordering::Relaxed);
    }

    /// Writes it as a series of the family `name`, if it has any value.
    pub fn write(&self, text: &mut Text, name: &str, labels: &[(&str, &str)]) {
        let (bucket, mut sum) = (format!("{name}_bucket"), 0);
        if self.counts.iter().all(|count| count.load(Ordering::Relaxed) == 0) {
            return;
        }
        let bounds = self
            .bounds
            .iter()
            .map(|bound| shown(*bound))
            .chain(["+Inf".to_owned()]);
        for (bound, count) in bounds.zip(&self.counts) {
            sum += count.load(Ordering::Relaxed);
            let mut labels = labels.to_vec();
            labels.push(("le", &bound));
            text.value(&bucket, &labels, sum as f64);
        }
        let total = self.sum.load(Ordering::Relaxed) as f64 / 1e6;
        text.value(&format!("{name}_sum"), labels, total);
        text.value(&format!("{name}_count"), labels, sum as f64);
    }
}

/// A bound as Go writes it.
fn shown(bound: f64) -> String {
    match bound {
        large if large >= 1e6 => {
            let text = format!("{large:e}");
            match text.split_once('e') {
                Some((digits, exponent)) => format!("{digits}e+{exponent:0>2}"),
                None => text,
            }
        }
        bound => bound.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fall_into_buckets() {
        let sizes = Distribution::new(&[0.5, 1000.0, 1e6]);
        let mut text = Text::default();
        sizes.write(&mut text, "a", &[]);
        assert_eq!(text.0, "");
        [0.25, 0.5, 7.0, 2e6]
            .into_iter()
            .for_each(|value| sizes.note(value));
        sizes.write(&mut text, "a", &[("x", "y")]);
        assert_eq!(
            text.0.lines().collect::<Vec<_>>(),
            [
                "a_bucket{x=\"y\",le=\"0.5\"} 2",
                "a_bucket{x=\"y\",le=\"1000\"} 3",
                "a_bucket{x=\"y\",le=\"1e+06\"} 3",
                "a_bucket{x=\"y\",le=\"+Inf\"} 4",
                "a_sum{x=\"y\"} 2000007.75",
                "a_count{x=\"y\"} 4",
            ]
        );
    }
}
