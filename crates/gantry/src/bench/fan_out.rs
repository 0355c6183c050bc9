//! How long a change takes to reach all who watch.

use super::Error;
use super::connection::{Answer, Connection, Target};
use super::histogram::Histogram;
use super::report::Figures;
use bytes::{Buf, Bytes, BytesMut};
use futures::future::try_join_all;
use http::Method;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::json;
use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

/// For so many seconds there are changes.
const SECONDS: u32 = 10;
/// After the last change, so long is waited for watches that lag.
const LAG: Duration = Duration::from_secs(3);
/// A line longer than this is no event of ours.
const LINE: usize = 1 << 20;
/// So many connections make the changes, each of an object of its own.
const WRITERS: u32 = 16;
/// What the watches select.
const LABEL: &str = "gantry-bench";

/// Changes small ConfigMaps in `maps` at a rate, and measures when each watch hears of it. A request is an event that
/// arrived; one that did not counts as failed.
pub async fn run(target: &Target, maps: &str, watchers: u16, changes: u32) -> Result<Figures, Error> {
    let writers = WRITERS.min(changes);
    let each = changes * SECONDS / writers;
    let expected = u64::from(watchers) * u64::from(each * writers);
    let mut writing = try_join_all((0..writers).map(|_| Connection::open(target))).await?;
    for (i, writer) in writing.iter_mut().enumerate() {
        let body = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name(i), "labels": {LABEL: "watched"}}});
        let answer = writer
            .send(Method::POST, maps, "application/json", body.to_string().into())
            .await?;
        refused(answer, maps)?;
    }
    let heard = Heard {
        origin: Instant::now(),
        expected,
        count: Cell::new(0),
        bytes: Cell::new(0),
        histogram: RefCell::default(),
    };
    let path = format!("{maps}?watch=true&labelSelector={LABEL}%3Dwatched");
    let mut watching = try_join_all((0..watchers).map(|_| Connection::open(target))).await?;
    let opening = watching
        .iter_mut()
        .map(|c| c.begin(Method::GET, &path, "", Bytes::new()));
    let bodies: Vec<Incoming> = try_join_all(opening).await?.into_iter().map(|b| b.1).collect();
    let listen = try_join_all(bodies.into_iter().map(|body| heard.listen(body)));
    let began = Instant::now();
    let period = Duration::from_secs(1) * writers / changes;
    let change = async {
        let origin = heard.origin;
        let work = writing.into_iter().enumerate().map(async |(i, mut writer)| {
            let path = format!("{maps}/{}", name(i));
            // They take turns, so that changes are spread evenly.
            let first = tokio::time::Instant::now() + period * i as u32 / writers;
            let mut ticks = tokio::time::interval_at(first, period);
            for _ in 0..each {
                ticks.tick().await;
                let body = format!(r#"{{"data":{{"sent":"{}"}}}}"#, origin.elapsed().as_micros());
                let answer = writer
                    .send(Method::PATCH, &path, "application/merge-patch+json", body.into())
                    .await?;
                refused(answer, &path)?;
            }
            Ok::<_, Error>(())
        });
        try_join_all(work).await?;
        let changed = began.elapsed();
        tokio::time::sleep(LAG).await;
        Ok::<_, Error>(changed)
    };
    let elapsed = tokio::select! {
        result = listen => result.map(|_| began.elapsed())?,
        result = change => result?,
    };
    let title = format!("watch: {watchers} watches of {changes} changes/s");
    let count = heard.count.get();
    let mut figures = Figures::new(
        &title,
        count,
        elapsed,
        heard.bytes.get(),
        &heard.histogram.borrow(),
    );
    figures.failed = expected.saturating_sub(count);
    if figures.failed > 0 {
        figures.failure = Some("events did not arrive".into());
    }
    Ok(figures)
}

fn name(writer: usize) -> String {
    format!("watched-{writer}")
}

fn refused(answer: Answer, what: &str) -> Result<(), Error> {
    match answer.status {
        200..=299 => Ok(()),
        status => Err(Error::Refused(what.to_owned(), status, answer.start())),
    }
}

/// What all watches heard.
struct Heard {
    origin: Instant,
    expected: u64,
    count: Cell<u64>,
    bytes: Cell<u64>,
    histogram: RefCell<Histogram>,
}

impl Heard {
    /// Reads a watch until all watches together have heard everything, or it ends.
    async fn listen(&self, mut body: Incoming) -> Result<(), Error> {
        let mut buffer = BytesMut::new();
        while self.count.get() < self.expected {
            let Some(frame) = body.frame().await else { break };
            let frame = frame.map_err(super::ConnectError::from)?;
            let Some(data) = frame.data_ref() else { continue };
            self.bytes.set(self.bytes.get() + data.len() as u64);
            // Most frames are whole lines, and are read where they are.
            if buffer.is_empty() {
                let read = self.lines(data);
                buffer.extend_from_slice(&data[read..]);
            } else {
                buffer.extend_from_slice(data);
                let read = self.lines(&buffer);
                buffer.advance(read);
            }
            if buffer.len() > LINE {
                buffer.clear();
            }
        }
        Ok(())
    }

    /// Reads the whole lines at the beginning of `bytes`; returns their length.
    fn lines(&self, bytes: &[u8]) -> usize {
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1);
        for line in std::str::from_utf8(&bytes[..whole]).unwrap_or_default().lines() {
            if let Some(sent) = sent_at(line) {
                let latency = self.origin.elapsed().saturating_sub(Duration::from_micros(sent));
                self.histogram.borrow_mut().add(latency);
                self.count.set(self.count.get() + 1);
            }
        }
        whole
    }
}

/// When the change that an event tells of was sent, in microseconds; none for other events.
fn sent_at(line: &str) -> Option<u64> {
    // Servers differ in where an object's data comes, most often near one of the ends.
    let rest = line.rsplit_once(r#""sent":""#)?.1;
    rest.split('"').next()?.parse().ok()
}
