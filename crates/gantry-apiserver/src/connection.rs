//! Connections: how many there are, from one address no more than half of them, and when each has to end.

use crate::metrics;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

/// Connections open at once; further ones wait in the kernel's queue.
const MOST: usize = 10_000;
/// Who was told that the connection ends has this long to let go of it.
const GRACE: Duration = Duration::from_secs(5);

/// How long the server waits for whoever is at the other end of a connection. The numbers are those of
/// k8s.io/apiserver/pkg/server/secure_serving.go, where it has any.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// A TLS handshake must be done after this long.
    pub handshake: Duration,
    /// A request's head must have come so long after it began, and the first after this long.
    pub head: Duration,
    /// A connection without a request for this long is closed.
    pub idle: Duration,
    /// What is sent must be taken within this time, piece by piece. Upstream waits for watchers for ever.
    pub taking: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience {
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(32),
            idle: Duration::from_secs(90),
            taking: Duration::from_secs(60),
        }
    }
}

/// All connections.
pub struct Connections {
    free: Arc<Semaphore>,
    /// How many each address has, and may have.
    by_address: Mutex<HashMap<IpAddr, usize>>,
    each: usize,
    patience: Patience,
}

/// A place for one connection.
pub struct Place {
    connections: Arc<Connections>,
    permit: OwnedSemaphorePermit,
}

/// One connection, for as long as it is open.
pub struct Connection {
    connections: Arc<Connections>,
    address: IpAddr,
    _permit: OwnedSemaphorePermit,
    activity: Activity,
}

/// What happens on a connection.
#[derive(Clone)]
pub struct Activity(Arc<State>);

struct State {
    opened: Instant,
    /// How many requests are under way.
    running: AtomicUsize,
    /// How many of them are passed on, and wait for somebody else.
    passed_on: AtomicUsize,
    /// When the last one ended.
    ended: Mutex<Instant>,
    /// Since when a request's head is awaited.
    head: Mark,
    /// Whether bytes that come while there is no request begin one's head: in HTTP/2, they need not.
    heads_alone: AtomicBool,
    /// Since when nothing more can be written.
    blocked: Mark,
    /// Since when the next piece of each answer is not asked for.
    answers: Mutex<Vec<Arc<Mark>>>,
}

/// A moment, or none, in milliseconds after the connection was opened.
#[derive(Default)]
struct Mark(AtomicU64);

/// A request that is under way, until this is dropped.
pub struct Busy(Activity);

/// An answer that is sent in pieces, until this is dropped.
pub struct Sending {
    activity: Activity,
    mark: Arc<Mark>,
    passed_on: bool,
}

/// Why a connection should end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Nobody needs it.
    Idle,
    /// The other end makes the server wait.
    Stuck,
}

impl Default for Connections {
    fn default() -> Self {
        // The rest of the process needs files, too.
        let files = metrics::most_files().unwrap_or(usize::MAX);
        Connections::of(MOST.min(files / 2), Patience::default())
    }
}

impl Connections {
    fn of(most: usize, patience: Patience) -> Self {
        Connections {
            free: Arc::new(Semaphore::new(most)),
            by_address: Mutex::default(),
            each: most.div_ceil(2),
            patience,
        }
    }

    /// As many, with another patience.
    pub fn with(patience: Patience) -> Self {
        Connections {
            patience,
            ..Connections::default()
        }
    }

    /// How long connections are waited for.
    pub fn patience(&self) -> Patience {
        self.patience
    }

    /// Waits for a place.
    pub async fn place(self: &Arc<Self>) -> Place {
        loop {
            // The semaphore is never closed.
            if let Ok(permit) = self.free.clone().acquire_owned().await {
                let connections = self.clone();
                return Place { connections, permit };
            }
        }
    }
}

impl Place {
    /// Gives it to a connection from `address`, unless that has its half.
    pub fn of(self, address: IpAddr) -> Option<Connection> {
        // As one address counts what somebody has of the same network: an IPv4 address, or a /64 of IPv6.
        let address = match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
            v4 => v4,
        };
        let connections = self.connections.clone();
        let mut all = connections
            .by_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let count = all.entry(address).or_insert(0);
        if *count >= connections.each {
            return None;
        }
        *count += 1;
        drop(all);
        Some(Connection {
            connections,
            address,
            _permit: self.permit,
            activity: Activity::new(),
        })
    }
}

