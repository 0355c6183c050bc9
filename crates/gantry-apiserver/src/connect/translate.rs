//! WebSockets of version 5 translated to SPDY: in this version a client can end a command's input, for which nodes
//! know no word over WebSockets.
//!
//! Source: k8s.io/apiserver/pkg/util/proxy, streamtranslator.go and websocket.go.

use crate::connect::backend::Backend;
use crate::connect::hold::Hold;
use crate::connect::upgrade::{self, Side};
use crate::connect::websocket::{self, Event};
use crate::connect::{spdy, tunnel};
use crate::respond::Body;
use gantry_api::status::Status;
use http::{HeaderValue, Response, StatusCode, request};
use http_body_util::{BodyExt, Limited};
use serde_json::json;
use std::io;
use tokio::io::{AsyncRead, AsyncWrite};

/// The subprotocol.
const VERSION_5: &str = "v5.channel.k8s.io";
/// What is spoken to nodes.
const VERSION_4: HeaderValue = HeaderValue::from_static("v4.channel.k8s.io");
/// The message that ends a channel begins so.
const END: u8 = 255;
/// How a command ended is told in no more than this.
const STATUS_LIMIT: usize = 64 * 1024;

/// A WebSocket's channels, by their numbers. Each is the SPDY stream of twice its number and one.
const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;

fn stream_of(channel: u8) -> u32 {
    u32::from(channel) * 2 + 1
}

/// Whether a request is to be translated.
pub fn is_wanted(head: &request::Parts) -> bool {
    websocket::is_wanted(head) && websocket::protocols(head).any(|p| p == VERSION_5)
}

/// The streams of a command.
#[derive(Clone, Copy, Debug, Default)]
pub struct Streams {
    /// Whether it has input.
    pub stdin: bool,
    /// Whether its output is wanted.
    pub stdout: bool,
    /// Whether its error output is wanted.
    pub stderr: bool,
    /// Whether it has a terminal, whose error output is its output.
    pub tty: bool,
}

impl Streams {
    /// The channels there are, with the streams' names, in the order in which their numbers grow.
    fn channels(self) -> impl Iterator<Item = (u8, &'static str)> {
        let all = [
            (STDIN, "stdin", self.stdin),
            (STDOUT, "stdout", self.stdout),
            (STDERR, "stderr", self.stderr && !self.tty),
            (ERROR, "error", true),
            (RESIZE, "resize", self.tty),
        ];
        all.into_iter()
            .filter(|(_, _, there)| *there)
            .map(|(c, name, _)| (c, name))
    }
}

/// Runs a command over SPDY for a client that speaks through a WebSocket.
pub async fn pass_on(
    backend: &Backend,
    path: &str,
    streams: Streams,
    mut head: request::Parts,
    mut hold: Hold,
) -> Result<Response<Body>, Status> {
    let client = upgrade::take(&mut head)?;
    let accepted = websocket::accept(&head, Some(VERSION_5))?;
    tunnel::ask_for_spdy(&mut head, vec![VERSION_4]);
    let answer = upgrade::ask(backend, path, &head).await;
    // The client is told through the WebSocket what went wrong.
    let backend = match answer {
        Ok(mut response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
            Ok(hyper::upgrade::on(&mut response))
        }
        Ok(response) => {
            let text = Limited::new(response.into_body(), STATUS_LIMIT).collect().await;
            let text = text.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned());
            let why = text.unwrap_or_else(|e| e.to_string());
            Err(Status::internal(format!("unable to upgrade connection: {why}")))
        }
        Err(status) => Err(Status::internal(status)),
    };
    tokio::spawn(async move {
        let work = async {
            let client = Side::new(client.await.map_err(io::Error::other)?);
            match backend {
                Ok(backend) => {
                    let backend = Side::new(backend.await.map_err(io::Error::other)?);
                    relay(client, backend, streams).await
                }
                Err(status) => refuse(client, &status).await,
            }
        };
        tokio::select! {
            result = work => if let Err(error) = result {
                tracing::debug!("a command's streams ended: {error}");
            },
            () = hold.ended() => {}
        }
    });
    Ok(accepted)
}

type ToClient<C> = websocket::Writer<tokio::io::WriteHalf<C>>;

async fn finish<C: AsyncWrite>(writer: &ToClient<C>, status: &[u8]) -> io::Result<()> {
    let work = async {
        writer.binary(&[&[ERROR], status]).await?;
        writer.close().await
    };
    tokio::time::timeout(upgrade::CLOSE, work).await?
}

