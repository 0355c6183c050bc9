//! Requests that stay open: how many there are, of one user no more than half of them, and their end when the server
//! stops.

use crate::metrics::Meter;
use crate::respond::{Body, BodyError};
use bytes::Bytes;
use gantry_api::status::Status;
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame};
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// So many requests are passed on at once; each holds a connection to either side.
const MOST: usize = 4_000;

/// The places for requests that are passed on.
pub struct Holds {
    free: Arc<Semaphore>,
    each: usize,
    by_user: Arc<Users>,
    ended: watch::Sender<bool>,
}

/// How many places each user has.
type Users = Mutex<HashMap<String, usize>>;

/// One request's place.
struct Place {
    user: String,
    by_user: Arc<Users>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut users = self.by_user.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = users.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                users.remove(&self.user);
            }
        }
    }
}

impl Default for Holds {
    fn default() -> Self {
        Holds::of(MOST)
    }
}

impl Holds {
    fn of(most: usize) -> Self {
        Holds {
            free: Arc::new(Semaphore::new(most)),
            each: most.div_ceil(2),
            by_user: Arc::default(),
            ended: watch::Sender::new(false),
        }
    }

    /// Takes a place for one request of `user`, which `meter` measures until the place is given back.
    pub fn take(&self, user: &str, meter: Option<Meter>) -> Result<Hold, Status> {
        let place = self.place(user).ok_or_else(|| {
            Status::new(
                429,
                "TooManyRequests",
                "too many connections to nodes, pods and services, please try again later",
            )
        })?;
        Ok(Hold {
            _place: Arc::new(place),
            _meter: meter,
            ended: self.ended.subscribe(),
        })
    }

    fn place(&self, user: &str) -> Option<Place> {
        let permit = self.free.clone().try_acquire_owned().ok()?;
        let mut users = self.by_user.lock().unwrap_or_else(PoisonError::into_inner);
        let count = users.entry(user.to_string()).or_insert(0);
        if *count >= self.each {
            return None;
        }
        *count += 1;
        Some(Place {
            user: user.to_string(),
            by_user: self.by_user.clone(),
            _permit: permit,
        })
    }

    /// Whether the requests were ended.
    pub fn have_ended(&self) -> bool {
        *self.ended.borrow()
    }

    /// Ends every request that holds a place.
    pub fn end(&self) {
        self.ended.send_replace(true);
    }
}

/// One request's place, held until the last clone is dropped.
#[derive(Clone)]
pub struct Hold {
    _place: Arc<Place>,
    _meter: Option<Meter>,
    ended: watch::Receiver<bool>,
}

impl Hold {
    /// Waits until the server ends the request.
    pub async fn ended(&mut self) {
        // A sender that is gone means a server that is gone.
        let _ = self.ended.wait_for(|ended| *ended).await;
    }

    /// A body that holds the place for as long as it is read.
    pub fn around<B>(self, body: B) -> Body
    where
        B: HttpBody<Data = Bytes, Error: Into<BodyError>> + Send + 'static,
    {
        let mut own = self.clone();
        HeldBody {
            body: body.map_err(Into::into).boxed_unsync(),
            ended: Box::pin(async move { own.ended().await }),
            _hold: self,
        }
        .boxed_unsync()
    }
}

struct HeldBody {
    body: Body,
    ended: Pin<Box<dyn Future<Output = ()> + Send>>,
    _hold: Hold,
}

impl HttpBody for HeldBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.ended.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err("the server is shutting down".into())));
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{Empty, Full, StreamBody};
    use std::convert::Infallible;

    #[tokio::test]
    async fn places_are_bounded_and_end_with_the_server() {
        let holds = Holds::of(1);
        let hold = holds.take("ann", None).unwrap();
        assert_eq!(holds.take("ann", None).err().map(|s| s.code), Some(429));
        let body = hold.around(Full::new(Bytes::from_static(b"text")));
        assert_eq!(
            holds.take("ann", None).err().map(|s| s.code),
            Some(429),
            "a body holds the place"
        );
        assert_eq!(body.collect().await.unwrap().to_bytes(), "text");
        let hold = holds.take("ann", None).unwrap();
        drop(hold.around(Empty::new()));

        let hold = holds.take("ann", None).unwrap();
        let silent = futures::stream::pending::<Result<Frame<Bytes>, Infallible>>();
        let body = tokio::spawn(hold.around(StreamBody::new(silent)).collect());
        holds.end();
        assert!(body.await.unwrap().is_err());
    }

    #[test]
    fn a_user_takes_no_more_than_half() {
        let holds = Holds::of(4);
        let two = [holds.take("ann", None), holds.take("ann", None)];
        assert!(two.iter().all(Result::is_ok));
        assert!(holds.take("ann", None).is_err());
        let bobs = holds.take("bob", None).unwrap();
        drop(two);
        assert!(holds.take("ann", None).is_ok());
        drop(bobs);
        assert!(holds.by_user.lock().unwrap().is_empty());
    }
}
