//! SPDY/3.1, as much of it as a client needs to run a command on a node: it opens streams, sends and gets their data.
//!
//! Headers that come back are skipped, so nothing is decompressed; those sent are stored uncompressed in the zlib
//! format. There is no flow control, for the nodes' servers have none: what is not read waits in TCP.
//! Source: the SPDY protocol, draft 3.1, and github.com/moby/spdystream.

use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Mutex;

const CONTROL: u16 = 0x8003;
const SYN_STREAM: u16 = 1;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const FIN: u8 = 1;
/// The longest control frame that is skipped.
const CONTROL_LIMIT: u32 = 64 * 1024;
/// So much of a data frame is read at once.
const PIECE: usize = 32 * 1024;

/// What a node sends.
#[derive(Debug, PartialEq)]
pub enum Event<'a> {
    /// A stream's data.
    Data(u32, &'a [u8]),
    /// The end of what a stream brings.
    End(u32),
    /// A question that must be answered.
    Ping(u32),
    /// The connection brings nothing more.
    Gone,
}

/// Reads frames.
pub struct Reader<R> {
    io: R,
    buffer: Box<[u8]>,
    stream: u32,
    /// Bytes of the current data frame that are not read yet.
    left: usize,
    /// Whether the stream ends with the current data frame.
    last: bool,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// Reads from `io`.
    pub fn new(io: R) -> Self {
        Reader {
            io,
            buffer: vec![0; PIECE].into(),
            stream: 0,
            left: 0,
            last: false,
        }
    }

    /// What comes next.
    pub async fn next(&mut self) -> io::Result<Event<'_>> {
        loop {
            if self.left > 0 {
                let most = self.left.min(PIECE);
                let read = self.io.read(&mut self.buffer[..most]).await?;
                if read == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                self.left -= read;
                return Ok(Event::Data(self.stream, &self.buffer[..read]));
            }
            if std::mem::take(&mut self.last) {
                return Ok(Event::End(self.stream));
            }
            let mut head = [0; 8];
            match self.io.read_exact(&mut head).await {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Event::Gone),
                Err(error) => return Err(error),
            }
            let [a, b, c, d, flags, e, f, g] = head;
            let (first, len) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([0, e, f, g]));
            if first >> 31 == 0 {
                (self.stream, self.left, self.last) = (first, len as usize, flags & FIN != 0);
                continue;
            }
            if let Some(event) = self.control(u16::from_be_bytes([c, d]), flags, len).await? {
                return Ok(event);
            }
        }
    }

    async fn control(&mut self, type_: u16, flags: u8, len: u32) -> io::Result<Option<Event<'static>>> {
        if len > CONTROL_LIMIT {
            let why = "a SPDY control frame is too long";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        let mut payload = vec![0; len as usize];
        self.io.read_exact(&mut payload).await?;
        let id = payload.first_chunk().map_or(0, |id| u32::from_be_bytes(*id));
        Ok(match type_ {
            RST_STREAM => Some(Event::End(id)),
            PING => Some(Event::Ping(id)),
            // What was sent before it has arrived; the streams that are still open go on.
            GOAWAY => None,
            // Replies and headers may end a stream, too.
            _ if flags & FIN != 0 => Some(Event::End(id)),
            _ => None,
        })
    }
}

/// Writes frames. Clones write to the same connection, one frame at a time.
pub struct Writer<W>(Arc<Mutex<State<W>>>);

struct State<W> {
    io: W,
    /// The zlib stream of headers begins with the first of them.
    begun: bool,
}

impl<W> Clone for Writer<W> {
    fn clone(&self) -> Self {
        Writer(self.0.clone())
    }
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    /// Writes to `io`.
    pub fn new(io: W) -> Self {
        Writer(Arc::new(Mutex::new(State { io, begun: false })))
    }

    /// Opens a stream, whose number must be odd and higher than those before it.
    pub async fn open(&self, stream: u32, name: &str, value: &str) -> io::Result<()> {
        let mut state = self.0.lock().await;
        let mut block = 1u32.to_be_bytes().to_vec();
        for text in [name, value] {
            block.extend_from_slice(&(text.len() as u32).to_be_bytes());
            block.extend_from_slice(text.as_bytes());
        }
        let mut payload = stream.to_be_bytes().to_vec();
        // No associated stream, and no priority.
        payload.extend_from_slice(&[0; 6]);
        if !std::mem::replace(&mut state.begun, true) {
            payload.extend_from_slice(&[0x78, 0x01]);
        }
        // A stored block, and an empty one, after which a reader hands on what it has.
        for content in [&block[..], &[]] {
            let len = content.len() as u16;
            payload.push(0);
            payload.extend_from_slice(&len.to_le_bytes());
            payload.extend_from_slice(&(!len).to_le_bytes());
            payload.extend_from_slice(content);
        }
        state.control(SYN_STREAM, &payload).await
    }

