//! Connections, and who is slow on them.

use crate::cluster::{Cluster, LONG_ENOUGH, MAPS, request, unfinished, url, with_body};
use gantry_apiserver::Patience;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const SHORT: Duration = Duration::from_millis(300);

/// A server that loses its patience soon, but in one respect.
fn impatient(change: impl FnOnce(&mut Patience)) -> Patience {
    let mut patience = Patience {
        handshake: SHORT,
        head: SHORT,
        idle: SHORT,
        taking: SHORT,
    };
    change(&mut patience);
    patience
}

/// Reads until the server ends the connection. How long it took, and what came.
async fn ends(mut stream: impl AsyncRead + Unpin) -> (Duration, String) {
    let began = Instant::now();
    let mut all = Vec::new();
    let read = timeout(LONG_ENOUGH, stream.read_to_end(&mut all)).await;
    assert!(read.is_ok(), "the connection is still open");
    (began.elapsed(), String::from_utf8_lossy(&all).into_owned())
}

#[tokio::test]
async fn connections_that_say_nothing() {
    let cluster = Cluster::with((0, 0), impatient(|_| {})).await;
    let ann = cluster.user("ann");
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(cluster.address).await.unwrap());
    }
    let mut half_a_handshake = TcpStream::connect(cluster.address).await.unwrap();
    half_a_handshake.write_all(b"\x16\x03\x01\x02\x00").await.unwrap();
    silent.push(half_a_handshake);
    for protocol in [&b"http/1.1"[..], b"h2"] {
        let mut stream = cluster.tls(&ann, protocol).await;
        cluster.works().await;
        let mut first = [0; 1];
        let _ = timeout(LONG_ENOUGH, stream.read(&mut first))
            .await
            .expect("still open");
        ends(stream).await;
    }
    for stream in silent {
        let (_, said) = ends(stream).await;
        assert_eq!(said, "");
    }
}

#[tokio::test]
async fn heads_that_never_end() {
    let cluster = Cluster::with((0, 0), impatient(|p| p.idle = LONG_ENOUGH * 2)).await;
    let ann = cluster.user("ann");
    let check = async |before: &str| {
        let stream = cluster.tls(&ann, b"http/1.1").await;
        let (reader, mut writer) = tokio::io::split(stream);
        let slow = async {
            let _ = writer.write_all(before.as_bytes()).await;
            let _ = writer.write_all(b"GET /api HTTP/1.1\r\nX-A: ").await;
            while writer.write_all(b"x").await.is_ok() && writer.flush().await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            (time, answer) = ends(reader) => {
                assert!(time >= SHORT, "{time:?}");
                assert_eq!(answer.matches("HTTP/1.1 200").count(), before.matches("GET").count(), "{answer}");
            }
            () = async { slow.await; std::future::pending::<()>().await } => {}
        }
        cluster.works().await;
    };
    check("").await;
    check("GET /version HTTP/1.1\r\nHost: server\r\n\r\n").await;
}

#[tokio::test]
async fn connections_without_requests() {
    let idle = SHORT * 3;
    let cluster = Cluster::with((0, 0), impatient(|p| p.idle = idle)).await;
    let ann = cluster.user("ann");
    // Between requests there is more time than for a head.
    let mut stream = cluster.tls(&ann, b"http/1.1").await;
    stream
        .write_all(b"GET /version HTTP/1.1\r\nHost: server\r\n\r\n")
        .await
        .unwrap();
    let (time, answer) = ends(stream).await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && time >= idle,
        "{time:?} {answer}"
    );

    let began = Instant::now();
    let mut connection = cluster.http2(&ann).await;
    let answer = connection.send_request(request("GET", &url(), "")).await.unwrap();
    assert_eq!(answer.status(), 200);
    while !connection.is_closed() {
        assert!(began.elapsed() < LONG_ENOUGH);
        tokio::time::sleep(SHORT / 10).await;
    }
    assert!(began.elapsed() >= idle, "{:?}", began.elapsed());
}

