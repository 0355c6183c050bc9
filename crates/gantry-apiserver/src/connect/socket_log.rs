//! A log through a WebSocket. Source: k8s.io/streaming/pkg/httpstream/wsstream/stream.go.

use crate::connect::hold::Hold;
use crate::connect::upgrade::{self, Side};
use crate::connect::websocket::{self, Event, Reader, Writer};
use crate::respond::Body;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gantry_api::status::Status;
use http::{Response, request};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::io;
use tokio::io::{AsyncRead, AsyncWrite};

const BINARY: &str = "binary.k8s.io";
const BASE64: &str = "base64.binary.k8s.io";

/// Sends `log` through the WebSocket a request asks for.
pub fn send(mut head: request::Parts, log: Incoming, mut hold: Hold) -> Result<Response<Body>, Status> {
    let protocol = websocket::protocols(&head).find(|p| matches!(*p, BINARY | BASE64));
    if protocol.is_none() && websocket::protocols(&head).next().is_some() {
        let why = format!("a log is sent in the WebSocket subprotocols {BINARY} and {BASE64}, or in none");
        return Err(Status::bad_request(why));
    }
    let accepted = websocket::accept(&head, protocol)?;
    let encoded = protocol == Some(BASE64);
    let client = upgrade::take(&mut head)?;
    tokio::spawn(async move {
        let work = async {
            let client = Side::new(client.await.map_err(io::Error::other)?);
            relay(client, log, encoded).await
        };
        tokio::select! {
            result = work => if let Err(error) = result {
                tracing::debug!("a log through a WebSocket ended: {error}");
            },
            () = hold.ended() => {}
        }
    });
    Ok(accepted)
}

async fn relay<C: AsyncRead + AsyncWrite>(client: C, mut log: Incoming, encoded: bool) -> io::Result<()> {
    let (from_client, to_client) = tokio::io::split(client);
    let (mut reader, writer) = (Reader::new(from_client), Writer::new(to_client));
    let down = async {
        // An empty message tells the client that the connection stands, before the first line comes.
        write(&writer, &[], encoded).await?;
        while let Some(frame) = log.frame().await {
            let frame = frame.map_err(io::Error::other)?;
            if let Some(data) = frame.data_ref() {
                write(&writer, data, encoded).await?;
            }
        }
        io::Result::Ok(())
    };
    let up = async {
        loop {
            match reader.next().await? {
                Event::Ping(payload) => writer.pong(&payload).await?,
                Event::Data { .. } => {}
                Event::Close => return io::Result::Ok(()),
            }
        }
    };
    tokio::select! {
        result = down => result?,
        result = up => result?,
    }
    tokio::time::timeout(upgrade::CLOSE, writer.close()).await?
}

async fn write<W: AsyncWrite + Unpin>(writer: &Writer<W>, data: &[u8], encoded: bool) -> io::Result<()> {
    match encoded {
        true => writer.text(&STANDARD.encode(data)).await,
        false => writer.binary(&[data]).await,
    }
}
