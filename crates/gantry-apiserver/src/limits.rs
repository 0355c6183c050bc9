//! How much of the server requests may take at once: all together, and of that each user no more than half, so that
//! what somebody sends too much of costs the sender and not the others.
//!
//! The numbers of requests are those of k8s.io/apiserver/pkg/server/filters/maxinflight.go. As with upstream's priority
//! and fairness, a request that finds no place waits a while in line before it is turned away.

use crate::respond::{self, Body};
use gantry_api::duration;
use gantry_api::status::Status;
use gantry_auth::{MASTERS, User};
use http::{HeaderValue, Response, header};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Requests under way at once that change nothing, and that change something, unless options say otherwise.
pub const REQUESTS: usize = 400;
/// See [`REQUESTS`].
pub const MUTATING_REQUESTS: usize = 200;
/// A request that stays open for no longer than it takes must be answered after this long.
pub const REQUEST_TIME: Duration = Duration::from_secs(60);
/// A request waits so long for its place, as upstream's do.
const WAIT: Duration = Duration::from_secs(15);
/// So many requests of one user wait at once.
const LINE: usize = 1_000;
/// Watches and the like that are open at once.
const LONG: usize = 100_000;
/// Bytes of the bodies of requests that are under way.
const BODIES: usize = 256 << 20;

/// Paths that whoever looks after the server asks, however busy it is.
const EXEMPT: [&str; 3] = ["/healthz", "/livez", "/readyz"];

/// Whether requests to a path are outside of all limits.
pub fn is_exempt(path: &str) -> bool {
    EXEMPT.iter().any(|p| path.starts_with(p))
}

/// What places requests are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Requests that change nothing.
    ReadOnly,
    /// Requests that change something.
    Mutating,
    /// Watches, and what is passed on to nodes and pods.
    Long,
}

/// The limits, and what is taken of them.
pub struct Limits {
    most: Places,
    all: Arc<Share>,
    users: Mutex<HashMap<String, Arc<Share>>>,
}

/// Numbers of places; none for no limit.
#[derive(Clone, Copy)]
struct Places {
    read_only: Option<usize>,
    mutating: Option<usize>,
    long: usize,
    bytes: usize,
}

/// The places that one user may take, or all users together.
struct Share {
    read_only: Option<Arc<Semaphore>>,
    mutating: Option<Arc<Semaphore>>,
    long: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    /// Who works on a large request.
    turn: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// Goes with a request whose user's large requests are worked on one after the other.
#[derive(Clone)]
pub struct Turn(Arc<Semaphore>);

impl Turn {
    /// Waits for the user's other large requests.
    pub async fn take(&self) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed.
        self.0.clone().acquire_owned().await.ok()
    }
}

/// The server has no place for a request.
#[derive(Debug)]
pub struct Busy;

/// A request's place, given back when it is dropped.
pub struct Seat {
    // The permits go before the share, which is forgotten with its last seat.
    _places: Vec<OwnedSemaphorePermit>,
    share: Option<Held>,
}

impl Seat {
    /// What the user's large requests wait for; none for those who have no limits.
    pub fn turn(&self) -> Option<Turn> {
        self.share.as_ref().map(|held| Turn(held.share.turn.clone()))
    }
}

/// A user's share for as long as it is used.
struct Held {
    limits: Arc<Limits>,
    user: String,
    share: Arc<Share>,
}

impl Limits {
    /// Limits on the requests that are under way at once; 0 for none, as upstream's options have it.
    pub fn new(read_only: usize, mutating: usize) -> Limits {
        let some = |n: usize| (n > 0).then_some(n);
        Limits::of(Places {
            read_only: some(read_only),
            mutating: some(mutating),
            long: LONG,
            bytes: BODIES,
        })
    }

    fn of(most: Places) -> Limits {
        Limits {
            most,
            all: Arc::new(Share::of(most)),
            users: Mutex::default(),
        }
    }

