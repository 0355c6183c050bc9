//! One question to one name server: over UDP, and over TCP when the answer does not fit.

use super::forward::{Question, Reply};
use hickory_server::proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

/// The size that passes every network in one piece, as DNS software has agreed on.
const PAYLOAD: u16 = 1232;
/// Servers may send more than we said.
const BUFFER: usize = 4096;

/// Asks `server`; each of the two ways may take `limit`.
pub(super) async fn ask(server: SocketAddr, question: &Question, limit: Duration) -> io::Result<Reply> {
    let mut exchange = Exchange::new(question, true)?;
    let mut reply = within(limit, exchange.over_udp(server)).await?;
    if reply.code == ResponseCode::FormErr {
        // A server from before EDNS.
        exchange = Exchange::new(question, false)?;
        reply = within(limit, exchange.over_udp(server)).await?;
    }
    if !reply.truncated {
        return Ok(reply);
    }
    match within(limit, exchange.over_tcp(server)).await {
        Ok(reply) => Ok(reply),
        Err(error) => {
            tracing::debug!("{server} does not answer over TCP: {error}");
            Ok(reply)
        }
    }
}

async fn within<T>(limit: Duration, f: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(limit, f)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

struct Exchange<'a> {
    question: &'a Question,
    id: u16,
    bytes: Vec<u8>,
}

impl<'a> Exchange<'a> {
    fn new(question: &'a Question, with_edns: bool) -> io::Result<Self> {
        // Together with the port that the kernel picks, the number is what makes answers hard to forge.
        let id = rand::random();
        let mut message = Message::new(id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.metadata.checking_disabled = question.unchecked;
        message.add_query(Query::query(question.name.clone().into(), question.type_));
        if with_edns {
            let mut edns = Edns::new();
            edns.set_max_payload(PAYLOAD).set_dnssec_ok(question.dnssec);
            message.set_edns(edns);
        }
        let bytes = message.to_vec().map_err(io::Error::other)?;
        Ok(Exchange { question, id, bytes })
    }

    async fn over_udp(&self, server: SocketAddr) -> io::Result<Reply> {
        let any: SocketAddr = match server {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any).await?;
        socket.connect(server).await?;
        socket.send(&self.bytes).await?;
        let mut buffer = [0; BUFFER];
        loop {
            let size = socket.recv(&mut buffer).await?;
            // Anything else is not the answer, and may be forged.
            if let Some(reply) = self.read(&buffer[..size]) {
                return Ok(reply);
            }
        }
    }

    async fn over_tcp(&self, server: SocketAddr) -> io::Result<Reply> {
        let mut stream = TcpStream::connect(server).await?;
        let length = u16::try_from(self.bytes.len()).map_err(io::Error::other)?;
        stream
            .write_all(&[&length.to_be_bytes(), self.bytes.as_slice()].concat())
            .await?;
        let mut answer = vec![0; stream.read_u16().await?.into()];
        stream.read_exact(&mut answer).await?;
        self.read(&answer)
            .ok_or_else(|| io::Error::other("the answer is to another question"))
    }

    /// The reply in a message, when the message is one to the question.
    fn read(&self, bytes: &[u8]) -> Option<Reply> {
        // Looked at before the rest is read: exactly one question must stand there.
        if bytes.get(4..6)? != [0, 1] {
            return None;
        }
        let message = Message::from_vec(bytes).ok()?;
        let (metadata, query) = (&message.metadata, message.queries.first()?);
        let ours = metadata.id == self.id
            && metadata.message_type == MessageType::Response
            && *query.name() == *self.question.name
            && query.query_type() == self.question.type_;
        ours.then(|| Reply::new(message, bytes.len()))
    }
}
