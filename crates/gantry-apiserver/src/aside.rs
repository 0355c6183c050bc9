//! Work that may take long, and does not wait meanwhile: reading large bodies and all that follows.
//!
//! A thread that works so would keep all others that it serves waiting. It therefore hands these over first, and of one
//! user's large requests only one is worked on at a time, so that there is always processor time for the others.

use crate::limits::Turn;
use std::future::poll_fn;
use std::pin::Pin;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;

/// Smaller bodies do not keep a thread for long, whatever is in them.
const LARGE: usize = 64 * 1024;

/// Does the work of a request with a body of so many bytes, when it is its user's turn.
pub async fn run<T>(bytes: usize, turn: Option<&Turn>, mut work: Pin<&mut impl Future<Output = T>>) -> T {
    if bytes <= LARGE {
        return work.await;
    }
    let _turn = match turn {
        Some(turn) => turn.take().await,
        None => None,
    };
    poll_fn(|cx| match Handle::current().runtime_flavor() {
        // Such a runtime has no other thread.
        RuntimeFlavor::CurrentThread => work.as_mut().poll(cx),
        _ => block_in_place(|| work.as_mut().poll(cx)),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{Class, Limits};
    use gantry_auth::User;
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn others_go_on() {
        let limits = Arc::new(Limits::new(0, 0));
        let working = Arc::new(AtomicUsize::new(0));
        let done = Arc::new(AtomicUsize::new(0));
        let mut all = Vec::new();
        for _ in 0..3 {
            let (limits, working, done) = (limits.clone(), working.clone(), done.clone());
            all.push(tokio::spawn(async move {
                let ann = User::new("ann", &[]);
                let seat = limits.enter(&ann, Class::Mutating, LARGE + 1).await.unwrap();
                let work = pin!(async {
                    assert_eq!(working.fetch_add(1, Ordering::SeqCst), 0, "one after the other");
                    // As long as it takes until somebody else's work is done, on the only thread that there was.
                    while done.load(Ordering::SeqCst) == 0 {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    working.fetch_sub(1, Ordering::SeqCst);
                });
                run(LARGE + 1, seat.turn().as_ref(), work).await;
            }));
        }
        while working.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let other = tokio::spawn(async move {
            run(LARGE, None, pin!(async { done.fetch_add(1, Ordering::SeqCst) })).await
        });
        assert_eq!(other.await.unwrap(), 0);
        for one in all {
            one.await.unwrap();
        }
    }
}
