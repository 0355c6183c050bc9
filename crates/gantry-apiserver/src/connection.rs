//! Connections: how many there are, from one address no more than half of them, and when one is idle.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

/// Connections open at once; further ones wait in the kernel's queue.
const MOST: usize = 10_000;
/// A connection without a request for this long is closed, as upstream's are.
const IDLE: Duration = Duration::from_secs(90);

/// All connections.
pub struct Connections {
    free: Arc<Semaphore>,
    /// How many each address has, and may have.
    by_address: Mutex<HashMap<IpAddr, usize>>,
    each: usize,
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

/// Whether requests are under way on a connection.
#[derive(Clone)]
pub struct Activity(Arc<Requests>);

struct Requests {
    running: AtomicUsize,
    /// When the last one ended.
    ended: Mutex<Instant>,
}

/// A request that is under way, until this is dropped.
pub struct Busy(Activity);

impl Default for Connections {
    fn default() -> Self {
        Connections::of(MOST)
    }
}

impl Connections {
    fn of(most: usize) -> Self {
        Connections {
            free: Arc::new(Semaphore::new(most)),
            by_address: Mutex::default(),
            each: most.div_ceil(2),
        }
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
            activity: Activity(Arc::new(Requests {
                running: AtomicUsize::new(0),
                ended: Mutex::new(Instant::now()),
            })),
        })
    }
}

impl Connection {
    /// Counts the connection's requests.
    pub fn activity(&self) -> Activity {
        self.activity.clone()
    }

    /// Waits until the connection has had no request for a while.
    pub async fn idle(&self) {
        let requests = &self.activity.0;
        loop {
            let ended = *requests.ended.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            match requests.running.load(Ordering::Acquire) {
                0 if ended + IDLE <= now => return,
                0 => sleep_until(ended + IDLE).await,
                _ => sleep_until(now + IDLE).await,
            }
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

impl Activity {
    /// A request begins.
    pub fn begin(&self) -> Busy {
        self.0.running.fetch_add(1, Ordering::AcqRel);
        Busy(self.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let requests = &self.0.0;
        *requests.ended.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        requests.running.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_has_no_more_than_half() {
        let all = Arc::new(Connections::of(4));
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
        let all = Arc::new(Connections::of(3));
        let from = async |address: &str| all.place().await.of(address.parse().unwrap());
        let kept = (from("2001:db8::1").await, from("2001:db8::2").await);
        assert!(kept.0.is_some() && kept.1.is_some());
        assert!(from("2001:db8::3").await.is_none());
        assert!(from("2001:db8:0:1::1").await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_without_requests() {
        let all = Arc::new(Connections::of(2));
        let connection = all.place().await.of([192, 0, 2, 1].into()).unwrap();
        let began = Instant::now();
        let busy = connection.activity().begin();
        let (idle, ()) = tokio::join!(
            async {
                connection.idle().await;
                began.elapsed()
            },
            async {
                tokio::time::sleep(IDLE * 5 / 2).await;
                drop(busy);
            }
        );
        assert_eq!(idle, IDLE * 7 / 2);
    }
}