    /// Sends a stream's data; `last` ends what the stream carries that way.
    pub async fn data(&self, stream: u32, bytes: &[u8], last: bool) -> io::Result<()> {
        let mut state = self.0.lock().await;
        let mut head = stream.to_be_bytes().to_vec();
        head.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
        head[4] = if last { FIN } else { 0 };
        state.io.write_all(&head).await?;
        state.io.write_all(bytes).await?;
        state.io.flush().await
    }

    /// Answers a ping.
    pub async fn pong(&self, id: u32) -> io::Result<()> {
        self.0.lock().await.control(PING, &id.to_be_bytes()).await
    }
}

impl<W: AsyncWrite + Unpin> State<W> {
    async fn control(&mut self, type_: u16, payload: &[u8]) -> io::Result<()> {
        let mut frame = CONTROL.to_be_bytes().to_vec();
        frame.extend_from_slice(&type_.to_be_bytes());
        frame.extend_from_slice(&(payload.len() as u32).to_be_bytes());
        frame.extend_from_slice(payload);
        self.io.write_all(&frame).await?;
        self.io.flush().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_are_written() {
        let writer = Writer::new(Vec::new());
        writer.open(1, "streamtype", "error").await.unwrap();
        writer.open(3, "a", "b").await.unwrap();
        writer.data(3, b"hi", true).await.unwrap();
        writer.pong(7).await.unwrap();
        let wire = writer.0.lock().await.io.clone();
        let first = b"\x80\x03\x00\x01\x00\x00\x00\x31\0\0\0\x01\0\0\0\0\0\0\x78\x01\x00\x1b\x00\xe4\xff\
            \0\0\0\x01\0\0\0\x0astreamtype\0\0\0\x05error\x00\x00\x00\xff\xff";
        assert_eq!(&wire[..first.len()], first);
        let second = b"\x80\x03\x00\x01\x00\x00\x00\x22\0\0\0\x03\0\0\0\0\0\0\x00\x0e\x00\xf1\xff\
            \0\0\0\x01\0\0\0\x01a\0\0\0\x01b\x00\x00\x00\xff\xff";
        assert_eq!(&wire[first.len()..first.len() + second.len()], second);
        let rest = b"\0\0\0\x03\x01\0\0\x02hi\x80\x03\0\x06\0\0\0\x04\0\0\0\x07";
        assert_eq!(&wire[first.len() + second.len()..], rest);
    }

    #[tokio::test]
    async fn frames_are_read() {
        let wire = [
            // A reply, data in two frames, of which the second ends the stream, a ping, a reset, and going away.
            &b"\x80\x03\0\x02\0\0\0\x06\0\0\0\x05\xaa\xbb"[..],
            b"\0\0\0\x05\0\0\0\x03abc\0\0\0\x05\x01\0\0\x01d",
            b"\x80\x03\0\x06\0\0\0\x04\0\0\0\x09",
            b"\x80\x03\0\x03\0\0\0\x08\0\0\0\x07\0\0\0\x05",
            b"\x80\x03\0\x07\0\0\0\x08\0\0\0\0\0\0\0\0",
            b"\0\0\0\x01\x01\0\0\0",
        ]
        .concat();
        let mut reader = Reader::new(wire.as_slice());
        let expected = [
            Event::Data(5, b"abc"),
            Event::Data(5, b"d"),
            Event::End(5),
            Event::Ping(9),
            Event::End(7),
            Event::End(1),
            Event::Gone,
        ];
        for event in expected {
            assert_eq!(reader.next().await.unwrap(), event);
        }
        let long = b"\x80\x03\0\x04\0\xff\xff\xff";
        assert!(Reader::new(&long[..]).next().await.is_err());
        assert!(Reader::new(&b"\0\0\0\x01\0\0\0\x05ab"[..]).next().await.is_ok());
    }
}
