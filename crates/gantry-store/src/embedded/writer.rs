//! The writer thread: group commit, compaction, and what happens when the disk refuses.
//!
//! After a failed commit the writes that waited for it fail, and what it may have left on the disk is cut off before the
//! next one. The store goes on by itself once the disk does; until then it can be read, and every write is told why it
//! fails.

use super::appender::{Appender, Batch, Failure};
use crate::plan::{Op, Plan};
use crate::reader::Core;
use crate::retention::{Limits, Retention};
use crate::state::cost;
use crate::{Event, ReadError, Revision, WriteError};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};

/// Requests that may wait for the writer, and at most as many are one commit; beyond it callers wait to enqueue.
pub(super) const QUEUE: usize = 1024;
/// A commit takes no further request once it holds this many bytes.
const COMMIT_BYTES: usize = 16 << 20;
/// After a commit of several the writer rests for as long as that took, but no longer than this: a commit costs much the
/// same whatever is in it, and who is to be served next needs the processor, too.
const REST: Duration = Duration::from_micros(1500);
/// Records of history erased with one commit, so that compaction delays no write for long.
const ERASE: usize = 4096;
/// A disk that refused is tried again at most this often.
const PAUSE: Duration = Duration::from_secs(1);

/// What a write came to.
type Outcome = Result<Option<Arc<Event>>, WriteError>;

/// Where it goes.
pub(super) type Reply = oneshot::Sender<Outcome>;

/// What the writer is asked to do.
pub(super) enum Request {
    Write(Op, Reply),
    Compact(Revision, oneshot::Sender<Result<(), ReadError>>),
}

/// Why nothing can be written at present.
struct Broken {
    why: String,
    tried: Option<Instant>,
}

pub(super) struct Writer {
    core: Arc<Core>,
    appender: Appender,
    queue: mpsc::Receiver<Request>,
    /// Revisions whose records are to be erased, in order.
    doomed: VecDeque<Revision>,
    retention: Retention,
    broken: Option<Broken>,
    /// Until when it rests.
    rested: Instant,
    /// The compaction that the disk knows of.
    compacted: Revision,
    /// What was in use when the files last reached their limit; nothing is put until some of it is gone.
    full: Option<u64>,
}

impl Writer {
    pub(super) fn new(
        core: Arc<Core>,
        appender: Appender,
        queue: mpsc::Receiver<Request>,
        doomed: Vec<Revision>,
        limits: Limits,
    ) -> Writer {
        let compacted = core.read().compacted;
        Writer {
            compacted,
            core,
            appender,
            queue,
            doomed: doomed.into(),
            retention: Retention::new(limits, Instant::now()),
            broken: None,
            rested: Instant::now(),
            full: None,
        }
    }

    /// Works until nobody can ask any more.
    pub(super) fn run(mut self) {
        let mut next = None;
        while let Some(request) = next.take().or_else(|| self.wait()) {
            match request {
                Request::Compact(at, reply) => {
                    let done = self.compact(at).and_then(|()| self.erase());
                    let _ = reply.send(done);
                }
                Request::Write(op, reply) => {
                    let (writes, other) = self.gather((op, reply));
                    next = other;
                    let (several, start) = (writes.len() > 1, Instant::now());
                    self.write(writes, 0);
                    if several {
                        self.rested = Instant::now() + start.elapsed().min(REST);
                    }
                }
            }
            self.retain();
        }
        self.core.hub().close();
    }

    /// The writes that go into one commit with a first one, and the request that comes after them if it is none.
    fn gather(&mut self, first: (Op, Reply)) -> (Vec<(Op, Reply)>, Option<Request>) {
        let rest = self.rested.saturating_duration_since(Instant::now());
        if !rest.is_zero() {
            std::thread::sleep(rest);
        }
        let mut bytes = first.0.len();
        let mut writes = vec![first];
        while writes.len() < QUEUE && bytes < COMMIT_BYTES {
            match self.queue.try_recv() {
                Ok(Request::Write(op, reply)) => {
                    bytes += op.len();
                    writes.push((op, reply));
                }
                Ok(other) => return (writes, Some(other)),
                Err(_) => break,
            }
        }
        (writes, None)
    }

    /// The next request; erases history while there is none.
    fn wait(&mut self) -> Option<Request> {
        loop {
            let is_tidy = self.doomed.is_empty() && !self.appender.should_sweep(self.core.read().size());
            if is_tidy || self.broken.is_some() {
                return self.queue.blocking_recv();
            }
            match self.queue.try_recv() {
                Ok(request) => return Some(request),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => {
                    // A failure is kept in `broken`, and told to the next write.
                    let _ = self.commit(&[]);
                }
            }
        }
    }

