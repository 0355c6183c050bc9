//! The sockets. hickory frames and sends; the limits are ours.

use super::handler::Handler;
use super::message;
use futures::StreamExt;
use hickory_server::net::runtime::iocompat::AsyncIoTokioAsStd;
use hickory_server::net::runtime::{TokioRuntimeProvider, TokioTime};
use hickory_server::net::tcp::TcpStream;
use hickory_server::net::udp::UdpStream;
use hickory_server::net::xfer::Protocol;
use hickory_server::net::{BufDnsStreamHandle, DnsStreamHandle};
use hickory_server::proto::op::SerialMessage;
use hickory_server::server::{Request, RequestHandler, ResponseHandle, TimeoutStream};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Datagrams in work at once; more are dropped, and their senders ask again.
const DATAGRAMS: usize = 4096;
/// Connections open at once; more wait to be accepted.
const CONNECTIONS: usize = 512;
/// Connections of one client: one pod must not shut out the others.
const CONNECTIONS_OF_ONE: usize = 64;
/// How long a connection may be without a request, or a client may take to read its answer.
const IDLE: Duration = Duration::from_secs(10);
/// Answers that wait for one connection.
const ANSWERS: usize = 32;
/// The pause after a connection could not be accepted, most likely for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers datagrams for as long as it is polled.
pub(super) async fn udp(socket: UdpSocket, handler: Arc<Handler>) {
    // The address is only that of a handle nobody uses: each answer gets its client's.
    let nobody = SocketAddr::from(([127, 255, 255, 254], 0));
    let (mut stream, answers) = UdpStream::<TokioRuntimeProvider>::with_bound(socket, nobody);
    let permits = Arc::new(Semaphore::new(DATAGRAMS));
    let mut tasks = JoinSet::new();
    loop {
        let received = tokio::select! {
            received = stream.next() => received,
            Some(_) = tasks.join_next() => continue,
        };
        let (bytes, client) = match received {
            Some(Ok(message)) => message.into_parts(),
            Some(Err(error)) => {
                tracing::debug!("a datagram cannot be received: {error}");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            None => return,
        };
        // Port 0 cannot be answered.
        if client.port() == 0 {
            continue;
        }
        let Ok(permit) = permits.clone().try_acquire_owned() else {
            continue;
        };
        let (handler, answers) = (handler.clone(), answers.with_remote_addr(client));
        tasks.spawn(async move {
            handle(&handler, bytes, client, Protocol::Udp, answers).await;
            drop(permit);
        });
    }
}

/// Answers connections for as long as it is polled.
pub(super) async fn tcp(listener: TcpListener, handler: Arc<Handler>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let clients = Clients::default();
    let mut tasks = JoinSet::new();
    loop {
        // The semaphore lives here and is never closed.
        let Ok(permit) = permits.clone().acquire_owned().await else {
            return;
        };
        let accepted = loop {
            tokio::select! {
                accepted = listener.accept() => break accepted,
                Some(_) = tasks.join_next() => {}
            }
        };
        let (stream, client) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!("a connection cannot be accepted: {error}");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let Some(entered) = clients.enter(client.ip()) else {
            continue;
        };
        let handler = handler.clone();
        tasks.spawn(async move {
            connection(stream, client, &handler).await;
            drop((permit, entered));
        });
    }
}

/// The requests of a connection are answered one after the other, so that none takes more than its share.
async fn connection(stream: tokio::net::TcpStream, client: SocketAddr, handler: &Handler) {
    let (stream, answers) =
        TcpStream::from_stream_with_buffer_size(AsyncIoTokioAsStd(stream), client, ANSWERS);
    let mut requests = TimeoutStream::new(stream, IDLE);
    while let Some(request) = requests.next().await {
        match request {
            Ok(request) => {
                let (bytes, _) = request.into_parts();
                handle(handler, bytes, client, Protocol::Tcp, answers.clone()).await;
            }
            Err(error) => {
                tracing::debug!("the connection of {client} ends: {error}");
                return;
            }
        }
    }
}

async fn handle(
    handler: &Handler,
    bytes: Vec<u8>,
    client: SocketAddr,
    protocol: Protocol,
    mut answers: BufDnsStreamHandle,
) {
    let refusal = message::format_error(&bytes);
    let request = message::asks_once(&bytes).then(|| Request::from_bytes(bytes, client, protocol));
    if let (Some(Ok(request)), Some(_)) = (request, &refusal) {
        let response = ResponseHandle::new(client, answers, protocol);
        handler.handle_request::<_, TokioTime>(&request, response).await;
    } else if let Some(refusal) = refusal
        && let Err(error) = answers.send(SerialMessage::new(refusal, client))
    {
        tracing::debug!("{client} gets no response: {error}");
    }
}

/// How many connections each client has.
#[derive(Clone, Default)]
struct Clients(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One connection of a client, until dropped.
struct Entered {
    clients: Clients,
    client: IpAddr,
}

impl Clients {
    /// `None` when the client has too many.
    fn enter(&self, client: IpAddr) -> Option<Entered> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(client).or_default();
        if *count >= CONNECTIONS_OF_ONE {
            return None;
        }
        *count += 1;
        Some(Entered {
            clients: self.clone(),
            client,
        })
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut counts = self.clients.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_its_share() {
        let clients = Clients::default();
        let (one, two) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let mut held: Vec<Entered> = (0..CONNECTIONS_OF_ONE)
            .filter_map(|_| clients.enter(one))
            .collect();
        assert_eq!(held.len(), CONNECTIONS_OF_ONE);
        assert!(clients.enter(one).is_none());
        assert!(clients.enter(two).is_some());
        held.pop();
        assert!(clients.enter(one).is_some());
        drop(held);
        assert!(clients.0.lock().unwrap().is_empty());
    }
}
