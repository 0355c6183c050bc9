//! The figures, for people and for programs.

use super::histogram::Histogram;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What was measured of one sort of requests. Durations are in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    pub name: String,
    pub requests: u64,
    pub failed: u64,
    /// The first failure, if there was one.
    pub failure: Option<String>,
    pub seconds: f64,
    pub per_second: f64,
    pub megabytes_per_second: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub max: f64,
    /// The server's resident memory afterwards, and the most it had, in megabytes, if it could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<[f64; 2]>,
    /// The size of the server's store afterwards, in megabytes, if it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<f64>,
}

impl Figures {
    /// The figures of `requests` that took `elapsed` together and answered with `bytes`.
    pub fn new(name: &str, requests: u64, elapsed: Duration, bytes: u64, histogram: &Histogram) -> Self {
        let seconds = elapsed.as_secs_f64().max(1e-9);
        let millis = |d: Duration| d.as_secs_f64() * 1e3;
        Figures {
            name: name.into(),
            requests,
            seconds,
            per_second: requests as f64 / seconds,
            megabytes_per_second: bytes as f64 / 1e6 / seconds,
            p50: millis(histogram.quantile(0.5)),
            p90: millis(histogram.quantile(0.9)),
            p99: millis(histogram.quantile(0.99)),
            max: millis(histogram.longest()),
            ..Default::default()
        }
    }
}

/// For programs, and for `--compare`.
pub fn json(figures: &[Figures]) -> String {
    serde_json::json!(figures).to_string()
}

/// Reads what [`json`] wrote.
pub fn parse(text: &[u8]) -> Result<Vec<Figures>, String> {
    serde_json::from_slice(text).map_err(|e| e.to_string())
}

/// For people; with how many times the figures of `other` these are, if there are others.
pub fn table(figures: &[Figures], other: Option<&[Figures]>) -> String {
    let mut rows = vec![vec![
        "WORK".to_string(),
        "REQUESTS".into(),
        "FAILED".into(),
        "PER SECOND".into(),
        "MB/S".into(),
        "P50 MS".into(),
        "P90 MS".into(),
        "P99 MS".into(),
        "MAX MS".into(),
    ]];
    let memory = figures.iter().any(|f| f.memory.is_some());
    if memory {
        rows[0].extend(["MEMORY MB".into(), "MOST MB".into()]);
    }
    let store = figures.iter().any(|f| f.store.is_some());
    if store {
        rows[0].push("STORE MB".into());
    }
    if other.is_some() {
        rows[0].extend(["TIMES".into(), "P99 TIMES".into()]);
    }
    for f in figures {
        let mut row = vec![
            f.name.clone(),
            f.requests.to_string(),
            f.failed.to_string(),
            format!("{:.0}", f.per_second),
            format!("{:.1}", f.megabytes_per_second),
            format!("{:.2}", f.p50),
            format!("{:.2}", f.p90),
            format!("{:.2}", f.p99),
            format!("{:.2}", f.max),
        ];
        if memory {
            row.extend(match f.memory {
                Some(both) => both.map(|mb| format!("{mb:.0}")),
                None => ["-".into(), "-".into()],
            });
        }
        if store {
            row.push(f.store.map_or("-".into(), |mb| format!("{mb:.0}")));
        }
        if let Some(other) = other {
            match other.iter().find(|o| o.name == f.name) {
                Some(o) => row.extend([
                    format!("{:.2}", f.per_second / o.per_second),
                    format!("{:.2}", f.p99 / o.p99),
                ]),
                None => row.extend(["-".into(), "-".into()]),
            }
        }
        rows.push(row);
    }
    let width = |column: usize| rows.iter().map(|r| r[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = format!("{:width$}", row[0], width = widths[0]);
        for (cell, width) in row.iter().zip(&widths).skip(1) {
            line += &format!("   {cell:>width$}");
        }
        text += line.trim_end();
        text.push('\n');
    }
    for f in figures {
        if let Some(failure) = &f.failure {
            text += &format!("{}: {} failed, first with {failure}\n", f.name, f.failed);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(name: &str, per_second: f64, p99: f64) -> Figures {
        Figures {
            name: name.into(),
            requests: 100,
            seconds: 1.0,
            per_second,
            p99,
            ..Default::default()
        }
    }

    #[test]
    fn tables_and_ratios() {
        let mut mine = vec![figures("get", 3000.0, 2.0), figures("list all", 5.0, 100.5)];
        mine[1].failed = 2;
        mine[1].failure = Some("500: no".into());
        let other = parse(json(&[figures("get", 1000.0, 8.0)]).as_bytes()).unwrap();
        assert_eq!(
            table(&mine, Some(&other)),
            "WORK       REQUESTS   FAILED   PER SECOND   MB/S   P50 MS   P90 MS   P99 MS   MAX MS   TIMES   P99 TIMES\n\
             get             100        0         3000    0.0     0.00     0.00     2.00     0.00    3.00        0.25\n\
             list all        100        2            5    0.0     0.00     0.00   100.50     0.00       -           -\n\
             list all: 2 failed, first with 500: no\n"
        );
        assert!(table(&mine, None).starts_with("WORK       REQUESTS   FAILED   PER SECOND   MB/S   P50 MS"));
        mine[0].memory = Some([123.4, 150.0]);
        mine[0].store = Some(77.7);
        let text = table(&mine[..1], None);
        assert!(
            text.lines()
                .next()
                .is_some_and(|l| l.ends_with("MAX MS   MEMORY MB   MOST MB   STORE MB")),
            "{text}"
        );
        assert!(text.trim_end().ends_with("123       150         78"), "{text}");
        assert!(parse(b"nonsense").is_err());
    }
}
