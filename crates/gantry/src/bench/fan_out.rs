//! How long a change takes to reach all who watch.

use super::Error;
use super::connection::{Connection, Target};
use super::histogram::Histogram;
use super::report::Figures;
use bytes::{Bytes, BytesMut};
use futures::future::try_join_all;
use http::Method;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

/// For so many seconds there are changes.
const SECONDS: u32 = 10;
/// After the last change, so long is waited for watches that lag.
const LAG: Duration = Duration::from_secs(3);
/// A line longer than this is no event of ours.
const LINE: usize = 1 << 20;

/// Changes one ConfigMap in `maps` again and again, and measures when each watch hears of it. A request is an event
/// that arrived; one that did not counts as failed.
pub async fn run(target: &Target, maps: &str, watchers: u16, changes: u32) -> Result<Figures, Error> {
    let origin = Instant::now();
    let (histogram, bytes, heard) = (
        RefCell::new(Histogram::default()),
        Cell::new(0u64),
        Cell::new(0u64),
    );
    let expected = u64::from(watchers) * u64::from(changes * SECONDS);
    let path = format!("{maps}?watch=true&fieldSelector=metadata.name%3Dmap-0&resourceVersion=0");
    let mut connections = try_join_all((0..watchers).map(|_| Connection::open(target))).await?;
    let opening = connections
        .iter_mut()
        .map(|c| c.begin(Method::GET, &path, "", Bytes::new()));
    let bodies: Vec<Incoming> = try_join_all(opening).await?.into_iter().map(|b| b.1).collect();
    let mut writer = Connection::open(target).await?;
    let listen = try_join_all(bodies.into_iter().map(async |mut body| {
        let mut buffer = BytesMut::new();
        while heard.get() < expected {
            let Some(frame) = body.frame().await else { break };
            let frame = frame.map_err(super::ConnectError::from)?;
            let Some(data) = frame.data_ref() else { continue };
            bytes.set(bytes.get() + data.len() as u64);
            buffer.extend_from_slice(data);
            while let Some(end) = buffer.iter().position(|b| *b == b'\n') {
                if let Some(sent) = sent_at(&buffer.split_to(end + 1)) {
                    let latency = origin.elapsed().saturating_sub(Duration::from_micros(sent));
                    histogram.borrow_mut().add(latency);
                    heard.set(heard.get() + 1);
                }
            }
            if buffer.len() > LINE {
                buffer.clear();
            }
        }
        Ok::<_, Error>(())
    }));
    let began = Instant::now();
    let change = async {
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / changes);
        for _ in 0..changes * SECONDS {
            ticks.tick().await;
            let body = format!(r#"{{"data":{{"sent":"{}"}}}}"#, origin.elapsed().as_micros());
            let path = format!("{maps}/map-0");
            let answer = writer
                .send(Method::PATCH, &path, "application/merge-patch+json", body.into())
                .await?;
            if answer.status >= 300 {
                return Err(Error::Refused(path, answer.status, answer.start()));
            }
        }
        tokio::time::sleep(LAG).await;
        Ok(())
    };
    let mut elapsed = Duration::ZERO;
    tokio::select! {
        result = listen => { result?; elapsed = began.elapsed(); }
        result = change => result?,
    }
    if elapsed.is_zero() {
        elapsed = began.elapsed().saturating_sub(LAG);
    }
    let name = format!("watch: {watchers} watches of {changes} changes/s");
    let mut figures = Figures::new(&name, heard.get(), elapsed, bytes.get(), &histogram.borrow());
    figures.failed = expected.saturating_sub(heard.get());
    if figures.failed > 0 {
        figures.failure = Some("events did not arrive".into());
    }
    Ok(figures)
}

/// When the change that an event tells of was sent, in microseconds; none for other events.
fn sent_at(line: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(line).ok()?;
    let rest = text.split_once(r#""sent":""#)?.1;
    rest.split('"').next()?.parse().ok()
}