/// Who does not read the answer to `head` loses the connection.
async fn untaken(cluster: &Cluster, head: &str) -> impl AsyncRead + AsyncWrite + Unpin + use<> {
    let mut stream = cluster.tls(&cluster.user("ann"), b"http/1.1").await;
    let head = format!("{head} HTTP/1.1\r\nHost: server\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    stream
}

#[tokio::test]
async fn lists_that_nobody_reads() {
    let cluster = Cluster::with((2, 2), impatient(|p| p.idle = LONG_ENOUGH * 2)).await;
    cluster.fill(20, 900_000).await;
    let first = untaken(&cluster, &format!("GET {MAPS}")).await;
    let single = untaken(&cluster, &format!("GET {MAPS}/large-1")).await;
    // She has one place, which comes free when the first is cut off.
    let (code, _) = cluster
        .send(&cluster.user("ann"), request("GET", "/version", ""))
        .await;
    assert_eq!(code, 200);
    let (_, answer) = ends(first).await;
    assert!(
        answer.len() < 18_000_000 && !answer.ends_with("0\r\n\r\n"),
        "{} bytes",
        answer.len()
    );
    drop(single);
    cluster.works().await;
}

#[tokio::test]
async fn watches_that_nobody_reads() {
    let cluster = Cluster::with((0, 0), impatient(|p| p.idle = LONG_ENOUGH * 2)).await;
    cluster.fill(20, 900_000).await;
    let mut watches = Vec::new();
    for _ in 0..20 {
        watches.push(untaken(&cluster, &format!("GET {MAPS}?watch=true")).await);
    }
    cluster.works().await;
    cluster.has_long_requests("WATCH", 0).await;
    let (_, answer) = ends(watches.remove(0)).await;
    assert!(!answer.ends_with("0\r\n\r\n"));
}

#[tokio::test]
async fn watches_that_are_read_stay() {
    let cluster = Cluster::with((0, 0), impatient(|_| {})).await;
    for protocol in [&b"http/1.1"[..], b"h2"] {
        let mut kept = Vec::new();
        let answer = match protocol {
            b"h2" => {
                let mut connection = cluster.http2(&cluster.user("ann")).await;
                let answer = connection.send_request(request("GET", &format!("{}?watch=true", url()), ""));
                kept.push(connection.clone());
                answer.await
            }
            _ => {
                let mut connection = cluster.http1(&cluster.user("ann")).await;
                connection
                    .send_request(request("GET", &format!("{MAPS}?watch=true"), ""))
                    .await
            }
        };
        let mut body = answer.unwrap().into_body();
        for n in 0..2 {
            let name = format!("{}-{n}", String::from_utf8_lossy(&protocol[..2]));
            let map = format!(r#"{{"metadata": {{"name": "{name}"}}}}"#);
            let (code, _) = cluster
                .send(&cluster.user("bob"), request("POST", MAPS, map))
                .await;
            assert_eq!(code, 201);
            loop {
                let frame = http_body_util::BodyExt::frame(&mut body).await;
                let data = frame.expect("the watch goes on").unwrap().into_data().unwrap();
                if String::from_utf8_lossy(&data).contains(&name) {
                    break;
                }
            }
            tokio::time::sleep(SHORT / 2 * 3).await;
        }
    }
}

#[tokio::test]
async fn bodies_that_nobody_asked_for() {
    let cluster = Cluster::start().await;
    let ann = cluster.user("ann");
    for path in [MAPS.to_string(), format!("{MAPS}?watch=true&timeoutSeconds=1")] {
        let mut connection = cluster.http1(&ann).await;
        let answer = connection.send_request(with_body("GET", &path, unfinished("{")));
        let answer = timeout(LONG_ENOUGH, answer).await.expect("an answer").unwrap();
        assert_eq!(answer.status(), 200, "{path}");
    }
}
