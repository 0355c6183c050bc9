//! WebSockets, as a server speaks them: the handshake, and frames read and written. Source: RFC 6455.

use crate::respond::{self, Body};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use gantry_api::status::Status;
use http::{HeaderName, HeaderValue, Response, StatusCode, header, request};
use sha1::{Digest, Sha1};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Mutex;

/// What a key is hashed with.
const MAGIC: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// So much of a frame is read at once: frames of any size pass in pieces.
const PIECE: usize = 32 * 1024;
/// A control frame holds no more.
const CONTROL: u64 = 125;
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
const FINAL: u8 = 0x80;
/// The code of a connection that is done.
const NORMAL: [u8; 2] = 1000u16.to_be_bytes();

/// Whether a request asks for a WebSocket.
pub fn is_wanted(head: &request::Parts) -> bool {
    super::upgrade::is_wanted(head)
        && head
            .headers
            .get(header::UPGRADE)
            .and_then(|v| v.to_str().ok())
            .is_some_and(|v| v.eq_ignore_ascii_case("websocket"))
}

/// The subprotocols a client speaks, best first.
pub fn protocols(head: &request::Parts) -> impl Iterator<Item = &str> {
    let lines = head.headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    lines
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .map(str::trim)
        .filter(|p| !p.is_empty())
}

/// The answer that makes a connection a WebSocket, in one of the client's subprotocols or in none.
pub fn accept(head: &request::Parts, protocol: Option<&str>) -> Result<Response<Body>, Status> {
    let text = |name: HeaderName| head.headers.get(name).and_then(|v| v.to_str().ok());
    if text(header::SEC_WEBSOCKET_VERSION) != Some("13") {
        return Err(Status::bad_request(
            "websocket: unsupported version: 13 not found in 'Sec-Websocket-Version' header",
        ));
    }
    let key = text(header::SEC_WEBSOCKET_KEY).ok_or_else(|| {
        Status::bad_request("websocket: not a websocket handshake: 'Sec-WebSocket-Key' header is missing")
    })?;
    let mut hash = Sha1::new();
    hash.update(key.as_bytes());
    hash.update(MAGIC.as_bytes());
    let proof = STANDARD.encode(hash.finalize());
    let mut response = Response::new(respond::full(Bytes::new()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    let value = |text: &str| HeaderValue::from_str(text).map_err(Status::internal);
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, value(&proof)?);
    if let Some(protocol) = protocol {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, value(protocol)?);
    }
    Ok(response)
}

/// What a client sends.
#[derive(Debug, PartialEq)]
pub enum Event<'a> {
    /// A piece of a message.
    Data {
        /// Whether it is the message's first.
        begins: bool,
        /// The piece.
        bytes: &'a [u8],
    },
    /// A question whether the connection stands.
    Ping(Vec<u8>),
    /// The end.
    Close,
}

/// Reads a client's frames.
pub struct Reader<R> {
    io: R,
    buffer: Box<[u8]>,
    /// Bytes of the current frame that are not read yet.
    left: u64,
    mask: [u8; 4],
    /// Where in the mask the next byte is.
    turn: usize,
    /// Whether the message goes on after this frame.
    open: bool,
    /// Whether nothing of the message was handed on yet.
    begins: bool,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// Reads from `io`.
    pub fn new(io: R) -> Self {
        Reader {
            io,
            buffer: vec![0; PIECE].into(),
            left: 0,
            mask: [0; 4],
            turn: 0,
            open: false,
            begins: false,
        }
    }