    /// Takes a place for a request of `user` whose body may have so many bytes; in line with the others, if need be.
    pub async fn enter(self: &Arc<Self>, user: &User, class: Class, bytes: usize) -> Result<Seat, Busy> {
        // As upstream has it, these always get an answer.
        if user.in_group(MASTERS) {
            return Ok(Seat {
                _places: Vec::new(),
                share: None,
            });
        }
        let held = self.hold(&user.name);
        let share = held.share.clone();
        if share.waiting.fetch_add(1, Ordering::Relaxed) >= LINE {
            share.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(Busy);
        }
        let places = timeout(WAIT, take([&share, &self.all], class, bytes)).await;
        share.waiting.fetch_sub(1, Ordering::Relaxed);
        Ok(Seat {
            _places: places.map_err(|_| Busy)??,
            share: Some(held),
        })
    }

    fn hold(self: &Arc<Self>, user: &str) -> Held {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let share = match users.get(user) {
            Some(share) => share.clone(),
            None => {
                let share = Arc::new(Share::of(self.most.half()));
                users.insert(user.to_string(), share.clone());
                share
            }
        };
        Held {
            limits: self.clone(),
            user: user.to_string(),
            share,
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut users = self.limits.users.lock().unwrap_or_else(PoisonError::into_inner);
        // The map has one, this the other; new ones are made only under the lock.
        if Arc::strong_count(&self.share) == 2 {
            users.remove(&self.user);
        }
    }
}

impl Places {
    fn half(self) -> Places {
        let half = |n: usize| n.div_ceil(2);
        Places {
            read_only: self.read_only.map(half),
            mutating: self.mutating.map(half),
            long: half(self.long),
            bytes: half(self.bytes),
        }
    }
}

impl Share {
    fn of(places: Places) -> Share {
        let some = |n: usize| Arc::new(Semaphore::new(n));
        Share {
            read_only: places.read_only.map(some),
            mutating: places.mutating.map(some),
            long: some(places.long),
            bytes: some(places.bytes),
            turn: Arc::new(Semaphore::new(1)),
            waiting: AtomicUsize::new(0),
        }
    }

    fn places(&self, class: Class) -> Option<&Arc<Semaphore>> {
        match class {
            Class::ReadOnly => self.read_only.as_ref(),
            Class::Mutating => self.mutating.as_ref(),
            Class::Long => Some(&self.long),
        }
    }
}

/// Who has a place waits for nothing but the bytes, and who has those for nothing at all: nobody waits in a circle.
async fn take(shares: [&Share; 2], class: Class, bytes: usize) -> Result<Vec<OwnedSemaphorePermit>, Busy> {
    let mut taken = Vec::with_capacity(4);
    for places in shares.iter().filter_map(|s| s.places(class)) {
        taken.push(places.clone().acquire_owned().await.map_err(|_| Busy)?);
    }
    if bytes > 0 {
        let bytes = u32::try_from(bytes).map_err(|_| Busy)?;
        for share in shares {
            let permit = share.bytes.clone().acquire_many_owned(bytes).await;
            taken.push(permit.map_err(|_| Busy)?);
        }
    }
    Ok(taken)
}

impl Busy {
    /// What upstream answers, in its form.
    pub fn respond(self) -> Response<Body> {
        let mut response = respond::plain_error(429, "Too many requests, please try again later.\n");
        let second = HeaderValue::from_static("1");
        response.headers_mut().insert(header::RETRY_AFTER, second);
        response
    }
}

/// How long a request may take: what it asks for, at most [`REQUEST_TIME`].
pub fn time(query: &str) -> Result<Duration, Status> {
    let asked = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("timeout="))
        .filter(|text| !text.is_empty());
    let Some(text) = asked else {
        return Ok(REQUEST_TIME);
    };
    let text = percent_encoding::percent_decode_str(text).decode_utf8_lossy();
    match duration::parse(&text) {
        Ok(Duration::ZERO) => Ok(REQUEST_TIME),
        Ok(asked) => Ok(asked.min(REQUEST_TIME)),
        Err(why) => Err(Status::bad_request(format!(
            "invalid timeout specified in the request URL - {why}"
        ))),
    }
}