    fn write(&mut self, writes: Vec<(Op, Reply)>, attempt: u32) {
        if let Err(why) = self.mend() {
            for (_, reply) in writes {
                let _ = reply.send(Err(WriteError::Backend(why.clone())));
            }
            return;
        }
        let (plan, outcomes) = self.decide(writes);
        match self.commit(&plan.events) {
            Ok(()) => {
                self.core.apply(&plan.events);
                for (reply, outcome, _) in outcomes {
                    let _ = reply.send(outcome);
                }
            }
            Err(Failure::Ceiling) if attempt < 2 => self.make_room(outcomes, attempt),
            Err(failure) => {
                let why = failure.why();
                tracing::error!("a commit failed: {why}");
                for (reply, outcome, _) in outcomes {
                    let _ = reply.send(outcome.and(Err(WriteError::Backend(why.clone()))));
                }
            }
        }
    }

    /// Decides writes in order, each with what was asked for, in case it must be decided anew.
    fn decide(&mut self, writes: Vec<(Op, Reply)>) -> (Plan, Vec<(Reply, Outcome, Op)>) {
        let mut plan = Plan::default();
        let state = self.core.read();
        if self.full.is_some_and(|size| state.size() < size - size / 64) {
            self.full = None;
        }
        let outcomes = writes.into_iter().map(|(op, reply)| {
            let outcome = match op.is_put() && self.full.is_some() {
                true => Err(state.full()),
                false => plan.add(&state, op.clone()),
            };
            (reply, outcome, op)
        });
        let outcomes = outcomes.collect();
        (plan, outcomes)
    }

    /// A commit would have made the files too large. At first history that still waits to be erased goes, and files are
    /// swept, so the writes are decided again. When that did not help, the puts are refused and the deletions decided again.
    fn make_room(&mut self, outcomes: Vec<(Reply, Outcome, Op)>, attempt: u32) {
        let again = attempt == 0 && self.squeeze(&outcomes).is_ok();
        let mut writes = Vec::new();
        for (reply, outcome, op) in outcomes {
            if outcome.is_err() {
                let _ = reply.send(outcome);
            } else if again || !op.is_put() {
                writes.push((op, reply));
            } else {
                let _ = reply.send(Err(self.core.read().full()));
            }
        }
        if !again {
            self.full = Some(self.core.read().size());
        }
        if !writes.is_empty() {
            self.write(writes, attempt + 1);
        }
    }

    /// Makes room for what is to be written, as far as there is any to be made.
    fn squeeze(&mut self, outcomes: &[(Reply, Outcome, Op)]) -> Result<(), ReadError> {
        self.erase()?;
        let room = outcomes.iter().map(|(_, _, op)| cost(op.len(), 0)).sum();
        let batch = {
            let state = self.core.read();
            Batch {
                events: &[],
                erase: &[],
                newest: state.revision,
                compacted: state.compacted,
                used: state.size(),
            }
        };
        let done = self.appender.squeeze(room, &batch);
        self.note(done)
            .map_err(|failure| ReadError::Backend(failure.why()))
    }

    /// Commits events, and erases a part of what history no longer needs.
    fn commit(&mut self, events: &[Arc<Event>]) -> Result<(), Failure> {
        let erase: Vec<Revision> = self.doomed.iter().copied().take(ERASE).collect();
        let (newest, compacted, used) = {
            let state = self.core.read();
            (state.revision, state.compacted, state.size())
        };
        let done = self.appender.commit(&Batch {
            events,
            erase: &erase,
            newest,
            compacted,
            used,
        });
        self.note(done)?;
        self.doomed.drain(..erase.len());
        self.compacted = compacted;
        Ok(())
    }

    /// Remembers that the disk refused.
    fn note(&mut self, done: Result<(), Failure>) -> Result<(), Failure> {
        if let Err(Failure::Other(why)) = &done {
            self.broken = Some(Broken {
                why: why.clone(),
                tried: None,
            });
        }
        done
    }

    /// After a failed commit, cuts off what it may have left.
    fn mend(&mut self) -> Result<(), String> {
        let Some(broken) = &mut self.broken else {
            return Ok(());
        };
        if broken.tried.is_some_and(|at| at.elapsed() < PAUSE) {
            return Err(broken.why.clone());
        }
        match self.appender.recover() {
            Ok(()) => {
                self.broken = None;
                Ok(())
            }
            Err(why) => {
                broken.why = why.clone();
                broken.tried = Some(Instant::now());
                Err(why)
            }
        }
    }

    fn retain(&mut self) {
        let due = self.retention.due(Instant::now(), &self.core.read());
        if let Some(at) = due
            && let Err(error) = self.compact(at)
        {
            tracing::error!("history could not be compacted: {error}");
        }
    }

    /// Makes compaction durable, and erases all that nobody can read any more.
    fn erase(&mut self) -> Result<(), ReadError> {
        self.mend().map_err(ReadError::Backend)?;
        while !self.doomed.is_empty() || self.compacted < self.core.read().compacted {
            self.commit(&[])
                .map_err(|failure| ReadError::Backend(failure.why()))?;
        }
        Ok(())
    }

    /// From here on what is older cannot be read; its records go with the commits that follow.
    fn compact(&mut self, at: Revision) -> Result<(), ReadError> {
        let doomed = self.core.write().compact(at)?;
        self.doomed.extend(doomed);
        Ok(())
    }
}
