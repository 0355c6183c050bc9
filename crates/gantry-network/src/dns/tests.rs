//! The server on real sockets, and a name server for the tests to pass questions on to.

use super::forward::{Forwarder, Question};
use super::handler::Handler;
use super::model::Model;
use super::zone::Zone;
use super::*;
use gantry_client::{Body, Client, Transport, TransportError};
use hickory_server::proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_server::proto::rr::{DNSClass, LowerName, RData, Record, RecordType, rdata::SOA};
use hickory_server::proto::serialize::binary::{BinDecodable, BinDecoder};
use http_body_util::{BodyExt, Full};
use serde_json::json;
use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

pub(super) fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).unwrap();
    name.set_fqdn(true);
    name
}

/// A question for an address.
pub(super) fn question(text: &str) -> Question {
    let name = LowerName::new(&name(text));
    Question {
        name,
        type_: RecordType::A,
        dnssec: false,
        unchecked: false,
    }
}

fn sockets() -> (UdpSocket, TcpListener, SocketAddr) {
    let (udp, tcp) = address::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = udp.local_addr().unwrap();
    (
        UdpSocket::from_std(udp).unwrap(),
        TcpListener::from_std(tcp).unwrap(),
        address,
    )
}

/// A name server on loopback that answers by the first label of a name: `big` does not fit into a datagram, `none`
/// does not exist, `refused` is refused, `old` is not understood with EDNS, before `forged` come other answers, and all else has one address.
pub(super) struct Upstream {
    pub(super) address: SocketAddr,
    pub(super) asked: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Upstream {
    pub(super) async fn start() -> Self {
        let (udp, tcp, address) = sockets();
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = asked.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut buffer = [0; 4096];
            loop {
                let (size, client) = udp.recv_from(&mut buffer).await.unwrap();
                counted.fetch_add(1, Ordering::Relaxed);
                let request = Message::from_vec(&buffer[..size]).unwrap();
                for response in responses(&request, true) {
                    udp.send_to(&response, client).await.unwrap();
                }
            }
        });
        tasks.spawn(async move {
            loop {
                let (mut stream, _) = tcp.accept().await.unwrap();
                let request = Message::from_vec(&read_framed(&mut stream).await.unwrap()).unwrap();
                write_framed(&mut stream, &responses(&request, false)[0]).await;
            }
        });
        Upstream {
            address,
            asked,
            _tasks: tasks,
        }
    }
}

fn responses(request: &Message, datagram: bool) -> Vec<Vec<u8>> {
    let query = &request.queries[0];
    let mut response = Message::response(request.metadata.id, OpCode::Query);
    response.add_query(query.clone());
    let a = |i: u8| {
        Record::from_rdata(
            query.name().clone(),
            300,
            RData::A(std::net::Ipv4Addr::from([192, 0, 2, i]).into()),
        )
    };
    match query.name().iter().next().unwrap_or(b"") {
        b"big" if datagram => {
            response.metadata.truncation = true;
            response.add_answer(a(0));
        }
        b"big" => {
            response.add_answers((0..100).map(a));
        }
        b"none" => {
            response.metadata.response_code = ResponseCode::NXDomain;
            let soa = SOA::new(name("ns.test"), name("root.test"), 1, 7200, 900, 86400, 20);
            response.add_authority(Record::from_rdata(name("test"), 600, RData::SOA(soa)));
        }
        b"refused" => response.metadata.response_code = ResponseCode::Refused,
        b"old" if request.edns.is_some() => response.metadata.response_code = ResponseCode::FormErr,
        b"forged" => {
            let mut forged = response.clone();
            forged.metadata.id ^= 1;
            forged.add_answer(a(66));
            let mut other = response.clone();
            other.queries = vec![Query::query(name("other.test"), RecordType::A)];
            response.add_answer(a(1));
            let all = [forged, other, response].map(|m| m.to_vec().unwrap());
            return [vec![vec![0; 5]], all.to_vec()].concat();
        }
        _ => {
            response.add_answer(a(1));
        }
    }
    vec![response.to_vec().unwrap()]
}

