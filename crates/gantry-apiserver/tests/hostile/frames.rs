//! HTTP/2 by hand: frames that no client sends.

use crate::cluster::{Cluster, LONG_ENOUGH, MAPS, request};
use gantry_apiserver::Patience;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// No client gets this much through that the server does not want.
const MUCH: usize = 64 << 20;

fn frame(type_: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], type_, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A text in HPACK; shorter than 127 bytes, or the length goes on in another byte or two.
fn text(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    match text.len() {
        short @ ..127 => bytes.push(short as u8),
        long => {
            let mut rest = long - 127;
            bytes.push(127);
            while rest >= 128 {
                bytes.push((rest % 128) as u8 | 128);
                rest /= 128;
            }
            bytes.push(rest as u8);
        }
    }
    bytes.extend(text.as_bytes());
    bytes
}

/// The head of `GET path`.
fn get(path: &str) -> Vec<u8> {
    let mut head = vec![0x82, 0x87, 0x41];
    head.extend(text("server"));
    head.push(0x04);
    head.extend(text(path));
    head
}

fn settings(pairs: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> = pairs
        .iter()
        .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
        .collect();
    frame(SETTINGS, 0, 0, &payload)
}

struct Connection {
    reader: ReadHalf<TlsStream<TcpStream>>,
    writer: WriteHalf<TlsStream<TcpStream>>,
}

impl Connection {
    async fn open(cluster: &Cluster, pairs: &[(u16, u32)]) -> Connection {
        let stream = cluster.tls(&cluster.user("ann"), b"h2").await;
        let (reader, mut writer) = tokio::io::split(stream);
        writer
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .await
            .unwrap();
        writer.write_all(&settings(pairs)).await.unwrap();
        writer.write_all(&frame(SETTINGS, ACK, 0, &[])).await.unwrap();
        writer.flush().await.unwrap();
        Connection { reader, writer }
    }

    /// Sends the same over and over, for as long as the server takes it. How many bytes those were.
    async fn flood(&mut self, bytes: &[u8]) -> usize {
        let mut sent = 0;
        while sent < MUCH {
            let write = async {
                self.writer.write_all(bytes).await?;
                self.writer.flush().await
            };
            match timeout(Duration::from_millis(500), write).await {
                Ok(Ok(())) => sent += bytes.len(),
                _ => break,
            }
        }
        sent
    }

    /// The next frame: its type, its flags and what it holds; none at the end.
    async fn next(&mut self) -> Option<(u8, u8, Vec<u8>)> {
        let read = async {
            let mut head = [0; 9];
            self.reader.read_exact(&mut head).await.ok()?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            self.reader.read_exact(&mut payload).await.ok()?;
            Some((head[3], head[4], payload))
        };
        timeout(LONG_ENOUGH, read)
            .await
            .expect("neither a frame nor an end")
    }

    /// Reads until the end of the connection; the types of frames.
    async fn end(&mut self) -> Vec<u8> {
        let mut types = Vec::new();
        while let Some((type_, _, _)) = self.next().await {
            types.push(type_);
        }
        types
    }
}

fn impatient() -> Patience {
    Patience {
        taking: Duration::from_millis(300),
        ..Patience::default()
    }
}

