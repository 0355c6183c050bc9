//! Connections that stop being HTTP: SPDY and WebSockets, passed on byte for byte.
//!
//! Source: k8s.io/apimachinery/pkg/util/proxy/upgradeaware.go.

use crate::connect::backend::Backend;
use crate::connect::hold::Hold;
use crate::connect::{Peer, failed};
use crate::handler::RequestBody;
use crate::respond::Body;
use gantry_api::status::Status;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header, request};
use http_body_util::{BodyExt, Empty};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};

/// The last bytes to a side must be taken after this long.
pub const CLOSE: Duration = Duration::from_secs(10);

/// One side of an upgraded connection.
pub type Side = TokioIo<Upgraded>;

/// Whether a request asks for another protocol.
pub fn is_wanted(head: &request::Parts) -> bool {
    head.headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .any(|v| v.to_ascii_lowercase().contains("upgrade"))
}

/// A request without a body.
pub fn no_body() -> RequestBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// Passes a request on that asks for another protocol; when the backend agrees, all bytes from then on.
pub async fn pass_on(
    backend: &Backend,
    path: &str,
    mut head: request::Parts,
    hold: Hold,
) -> Result<Response<Body>, Status> {
    let client = take(&mut head)?;
    let mut response = ask(backend, path, &head).await?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let backend = hyper::upgrade::on(&mut response);
        let held = hold.clone();
        tokio::spawn(async move { relay(client, backend, held).await });
    }
    Ok(response.map(|body| hold.around(body)))
}

/// The client's connection, once it has been answered.
pub fn take(head: &mut request::Parts) -> Result<OnUpgrade, Status> {
    head.extensions
        .remove::<OnUpgrade>()
        .ok_or_else(|| failed("request connection cannot be hijacked: it carries other requests too"))
}

/// Asks a backend for another protocol, as the head does. It may also refuse.
pub async fn ask(
    backend: &Backend,
    path: &str,
    head: &request::Parts,
) -> Result<Response<hyper::body::Incoming>, Status> {
    let mut request = Request::new(no_body());
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = path.parse().map_err(Status::internal)?;
    *request.headers_mut() = head.headers.clone();
    let headers = request.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::TRANSFER_ENCODING);
    forwarded_for(headers, head);
    let response = backend
        .send(request)
        .await
        .map_err(|e| failed(format!("error dialing backend: {e}")))?;
    let code = response.status();
    if code != StatusCode::SWITCHING_PROTOCOLS && code.as_u16() < 400 {
        return Err(failed(format!(
            "invalid upgrade response: status code {}",
            code.as_u16()
        )));
    }
    Ok(response)
}

/// Notes who the client is.
pub fn forwarded_for(headers: &mut HeaderMap, head: &request::Parts) {
    const NAME: HeaderName = HeaderName::from_static("x-forwarded-for");
    let Some(Peer(address)) = head.extensions.get::<Peer>() else {
        return;
    };
    let mut chain: Vec<String> = headers
        .get_all(NAME)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .map(str::to_owned)
        .collect();
    chain.push(address.to_string());
    if let Ok(value) = HeaderValue::from_str(&chain.join(", ")) {
        headers.insert(NAME, value);
    }
}

async fn relay(client: OnUpgrade, backend: OnUpgrade, mut hold: Hold) {
    let sides = async { tokio::try_join!(client, backend) };
    let sides = tokio::select! {
        sides = sides => sides,
        () = hold.ended() => return,
    };
    let (client, backend) = match sides {
        Ok((client, backend)) => (TokioIo::new(client), TokioIo::new(backend)),
        Err(error) => {
            tracing::debug!("a connection could not be upgraded: {error}");
            return;
        }
    };
    let (from_client, to_client) = tokio::io::split(client);
    let (from_backend, to_backend) = tokio::io::split(backend);
    // Whichever side ends first ends both; what it sent before is delivered.
    let result = tokio::select! {
        result = copy(from_client, to_backend) => result,
        result = copy(from_backend, to_client) => result,
        () = hold.ended() => Ok(()),
    };
    if let Err(error) = result {
        tracing::debug!("an upgraded connection ended: {error}");
    }
}

async fn copy(mut from: ReadHalf<Side>, mut to: WriteHalf<Side>) -> io::Result<()> {
    tokio::io::copy(&mut from, &mut to).await?;
    tokio::time::timeout(CLOSE, to.shutdown()).await?
}