async fn write_framed(stream: &mut TcpStream, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
    stream.write_all(&[&length, bytes].concat()).await.unwrap();
}

async fn read_framed(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; stream.read_u16().await?.into()];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// A handler for `cluster.local` that knows `model` and asks `servers`.
pub(super) fn handler(model: Model, servers: Vec<SocketAddr>) -> Handler {
    Handler {
        zone: Zone::new(name("cluster.local"), "10.0.0.10".parse().unwrap()),
        model: Arc::new(RwLock::new(model)),
        synced: watch::channel(true).1,
        ranges: ["10.0.0.0/16", "172.0.0.0/16"]
            .map(|r| r.parse().unwrap())
            .to_vec(),
        forwarder: Arc::new(Forwarder::new(servers)),
    }
}

/// A server that knows a service `many` of a hundred endpoints, besides those of the zone's tests.
async fn serve() -> (SocketAddr, JoinSet<()>) {
    let mut model = zone::tests::model();
    let metadata =
        json!({"namespace": "testns", "name": "many", "labels": {"kubernetes.io/service-name": "many"}});
    model.service_changed(
        None,
        Some(&json!({"metadata": metadata, "spec": {"clusterIP": "None"}})),
    );
    let endpoints: Vec<Value> = (0..100)
        .map(|i| json!({"addresses": [format!("172.0.9.{i}")]}))
        .collect();
    model.slice_changed(None, Some(&json!({"metadata": metadata, "endpoints": endpoints})));
    let handler = Arc::new(handler(model, Vec::new()));
    let (udp, tcp, address) = sockets();
    let mut tasks = JoinSet::new();
    tasks.spawn(serve::udp(udp, handler.clone()));
    tasks.spawn(serve::tcp(tcp, handler));
    (address, tasks)
}

fn query(text: &str, payload: Option<u16>) -> Message {
    let mut message = Message::new(4711, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name(text), RecordType::A));
    if let Some(payload) = payload {
        let mut edns = Edns::new();
        edns.set_max_payload(payload);
        message.set_edns(edns);
    }
    message
}

async fn ask_udp(server: SocketAddr, request: &Message) -> Message {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(server).await.unwrap();
    socket.send(&request.to_vec().unwrap()).await.unwrap();
    let mut buffer = [0; 65535];
    let size = socket.recv(&mut buffer).await.unwrap();
    let limit = request.edns.as_ref().map_or(512, |e| e.max_payload().min(4096));
    assert!(size <= limit.into(), "{size} bytes where {limit} were asked for");
    read_whole(&buffer[..size])
}

/// Reads a message that nothing follows.
fn read_whole(bytes: &[u8]) -> Message {
    let mut decoder = BinDecoder::new(bytes);
    let message = Message::read(&mut decoder).unwrap();
    assert!(decoder.is_empty());
    message
}

async fn ask_tcp(stream: &mut TcpStream, request: &Message) -> Message {
    write_framed(stream, &request.to_vec().unwrap()).await;
    read_whole(&read_framed(stream).await.unwrap())
}

#[tokio::test]
async fn large_answers_are_cut_for_datagrams_only() {
    let (server, _tasks) = serve().await;
    let many = "many.testns.svc.cluster.local";
    for (payload, whole) in [
        (None, false),
        (Some(1232), false),
        (Some(4096), true),
        (Some(65535), true),
    ] {
        let request = query(many, payload);
        let response = ask_udp(server, &request).await;
        assert_eq!(response.metadata.truncation, !whole, "{payload:?}");
        assert_eq!(response.answers.len() == 100, whole, "{payload:?}");
        assert!(response.answers.len() > 20, "what fits is there: {payload:?}");
        assert_eq!(response.edns.is_some(), payload.is_some(), "{payload:?}");
    }
    let mut stream = TcpStream::connect(server).await.unwrap();
    let mut orders = Vec::new();
    for _ in 0..2 {
        let response = ask_tcp(&mut stream, &query(many, None)).await;
        assert!(!response.metadata.truncation);
        assert_eq!(response.answers.len(), 100);
        orders.push(
            response
                .answers
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>(),
        );
    }
    assert_ne!(orders[0], orders[1], "addresses come in an order of chance");
    orders.iter_mut().for_each(|o| o.sort());
    assert_eq!(orders[0], orders[1]);
}

