//! Answers on their way out: in pieces, within a time, and watched over.
//!
//! What was given to the connection stays in memory until the client takes it. Pieces are therefore small, and the next
//! one is made when the one before is gone.

use crate::connection::{Busy, Sending};
use crate::respond::{Body, BodyError};
use bytes::Bytes;
use http::Response;
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::time::{Instant, Sleep, sleep_until};

/// A piece is no larger. Lists come in smaller ones, but for large objects.
const PIECE: usize = 128 * 1024;

/// Goes with an answer that somebody else gives, who may take any time.
#[derive(Clone, Copy)]
pub struct PassedOn;

/// Keeps `kept` for as long as an answer is sent, which breaks off at `end`.
pub fn keep<T: Send + Unpin + 'static>(
    response: Response<Body>,
    end: Option<Instant>,
    kept: T,
) -> Response<Body> {
    // What is known whole and fits is out of hand already.
    if is_small(&response) {
        return response;
    }
    response.map(|body| {
        Kept {
            body,
            rest: Bytes::new(),
            end: end.map(|at| Box::pin(sleep_until(at))),
            _kept: kept,
        }
        .boxed_unsync()
    })
}

/// Tells a connection how its answer is taken.
pub fn watched(response: Response<Body>, busy: Busy) -> Response<Body> {
    if is_small(&response) {
        return response;
    }
    let passed_on = response.extensions().get::<PassedOn>().is_some();
    response.map(|body| {
        Watched {
            body,
            sending: busy.sending(passed_on),
            _busy: busy,
        }
        .boxed_unsync()
    })
}

fn is_small(response: &Response<Body>) -> bool {
    let size = response.body().size_hint().exact();
    size.is_some_and(|size| size <= PIECE as u64)
}

struct Kept<T> {
    body: Body,
    /// What is not yet given of the last piece.
    rest: Bytes,
    end: Option<Pin<Box<Sleep>>>,
    _kept: T,
}

impl<T: Unpin> HttpBody for Kept<T> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(end) = &mut self.end
            && end.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Some(Err("the answer was not taken in the time allotted".into())));
        }
        if self.rest.is_empty() {
            match std::task::ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.len() > PIECE => self.rest = data,
                    Ok(data) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                other => return Poll::Ready(other),
            }
        }
        let length = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

struct Watched {
    body: Body,
    sending: Sending,
    _busy: Busy,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.sending.asked();
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(_))) = polled {
            self.sending.gave();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::respond;
    use futures::stream;
    use http_body_util::StreamBody;
    use std::sync::Arc;
    use std::time::Duration;

    async fn pieces(mut body: Body) -> Vec<Result<usize, String>> {
        let mut sizes = Vec::new();
        while let Some(frame) = body.frame().await {
            let size = frame.map(|f| f.into_data().unwrap().len());
            sizes.push(size.map_err(|e| e.to_string()));
        }
        sizes
    }

    #[tokio::test(start_paused = true)]
    async fn answers_go_in_pieces() {
        let check = async |frames: &[usize], expected: &[usize]| {
            let sent = frames.iter().map(|n| Ok(Frame::data(Bytes::from(vec![0; *n]))));
            let body = StreamBody::new(stream::iter(sent.collect::<Vec<_>>())).boxed_unsync();
            let found = pieces(keep(Response::new(body), None, ()).into_body()).await;
            let expected: Vec<_> = expected.iter().copied().map(Ok).collect();
            assert_eq!(found, expected, "{frames:?}");
        };
        check(&[], &[]).await;
        check(&[1, 70_000, 2], &[1, 70_000, 2]).await;
        check(&[PIECE, 5], &[PIECE, 5]).await;
        check(&[2 * PIECE + 7, 5], &[PIECE, PIECE, 7, 5]).await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_kept_goes_with_the_last_piece() {
        let kept = Arc::new(());
        let small = keep(respond::text(200, vec![b'x'; PIECE]), None, kept.clone());
        assert_eq!(Arc::strong_count(&kept), 1);
        assert_eq!(small.body().size_hint().exact(), Some(PIECE as u64));
        let mut large = keep(respond::text(200, vec![b'x'; PIECE + 1]), None, kept.clone());
        assert_eq!(large.body().size_hint().exact(), Some(PIECE as u64 + 1));
        large.body_mut().frame().await.unwrap().unwrap();
        assert_eq!(large.body().size_hint().exact(), Some(1));
        assert!(!large.body().is_end_stream());
        large.body_mut().frame().await.unwrap().unwrap();
        assert!(large.body().is_end_stream());
        assert_eq!(Arc::strong_count(&kept), 2);
        drop(large);
        assert_eq!(Arc::strong_count(&kept), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn answers_break_off() {
        let slow = stream::unfold((), async |()| {
            tokio::time::sleep(Duration::from_secs(4)).await;
            Some((Ok(Frame::data(Bytes::from_static(b"x"))), ()))
        });
        let end = Instant::now() + Duration::from_secs(9);
        let body = StreamBody::new(slow).boxed_unsync();
        let mut body = keep(Response::new(body), Some(end), ()).into_body();
        for _ in 0..2 {
            body.frame().await.unwrap().unwrap();
        }
        assert!(body.frame().await.unwrap().is_err());
        assert_eq!(Instant::now(), end);
    }
}
