//! Requests that stay open: how many there are, and their end when the server stops.

use crate::metrics::Meter;
use crate::respond::{Body, BodyError};
use bytes::Bytes;
use gantry_api::status::Status;
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// So many requests are passed on at once; each holds a connection to either side.
const MOST: usize = 4_000;

/// The places for requests that are passed on.
pub struct Holds {
    free: Arc<Semaphore>,
    ended: watch::Sender<bool>,
}

impl Default for Holds {
    fn default() -> Self {
        Holds {
            free: Arc::new(Semaphore::new(MOST)),
            ended: watch::Sender::new(false),
        }
    }
}

impl Holds {
    /// Takes a place for one request, which `meter` measures until the place is given back.
    pub fn take(&self, meter: Option<Meter>) -> Result<Hold, Status> {
        let place = self.free.clone().try_acquire_owned().map_err(|_| {
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
    _place: Arc<OwnedSemaphorePermit>,
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
        let holds = Holds {
            free: Arc::new(Semaphore::new(1)),
            ..Holds::default()
        };
        let hold = holds.take(None).unwrap();
        assert_eq!(holds.take(None).err().map(|s| s.code), Some(429));
        let body = hold.around(Full::new(Bytes::from_static(b"text")));
        assert_eq!(
            holds.take(None).err().map(|s| s.code),
            Some(429),
            "a body holds the place"
        );
        assert_eq!(body.collect().await.unwrap().to_bytes(), "text");
        let hold = holds.take(None).unwrap();
        drop(hold.around(Empty::new()));

        let hold = holds.take(None).unwrap();
        let silent = futures::stream::pending::<Result<Frame<Bytes>, Infallible>>();
        let body = tokio::spawn(hold.around(StreamBody::new(silent)).collect());
        holds.end();
        assert!(body.await.unwrap().is_err());
    }
}
