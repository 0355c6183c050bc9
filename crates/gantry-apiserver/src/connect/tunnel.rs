//! SPDY inside a WebSocket: how clients forward ports through proxies that let only WebSockets pass.
//!
//! Source: k8s.io/apiserver/pkg/util/proxy/streamtunnel.go.

use crate::connect::backend::Backend;
use crate::connect::hold::Hold;
use crate::connect::upgrade::{self, Side};
use crate::connect::websocket::{self, Event, Reader, Writer};
use crate::respond::Body;
use gantry_api::status::Status;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, header, request};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What the subprotocols that carry SPDY begin with.
const PREFIX: &str = "SPDY/3.1+";
const SUFFIX: &str = ".k8s.io";
const PIECE: usize = 32 * 1024;
/// The protocol spoken over SPDY.
pub const STREAM_PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");

/// The protocols over SPDY that a WebSocket asks for; there are none when it is no tunnel.
fn inner(head: &request::Parts) -> Vec<HeaderValue> {
    websocket::protocols(head)
        .filter_map(|p| p.strip_prefix(PREFIX))
        .filter(|p| p.ends_with(SUFFIX))
        .filter_map(|p| HeaderValue::from_str(p).ok())
        .collect()
}

/// Whether a request asks for a tunnel.
pub fn is_wanted(head: &request::Parts) -> bool {
    websocket::is_wanted(head) && !inner(head).is_empty()
}

/// Makes a head ask for SPDY instead of a WebSocket.
pub fn ask_for_spdy(head: &mut request::Parts, protocols: Vec<HeaderValue>) {
    head.method = Method::POST;
    let own = [
        header::SEC_WEBSOCKET_PROTOCOL,
        header::SEC_WEBSOCKET_KEY,
        header::SEC_WEBSOCKET_VERSION,
        header::SEC_WEBSOCKET_EXTENSIONS,
        STREAM_PROTOCOL,
    ];
    own.iter().for_each(|name| drop(head.headers.remove(name)));
    head.headers
        .insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    head.headers
        .insert(header::UPGRADE, HeaderValue::from_static("SPDY/3.1"));
    for protocol in protocols {
        head.headers.append(STREAM_PROTOCOL, protocol);
    }
}

/// Passes on the SPDY inside a WebSocket.
pub async fn pass_on(
    backend: &Backend,
    path: &str,
    mut head: request::Parts,
    mut hold: Hold,
) -> Result<Response<Body>, Status> {
    let client = upgrade::take(&mut head)?;
    // What cannot be a WebSocket is refused before the node is asked.
    let mut accepted = websocket::accept(&head, None)?;
    let protocols = inner(&head);
    ask_for_spdy(&mut head, protocols);
    let mut response = upgrade::ask(backend, path, &head).await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(response.map(|body| hold.around(body)));
    }
    let chosen = response
        .headers()
        .get(STREAM_PROTOCOL)
        .and_then(|v| v.to_str().ok());
    if let Some(chosen) = chosen {
        let value = HeaderValue::from_str(&format!("{PREFIX}{chosen}")).map_err(Status::internal)?;
        accepted
            .headers_mut()
            .insert(header::SEC_WEBSOCKET_PROTOCOL, value);
    }
    let backend = hyper::upgrade::on(&mut response);
    tokio::spawn(async move {
        let work = async {
            let (client, backend) = tokio::try_join!(client, backend).map_err(io::Error::other)?;
            relay(Side::new(client), Side::new(backend)).await
        };
        tokio::select! {
            result = work => if let Err(error) = result {
                tracing::debug!("a tunnel ended: {error}");
            },
            () = hold.ended() => {}
        }
    });
    Ok(accepted)
}

async fn relay<C, B>(client: C, backend: B) -> io::Result<()>
where
    C: AsyncRead + AsyncWrite,
    B: AsyncRead + AsyncWrite,
{
    let (from_client, to_client) = tokio::io::split(client);
    let (mut from_backend, mut to_backend) = tokio::io::split(backend);
    let writer = Writer::new(to_client);
    let own = writer.clone();
    let up = async {
        let mut reader = Reader::new(from_client);
        loop {
            match reader.next().await? {
                Event::Data { bytes, .. } => {
                    to_backend.write_all(bytes).await?;
                    to_backend.flush().await?;
                }
                Event::Ping(payload) => own.pong(&payload).await?,
                Event::Close => return io::Result::Ok(()),
            }
        }
    };
    let down = async {
        let mut buffer = vec![0; PIECE];
        loop {
            match from_backend.read(&mut buffer).await? {
                0 => return io::Result::Ok(()),
                read => writer.binary(&[&buffer[..read]]).await?,
            }
        }
    };
    let result = tokio::select! {
        result = up => result,
        result = down => result,
    };
    match tokio::time::timeout(upgrade::CLOSE, writer.close()).await {
        Ok(closed) => result.and(closed),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tunnels_are_told_from_other_web_sockets() {
        let check = |protocols: &str, expected: &[&str]| {
            let request = http::Request::get("/")
                .header("connection", "keep-alive, Upgrade")
                .header("upgrade", "websocket")
                .header("sec-websocket-key", "k")
                .header("sec-websocket-protocol", protocols);
            let mut head = request.body(()).unwrap().into_parts().0;
            assert_eq!(is_wanted(&head), !expected.is_empty(), "{protocols}");
            let inner = inner(&head);
            assert_eq!(inner, expected, "{protocols}");
            ask_for_spdy(&mut head, inner);
            assert_eq!(head.headers[header::UPGRADE], "SPDY/3.1");
            assert!(!head.headers.contains_key("sec-websocket-key"));
        };
        check("SPDY/3.1+portforward.k8s.io", &["portforward.k8s.io"]);
        check("v5.channel.k8s.io, v4.channel.k8s.io", &[]);
        check("SPDY/3.1+other", &[]);
    }

    #[tokio::test]
    async fn bytes_go_both_ways() {
        let (client, own_client) = tokio::io::duplex(1024);
        let (backend, own_backend) = tokio::io::duplex(1024);
        let relay = tokio::spawn(relay(own_client, own_backend));
        let (mut client, mut backend) = (client, backend);
        // A masked ping, and a masked message.
        client.write_all(&[0x89, 0x80, 0, 0, 0, 0]).await.unwrap();
        client
            .write_all(&[0x82, 0x82, 0, 0, 0, 0, b'u', b'p'])
            .await
            .unwrap();
        let mut two = [0; 2];
        backend.read_exact(&mut two).await.unwrap();
        assert_eq!(&two, b"up");
        backend.write_all(b"down").await.unwrap();
        let mut back = [0; 8];
        client.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"\x8a\x00\x82\x04down");
        drop(backend);
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, [0x88, 2, 3, 232]);
        relay.await.unwrap().unwrap();
    }
}
