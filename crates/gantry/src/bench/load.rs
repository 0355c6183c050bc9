//! Many connections that send requests of one sort, each one after the other.

use super::Error;
use super::connection::{Connection, Target};
use super::histogram::Histogram;
use super::report::Figures;
use bytes::Bytes;
use futures::future::try_join_all;
use http::Method;
use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};
use tokio::time::sleep_until;

/// One request.
pub struct Request {
    pub method: Method,
    pub path: String,
    /// Empty when there is no body.
    pub media_type: &'static str,
    pub body: Bytes,
}

/// So many requests over so many connections.
pub struct Load {
    pub name: String,
    pub connections: u16,
    pub count: u32,
    /// How many are sent a second, at most; none for as many as the server answers.
    pub rate: Option<u32>,
}

impl Load {
    /// Sends the requests that `make` makes of their numbers, and measures them.
    pub async fn run(&self, target: &Target, make: &dyn Fn(u32) -> Request) -> Result<Figures, Error> {
        let opening = (0..self.connections).map(|_| Connection::open(target));
        let connections = try_join_all(opening).await?;
        let next = Cell::new(0);
        let (failed, bytes) = (Cell::new(0u64), Cell::new(0u64));
        let failure = RefCell::new(None);
        let began = Instant::now();
        let work = connections.into_iter().map(async |mut connection| {
            let mut histogram = Histogram::default();
            while next.get() < self.count {
                let number = next.replace(next.get() + 1);
                let request = make(number);
                if let Some(rate) = self.rate {
                    let due = Duration::from_secs_f64(f64::from(number) / f64::from(rate));
                    sleep_until((began + due).into()).await;
                }
                let sent = Instant::now();
                let answer = connection
                    .send(request.method, &request.path, request.media_type, request.body)
                    .await?;
                histogram.add(sent.elapsed());
                bytes.set(bytes.get() + answer.bytes);
                if answer.status >= 300 {
                    failed.set(failed.get() + 1);
                    failure
                        .borrow_mut()
                        .get_or_insert_with(|| format!("{}: {}", answer.status, answer.start()));
                }
            }
            Ok::<_, Error>(histogram)
        });
        let histograms = try_join_all(work).await?;
        let elapsed = began.elapsed();
        let mut all = Histogram::default();
        histograms.iter().for_each(|h| all.merge(h));
        let mut figures = Figures::new(&self.name, u64::from(self.count), elapsed, bytes.get(), &all);
        figures.failed = failed.get();
        figures.failure = failure.take();
        Ok(figures)
    }
}
