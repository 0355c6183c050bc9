//! Long answers in gzip, for clients that take it.
//!
//! Source: k8s.io/apiserver/pkg/endpoints/handlers/responsewriters/writers.go. Watches are not compressed, nor is what
//! comes from nodes and pods.

use crate::respond::{Body, BodyError};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::stream;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, VARY};
use http::{HeaderMap, HeaderValue, Response};
use http_body_util::{BodyExt, BodyStream, StreamBody};
use hyper::body::{Body as _, Frame};
use std::io::Write;

/// Shorter answers are not worth it.
const LEAST: usize = 128 * 1024;
/// The level that takes the least time.
const LEVEL: Compression = Compression::fast();

/// Whether a client takes gzip.
pub fn accepted(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter();
    let mut words = values.filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(','));
    words.any(|word| word.trim() == "gzip")
}

/// Compresses an answer that is long enough. One that comes in pieces is held back until it is known to be.
pub async fn gzip(mut response: Response<Body>) -> Response<Body> {
    if response
        .body()
        .size_hint()
        .exact()
        .is_some_and(|n| n <= LEAST as u64)
        || response.headers().contains_key(CONTENT_ENCODING)
    {
        return response;
    }
    let mut source = std::mem::take(response.body_mut());
    let (mut held, mut length) = (Vec::new(), 0);
    while length <= LEAST {
        match source.frame().await {
            Some(frame) => {
                length += frame
                    .as_ref()
                    .ok()
                    .and_then(Frame::data_ref)
                    .map_or(0, Bytes::len);
                held.push(frame);
            }
            None => break,
        }
    }
    let held = stream::iter(held);
    if length <= LEAST {
        *response.body_mut() = StreamBody::new(held).boxed_unsync();
        return response;
    }
    let headers = response.headers_mut();
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    let whole = futures::StreamExt::chain(held, BodyStream::new(source));
    *response.body_mut() = StreamBody::new(compressed(whole)).boxed_unsync();
    response
}

type Piece = Result<Frame<Bytes>, BodyError>;

/// The pieces of a body, compressed as they come. An error ends them as it ends the body.
fn compressed(
    source: impl futures::Stream<Item = Piece> + Send + 'static,
) -> impl futures::Stream<Item = Piece> + Send {
    let state = Some((Box::pin(source), GzEncoder::new(Vec::new(), LEVEL)));
    stream::unfold(state, async |state| {
        let (mut source, mut encoder) = state?;
        loop {
            let piece = match futures::StreamExt::next(&mut source).await {
                Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
                Some(Err(error)) => return Some((Err(error), None)),
                None => {
                    let last = encoder.finish().map(|bytes| Frame::data(bytes.into()));
                    return Some((last.map_err(BodyError::from), None));
                }
            };
            if let Err(error) = encoder.write_all(&piece) {
                return Some((Err(error.into()), None));
            }
            if !encoder.get_ref().is_empty() {
                let bytes = std::mem::take(encoder.get_mut());
                return Some((Ok(Frame::data(bytes.into())), Some((source, encoder))));
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;
    use std::io::Read;

    async fn sent(pieces: Vec<Result<Vec<u8>, &'static str>>) -> (bool, Result<Vec<u8>, String>) {
        let frames = pieces.into_iter().map(|piece| match piece {
            Ok(bytes) => Ok(Frame::data(Bytes::from(bytes))),
            Err(why) => Err(BodyError::from(why)),
        });
        let body = StreamBody::new(stream::iter(frames.collect::<Vec<_>>())).boxed_unsync();
        let response = gzip(Response::new(body)).await;
        let zipped = response.headers().get(CONTENT_ENCODING).is_some();
        assert_eq!(response.headers().contains_key(VARY), zipped);
        let bytes = match response.into_body().collect().await {
            Ok(all) => all.to_bytes().to_vec(),
            Err(error) => return (zipped, Err(error.to_string())),
        };
        let mut plain = Vec::new();
        match zipped {
            true => drop(GzDecoder::new(&bytes[..]).read_to_end(&mut plain).expect("gzip")),
            false => plain = bytes,
        }
        (zipped, Ok(plain))
    }

    #[tokio::test]
    async fn long_answers_are_compressed() {
        let check = async |lengths: &[usize], expected: bool| {
            let pieces: Vec<Vec<u8>> = lengths
                .iter()
                .map(|n| (0..*n).map(|i| (i % 251) as u8).collect())
                .collect();
            let whole = pieces.concat();
            let (zipped, plain) = sent(pieces.into_iter().map(Ok).collect()).await;
            assert_eq!((zipped, plain == Ok(whole)), (expected, true), "{lengths:?}");
        };
        check(&[], false).await;
        check(&[10], false).await;
        check(&[LEAST], false).await;
        check(&[LEAST + 1], true).await;
        check(&[1, LEAST - 1], false).await;
        check(&[1, LEAST], true).await;
        check(&[100_000; 30], true).await;
    }

    #[tokio::test]
    async fn an_answer_that_breaks_off_does_so_compressed_too() {
        let pieces = vec![Ok(vec![b'x'; LEAST]), Ok(vec![b'x'; LEAST]), Err("gone")];
        assert_eq!(sent(pieces).await, (true, Err("gone".into())));
        assert_eq!(
            sent(vec![Ok(vec![b'x']), Err("gone")]).await,
            (false, Err("gone".into()))
        );
    }

    #[test]
    fn who_takes_gzip() {
        let check = |value: &'static str, expected: bool| {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(value))]);
            assert_eq!(accepted(&headers), expected, "{value}");
        };
        check("gzip", true);
        check("deflate, gzip", true);
        check("identity", false);
        check("", false);
        assert!(!accepted(&HeaderMap::new()));
    }
}