    /// What comes next. A connection that ends between frames is closed.
    pub async fn next(&mut self) -> io::Result<Event<'_>> {
        while self.left == 0 {
            if let Some(control) = self.frame().await? {
                return Ok(control);
            }
        }
        let most = usize::try_from(self.left).map_or(PIECE, |left| left.min(PIECE));
        let read = self.io.read(&mut self.buffer[..most]).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= read as u64;
        for byte in &mut self.buffer[..read] {
            *byte ^= self.mask[self.turn % 4];
            self.turn += 1;
        }
        Ok(Event::Data {
            begins: std::mem::take(&mut self.begins),
            bytes: &self.buffer[..read],
        })
    }

    /// Reads a frame's head, and all of it when it is a control frame.
    async fn frame(&mut self) -> io::Result<Option<Event<'static>>> {
        let wrong = |what: &'static str| Err(io::Error::new(io::ErrorKind::InvalidData, what));
        let first = match self.io.read_u8().await {
            Ok(first) => first,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Some(Event::Close)),
            Err(error) => return Err(error),
        };
        let second = self.io.read_u8().await?;
        let (last, opcode) = (first & FINAL != 0, first & 0x0f);
        if first & 0x70 != 0 {
            return wrong("a WebSocket frame uses an extension that was not agreed on");
        }
        if second & FINAL == 0 {
            return wrong("a WebSocket frame of a client is not masked");
        }
        let len = match second & 0x7f {
            126 => self.io.read_u16().await?.into(),
            127 => self.io.read_u64().await?,
            len => len.into(),
        };
        self.io.read_exact(&mut self.mask).await?;
        match opcode {
            CLOSE | PING | PONG if !last || len > CONTROL => wrong("a WebSocket control frame is too long"),
            CLOSE => Ok(Some(Event::Close)),
            PING | PONG => {
                let mut payload = vec![0; len as usize];
                self.io.read_exact(&mut payload).await?;
                for (at, byte) in payload.iter_mut().enumerate() {
                    *byte ^= self.mask[at % 4];
                }
                Ok((opcode == PING).then_some(Event::Ping(payload)))
            }
            CONTINUATION | TEXT | BINARY => {
                if (opcode == CONTINUATION) != self.open {
                    return wrong("a WebSocket message is not in order");
                }
                self.begins |= opcode != CONTINUATION;
                (self.left, self.turn, self.open) = (len, 0, !last);
                Ok(None)
            }
            _ => wrong("a WebSocket frame is of no known kind"),
        }
    }
}

/// Writes frames to a client. Clones write to the same connection, one frame at a time.
pub struct Writer<W>(Arc<Mutex<W>>);

impl<W> Clone for Writer<W> {
    fn clone(&self) -> Self {
        Writer(self.0.clone())
    }
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    /// Writes to `io`.
    pub fn new(io: W) -> Self {
        Writer(Arc::new(Mutex::new(io)))
    }

    /// Sends a binary message of several parts.
    pub async fn binary(&self, parts: &[&[u8]]) -> io::Result<()> {
        self.frame(BINARY, parts).await
    }

    /// Sends a text message.
    pub async fn text(&self, text: &str) -> io::Result<()> {
        self.frame(TEXT, &[text.as_bytes()]).await
    }

    /// Answers a ping.
    pub async fn pong(&self, payload: &[u8]) -> io::Result<()> {
        self.frame(PONG, &[payload]).await
    }

    /// Says that the connection is done, and ends it.
    pub async fn close(&self) -> io::Result<()> {
        self.frame(CLOSE, &[&NORMAL]).await?;
        self.0.lock().await.shutdown().await
    }

    async fn frame(&self, opcode: u8, parts: &[&[u8]]) -> io::Result<()> {
        let len: usize = parts.iter().map(|p| p.len()).sum();
        let mut frame = Vec::with_capacity(len + 10);
        frame.push(FINAL | opcode);
        match (u8::try_from(len), u16::try_from(len)) {
            (Ok(len), _) if len < 126 => frame.push(len),
            (_, Ok(len)) => {
                frame.push(126);
                frame.extend_from_slice(&len.to_be_bytes());
            }
            _ => {
                frame.push(127);
                frame.extend_from_slice(&(len as u64).to_be_bytes());
            }
        }
        parts.iter().for_each(|part| frame.extend_from_slice(part));
        let mut io = self.0.lock().await;
        io.write_all(&frame).await?;
        io.flush().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [1, 2, 3, 4];
        let mut frame = vec![first, FINAL | payload.len() as u8];
        frame.extend(mask);
        frame.extend(payload.iter().enumerate().map(|(at, b)| b ^ mask[at % 4]));
        frame
    }