#[tokio::test]
async fn floods_end() {
    let cluster = Cluster::with((0, 0), impatient()).await;
    let check = async |what: &str, before: &[u8], again: &[u8]| {
        let mut connection = Connection::open(&cluster, &[]).await;
        connection.writer.write_all(before).await.unwrap();
        let sent = connection.flood(&again.repeat(1 + 16_000 / again.len())).await;
        assert!(sent < MUCH, "{what}: the server takes all");
        // It may have said why, or not have been able to.
        connection.end().await;
        cluster.works().await;
    };
    let begun = frame(HEADERS, END_STREAM, 1, &get("/api"));
    let header = [&[0][..], &text("x-a"), &text(&"x".repeat(1000))].concat();
    check("a head without end", &begun, &frame(CONTINUATION, 0, 1, &header)).await;
    check("a head of nothing", &begun, &frame(CONTINUATION, 0, 1, &[])).await;
    check("pings", &[], &frame(PING, 0, 0, b"whatever")).await;
    check("settings", &[], &settings(&[(3, 100)])).await;
    check("windows of nothing", &[], &frame(WINDOW_UPDATE, 0, 0, &[0; 4])).await;
    let post = [&[0x83, 0x87, 0x41][..], &text("server"), &[0x04], &text(MAPS)].concat();
    let post = frame(HEADERS, END_HEADERS, 1, &post);
    check("data of nothing", &post, &frame(DATA, 0, 1, &[])).await;
    let resets: Vec<u8> = (0..2_000)
        .flat_map(|n| {
            let watch = frame(
                HEADERS,
                END_STREAM | END_HEADERS,
                1 + 2 * n,
                &get(&format!("{MAPS}?watch=true")),
            );
            [watch, frame(RST_STREAM, 0, 1 + 2 * n, &8_u32.to_be_bytes())].concat()
        })
        .collect();
    check("resets", &resets, &frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes())).await;
    cluster.has_long_requests("WATCH", 0).await;
}

#[tokio::test]
async fn heads_that_are_larger_than_they_look() {
    let cluster = Cluster::start().await;
    let check = async |references: usize, expected: &[u8]| {
        let mut connection = Connection::open(&cluster, &[]).await;
        // One header goes into the table, and is then named again and again, in a byte each.
        let mut head = get("/version");
        head.extend([&[0x40][..], &text("x-a"), &text(&"x".repeat(3_900))].concat());
        head.extend(vec![0x80 | 62; references]);
        for (n, part) in head.chunks(16_000).enumerate() {
            let end = if (n + 1) * 16_000 >= head.len() {
                END_HEADERS
            } else {
                0
            };
            let bytes = match n {
                0 => frame(HEADERS, END_STREAM | end, 1, part),
                _ => frame(CONTINUATION, end, 1, part),
            };
            // It may have ended the connection already.
            let _ = connection.writer.write_all(&bytes).await;
        }
        let _ = connection.writer.flush().await;
        let found = loop {
            match connection.next().await {
                // The status is the first, by its number in the table or spelt out.
                Some((HEADERS, _, head)) => break head,
                Some((RST_STREAM, _, _)) | None => break Vec::new(),
                Some(_) => {}
            }
        };
        assert!(
            found.starts_with(expected) && found.is_empty() == expected.is_empty(),
            "{references}: {found:x?}"
        );
        cluster.works().await;
    };
    check(10, &[0x88]).await;
    // 431, in Huffman's code.
    check(1_000, &[0x48, 0x83, 0x69, 0x90, 0xff]).await;
    check(100_000, &[]).await;
}

#[tokio::test]
async fn answers_without_a_window() {
    let patience = impatient();
    let cluster = Cluster::with((2, 2), patience).await;
    cluster.fill(3, 900_000).await;
    let head = |path: &str| frame(HEADERS, END_STREAM | END_HEADERS, 1, &get(path));
    for path in [
        MAPS.to_string(),
        format!("{MAPS}/large-1"),
        format!("{MAPS}?watch=true"),
    ] {
        // Nothing fits into its streams, but it reads all that comes.
        let mut connection = Connection::open(&cluster, &[(4, 0)]).await;
        let began = Instant::now();
        connection.writer.write_all(&head(&path)).await.unwrap();
        connection.writer.flush().await.unwrap();
        // Her only place comes free.
        let (code, _) = cluster
            .send(&cluster.user("ann"), request("GET", "/version", ""))
            .await;
        assert_eq!(code, 200);
        let types = connection.end().await;
        assert!(
            types.contains(&HEADERS) && !types.contains(&DATA),
            "{path}: {types:?}"
        );
        assert!(began.elapsed() >= patience.taking);
    }
    cluster.has_long_requests("WATCH", 0).await;
    cluster.works().await;
}