async fn refuse<C: AsyncRead + AsyncWrite>(client: C, status: &Status) -> io::Result<()> {
    let (_, to_client) = tokio::io::split(client);
    let writer = websocket::Writer::new(to_client);
    finish(&writer, status.to_object().to_string().as_bytes()).await
}

async fn relay<C, B>(client: C, backend: B, streams: Streams) -> io::Result<()>
where
    C: AsyncRead + AsyncWrite,
    B: AsyncRead + AsyncWrite,
{
    let (from_client, to_client) = tokio::io::split(client);
    let (from_backend, to_backend) = tokio::io::split(backend);
    let to_client = websocket::Writer::new(to_client);
    let to_backend = spdy::Writer::new(to_backend);
    // Upstream greets the client with an empty message. kubectl, which may not know its streams yet, then complains.
    for (channel, name) in streams.channels() {
        to_backend.open(stream_of(channel), "streamtype", name).await?;
    }
    let down = down(spdy::Reader::new(from_backend), &to_client, &to_backend, streams);
    let up = up(
        websocket::Reader::new(from_client),
        &to_client,
        &to_backend,
        streams,
    );
    let mut down = std::pin::pin!(down);
    let status = tokio::select! {
        status = &mut down => Some(status?),
        input_ended = up => match input_ended? {
            // Some clients close when they have sent all input, and still read what comes of it.
            true => tokio::time::timeout(upgrade::CLOSE, down).await.ok().transpose()?,
            false => None,
        },
    };
    match status {
        Some(status) => finish(&to_client, &status).await,
        None => tokio::time::timeout(upgrade::CLOSE, to_client.close()).await?,
    }
}

/// Passes on what the client sends, until it closes; returns whether it ended the input before.
async fn up<C: AsyncWrite, B: AsyncWrite>(
    mut from: websocket::Reader<impl AsyncRead + Unpin>,
    to_client: &ToClient<C>,
    to: &spdy::Writer<tokio::io::WriteHalf<B>>,
    streams: Streams,
) -> io::Result<bool> {
    let open: Vec<u8> = streams.channels().map(|(channel, _)| channel).collect();
    let mut writable: Vec<u8> = open
        .into_iter()
        .filter(|c| matches!(*c, STDIN | RESIZE))
        .collect();
    let mut channel = ERROR;
    let mut ends = false;
    loop {
        let mut rest = match from.next().await? {
            Event::Close => return Ok(streams.stdin && !writable.contains(&STDIN)),
            Event::Ping(payload) => {
                to_client.pong(&payload).await?;
                continue;
            }
            Event::Data { begins: false, bytes } => bytes,
            Event::Data { bytes, .. } => {
                (channel, ends) = (bytes[0], bytes[0] == END);
                &bytes[1..]
            }
        };
        if ends && let [ended, ..] = *rest {
            (channel, rest) = (ended, &[]);
        } else if ends || rest.is_empty() {
            continue;
        }
        if !writable.contains(&channel) {
            continue;
        }
        to.data(stream_of(channel), rest, ends).await?;
        if ends {
            writable.retain(|c| *c != channel);
        }
    }
}