    #[tokio::test]
    async fn frames_are_read() {
        let wire = [
            frame(BINARY, b"\x00one "),
            frame(FINAL | PING, b"there?"),
            frame(CONTINUATION, b""),
            frame(FINAL | CONTINUATION, b"two"),
            frame(FINAL | PONG, b""),
            frame(FINAL | TEXT, b"\x01three"),
        ]
        .concat();
        let mut reader = Reader::new(wire.as_slice());
        let data = |begins, bytes| Event::Data { begins, bytes };
        assert_eq!(reader.next().await.unwrap(), data(true, b"\x00one "));
        assert_eq!(reader.next().await.unwrap(), Event::Ping(b"there?".to_vec()));
        assert_eq!(reader.next().await.unwrap(), data(false, b"two"));
        assert_eq!(reader.next().await.unwrap(), data(true, b"\x01three"));
        assert_eq!(reader.next().await.unwrap(), Event::Close);
        let closing = frame(FINAL | CLOSE, &NORMAL);
        assert_eq!(
            Reader::new(closing.as_slice()).next().await.unwrap(),
            Event::Close
        );
        let mut long = vec![FINAL | BINARY, FINAL | 126, 1, 0, 0, 0, 0, 0];
        long.extend([7; 256]);
        assert_eq!(
            Reader::new(long.as_slice()).next().await.unwrap(),
            data(true, &[7; 256])
        );
    }

    #[tokio::test]
    async fn wrong_frames() {
        let check = async |wire: &[u8], why: &str| {
            let mut reader = Reader::new(wire);
            let error = loop {
                match reader.next().await {
                    Ok(event) => assert_ne!(event, Event::Close, "{why}"),
                    Err(error) => break error.to_string(),
                }
            };
            assert!(error.contains(why), "{error}");
        };
        check(&[FINAL | BINARY, 1, 7], "not masked").await;
        check(&frame(FINAL | CONTINUATION, b"x"), "not in order").await;
        check(&frame(FINAL | 0x40 | BINARY, b"x"), "extension").await;
        check(&frame(FINAL | 3, b"x"), "no known kind").await;
        check(&frame(PING, b"x"), "control frame").await;
        check(
            &[frame(BINARY, b"x"), frame(FINAL | BINARY, b"x")].concat(),
            "not in order",
        )
        .await;
        check(&frame(FINAL | BINARY, b"cut short")[..9], "end of file").await;
    }

    #[tokio::test]
    async fn frames_are_written() {
        let check = async |len: usize, head: &[u8]| {
            let writer = Writer::new(Vec::new());
            writer.binary(&[&[9], &vec![7; len]]).await.unwrap();
            let wire = writer.0.lock().await;
            assert_eq!((&wire[..head.len()], wire.len()), (head, head.len() + 1 + len));
        };
        check(0, &[0x82, 1]).await;
        check(124, &[0x82, 125]).await;
        check(125, &[0x82, 126, 0, 126]).await;
        check(0xffff, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]).await;
    }

    #[test]
    fn the_handshake_of_the_standard() {
        let request = |version: &str| {
            let request = http::Request::get("/chat")
                .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
                .header("sec-websocket-version", version)
                .header("sec-websocket-protocol", "chat, superchat");
            request.body(()).unwrap().into_parts().0
        };
        let head = request("13");
        assert_eq!(protocols(&head).collect::<Vec<_>>(), ["chat", "superchat"]);
        let response = accept(&head, Some("chat")).unwrap();
        assert_eq!(response.status(), 101);
        assert_eq!(
            response.headers()["sec-websocket-accept"],
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
        assert_eq!(response.headers()["sec-websocket-protocol"], "chat");
        assert_eq!(accept(&request("8"), None).unwrap_err().code, 400);
    }
}