impl Connection {
    /// What happens on it.
    pub fn activity(&self) -> &Activity {
        &self.activity
    }

    /// Waits until the connection should end. One that is `closing` is not waited for any longer than it has requests.
    pub async fn over(&self, closing: bool) -> End {
        let patience = self.connections.patience;
        let idle = match closing {
            true => GRACE.min(patience.idle),
            false => patience.idle,
        };
        // What begins meanwhile is seen this much later.
        let look = patience.head.min(patience.taking) / 2;
        loop {
            let now = Instant::now();
            let mut next = now + look;
            for (at, end) in self.activity.0.ends(patience, idle) {
                if at <= now {
                    return end;
                }
                next = next.min(at);
            }
            sleep_until(next).await;
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut all = self
            .connections
            .by_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = all.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.address);
            }
        }
    }
}

impl State {
    /// When the connection is to end if nothing changes.
    fn ends(&self, patience: Patience, idle: Duration) -> Vec<(Instant, End)> {
        let mut ends = Vec::new();
        let running = self.running.load(Ordering::Acquire);
        if running == 0 {
            let ended = *self.ended.lock().unwrap_or_else(PoisonError::into_inner);
            ends.push((ended + idle, End::Idle));
            ends.extend(self.at(&self.head).map(|at| (at + patience.head, End::Stuck)));
        }
        let stuck = |at: Instant| (at + patience.taking, End::Stuck);
        if self.passed_on.load(Ordering::Acquire) == 0 {
            ends.extend(self.at(&self.blocked).map(stuck));
        }
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        ends.extend(answers.iter().filter_map(|mark| self.at(mark)).map(stuck));
        ends
    }

    fn at(&self, mark: &Mark) -> Option<Instant> {
        match mark.0.load(Ordering::Acquire) {
            0 => None,
            after => Some(self.opened + Duration::from_millis(after - 1)),
        }
    }

    fn note(&self, mark: &Mark) {
        let after = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        mark.0.store(after + 1, Ordering::Release);
    }
}

impl Mark {
    fn is_noted(&self) -> bool {
        self.0.load(Ordering::Acquire) != 0
    }

    fn clear(&self) {
        // A store is dearer than a look where several processors look on.
        if self.is_noted() {
            self.0.store(0, Ordering::Release);
        }
    }
}

impl Activity {
    fn new() -> Self {
        let now = Instant::now();
        let state = State {
            opened: now,
            running: AtomicUsize::new(0),
            passed_on: AtomicUsize::new(0),
            ended: Mutex::new(now),
            head: Mark::default(),
            heads_alone: AtomicBool::new(false),
            blocked: Mark::default(),
            answers: Mutex::default(),
        };
        state.note(&state.head);
        Activity(Arc::new(state))
    }

    /// The handshake is done, and said whether HTTP/2 is spoken.
    pub fn speaks(&self, http2: bool) {
        self.0.heads_alone.store(!http2, Ordering::Release);
        self.0.note(&self.0.head);
    }

    /// Bytes came.
    pub fn received(&self) {
        match self.0.heads_alone.load(Ordering::Acquire) {
            false => self.0.head.clear(),
            true if self.0.running.load(Ordering::Acquire) == 0 && !self.0.head.is_noted() => {
                self.0.note(&self.0.head);
            }
            true => {}
        }
    }

    /// Bytes could be written, or not.
    pub fn wrote(&self, some: bool) {
        match some {
            true => self.0.blocked.clear(),
            false if !self.0.blocked.is_noted() => self.0.note(&self.0.blocked),
            false => {}
        }
    }

    /// A request begins.
    pub fn begin(&self) -> Busy {
        self.0.running.fetch_add(1, Ordering::AcqRel);
        self.0.head.clear();
        Busy(self.clone())
    }