/// Passes on what the command sends, until it is done; returns how it ended.
async fn down<C: AsyncWrite, B: AsyncWrite>(
    mut from: spdy::Reader<impl AsyncRead + Unpin>,
    to: &ToClient<C>,
    to_backend: &spdy::Writer<tokio::io::WriteHalf<B>>,
    streams: Streams,
) -> io::Result<Vec<u8>> {
    let mut open: Vec<u8> = streams
        .channels()
        .map(|(channel, _)| channel)
        .filter(|c| matches!(*c, STDOUT | STDERR | ERROR))
        .collect();
    let mut status = Vec::new();
    let channel_of = |stream: u32| u8::try_from(stream / 2).unwrap_or(END);
    while !open.is_empty() {
        match from.next().await? {
            spdy::Event::Data(stream, bytes) => match channel_of(stream) {
                ERROR => {
                    let room = STATUS_LIMIT.saturating_sub(status.len()).min(bytes.len());
                    status.extend_from_slice(&bytes[..room]);
                }
                channel => to.binary(&[&[channel], bytes]).await?,
            },
            spdy::Event::End(stream) => open.retain(|c| *c != channel_of(stream)),
            spdy::Event::Ping(id) => to_backend.pong(id).await?,
            spdy::Event::Gone if open.contains(&ERROR) && status.is_empty() => {
                let why = Status::internal("the connection to the node was lost");
                return Ok(why.to_object().to_string().into_bytes());
            }
            spdy::Event::Gone => break,
        }
    }
    if status.is_empty() {
        status = json!({"metadata": {}, "status": "Success"})
            .to_string()
            .into_bytes();
    }
    Ok(status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const ALL: Streams = Streams {
        stdin: true,
        stdout: true,
        stderr: true,
        tty: false,
    };

    /// A client's message, masked with nothing.
    fn message(payload: &[u8]) -> Vec<u8> {
        [&[0x82, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat()
    }

    fn data(stream: u8, flags: u8, text: &[u8]) -> Vec<u8> {
        [&[0, 0, 0, stream, flags, 0, 0, text.len() as u8], text].concat()
    }

    /// What a client reads of a relay whose node sends `node`, and then goes.
    async fn client_of(node: &[u8]) -> Vec<u8> {
        let (mut client, own_client) = tokio::io::duplex(4096);
        let (mut backend, own_backend) = tokio::io::duplex(4096);
        let relay = tokio::spawn(relay(own_client, own_backend, ALL));
        backend.write_all(node).await.unwrap();
        backend.shutdown().await.unwrap();
        let mut read = Vec::new();
        client.read_to_end(&mut read).await.unwrap();
        relay.await.unwrap().unwrap();
        read
    }

    #[tokio::test]
    async fn output_and_status_reach_the_client() {
        let status = br#"{"status":"Failure"}"#;
        let node = [
            data(3, 0, b"out"),
            data(5, 1, b"err"),
            data(7, 1, status),
            data(3, 1, b""),
        ]
        .concat();
        let read = client_of(&node).await;
        let start = b"\x82\x04\x01out\x82\x04\x02err\x82\x15\x03";
        assert_eq!(&read[..start.len()], start);
        assert_eq!(&read[start.len()..start.len() + status.len()], status);
        assert_eq!(&read[start.len() + status.len()..], b"\x88\x02\x03\xe8");

        let ended = [data(3, 1, b""), data(5, 1, b""), data(7, 1, b"")].concat();
        let text = String::from_utf8_lossy(&client_of(&ended).await).into_owned();
        assert!(text.contains("\"status\":\"Success\""), "{text}");
        let text = String::from_utf8_lossy(&client_of(b"").await).into_owned();
        assert!(text.contains("the connection to the node was lost"), "{text}");
    }

    #[tokio::test]
    async fn input_reaches_the_node_and_ends_there() {
        let (mut client, own_client) = tokio::io::duplex(4096);
        let (mut backend, own_backend) = tokio::io::duplex(4096);
        let relay = tokio::spawn(relay(own_client, own_backend, ALL));
        let sent = [
            message(b"\x00in"),
            message(b"\x02no one reads this"),
            message(b"\xff\x00"),
            message(b"\x00too late"),
            vec![0x88, 0x80, 0, 0, 0, 0],
        ]
        .concat();
        client.write_all(&sent).await.unwrap();
        let mut read = Vec::new();
        let end = [data(1, 0, b"in"), data(1, 1, b"")].concat();
        while !read.ends_with(&end) {
            assert_ne!(backend.read_buf(&mut read).await.unwrap(), 0);
        }
        drop(backend);
        relay.await.unwrap().unwrap();
        let opened = read.windows(10).filter(|w| w == b"streamtype").count();
        assert_eq!(opened, 4);
    }

    #[tokio::test]
    async fn a_client_that_closes_after_its_input_gets_what_comes_of_it() {
        let (mut client, own_client) = tokio::io::duplex(4096);
        let (mut backend, own_backend) = tokio::io::duplex(4096);
        let relay = tokio::spawn(relay(own_client, own_backend, ALL));
        let close = [0x88, 0x80, 0, 0, 0, 0];
        client
            .write_all(&[message(b"\xff\x00"), close.to_vec()].concat())
            .await
            .unwrap();
        let mut read = Vec::new();
        let end = data(1, 1, b"");
        while !read.ends_with(&end) {
            assert_ne!(backend.read_buf(&mut read).await.unwrap(), 0);
        }
        let node = [data(3, 1, b"late"), data(5, 1, b""), data(7, 1, b"")].concat();
        backend.write_all(&node).await.unwrap();
        let mut read = Vec::new();
        client.read_to_end(&mut read).await.unwrap();
        relay.await.unwrap().unwrap();
        let text = String::from_utf8_lossy(&read);
        assert!(text.contains("late") && text.contains("Success"), "{text}");
    }

    #[test]
    fn a_terminal_has_one_output() {
        let names: Vec<_> = Streams { tty: true, ..ALL }
            .channels()
            .map(|(_, name)| name)
            .collect();
        assert_eq!(names, ["stdin", "stdout", "error", "resize"]);
    }
}