#[tokio::test]
async fn headers_and_refusals() {
    let (server, _tasks) = serve().await;
    let response = ask_udp(server, &query("SVC1.testns.svc.Cluster.local", Some(1232))).await;
    let metadata = response.metadata;
    assert!(metadata.authoritative && metadata.recursion_available && metadata.recursion_desired);
    assert_eq!(
        (metadata.id, metadata.message_type),
        (4711, MessageType::Response)
    );
    assert_eq!(
        response.queries[0].name().to_ascii(),
        "SVC1.testns.svc.Cluster.local."
    );
    assert_eq!(
        response.answers[0].name.to_ascii(),
        "SVC1.testns.svc.Cluster.local."
    );

    let check = async |what: &str, change: fn(&mut Message), expected: ResponseCode| {
        let mut request = query("svc1.testns.svc.cluster.local", Some(1232));
        change(&mut request);
        let response = ask_udp(server, &request).await;
        // By number: BADVERS and BADSIG share theirs.
        assert_eq!(
            u16::from(response.metadata.response_code),
            u16::from(expected),
            "{what}"
        );
        assert!(response.answers.is_empty(), "{what}");
    };
    check(
        "a transfer",
        |m| m.queries[0].query_type = RecordType::AXFR,
        ResponseCode::Refused,
    )
    .await;
    check(
        "another class",
        |m| m.queries[0].query_class = DNSClass::CH,
        ResponseCode::Refused,
    )
    .await;
    check(
        "another operation",
        |m| m.metadata.op_code = OpCode::Notify,
        ResponseCode::NotImp,
    )
    .await;
    check("no question", |m| m.queries.clear(), ResponseCode::FormErr).await;
    check(
        "two questions",
        |m| m.queries.push(m.queries[0].clone()),
        ResponseCode::FormErr,
    )
    .await;
    let later = |m: &mut Message| {
        m.edns.as_mut().unwrap().set_version(1);
    };
    check("an EDNS to come", later, ResponseCode::BADVERS).await;
    check(
        "a name outside, without servers",
        |m| m.queries[0].name = name("a.test"),
        ResponseCode::ServFail,
    )
    .await;
}

#[tokio::test]
async fn hostile_messages_do_no_harm() {
    let (server, _tasks) = serve().await;
    let good = query("svc1.testns.svc.cluster.local", Some(1232));
    let bytes = good.to_vec().unwrap();
    let mut hostile: Vec<Vec<u8>> = (1..bytes.len()).map(|n| bytes[..n].to_vec()).collect();
    for i in 0..bytes.len() {
        for value in [0x00, 0x3f, 0x40, 0x80, 0xc0, 0xff, bytes[i] ^ 1] {
            let mut changed = bytes.clone();
            changed[i] = value;
            hostile.push(changed);
        }
    }
    // A name that points at itself.
    hostile.push([&bytes[..12], &[0xc0, 12, 0, 1, 0, 1]].concat());
    let mut stream = TcpStream::connect(server).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let mut last = good.clone();
    last.metadata.id = 1;
    hostile.push(last.to_vec().unwrap());
    let write = async {
        for message in &hostile {
            let length = u16::try_from(message.len()).unwrap().to_be_bytes();
            writer
                .write_all(&[&length, message.as_slice()].concat())
                .await
                .unwrap();
        }
    };
    let read = async {
        loop {
            let mut bytes = vec![0; reader.read_u16().await.unwrap().into()];
            reader.read_exact(&mut bytes).await.unwrap();
            if bytes[..2] == [0, 1] {
                return Message::from_vec(&bytes).unwrap();
            }
        }
    };
    let ((), response) = tokio::join!(write, read);
    assert_eq!(response.answers.len(), 1);
    for message in &hostile[..] {
        UdpSocket::bind("127.0.0.1:0")
            .await
            .unwrap()
            .send_to(message, server)
            .await
            .unwrap();
    }
    assert_eq!(ask_udp(server, &good).await.answers.len(), 1);
}