    /// The connection is about to be closed.
    pub fn closing(&self) {
        *self.0.ended.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

impl Busy {
    /// Watches over an answer in pieces. What is passed on from elsewhere may wait as long as both ends like.
    pub fn sending(&self, passed_on: bool) -> Sending {
        let state = &self.0.0;
        let mark = Arc::new(Mark::default());
        match passed_on {
            true => drop(state.passed_on.fetch_add(1, Ordering::AcqRel)),
            false => {
                let mut answers = state.answers.lock().unwrap_or_else(PoisonError::into_inner);
                answers.push(mark.clone());
            }
        }
        Sending {
            activity: self.0.clone(),
            mark,
            passed_on,
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let state = &self.0.0;
        *state.ended.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        state.running.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Sending {
    /// The next piece is asked for.
    pub fn asked(&self) {
        self.mark.clear();
    }

    /// A piece was given.
    pub fn gave(&self) {
        self.activity.0.note(&self.mark);
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        let state = &self.activity.0;
        if self.passed_on {
            state.passed_on.fetch_sub(1, Ordering::AcqRel);
            return;
        }
        let mut answers = state.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.retain(|mark| !Arc::ptr_eq(mark, &self.mark));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_has_no_more_than_half() {
        let all = Arc::new(Connections::of(4, Patience::default()));
        let from = async |address: &str| all.place().await.of(address.parse().unwrap());
        let one = from("192.0.2.1").await.unwrap();
        let _two = from("::ffff:192.0.2.1").await.unwrap();
        assert!(from("192.0.2.1").await.is_none());
        let _other = from("192.0.2.2").await.unwrap();
        drop(one);
        let _again = from("192.0.2.1").await.unwrap();
        let _v6 = from("2001:db8::1").await.unwrap();
        assert_eq!(all.free.available_permits(), 0);
    }

    #[tokio::test]
    async fn a_network_of_one_host_counts_as_one() {
        let all = Arc::new(Connections::of(3, Patience::default()));
        let from = async |address: &str| all.place().await.of(address.parse().unwrap());
        let kept = (from("2001:db8::1").await, from("2001:db8::2").await);
        assert!(kept.0.is_some() && kept.1.is_some());
        assert!(from("2001:db8::3").await.is_none());
        assert!(from("2001:db8:0:1::1").await.is_some());
    }

    /// What happens on a connection, and after how many seconds it ends.
    async fn ends(http2: bool, happens: impl AsyncFnOnce(Activity), seconds: u64, how: End) {
        let all = Arc::new(Connections::of(2, Patience::default()));
        let connection = all.place().await.of([192, 0, 2, 1].into()).unwrap();
        let began = Instant::now();
        let activity = connection.activity().clone();
        activity.speaks(http2);
        let end = async { (connection.over(false).await, began.elapsed().as_secs()) };
        let never = async {
            happens(activity).await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            found = end => assert_eq!(found, (how, seconds)),
            () = never => {}
        }
    }

    async fn seconds(count: u64) {
        tokio::time::sleep(Duration::from_secs(count)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn connections_end() {
        ends(false, async |_| {}, 32, End::Stuck).await;
        ends(true, async |_| {}, 32, End::Stuck).await;
        ends(true, async |c| c.received(), 90, End::Idle).await;
        ends(false, async |c| drop(c.begin()), 90, End::Idle).await;
        let slow_head = async |c: Activity| {
            drop(c.begin());
            for _ in 0..100 {
                seconds(3).await;
                c.received();
            }
        };
        ends(false, slow_head, 35, End::Stuck).await;
        ends(true, slow_head, 90, End::Idle).await;
        let long_request = async |c: Activity| {
            let busy = c.begin();
            seconds(1000).await;
            drop(busy);
        };
        ends(false, long_request, 1090, End::Idle).await;
        ends(true, long_request, 1090, End::Idle).await;
    }

    #[tokio::test(start_paused = true)]
    async fn connections_that_take_nothing_end() {
        let full = async |c: Activity| {
            let _busy = c.begin();
            c.wrote(true);
            seconds(4).await;
            c.wrote(false);
            seconds(8).await;
            c.wrote(false);
            seconds(1000).await;
        };
        ends(true, full, 64, End::Stuck).await;
        let untaken = async |c: Activity| {
            let busy = c.begin();
            let (sending, other) = (busy.sending(false), busy.sending(false));
            for _ in 0..10 {
                sending.gave();
                other.gave();
                seconds(50).await;
                sending.asked();
                other.asked();
            }
            sending.gave();
            seconds(1000).await;
        };
        ends(true, untaken, 560, End::Stuck).await;
        let passed_on = async |c: Activity| {
            let busy = c.begin();
            let sending = busy.sending(true);
            sending.gave();
            c.wrote(false);
            seconds(1000).await;
            drop((sending, busy));
            c.wrote(true);
        };
        ends(true, passed_on, 1090, End::Idle).await;
    }
}
