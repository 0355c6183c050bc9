//! Heads.

use crate::cluster::{Cluster, read, request, url};
use http::HeaderValue;
use http::header::HeaderName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn heads_over_http1() {
    let cluster = Cluster::start().await;
    let ann = cluster.user("ann");
    let check = async |head: String, expected: &str| {
        let mut stream = cluster.tls(&ann, b"http/1.1").await;
        // The server may answer before it has read all.
        let _ = stream.write_all(head.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{answer}");
    };
    let get = |path: &str, more: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: server\r\nConnection: close\r\n{more}\r\n")
    };
    let long = "x".repeat(70_000);
    check(get(&format!("/api/{long}"), ""), "414 ").await;
    check(get("/api", &"X-A: b\r\n".repeat(900)), "200 ").await;
    check(get("/api", &"X-A: b\r\n".repeat(1_100)), "431 ").await;
    check(get("/api", &format!("X-A: {}\r\n", "x".repeat(300_000))), "200 ").await;
    check(get("/api", &format!("X-A: {}\r\n", "x".repeat(2 << 20))), "431 ").await;
    check("GET / HTTP/9.9\r\n\r\n".into(), "400 ").await;
    check("\u{0}\u{1}nonsense\r\n\r\n".into(), "400 ").await;
    cluster.works().await;
}

#[tokio::test]
async fn heads_over_http2() {
    let cluster = Cluster::start().await;
    let ann = cluster.user("ann");
    let mut connection = cluster.http2(&ann).await;
    let mut check = async |count: usize, bytes: usize, expected: u16| {
        let mut request = request("GET", &url(), "");
        for n in 0..count {
            let name = HeaderName::from_bytes(format!("x-{n}").as_bytes()).unwrap();
            let value = HeaderValue::from_bytes(&vec![b'x'; bytes]).unwrap();
            request.headers_mut().insert(name, value);
        }
        let (code, answer) = read(connection.send_request(request).await.unwrap()).await;
        assert_eq!(code, expected, "{count} headers of {bytes} bytes: {answer}");
    };
    check(1, 500_000, 200).await;
    check(2, 600_000, 431).await;
    check(1_900, 10, 200).await;
    check(2_100, 10, 431).await;
    cluster.works().await;
}