/// An API server that has one service, and shows it once it may.
struct Api(watch::Receiver<bool>);

#[async_trait::async_trait]
impl Transport for Api {
    async fn send(
        &self,
        request: http::Request<bytes::Bytes>,
    ) -> Result<http::Response<Body>, TransportError> {
        if self.0.clone().wait_for(|shown| *shown).await.is_err()
            || !request.uri().to_string().contains("sendInitialEvents=true")
        {
            return pending().await;
        }
        let object = match request.uri().path() {
            "/api/v1/namespaces" => json!({"metadata": {"name": "a"}}),
            "/api/v1/services" => {
                json!({"metadata": {"namespace": "a", "name": "s"}, "spec": {"clusterIP": "10.0.0.1"}})
            }
            _ => json!(null),
        };
        let marked = json!({"resourceVersion": "1", "annotations": {"k8s.io/initial-events-end": "true"}});
        let told = [("ADDED", object), ("BOOKMARK", json!({"metadata": marked}))];
        let told = told.iter().filter(|(_, object)| !object.is_null());
        let lines: String = told
            .map(|(type_, object)| format!("{}\n", json!({"type": type_, "object": object})))
            .collect();
        let body = Full::new(bytes::Bytes::from(lines))
            .map_err(|never| match never {})
            .boxed_unsync();
        Ok(http::Response::new(body))
    }
}

#[tokio::test]
async fn it_starts_and_stops() {
    let (show, shown) = watch::channel(false);
    let directory = tempfile::tempdir().unwrap();
    let config = Config {
        address: "127.0.0.1".parse().unwrap(),
        port: 0,
        domain: "cluster.local".into(),
        service_cidr: "10.0.0.0/16".into(),
        pod_cidr: "10.1.0.0/16".into(),
        resolv_conf: directory.path().join("resolv.conf"),
    };
    let informers = Informers::new(Client::new(Arc::new(Api(shown)), "dns"));
    let dns = start(config.clone(), informers.clone()).unwrap();
    let server = dns.address();
    let inside = query("s.a.svc.cluster.local", None);
    assert_eq!(
        ask_udp(server, &inside).await.metadata.response_code,
        ResponseCode::ServFail
    );
    show.send_replace(true);
    dns.synced().await;
    assert_eq!(
        ask_udp(server, &inside).await.answers[0].data,
        RData::A(std::net::Ipv4Addr::from([10, 0, 0, 1]).into())
    );
    let mut stream = TcpStream::connect(server).await.unwrap();
    assert_eq!(ask_tcp(&mut stream, &inside).await.answers.len(), 1);

    let taken = Config {
        port: server.port(),
        ..config.clone()
    };
    let error = start(taken.clone(), informers.clone()).err().unwrap().to_string();
    assert!(
        error.starts_with(&format!("{server} is taken: find who has it with ss -lpn")),
        "{error}"
    );
    dns.stop().await;
    start(taken, informers.clone()).unwrap().stop().await;

    for (bad, expected) in [
        (
            Config {
                domain: "a_b".into(),
                ..config.clone()
            },
            "\"a_b\" is no domain",
        ),
        (
            Config {
                domain: "".into(),
                ..config.clone()
            },
            "\"\" is no domain",
        ),
        (
            Config {
                service_cidr: "10.0.0.0".into(),
                ..config.clone()
            },
            "\"10.0.0.0\" is no range",
        ),
    ] {
        let error = start(bad, informers.clone()).err().unwrap().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}