/// What is answered when that time is over.
pub fn timed_out() -> Status {
    let mut status = Status::new(
        504,
        "Timeout",
        "Timeout: request did not complete within the allotted timeout",
    );
    status.details = Some(serde_json::json!({}));
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    fn limits() -> Arc<Limits> {
        Arc::new(Limits::of(Places {
            read_only: Some(4),
            mutating: None,
            long: 2,
            bytes: 100,
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_user_takes_no_more_than_half() {
        let limits = limits();
        let (ann, bob) = (User::new("ann", &[]), User::new("bob", &[]));
        let _one = limits.enter(&ann, Class::ReadOnly, 0).await.unwrap();
        let two = limits.enter(&ann, Class::ReadOnly, 0).await.unwrap();
        let began = Instant::now();
        assert!(limits.enter(&ann, Class::ReadOnly, 0).await.is_err());
        assert_eq!(began.elapsed(), WAIT);
        let _mutating = limits.enter(&ann, Class::Mutating, 50).await.unwrap();
        assert!(limits.enter(&ann, Class::Mutating, 1).await.is_err());
        let _long = limits.enter(&ann, Class::Long, 0).await.unwrap();
        assert!(limits.enter(&ann, Class::Long, 0).await.is_err());

        let began = Instant::now();
        let _bobs = limits.enter(&bob, Class::ReadOnly, 0).await.unwrap();
        let _bobs_bytes = limits.enter(&bob, Class::Mutating, 50).await.unwrap();
        let master = User::new("root", &[MASTERS]);
        limits.enter(&master, Class::Mutating, 1000).await.unwrap();
        assert_eq!(began.elapsed(), Duration::ZERO, "the others do not wait");

        let next = tokio::spawn({
            let (limits, ann) = (limits.clone(), ann.clone());
            async move { limits.enter(&ann, Class::ReadOnly, 0).await.is_ok() }
        });
        tokio::task::yield_now().await;
        drop(two);
        assert!(next.await.unwrap(), "who waits gets the place that comes free");
    }

    #[tokio::test(start_paused = true)]
    async fn users_are_forgotten_with_their_last_request() {
        let limits = limits();
        let known = || limits.users.lock().unwrap().len();
        let ann = User::new("ann", &[]);
        let one = limits.enter(&ann, Class::Long, 0).await.unwrap();
        assert!(limits.enter(&ann, Class::Long, 0).await.is_err());
        assert_eq!(known(), 1);
        drop(one);
        assert_eq!(known(), 0);
    }

    #[test]
    fn busy_is_said_as_upstream_says_it() {
        let response = Busy.respond();
        assert_eq!(response.status(), 429);
        let header = |name: &str| response.headers()[name].to_str().unwrap();
        assert_eq!(header("retry-after"), "1");
        assert_eq!(header("content-type"), "text/plain; charset=utf-8");
        assert_eq!(header("x-content-type-options"), "nosniff");
    }

    #[test]
    fn times() {
        let check = |query: &str, expected: Result<u64, &str>| {
            let found = time(query).map(|d| d.as_millis() as u64).map_err(|s| s.message);
            assert_eq!(found, expected.map_err(String::from), "{query}");
        };
        check("", Ok(60_000));
        check("a=b&timeout=2s", Ok(2_000));
        check("timeout=1m30s", Ok(60_000));
        check("timeout=0s", Ok(60_000));
        check("timeout=-1s", Ok(60_000));
        check("timeoutSeconds=5", Ok(60_000));
        check(
            "timeout=soon",
            Err("invalid timeout specified in the request URL - time: invalid duration \"soon\""),
        );
    }
}
